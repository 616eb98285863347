//! The folder of temporary files: bodies of requests, standard input, rows spilled from memory.
//!
//! They may hold personal values, so only the user may read the folder. A killed process leaves its folder
//! behind; the next process removes folders that no process has locked.

use std::fs::{self, DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Prefix of the folders.
const PREFIX: &str = "rollbook-tmp-";
/// Prefix of folders that are not locked yet.
const UNLOCKED_PREFIX: &str = ".rollbook-tmp-";

/// The folder of this process, removed when it ends.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    /// Locked for as long as the process lives, however it ends.
    _lock: File,
}

impl Scratch {
    /// Creates the folder for all temporary files of the process, and removes folders of dead processes.
    pub(crate) fn create() -> io::Result<Self> {
        let scratch = Self::create_in(&std::env::temp_dir())?;
        // No temporary file was created before.
        drop(tempfile::env::override_temp_dir(&scratch.folder));
        Ok(scratch)
    }

    fn create_in(root: &Path) -> io::Result<Self> {
        sweep(root);
        let unlocked = tempfile::Builder::new()
            .prefix(UNLOCKED_PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(root)?;
        let lock = File::open(unlocked.path())?;
        lock.lock()?;
        let name = unlocked.path().file_name().unwrap_or_default();
        let folder = root.join(name.to_string_lossy().trim_start_matches('.'));
        fs::rename(unlocked.path(), &folder)?;
        // It was renamed, so it must not be removed under its old name.
        drop(unlocked.keep());
        Ok(Self {
            folder,
            _lock: lock,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If that fails, the next process removes it.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Removes the folders of dead processes.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if is_abandoned(&entry).unwrap_or(false) {
            // Fails for folders of other users.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn is_abandoned(entry: &DirEntry) -> io::Result<bool> {
    let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
    if !is_ours || !entry.file_type()?.is_dir() {
        return Ok(false);
    }
    Ok(File::open(entry.path())?.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{PREFIX, Scratch};

    #[test]
    fn folders_of_dead_processes_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let one = Scratch::create_in(root.path()).unwrap();
        let mode = fs::metadata(&one.folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(one.folder.join("body"), "ann@example.com").unwrap();
        // As left behind by a killed process.
        let dead = root.path().join(format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("deep")).unwrap();
        fs::write(dead.join("deep/body"), "bob@example.com").unwrap();
        let others = root.path().join("others");
        fs::create_dir(&others).unwrap();
        let link = root.path().join(format!("{PREFIX}link"));
        symlink(&others, &link).unwrap();
        let another = Scratch::create_in(root.path()).unwrap();
        assert!(one.folder.join("body").exists() && another.folder.exists());
        assert!(!dead.exists() && others.exists() && link.exists());
        let folder = one.folder.clone();
        drop(one);
        assert!(!folder.exists());
    }
}
