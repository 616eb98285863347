//! A folder as a store. A put writes a temporary file, syncs it, links or renames it, and syncs the
//! folder.
//!
//! The local store of the `object_store` crate does not sync, so puts are done here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::Put;
use crate::LakeError;
use crate::storage::disk::Disk;

#[derive(Debug, Clone)]
pub(super) struct Local {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// The folder that links must not lead out of; `None` where they may.
    confined: Option<PathBuf>,
}

impl Local {
    pub(super) fn new(root: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self {
            root,
            disk,
            confined: None,
        }
    }

    /// The same store, which refuses links that lead out of it, and anything but files and folders.
    pub(super) fn confined(self) -> Self {
        let real = self.root.canonicalize();
        let confined = Some(real.unwrap_or_else(|_| self.root.clone()));
        Self { confined, ..self }
    }

    /// The file of an object. Paths come from objects that somebody else may have written, so a path
    /// that leads out of the root is refused.
    pub(super) fn resolve(&self, path: &str) -> Result<PathBuf, LakeError> {
        let outside = || LakeError::PathOutsideLake {
            path: path.to_owned(),
        };
        let mut parts = Path::new(path).components();
        if !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(outside());
        }
        let file = self.root.join(path);
        if let Some(root) = &self.confined
            && let Ok(real) = file.canonicalize()
        {
            let is_known = real.is_file() || real.is_dir();
            if !is_known || !real.starts_with(root) {
                return Err(outside());
            }
        }
        Ok(file)
    }

    pub(super) fn put_new(&self, path: &str, bytes: &[u8]) -> Result<Put, LakeError> {
        let target = self.resolve(path)?;
        let folder = parent(&target);
        self.make_folder(folder)?;
        let staged = self.stage(folder, bytes)?;
        let linked = match self.disk.link(staged.path(), &target) {
            Ok(()) => Put::Done,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match std::fs::read(&target) {
                    Ok(found) if found == bytes => Put::Done,
                    _ => Put::Exists,
                }
            }
            Err(source) => {
                return Err(LakeError::File {
                    doing: "write",
                    path: target,
                    source,
                });
            }
        };
        self.sync_folder(folder)?;
        Ok(linked)
    }

    pub(super) fn put_over(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        let target = self.resolve(path)?;
        let folder = parent(&target);
        self.make_folder(folder)?;
        let staged = self.stage(folder, bytes)?;
        self.rename(staged, &target)
    }

    /// Like [`Local::put_over`], without syncing.
    pub(super) fn put_unsynced(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        let target = self.resolve(path)?;
        let folder = parent(&target);
        let failed = |source| LakeError::File {
            doing: "write",
            path: target.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut staged = staged_in(folder)?;
        staged.write_all(bytes).map_err(failed)?;
        let put = staged.persist(&target);
        put.map(drop).map_err(|error| failed(error.error))
    }

    pub(super) fn delete_unsynced(&self, path: &str) {
        if let Ok(target) = self.resolve(path) {
            drop(std::fs::remove_file(target));
        }
    }

    pub(super) fn put_file(&self, path: &str, staged: NamedTempFile) -> Result<(), LakeError> {
        let target = self.resolve(path)?;
        self.disk
            .sync_file(staged.as_file(), staged.path())
            .map_err(|source| LakeError::File {
                doing: "write",
                path: target.clone(),
                source,
            })?;
        self.rename(staged, &target)
    }

    pub(super) fn staging_file(&self, folder: &str) -> Result<NamedTempFile, LakeError> {
        let folder = self.resolve(folder)?;
        self.make_folder(&folder)?;
        staged_in(&folder)
    }

    /// Writes a file and removes it.
    pub(super) fn check_writable(&self, folder: &str) -> Result<(), LakeError> {
        let folder = self.resolve(folder)?;
        self.make_folder(&folder)?;
        let mut staged = staged_in(&folder)?;
        // One block: on a full disk a shorter file might still fit beside its name.
        let written = staged.write_all(&[0; 4096]);
        written.map_err(|source| LakeError::File {
            doing: "write a file in",
            path: folder,
            source,
        })
    }

    pub(super) fn open(&self, path: &str) -> Result<File, LakeError> {
        let path = self.resolve(path)?;
        File::open(&path).map_err(|source| LakeError::File {
            doing: "read",
            path,
            source,
        })
    }

    pub(super) fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.remove(path)? {
            Some(folder) => self.sync_folder(&folder),
            None => Ok(()),
        }
    }

    /// Deletes objects, and syncs each folder once.
    pub(super) fn delete_all(&self, paths: &[String]) -> Result<(), LakeError> {
        let mut folders = BTreeSet::new();
        for path in paths {
            folders.extend(self.remove(path)?);
        }
        folders
            .iter()
            .try_for_each(|folder| self.sync_folder(folder))
    }

    /// Removes a folder with everything in it, if it exists.
    pub(super) fn remove_folder(&self, folder: &str) -> Result<(), LakeError> {
        let target = self.resolve(folder)?;
        match std::fs::remove_dir_all(&target) {
            Ok(()) => self.sync_folder(&self.root),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(LakeError::File {
                doing: "delete",
                path: target,
                source,
            }),
        }
    }

    /// Removes an object. Returns its folder; `None` where the object did not exist.
    fn remove(&self, path: &str) -> Result<Option<PathBuf>, LakeError> {
        let target = self.resolve(path)?;
        match self.disk.remove(&target) {
            Ok(()) => Ok(Some(parent(&target).to_owned())),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LakeError::File {
                doing: "delete",
                path: target,
                source,
            }),
        }
    }

    fn rename(&self, staged: NamedTempFile, target: &Path) -> Result<(), LakeError> {
        let failed = |source| LakeError::File {
            doing: "write",
            path: target.to_owned(),
            source,
        };
        self.disk.rename(staged.path(), target).map_err(failed)?;
        // The temporary name does not exist any more: there is nothing to clean up.
        let (_, path) = staged.into_parts();
        drop(path.keep());
        self.sync_folder(parent(target))
    }

    fn stage(&self, folder: &Path, bytes: &[u8]) -> Result<NamedTempFile, LakeError> {
        let failed = |source| LakeError::File {
            doing: "create a file in",
            path: folder.to_owned(),
            source,
        };
        let mut staged = staged_in(folder)?;
        staged.write_all(bytes).map_err(failed)?;
        self.disk
            .sync_file(staged.as_file(), staged.path())
            .map_err(failed)?;
        Ok(staged)
    }

    /// Creates a folder and those above it, each durable in the one above.
    fn make_folder(&self, folder: &Path) -> Result<(), LakeError> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = parent(folder);
        self.make_folder(above)?;
        match self.disk.make_folder(folder) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(LakeError::File {
                doing: "create the folder",
                path: folder.to_owned(),
                source,
            }),
            _ => self.sync_folder(above),
        }
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), LakeError> {
        self.disk
            .sync_folder(folder)
            .map_err(|source| LakeError::File {
                doing: "sync",
                path: folder.to_owned(),
                source,
            })
    }
}

/// The absolute path of a folder without `.` and `..`. As the system does, `..` after a link means the
/// folder above the one that the link points to. The folder need not exist yet.
pub(super) fn resolved(folder: &Path) -> std::io::Result<PathBuf> {
    let mut resolved = PathBuf::new();
    for component in std::path::absolute(folder)?.components() {
        if component != Component::ParentDir {
            resolved.push(component);
            continue;
        }
        if let Ok(real) = resolved.canonicalize() {
            resolved = real;
        }
        // The parent of the root is the root.
        resolved.pop();
    }
    Ok(resolved)
}

fn staged_in(folder: &Path) -> Result<NamedTempFile, LakeError> {
    tempfile::Builder::new()
        .prefix(".staged-")
        .tempfile_in(folder)
        .map_err(|source| LakeError::File {
            doing: "create a file in",
            path: folder.to_owned(),
            source,
        })
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::fs::create_dir_all;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::{Local, resolved};
    use crate::LakeError;
    use crate::storage::disk::SyncedDisk;

    #[test]
    fn paths_outside_the_lake_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("lake");
        create_dir_all(&root).unwrap();
        let local = Local::new(root, Arc::new(SyncedDisk));
        for path in ["../x", "a/../../x", "a/../x", "/x", "./x", ".."] {
            let refused = |done: Result<(), LakeError>| {
                assert!(
                    matches!(done, Err(LakeError::PathOutsideLake { .. })),
                    "{path}: {done:?}"
                );
            };
            refused(local.put_new(path, b"x").map(drop));
            refused(local.put_over(path, b"x"));
            refused(local.open(path).map(drop));
            refused(local.delete(path));
            refused(local.staging_file(path).map(drop));
            let staged = local.staging_file("t").unwrap();
            refused(local.put_file(path, staged));
        }
        assert!(!folder.path().join("x").exists());
    }

    #[test]
    fn symlinks_lead_outside_only_where_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("lake");
        create_dir_all(root.join("a")).unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        std::fs::write(root.join("a/file"), "f").unwrap();
        symlink("../../secret", root.join("a/out")).unwrap();
        symlink("../..", root.join("a/up")).unwrap();
        symlink("file", root.join("a/in")).unwrap();
        let status = std::process::Command::new("mkfifo")
            .arg(root.join("a/pipe"))
            .status();
        assert!(status.unwrap().success());
        let open = Local::new(root.clone(), Arc::new(SyncedDisk));
        let confined = open.clone().confined();
        for path in ["a/out", "a/up/secret", "a/up/lake/../secret", "a/pipe"] {
            assert!(confined.resolve(path).is_err(), "{path}");
        }
        assert!(open.open("a/out").is_ok() && open.open("a/up/secret").is_ok());
        for path in [
            "a/file",
            "a/in",
            "a",
            "a/new",
            "new/file",
            "a/up/lake/a/file",
        ] {
            assert!(confined.resolve(path).is_ok(), "{path}");
        }
        // The root itself may be a link.
        symlink(&root, folder.path().join("link")).unwrap();
        let linked = Local::new(folder.path().join("link"), Arc::new(SyncedDisk));
        assert!(linked.confined().open("a/file").is_ok());
    }

    #[test]
    fn paths_resolve_as_the_system_does() {
        let folder = tempfile::tempdir().unwrap();
        // The folder for temporary files may be a link.
        let root = folder.path().canonicalize().unwrap();
        create_dir_all(root.join("far/away/lake")).unwrap();
        create_dir_all(root.join("job")).unwrap();
        symlink(root.join("far/away"), root.join("link")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        for (given, expected) in [
            ("lake", "lake"),
            ("lake/", "lake"),
            ("lake//.//", "lake"),
            ("job/../lake", "lake"),
            ("job/../../../", "../.."),
            ("job/./../far/../far/away/", "far/away"),
            // Folders that do not exist yet are resolved by name.
            ("new/../lake", "lake"),
            ("new/er/../../lake", "lake"),
            ("dangling/../lake", "lake"),
            // A link keeps its name, and its parent is that of its target.
            ("link/lake", "link/lake"),
            ("link/../lake", "far/lake"),
            ("link/lake/../../../lake", "lake"),
        ] {
            let expected = expected.split('/').fold(root.clone(), |path, part| {
                if part == ".." {
                    path.parent().unwrap().to_owned()
                } else {
                    path.join(part)
                }
            });
            assert_eq!(resolved(&root.join(given)).unwrap(), expected, "{given}");
        }
        assert_eq!(
            resolved("/../..".as_ref()).unwrap(),
            std::path::Path::new("/")
        );
        let here = std::env::current_dir().unwrap();
        assert_eq!(resolved(".".as_ref()).unwrap(), here);
        assert_eq!(resolved("..".as_ref()).unwrap(), here.parent().unwrap());
        assert_eq!(
            resolved("../x/".as_ref()).unwrap(),
            here.parent().unwrap().join("x")
        );
    }
}
