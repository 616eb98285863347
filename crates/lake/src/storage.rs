//! Objects of the lake: put if absent, put over, get, list; durable before they are named.
//!
//! A lake lies in a local folder or in an object store that can put if absent. Paths are relative
//! to the lake's root everywhere.

pub(crate) mod lease;
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

/// Bytes of footers that are kept at most, of all files of a lake.
const FOOTERS_KEPT: usize = 64 << 20;

pub mod disk;
mod local;
mod remote;

use disk::{Disk, SyncedDisk};
use local::Local;
use remote::Remote;

/// Whether an object was put, or was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was put now.
    Done,
    /// An object of that name existed and was left as it is.
    Exists,
}

/// One object, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path, relative to the lake's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was written last.
    pub modified: DateTime<Utc>,
}

/// The place where a lake lies.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    /// Reads objects by their path below the root.
    reader: Arc<dyn ObjectStore>,
    /// Under what sessions of DataFusion know `reader`.
    url: ObjectStoreUrl,
    /// The root, as users name it.
    location: String,
    /// Footers of Parquet files that were read; no object is ever changed under its name.
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

    /// The store whose root is that of `object`; `location` is its name for users.
    pub fn on(object: Arc<dyn ObjectStore>, location: &str) -> Self {
        Self {
            backend: Backend::Remote(Remote::new(Arc::clone(&object))),
            reader: object,
            url: url_of(location),
            location: location.to_owned(),
            footers: footers(),
        }
    }

    /// Where it lies, for messages.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether it is a folder of this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.backend, Backend::Local(_))
    }

    /// Reads Parquet files of the store for DataFusion; footers are read once.
    pub(crate) fn parquet_readers(&self) -> Arc<dyn ParquetFileReaderFactory> {
        let (reader, footers) = (Arc::clone(&self.reader), Arc::clone(&self.footers));
        Arc::new(CachedParquetFileReaderFactory::new(reader, footers))
    }

    /// Under what sessions of DataFusion register [`Store::object_store`].
    pub(crate) fn url(&self) -> &ObjectStoreUrl {
        &self.url
    }

    /// Reads objects by their path below the root.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.reader)
    }

    /// Puts an object if there is none of that name. An object of the same bytes counts as put:
    /// a store may do what it is asked and still answer with an error. Who must know which of two
    /// writers it was makes the bytes differ.
    pub async fn put_new(&self, path: &str, bytes: &[u8]) -> Result<Put, LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_new(path, bytes),
            Backend::Remote(remote) => remote.put_new(path, bytes).await,
        }
    }

    /// Puts an object over whatever has that name.
    pub async fn put_over(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_over(path, bytes),
            Backend::Remote(remote) => remote.put_over(path, bytes).await,
        }
    }

    /// Takes a finished local file into the store under a name that nothing has.
    pub async fn put_file(&self, path: &str, staged: NamedTempFile) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_file(path, staged),
            Backend::Remote(remote) => remote.put_file(path, staged).await,
        }
    }

    /// A file to write in: on the store's own disk where it has one, so that it can be taken in
    /// without a copy.
    pub fn staging_file(&self, folder: &str) -> Result<NamedTempFile, LakeError> {
        match &self.backend {
            Backend::Local(local) => local.staging_file(folder),
            Backend::Remote(_) => NamedTempFile::new().map_err(|source| LakeError::File {
                doing: "write in",
                path: std::env::temp_dir(),
                source,
            }),
        }
    }

    /// An object as a local file, for readers that want one: the file itself, or a copy that goes
    /// when it is closed.
    pub async fn open(&self, path: &str) -> Result<File, LakeError> {
        match &self.backend {
            Backend::Local(local) => local.open(path),
            Backend::Remote(remote) => remote.download(path).await,
        }
    }

    /// How many small objects are best read at a time: of a disk of this machine one, which takes no
    /// time to wait for; reading from many threads would keep memory in each.
    pub(crate) fn read_at_once(&self) -> usize {
        match &self.backend {
            Backend::Local(_) => 1,
            Backend::Remote(_) => 32,
        }
    }

    /// The bytes of an object, `None` where there is none.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let failed = |source| LakeError::Store {
            doing: "read",
            path: path.to_owned(),
            source,
        };
        self.must_hold(path)?;
        match self.reader.get(&Path::from(path)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// Some of the bytes of an object, `None` where there is none.
    pub(crate) async fn get_range(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, LakeError> {
        self.must_hold(path)?;
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

    /// The size of an object in bytes, `None` where there is none.
    pub async fn get_size(&self, path: &str) -> Result<Option<u64>, LakeError> {
        Ok(self.head(path).await?.map(|found| found.size))
    }

    pub(crate) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>, LakeError> {
        self.must_hold(path)?;
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

    /// The names directly below a folder, sorted; empty where there is no such folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        self.must_hold(folder)?;
        if !self.may_exist(folder) {
            return Ok(Vec::new());
        }
        let listed = self
            .reader
            .list_with_delimiter(Some(&Path::from(folder)))
            .await
            .map_err(|source| self.unlisted(folder, source))?;
        let names = listed.objects.into_iter();
        let names = names.filter_map(|meta| meta.location.filename().map(str::to_owned));
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Everything below a folder, at any depth, in no order; files that are being written too.
    pub async fn walk(&self, folder: &str) -> Result<Vec<Listed>, LakeError> {
        self.must_hold(folder)?;
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
            .map_err(|source| self.unlisted(folder, source))
    }

    /// Deletes an object; one that is gone already is no error.
    pub async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.delete(path),
            Backend::Remote(remote) => remote.delete(path).await,
        }
    }

    /// Deletes objects; those that are gone already are no error.
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

    /// Puts an object that need not outlast a cut of the power.
    pub(crate) async fn put_soft(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.put_soft(path, bytes),
            Backend::Remote(remote) => remote.put_over(path, bytes).await,
        }
    }

    /// Deletes such an object, as far as that can be done.
    pub(crate) async fn delete_soft(&self, path: &str) {
        match &self.backend {
            Backend::Local(local) => local.delete_soft(path),
            Backend::Remote(remote) => drop(remote.delete(path).await),
        }
    }

    /// The same without waiting for the network: there it is left to go.
    pub(crate) fn delete_at_once(&self, path: &str) {
        if let Backend::Local(local) = &self.backend {
            local.delete_soft(path);
        }
    }

    /// When an object was written last, by the store's clock.
    pub(crate) async fn modified(&self, path: &str) -> Result<Option<DateTime<Utc>>, LakeError> {
        Ok(self.head(path).await?.map(|found| found.last_modified))
    }

    /// Makes sure that the store can put if absent, on which every commit rests, by putting an
    /// object that exists once more, with the bytes that it has.
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

    /// The same, made by somebody else: nothing in it leads anywhere else.
    #[must_use]
    pub fn confined(mut self) -> Self {
        if let Backend::Local(local) = self.backend {
            self.backend = Backend::Local(local.confined());
        }
        self
    }

    /// Refuses a path that leads out. In a bucket none does: names there are only names.
    pub(crate) fn must_hold(&self, path: &str) -> Result<(), LakeError> {
        match &self.backend {
            Backend::Local(local) => local.file(path).map(drop),
            Backend::Remote(_) => Ok(()),
        }
    }

    /// Folders of this machine are asked first: listing one that is not there is an error.
    fn may_exist(&self, folder: &str) -> bool {
        match &self.backend {
            Backend::Local(local) => local.file(folder).is_ok_and(|folder| folder.is_dir()),
            Backend::Remote(_) => true,
        }
    }

    fn unlisted(&self, folder: &str, source: object_store::Error) -> LakeError {
        LakeError::Store {
            doing: "list",
            path: folder.to_owned(),
            source,
        }
    }
}

/// A URL for a place, the same for the same place within a process.
fn url_of(location: &str) -> ObjectStoreUrl {
    let mut hasher = DefaultHasher::new();
    location.hash(&mut hasher);
    let url = format!("lake://{:016x}", hasher.finish());
    ObjectStoreUrl::parse(url).expect("a scheme and a host are a URL of a store")
}

fn footers() -> Arc<FileMetadataCache> {
    Arc::new(DefaultCache::new(FOOTERS_KEPT))
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
    async fn files_are_moved_in_and_opened() {
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
    fn locations_are_folders_and_buckets() {
        assert!(Store::at("gopher://lake").is_err());
        assert!(Store::at("").is_err());
        assert!(Store::at("./lake").is_ok());
    }
}
