//! The folder for files of the moment: bodies of requests, standard input, rows that did not fit
//! into memory.
//!
//! They may hold anything, so nobody else may look into it. A process that is killed leaves it
//! behind; whoever comes next removes those that nobody holds any more.

use std::fs::{self, DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How the folders are called.
const NAME: &str = "rollbook-tmp-";
/// How they are called until they are held.
const UNHELD: &str = ".rollbook-tmp-";

/// The folder of this process, which goes with it.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    /// Its lock says that somebody needs the folder; it ends with the process, however that ends.
    _held: File,
}

impl Scratch {
    /// Makes the folder, for all temporary files of the process, and removes what others left.
    pub(crate) fn make() -> io::Result<Self> {
        let scratch = Self::make_in(&std::env::temp_dir())?;
        // Nobody has asked for a temporary file before.
        drop(tempfile::env::override_temp_dir(&scratch.folder));
        Ok(scratch)
    }

    fn make_in(root: &Path) -> io::Result<Self> {
        sweep(root);
        let unheld = tempfile::Builder::new()
            .prefix(UNHELD)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(root)?;
        let held = File::open(unheld.path())?;
        held.lock()?;
        let name = unheld.path().file_name().unwrap_or_default();
        let folder = root.join(name.to_string_lossy().trim_start_matches('.'));
        fs::rename(unheld.path(), &folder)?;
        // It has another name now.
        drop(unheld.keep());
        Ok(Self {
            folder,
            _held: held,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is swept by the next process.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Removes the folders whose processes are gone.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if is_left(&entry).unwrap_or(false) {
            // Of another user perhaps, who may clear it up.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn is_left(entry: &DirEntry) -> io::Result<bool> {
    let is_ours = entry.file_name().to_string_lossy().starts_with(NAME);
    if !is_ours || !entry.file_type()?.is_dir() {
        return Ok(false);
    }
    Ok(File::open(entry.path())?.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{NAME, Scratch};

    #[test]
    fn scratch_of_dead_processes_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let one = Scratch::make_in(root.path()).unwrap();
        let mode = fs::metadata(&one.folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(one.folder.join("body"), "ann@example.com").unwrap();
        // As a killed process leaves it.
        let dead = root.path().join(format!("{NAME}dead"));
        fs::create_dir_all(dead.join("deep")).unwrap();
        fs::write(dead.join("deep/body"), "bob@example.com").unwrap();
        let others = root.path().join("others");
        fs::create_dir(&others).unwrap();
        let link = root.path().join(format!("{NAME}link"));
        symlink(&others, &link).unwrap();
        let another = Scratch::make_in(root.path()).unwrap();
        assert!(one.folder.join("body").exists() && another.folder.exists());
        assert!(!dead.exists() && others.exists() && link.exists());
        let folder = one.folder.clone();
        drop(one);
        assert!(!folder.exists());
    }
}
