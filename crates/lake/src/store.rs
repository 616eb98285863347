//! Objects of the lake: put if absent, put over, get, list; durable before they are named.
//!
//! object_store's local store does not sync what it writes, so local puts are done here: stage,
//! fsync, link or rename, fsync the folder.

use std::fs::File;
use std::io::Write;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use crate::LakeError;

/// Whether an object was put, or was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was put now.
    Done,
    /// An object of that name existed and was left as it is.
    Exists,
}

/// The place where a lake lies.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    object: Arc<dyn ObjectStore>,
    url: Url,
}

impl Store {
    /// The store at a folder or a `file://` URL. The folder need not exist yet.
    pub fn at(location: &str) -> Result<Self, LakeError> {
        let refused = || LakeError::Location {
            location: location.to_owned(),
        };
        let folder = match Url::parse(location) {
            Ok(url) if url.scheme() == "file" => url.to_file_path().map_err(|()| refused())?,
            Ok(url)
                if location.contains("://")
                    || !FsPath::new(location).is_absolute() && url.has_host() =>
            {
                return Err(refused());
            }
            _ if location.trim().is_empty() => return Err(refused()),
            _ => PathBuf::from(location),
        };
        let root = std::path::absolute(&folder).map_err(|source| LakeError::File {
            doing: "find",
            path: folder.clone(),
            source,
        })?;
        let url = Url::from_directory_path(&root).map_err(|()| refused())?;
        Ok(Self {
            root,
            object: Arc::new(LocalFileSystem::new()),
            url,
        })
    }

    /// The folder, for messages.
    pub fn location(&self) -> String {
        self.root.display().to_string()
    }

    /// The URL under which readers find the store's objects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The store that reads paths made by [`Store::absolute`].
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.object)
    }

    /// The path of an object as [`Store::object_store`] wants it.
    pub fn absolute(&self, path: &str) -> Result<Path, LakeError> {
        Path::from_absolute_path(self.file(path)).map_err(|source| LakeError::Damaged {
            path: path.to_owned(),
            detail: source.to_string(),
        })
    }

    /// The local file of an object.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Puts an object if there is none of that name.
    pub fn put_new(&self, path: &str, bytes: &[u8]) -> Result<Put, LakeError> {
        let target = self.file(path);
        let folder = parent(&target);
        make_folder(folder)?;
        let staged = stage(folder, bytes)?;
        let linked = match std::fs::hard_link(staged.path(), &target) {
            Ok(()) => Put::Done,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Put::Exists,
            Err(source) => {
                return Err(LakeError::File {
                    doing: "write",
                    path: target,
                    source,
                });
            }
        };
        sync_folder(folder)?;
        Ok(linked)
    }

    /// Puts an object over whatever has that name.
    pub fn put_over(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        let target = self.file(path);
        let folder = parent(&target);
        make_folder(folder)?;
        let staged = stage(folder, bytes)?;
        staged.persist(&target).map_err(|error| LakeError::File {
            doing: "write",
            path: target.clone(),
            source: error.error,
        })?;
        sync_folder(folder)
    }

    /// Takes a finished local file into the store under a name that nothing has.
    pub fn put_file(&self, path: &str, staged: tempfile::NamedTempFile) -> Result<(), LakeError> {
        let target = self.file(path);
        let failed = |source| LakeError::File {
            doing: "write",
            path: target.clone(),
            source,
        };
        staged.as_file().sync_all().map_err(failed)?;
        staged
            .persist_noclobber(&target)
            .map_err(|error| failed(error.error))?;
        sync_folder(parent(&target))
    }

    /// A file to write in, on the store's own disk so that it can be taken in without a copy.
    pub fn staging_file(&self, folder: &str) -> Result<tempfile::NamedTempFile, LakeError> {
        let folder = self.file(folder);
        make_folder(&folder)?;
        tempfile::Builder::new()
            .prefix(".staged-")
            .tempfile_in(&folder)
            .map_err(|source| LakeError::File {
                doing: "write in",
                path: folder.clone(),
                source,
            })
    }

    /// The bytes of an object, `None` where there is none.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let failed = |source| LakeError::Store {
            doing: "read",
            path: path.to_owned(),
            source,
        };
        match self.object.get(&self.absolute(path)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// The names directly below a folder, sorted; empty where there is no such folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        if !self.file(folder).is_dir() {
            return Ok(Vec::new());
        }
        let failed = |source| LakeError::Store {
            doing: "list",
            path: folder.to_owned(),
            source,
        };
        let listed = self
            .object
            .list(Some(&self.absolute(folder)?))
            .map_ok(|meta| meta.location.filename().unwrap_or_default().to_owned())
            .try_collect::<Vec<_>>()
            .await
            .map_err(failed)?;
        let mut names: Vec<_> = listed
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Deletes an object; one that is gone already is no error.
    pub fn delete(&self, path: &str) -> Result<(), LakeError> {
        let target = self.file(path);
        match std::fs::remove_file(&target) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(LakeError::File {
                doing: "delete",
                path: target,
                source,
            }),
            _ => Ok(()),
        }
    }
}

fn parent(path: &FsPath) -> &FsPath {
    path.parent().expect("objects lie below the lake's folder")
}

fn make_folder(folder: &FsPath) -> Result<(), LakeError> {
    if folder.is_dir() {
        return Ok(());
    }
    let failed = |source| LakeError::File {
        doing: "make the folder",
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    // A new folder is lost in a crash unless the folder above it is synced too.
    for above in folder
        .ancestors()
        .skip(1)
        .take(3)
        .filter(|above| above.is_dir())
    {
        sync_folder(above)?;
    }
    Ok(())
}

fn stage(folder: &FsPath, bytes: &[u8]) -> Result<tempfile::NamedTempFile, LakeError> {
    let failed = |source| LakeError::File {
        doing: "write in",
        path: folder.to_owned(),
        source,
    };
    let mut staged = tempfile::Builder::new()
        .prefix(".staged-")
        .tempfile_in(folder)
        .map_err(failed)?;
    staged.write_all(bytes).map_err(failed)?;
    staged.as_file().sync_all().map_err(failed)?;
    Ok(staged)
}

fn sync_folder(folder: &FsPath) -> Result<(), LakeError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| LakeError::File {
            doing: "sync",
            path: folder.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::{Put, Store};

    #[test]
    fn the_first_put_wins_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_str().unwrap()).unwrap();
        assert_eq!(store.put_new("a/b.json", b"one").unwrap(), Put::Done);
        assert_eq!(store.put_new("a/b.json", b"two").unwrap(), Put::Exists);
        assert_eq!(std::fs::read(store.file("a/b.json")).unwrap(), b"one");
        store.put_over("a/b.json", b"two").unwrap();
        assert_eq!(std::fs::read(store.file("a/b.json")).unwrap(), b"two");
    }

    #[test]
    fn only_folders_are_places_for_now() {
        assert!(Store::at("s3://bucket/lake").is_err());
        assert!(Store::at("").is_err());
        assert!(Store::at("./lake").is_ok());
    }
}
