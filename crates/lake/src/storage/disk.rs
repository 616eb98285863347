//! The system calls that make files of a folder durable, so that tests can observe or lose them.

use std::fs::File;
use std::io;
use std::path::Path;

/// The system calls of a local store whose order matters for durability.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Makes the content of a file durable.
    ///
    /// # Errors
    /// The file cannot be synced.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Makes links, renames and removals in a folder durable.
    ///
    /// # Errors
    /// The folder does not exist or cannot be synced.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// A file of that name exists, or the name cannot be written.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, and replaces an existing file of the new name.
    ///
    /// # Errors
    /// The file does not exist, or the name cannot be written.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The file does not exist or cannot be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Creates one folder.
    ///
    /// # Errors
    /// The folder exists, or the one above it does not or cannot be written.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SyncedDisk;

impl Disk for SyncedDisk {
    fn sync_file(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir(folder)
    }
}
