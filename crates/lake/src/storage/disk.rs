//! The few calls that make files of a folder durable, so that a test can watch or drop them.

use std::fs::File;
use std::io;
use std::path::Path;

/// What a local store asks of the system. Everything else that it does needs no order.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Makes the content of a file durable.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Makes what was linked, renamed and removed in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file a second name, unless something has it.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name, in place of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes one folder.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The machine's own disk.
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
