//! The store that holds a lake's objects: a local folder, or an object store with conditional puts.
//!
//! A put returns when the object is durable. All paths are relative to the lake's root.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use datafusion_datasource_parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion_execution::cache::cache_manager::FileMetadataCache;
use datafusion_execution::cache::default_cache::DefaultCache;
use datafusion_execution::object_store::ObjectStoreUrl;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tempfile::NamedTempFile;
use url::Url;

use crate::LakeError;

/// Bytes that the cache of Parquet footers may hold.
const FOOTER_CACHE_BYTES: usize = 64 << 20;
/// The object by which a remote store is checked for whether it can be written.
const PROBE: &str = "_probe";

pub mod disk;
pub(crate) mod lease;
mod local;
mod remote;
pub(crate) mod retry;

use disk::{Disk, SyncedDisk};
use local::Local;
use remote::Remote;

/// The outcome of a put of an object that must be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was put.
    Done,
    /// An object of that path existed and is unchanged.
    Exists,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The path, relative to the lake's root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// When the object was last written.
    pub modified: DateTime<Utc>,
}

/// A store that holds lakes.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    /// Reads objects by their path below the root.
    reader: Arc<dyn ObjectStore>,
    /// The URL under which sessions of DataFusion register `reader`.
    url: ObjectStoreUrl,
    /// The root, for messages.
    location: String,
    /// Cached footers of Parquet files. Data files never change.
    footers: Arc<FileMetadataCache>,
}

#[derive(Debug, Clone)]
enum Backend {
    Local(Local),
    Remote(Remote),
}

impl Store {
    /// The store at a folder, a `file://` URL or an `s3://bucket/prefix` URL. A folder need not
    /// exist yet. Keys, region and endpoint of S3 come from the usual variables (`AWS_…`).
    ///
    /// # Errors
    /// - [`LakeError::Location`]: the location is neither a folder nor a URL of a supported store.
    /// - [`LakeError::File`]: a relative path cannot be resolved.
    /// - [`LakeError::Store`]: the settings of S3 are invalid.
    pub fn at(location: &str) -> Result<Self, LakeError> {
        let refused = || LakeError::Location {
            location: location.to_owned(),
        };
        let folder = match Url::parse(location) {
            Ok(url) if url.scheme() == "file" => url.to_file_path().map_err(|()| refused())?,
            Ok(url) if url.scheme() == "s3" => {
                let (object, prefix) = remote::s3(&url).map_err(|source| LakeError::Store {
                    doing: "open",
                    path: location.to_owned(),
                    source,
                })?;
                return Ok(Self::on(
                    Arc::new(PrefixStore::new(object, prefix)),
                    location,
                ));
            }
            Ok(url)
                if location.contains("://")
                    || !FsPath::new(location).is_absolute() && url.has_host() =>
            {
                return Err(refused());
            }
            _ if location.trim().is_empty() => return Err(refused()),
            _ => PathBuf::from(location),
        };
        Self::local(&folder, Arc::new(SyncedDisk))
    }

    /// The store in a folder, writing through `disk`.
    ///
    /// # Errors
    /// - [`LakeError::Location`]: the path of the folder has no URL.
    /// - [`LakeError::File`]: a relative path cannot be resolved.
    pub fn local(folder: &FsPath, disk: Arc<dyn Disk>) -> Result<Self, LakeError> {
        let root = local::resolved(folder).map_err(|source| LakeError::File {
            doing: "find",
            path: folder.to_owned(),
            source,
        })?;
        let prefix = Path::from_absolute_path(&root).map_err(|_| LakeError::Location {
            location: folder.display().to_string(),
        })?;
        Ok(Self {
            reader: Arc::new(PrefixStore::new(LocalFileSystem::new(), prefix)),
            url: url_of(&root.display().to_string()),
            location: root.display().to_string(),
            backend: Backend::Local(Local::new(root, disk)),
            footers: footers(),
        })
    }

    /// The store in an object store. `location` is its name in messages.
    pub fn on(object: Arc<dyn ObjectStore>, location: &str) -> Self {
        Self {
            backend: Backend::Remote(Remote::new(Arc::clone(&object))),
            reader: object,
            url: url_of(location),
            location: location.to_owned(),
            footers: footers(),
        }
    }

    /// The location, for messages.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether the store is a folder of this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.backend, Backend::Local(_))
    }

    /// A factory of readers of Parquet files for DataFusion, with the cache of footers.
    pub(crate) fn parquet_readers(&self) -> Arc<dyn ParquetFileReaderFactory> {
        let (reader, footers) = (Arc::clone(&self.reader), Arc::clone(&self.footers));
        Arc::new(CachedParquetFileReaderFactory::new(reader, footers))
    }

    /// The URL under which sessions of DataFusion register [`Store::object_store`].
    pub(crate) fn url(&self) -> &ObjectStoreUrl {
        &self.url
    }

    /// The object store that reads objects by their path below the root.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.reader)
    }

    /// Puts an object if the path has none. An existing object with the same bytes counts as
    /// [`Put::Done`], since a store may put an object and still answer with an error. Writers that must
    /// know which of them put the object write different bytes.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::File`], [`LakeError::Store`]: the object cannot be written.
    pub async fn put_new(&self, path: &str, bytes: &[u8]) -> Result<Put, LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_new(path, bytes),
            Backend::Remote(remote) => remote.put_new(path, bytes).await,
        }
    }

    /// Puts an object, and replaces an existing one.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::File`], [`LakeError::Store`]: the object cannot be written.
    pub async fn put_over(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_over(path, bytes),
            Backend::Remote(remote) => remote.put_over(path, bytes).await,
        }
    }

    /// Checks that objects can be put into a folder: a local store writes a file there and removes it, a
    /// remote store replaces the empty object [`PROBE`].
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the folder leads out of the lake.
    /// - [`LakeError::File`], [`LakeError::Store`]: nothing can be written.
    pub async fn check_writable(&self, folder: &str) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.check_writable(folder),
            Backend::Remote(remote) => remote.put_over(PROBE, b"").await,
        }
    }

    /// Moves a finished local file into the store, to a path that has no object.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::File`], [`LakeError::Store`]: the file cannot be read, or the object cannot be
    ///   written.
    pub async fn put_file(&self, path: &str, staged: NamedTempFile) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_file(path, staged),
            Backend::Remote(remote) => remote.put_file(path, staged).await,
        }
    }

    /// A temporary file for [`Store::put_file`]. A local store creates it in `folder`, so that it can be
    /// moved without a copy.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the folder leads out of the lake.
    /// - [`LakeError::File`]: the folder or the file cannot be created.
    pub fn staging_file(&self, folder: &str) -> Result<NamedTempFile, LakeError> {
        match &self.backend {
            Backend::Local(local) => local.staging_file(folder),
            Backend::Remote(_) => NamedTempFile::new().map_err(|source| LakeError::File {
                doing: "create a file in",
                path: std::env::temp_dir(),
                source,
            }),
        }
    }

    /// Opens an object as a local file: the file itself, or a temporary copy of an object of a remote
    /// store.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::File`], [`LakeError::Store`]: the object does not exist or cannot be read.
    pub async fn open(&self, path: &str) -> Result<File, LakeError> {
        match &self.backend {
            Backend::Local(local) => local.open(path),
            Backend::Remote(remote) => remote.download(path).await,
        }
    }

    /// How many small objects callers should read at a time: one from a local disk, where threads that
    /// read in parallel would only need more memory, and many from a remote store.
    pub(crate) fn read_at_once(&self) -> usize {
        match &self.backend {
            Backend::Local(_) => 1,
            Backend::Remote(_) => 32,
        }
    }

    /// The bytes of an object, `None` where the path has none.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::Store`]: the object cannot be read.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let failed = |source| LakeError::Store {
            doing: "read",
            path: path.to_owned(),
            source,
        };
        self.check_path(path)?;
        match self.reader.get(&Path::from(path)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// A range of the bytes of an object, `None` where the path has none.
    pub(crate) async fn get_range(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, LakeError> {
        self.check_path(path)?;
        match self.reader.get_range(&Path::from(path), range).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(LakeError::Store {
                doing: "read",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The size of an object in bytes, `None` where the path has none.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::Store`]: the store cannot be read.
    pub async fn get_size(&self, path: &str) -> Result<Option<u64>, LakeError> {
        Ok(self.head(path).await?.map(|found| found.size))
    }

    /// The metadata of an object, `None` where the path has none.
    pub(crate) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>, LakeError> {
        self.check_path(path)?;
        match self.reader.head(&Path::from(path)).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(LakeError::Store {
                doing: "read",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The names of the objects in a folder, without those of its subfolders, sorted. Empty where the
    /// folder does not exist. Names that begin with `.` are left out.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the folder leads out of the lake.
    /// - [`LakeError::Store`]: the folder cannot be listed.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        self.check_path(folder)?;
        if !self.may_exist(folder) {
            return Ok(Vec::new());
        }
        let listed = self
            .reader
            .list_with_delimiter(Some(&Path::from(folder)))
            .await
            .map_err(|source| self.list_error(folder, source))?;
        let names = listed.objects.into_iter();
        let names = names.filter_map(|meta| meta.location.filename().map(str::to_owned));
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The names of the folders in a folder, sorted; of those at the root for an empty name. A local folder may be
    /// empty.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the folder leads out of the lake.
    /// - [`LakeError::Store`]: the folder cannot be listed.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        self.check_path(folder)?;
        if !self.may_exist(folder) {
            return Ok(Vec::new());
        }
        let path = Path::from(folder);
        let listed = self.reader.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|source| self.list_error(folder, source))?;
        let folders = listed.common_prefixes.iter();
        let names = folders.filter_map(|folder| folder.filename().map(str::to_owned));
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// All objects in a folder and its subfolders, in no order, with temporary files of writers.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the folder leads out of the lake.
    /// - [`LakeError::Store`]: the folder cannot be listed.
    pub async fn walk(&self, folder: &str) -> Result<Vec<Listed>, LakeError> {
        self.check_path(folder)?;
        if !self.may_exist(folder) {
            return Ok(Vec::new());
        }
        self.reader
            .list(Some(&Path::from(folder)))
            .map_ok(|meta| Listed {
                path: meta.location.to_string(),
                size: meta.size,
                modified: meta.last_modified,
            })
            .try_collect()
            .await
            .map_err(|source| self.list_error(folder, source))
    }

    /// Deletes an object. A path without an object is no error.
    ///
    /// # Errors
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::File`], [`LakeError::Store`]: the object cannot be deleted.
    pub async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.delete(path),
            Backend::Remote(remote) => remote.delete(path).await,
        }
    }

    /// Deletes objects. Paths without an object are no error.
    pub(crate) async fn delete_all(&self, paths: &[String]) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.delete_all(paths),
            Backend::Remote(remote) => {
                for path in paths {
                    remote.delete(path).await?;
                }
                Ok(())
            }
        }
    }

    /// Removes the folders that remain of a local folder whose objects were deleted.
    pub(crate) fn remove_folder(&self, folder: &str) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.remove_folder(folder),
            Backend::Remote(_) => Ok(()),
        }
    }

    /// Puts an object without syncing it: a power failure may lose the object.
    pub(crate) async fn put_unsynced(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_unsynced(path, bytes),
            Backend::Remote(remote) => remote.put_over(path, bytes).await,
        }
    }

    /// Deletes an object without syncing. Errors are ignored.
    pub(crate) async fn delete_unsynced(&self, path: &str) {
        match &self.backend {
            Backend::Local(local) => local.delete_unsynced(path),
            Backend::Remote(remote) => drop(remote.delete(path).await),
        }
    }

    /// Like [`Store::delete_unsynced`], for local stores only. A remote store keeps the object.
    pub(crate) fn delete_local(&self, path: &str) {
        if let Backend::Local(local) = &self.backend {
            local.delete_unsynced(path);
        }
    }

    /// When an object was last written, by the store's clock.
    pub(crate) async fn modified(&self, path: &str) -> Result<Option<DateTime<Utc>>, LakeError> {
        Ok(self.head(path).await?.map(|found| found.last_modified))
    }

    /// Checks that the store supports conditional puts, which commits need: a second put of an existing
    /// object, with the same bytes, must be refused.
    pub(crate) async fn check_conditional_put(
        &self,
        path: &str,
        bytes: &[u8],
    ) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(_) => Ok(()),
            Backend::Remote(remote) => {
                let checked = remote.check_conditional_put(path, bytes, &self.location);
                checked.await
            }
        }
    }

    /// The same store, which refuses symbolic links that lead out of it. For stores that an untrusted
    /// person may have written.
    #[must_use]
    pub fn confined(mut self) -> Self {
        if let Backend::Local(local) = self.backend {
            self.backend = Backend::Local(local.confined());
        }
        self
    }

    /// Checks that a path does not lead out of the store. In an object store no path does.
    pub(crate) fn check_path(&self, path: &str) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.resolve(path).map(drop),
            Backend::Remote(_) => Ok(()),
        }
    }

    /// Whether a folder may exist. Listing a missing local folder would be an error.
    fn may_exist(&self, folder: &str) -> bool {
        match &self.backend {
            Backend::Local(local) => local.resolve(folder).is_ok_and(|folder| folder.is_dir()),
            Backend::Remote(_) => true,
        }
    }

    fn list_error(&self, folder: &str, source: object_store::Error) -> LakeError {
        LakeError::Store {
            doing: "list",
            path: folder.to_owned(),
            source,
        }
    }
}

/// The URL of a location, the same for one location within a process.
fn url_of(location: &str) -> ObjectStoreUrl {
    let mut hasher = DefaultHasher::new();
    location.hash(&mut hasher);
    let url = format!("lake://{:016x}", hasher.finish());
    ObjectStoreUrl::parse(url).expect("a scheme and a host are a URL of a store")
}

fn footers() -> Arc<FileMetadataCache> {
    Arc::new(DefaultCache::new(FOOTER_CACHE_BYTES))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::{Put, Store};

    async fn the_first_put_wins(store: &Store) {
        assert_eq!(store.put_new("a/b.json", b"one").await.unwrap(), Put::Done);
        assert_eq!(
            store.put_new("a/b.json", b"two").await.unwrap(),
            Put::Exists
        );
        assert_eq!(store.get("a/b.json").await.unwrap().unwrap(), "one");
        store.put_over("a/b.json", b"two").await.unwrap();
        assert_eq!(store.get("a/b.json").await.unwrap().unwrap(), "two");
        assert_eq!(store.list("a").await.unwrap(), ["b.json"]);
        assert_eq!(store.walk("a").await.unwrap()[0].path, "a/b.json");
        store.delete("a/b.json").await.unwrap();
        store.delete("a/b.json").await.unwrap();
        assert_eq!(store.get("a/b.json").await.unwrap(), None);
        assert!(store.list("nowhere").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn first_put_wins() {
        let folder = tempfile::tempdir().unwrap();
        the_first_put_wins(&Store::at(folder.path().to_str().unwrap()).unwrap()).await;
        the_first_put_wins(&Store::on(Arc::new(InMemory::new()), "memory")).await;
    }

    #[tokio::test]
    async fn writable_store_is_recognized_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("lake");
        let store = Store::at(root.to_str().unwrap()).unwrap();
        store.check_writable("").await.unwrap();
        store.check_writable("t/_snapshots").await.unwrap();
        assert!(store.walk("").await.unwrap().is_empty());
        std::fs::remove_dir_all(&root).unwrap();
        std::fs::write(&root, "no folder").unwrap();
        assert!(store.check_writable("").await.is_err());
        let store = Store::on(Arc::new(InMemory::new()), "memory");
        for _ in 0..3 {
            store.check_writable("t").await.unwrap();
        }
        assert_eq!(store.walk("").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn local_files_are_moved_into_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let local = Store::at(folder.path().to_str().unwrap()).unwrap();
        for store in [local, Store::on(Arc::new(InMemory::new()), "memory")] {
            let staged = store.staging_file("t").unwrap();
            std::fs::write(staged.path(), vec![7; 20 << 20]).unwrap();
            store.put_file("t/f", staged).await.unwrap();
            let mut read = Vec::new();
            let mut file = store.open("t/f").await.unwrap();
            std::io::Read::read_to_end(&mut file, &mut read).unwrap();
            assert_eq!(read.len(), 20 << 20);
        }
    }

    #[test]
    fn unsupported_locations_are_refused() {
        assert!(Store::at("gopher://lake").is_err());
        assert!(Store::at("").is_err());
        assert!(Store::at("./lake").is_ok());
    }
}
