//! The master key, which encrypts ("wraps") the keys of tenants. It is never stored in the lake.
//!
//! The key comes from `ROLLBOOK_MASTER_KEY`, from the output of the command in
//! `ROLLBOOK_MASTER_KEY_COMMAND`, or from a file that only its owner may read and that is created on
//! first use. Each source holds 64 hexadecimal digits; further keys after the first are older ones,
//! which decrypt what was wrapped before a rotation and wrap nothing new.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::LakeError;
use crate::encryption::command::output_of;
use crate::encryption::key_pages::Key;
use crate::encryption::seal::random;

const VALUE: &str = "ROLLBOOK_MASTER_KEY";
const COMMAND: &str = "ROLLBOOK_MASTER_KEY_COMMAND";
const FILE: &str = "ROLLBOOK_MASTER_KEY_FILE";

/// Bytes that the command may print: a thousand keys.
const COMMAND_BYTES: usize = 1 << 16;

/// The source of the master key, and the keys that were read from it.
#[derive(Clone)]
pub struct Master {
    source: Source,
    read: Arc<Mutex<Vec<Key>>>,
    /// Whether this program created the file, which its user must know.
    made: Arc<AtomicBool>,
}

/// Where the master key comes from.
#[derive(Debug, Clone)]
enum Source {
    Value,
    Command(String),
    File(PathBuf),
    Unset,
}

impl fmt::Debug for Master {
    /// Leaves the keys out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Master").field(&self.source).finish()
    }
}

impl Master {
    /// The master key from the source that the environment names.
    pub fn from_env() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let source = if set(VALUE).is_some() {
            Source::Value
        } else if let Some(command) = set(COMMAND) {
            Source::Command(command)
        } else {
            let home = || set("HOME").map(|home| PathBuf::from(home).join(".config"));
            let folder = || set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
            let file = set(FILE).map(PathBuf::from);
            let file = file.or_else(|| Some(folder()?.join("rollbook").join("master.key")));
            file.map_or(Source::Unset, Source::File)
        };
        Self::at(source)
    }

    /// The master key in a file.
    pub(crate) fn in_file(path: &Path) -> Self {
        Self::at(Source::File(path.to_owned()))
    }

    fn at(source: Source) -> Self {
        Self {
            source,
            read: Arc::default(),
            made: Arc::default(),
        }
    }

    /// The source of the key, for messages.
    pub fn place(&self) -> String {
        match &self.source {
            Source::Value => format!("the variable {VALUE}"),
            Source::Command(_) => format!("the command in {COMMAND}"),
            Source::File(path) => path.display().to_string(),
            Source::Unset => "nowhere".to_owned(),
        }
    }

    /// Whether this program created the key.
    pub fn was_made(&self) -> bool {
        self.made.load(Ordering::Relaxed)
    }

    /// The key with a fingerprint.
    pub(crate) fn find(&self, fingerprint: &str) -> Result<Key, LakeError> {
        let is_wanted = |key: &&Key| self::fingerprint(key) == fingerprint;
        if let Some(key) = self.known().iter().find(is_wanted) {
            return Ok(*key);
        }
        let found = self.read()?;
        let key = found.iter().find(is_wanted).copied();
        key.ok_or_else(|| self.lacks(&found, fingerprint))
    }

    /// Checks that the source has the key with a fingerprint; without one, that it has a key or can get
    /// one. The source is read again, and cached keys stay as they are. A command is not run again for a
    /// cached key.
    pub(crate) fn check(&self, fingerprint: Option<&str>) -> Result<(), LakeError> {
        let is_wanted = |key: &Key| fingerprint.is_none_or(|one| self::fingerprint(key) == one);
        let is_command = matches!(self.source, Source::Command(_));
        if is_command && self.known().iter().any(is_wanted) {
            return Ok(());
        }
        let found = self.keys_of_source()?;
        match (fingerprint, &self.source) {
            _ if found.iter().any(is_wanted) => Ok(()),
            (Some(fingerprint), _) => Err(self.lacks(&found, fingerprint)),
            // The file is created with the first key.
            (None, Source::File(_)) => Ok(()),
            (None, _) => Err(self.missing()),
        }
    }

    /// The current key, created where the source is a file that does not exist. The source is read
    /// again, since a cached key may have been removed from it.
    pub(crate) fn current_or_new(&self) -> Result<Key, LakeError> {
        let found = self.read()?;
        match (found.first(), &self.source) {
            (Some(key), _) => Ok(*key),
            (None, Source::File(path)) => {
                // Where another program creates the file first, its key is used.
                match write(path, &[random()], false) {
                    Err(LakeError::File { source, .. })
                        if source.kind() == ErrorKind::AlreadyExists => {}
                    done => {
                        done?;
                        self.made.store(true, Ordering::Relaxed);
                    }
                }
                let found = self.read()?;
                found.first().copied().ok_or_else(|| self.missing())
            }
            (None, _) => Err(self.missing()),
        }
    }

    /// Adds a new key to the file and returns it. For another source returns the current key, since the
    /// user adds new keys there.
    pub(crate) fn next(&self) -> Result<Key, LakeError> {
        let Source::File(path) = &self.source else {
            return self.current_or_new();
        };
        // A symbolic link stays one, and all names of a file share one lock.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let lock = lock_file(&path)?;
        // Keys that other programs added meanwhile are read under the lock and kept.
        let mut keys = self.read()?;
        let key = random();
        keys.insert(0, key);
        write(&path, &keys, true)?;
        drop(lock);
        self.forget();
        Ok(key)
    }

    /// Clears the cache of keys: they are read again when they are needed.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    /// The number of keys, with the older ones.
    ///
    /// # Errors
    /// - [`LakeError::MasterKey`]: the source holds an invalid key, others may read the file, or the
    ///   command failed.
    /// - [`LakeError::File`]: the file cannot be read.
    pub fn count(&self) -> Result<usize, LakeError> {
        Ok(self.read()?.len())
    }

    fn known(&self) -> MutexGuard<'_, Vec<Key>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lacks(&self, found: &[Key], fingerprint: &str) -> LakeError {
        LakeError::MasterKey {
            place: self.place(),
            problem: match found.is_empty() {
                true => format!("none is set, and this lake needs {fingerprint}"),
                false => format!("no key has the fingerprint {fingerprint}, which this lake needs"),
            },
        }
    }

    fn missing(&self) -> LakeError {
        LakeError::MasterKey {
            place: self.place(),
            problem: "none is set".to_owned(),
        }
    }

    fn read(&self) -> Result<Vec<Key>, LakeError> {
        let keys = self.keys_of_source()?;
        self.known().clone_from(&keys);
        Ok(keys)
    }

    fn keys_of_source(&self) -> Result<Vec<Key>, LakeError> {
        let refused = |problem: String| LakeError::MasterKey {
            place: self.place(),
            problem,
        };
        let text = match &self.source {
            Source::Value => std::env::var(VALUE).unwrap_or_default(),
            Source::Command(command) => {
                let output = output_of(command, COMMAND_BYTES).map_err(refused)?;
                String::from_utf8_lossy(&output).into_owned()
            }
            Source::File(path) => read(path)?,
            Source::Unset => String::new(),
        };
        let keys = text.split_whitespace().map(|word| {
            let problem = "a key is not 64 hexadecimal digits";
            parse(word).ok_or_else(|| refused(problem.to_owned()))
        });
        keys.collect()
    }
}

/// The fingerprint of a key, which identifies the key and does not reveal it.
pub(crate) fn fingerprint(key: &Key) -> String {
    let hash = Sha256::new().chain_update(b"rollbook master key\0");
    hex::encode(&hash.chain_update(key).finalize()[..8])
}

fn parse(word: &str) -> Option<Key> {
    hex::decode(word).ok()?.try_into().ok()
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LakeError {
    let path = path.to_owned();
    move |source| LakeError::File {
        doing,
        path,
        source,
    }
}

/// Takes the lock of a file of keys, which is held until the result is dropped or the process ends.
fn lock_file(path: &Path) -> Result<fs::File, LakeError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let path = path.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(failed("lock", &path))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

/// The text of the file; empty where it does not exist.
fn read(path: &Path) -> Result<String, LakeError> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        found => found.map_err(failed("read", path))?,
    };
    if is_readable_by_others(&found) {
        return Err(LakeError::MasterKey {
            place: path.display().to_string(),
            problem: "others may read the file: run `chmod 600` on it".to_owned(),
        });
    }
    fs::read_to_string(path).map_err(failed("read", path))
}

#[cfg(unix)]
fn is_readable_by_others(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    found.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &fs::Metadata) -> bool {
    false
}

/// Writes the file in one step, readable for its owner alone.
fn write(path: &Path, keys: &[Key], over: bool) -> Result<(), LakeError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed("make", folder))?;
    // A temporary file has the mode 0600 when it is created.
    let mut staged = NamedTempFile::new_in(folder).map_err(failed("write", path))?;
    let mut text = keys.iter().map(hex::encode).collect::<Vec<_>>().join("\n");
    text.push('\n');
    let written = staged.write_all(text.as_bytes());
    written
        .and_then(|()| staged.as_file().sync_all())
        .map_err(failed("write", path))?;
    let put = match over {
        true => staged.persist(path),
        false => staged.persist_noclobber(path),
    };
    put.map_err(|error| failed("write", path)(error.error))?;
    let folder = fs::File::open(folder).and_then(|folder| folder.sync_all());
    folder.map_err(failed("write", path))
}

#[cfg(test)]
mod tests {
    use super::{Master, Source, fingerprint};

    #[test]
    fn key_file_is_created_once_and_keeps_older_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys").join("master.key");
        let master = Master::at(Source::File(path.clone()));
        let missing = master.find("0011").unwrap_err().to_string();
        assert!(missing.contains("none is set"), "{missing}");
        let first = master.current_or_new().unwrap();
        assert_eq!(master.current_or_new().unwrap(), first);
        // Another program finds the same key.
        let other = Master::at(Source::File(path.clone()));
        assert_eq!(other.current_or_new().unwrap(), first);
        let second = master.next().unwrap();
        assert_ne!(second, first);
        assert_eq!(other.find(&fingerprint(&first)).unwrap(), first);
        assert_eq!(other.find(&fingerprint(&second)).unwrap(), second);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            format!("{}\n{}\n", hex::encode(second), hex::encode(first))
        );
        assert!(!format!("{other:?}").contains(&hex::encode(first)));
    }

    #[cfg(unix)]
    #[test]
    fn key_file_readable_by_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let master = Master::at(Source::File(path.clone()));
        master.current_or_new().unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Master::at(Source::File(path)).current_or_new();
        assert!(refused.unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn concurrently_added_keys_all_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let first = Master::at(Source::File(path.clone()))
            .current_or_new()
            .unwrap();
        let adding = (0..8).map(|_| {
            let master = Master::at(Source::File(path.clone()));
            std::thread::spawn(move || master.next().unwrap())
        });
        let adding: Vec<_> = adding.collect();
        let mut added: Vec<_> = adding.into_iter().map(|one| one.join().unwrap()).collect();
        added.push(first);
        let master = Master::at(Source::File(path));
        assert_eq!(master.count().unwrap(), 9);
        for key in added {
            assert_eq!(master.find(&fingerprint(&key)).unwrap(), key);
        }
    }

    #[cfg(unix)]
    #[test]
    fn symlink_to_the_key_file_stays_a_symlink() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (
            folder.path().join("real.key"),
            folder.path().join("link.key"),
        );
        Master::at(Source::File(path.clone()))
            .current_or_new()
            .unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        Master::at(Source::File(link.clone())).next().unwrap();
        assert!(link.is_symlink());
        assert_eq!(Master::at(Source::File(path)).count().unwrap(), 2);
    }

    #[test]
    fn check_reads_the_source_again_and_keeps_cached_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let master = Master::at(Source::File(path.clone()));
        master.check(None).unwrap();
        assert!(!path.exists());
        let key = master.current_or_new().unwrap();
        let name = fingerprint(&key);
        master.check(Some(&name)).unwrap();
        master.check(None).unwrap();
        std::fs::rename(&path, path.with_extension("away")).unwrap();
        let missing = master.check(Some(&name)).unwrap_err().to_string();
        assert!(missing.contains("none is set"), "{missing}");
        assert_eq!(master.find(&name).unwrap(), key);
        std::fs::rename(path.with_extension("away"), &path).unwrap();
        master.check(Some(&name)).unwrap();
        let other = master.check(Some("0011")).unwrap_err().to_string();
        assert!(other.contains("0011"), "{other}");

        assert!(Master::at(Source::Unset).check(None).is_err());
        // Every run of the command prints the key once more.
        let runs = folder.path().join("runs");
        let command = format!("echo {} | tee -a '{}'", hex::encode(key), runs.display());
        let master = Master::at(Source::Command(command));
        assert_eq!(master.find(&name).unwrap(), key);
        for _ in 0..3 {
            master.check(Some(&name)).unwrap();
        }
        let runs = std::fs::read_to_string(runs).unwrap().lines().count();
        assert_eq!(runs, 1);
    }

    #[test]
    fn replaced_key_wraps_nothing_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let master = Master::at(Source::File(path.clone()));
        master.current_or_new().unwrap();
        let second = Master::at(Source::File(path.clone())).next().unwrap();
        std::fs::write(&path, hex::encode(second)).unwrap();
        assert_eq!(master.current_or_new().unwrap(), second);
    }

    #[test]
    fn key_command_prints_the_key() {
        let key = hex::encode([7; 32]);
        let master = Master::at(Source::Command(format!("echo {key}")));
        assert_eq!(master.current_or_new().unwrap(), [7; 32]);
        for (command, problem) in [
            ("exit 3", "the command failed"),
            ("echo abc", "64 hexadecimal"),
        ] {
            let master = Master::at(Source::Command(command.to_owned()));
            let refused = master.current_or_new().unwrap_err().to_string();
            assert!(refused.contains(problem), "{refused}");
        }
    }
}
