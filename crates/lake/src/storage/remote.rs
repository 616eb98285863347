//! An object store as a store. It must support conditional puts and read its own writes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::SpawnedReqwestConnector;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use tempfile::NamedTempFile;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::Put;
use crate::LakeError;

/// Objects up to this size are sent in one request.
const SINGLE_PUT_BYTES: u64 = 8 << 20;
/// Parts of an object that are sent at a time.
const PARTS_AT_ONCE: usize = 4;
/// Attempts at a request. The client retries each of them by itself, too.
const ATTEMPTS: u32 = 5;
/// The pause after the first failed attempt. It doubles with each further one.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub(super) struct Remote {
    object: Arc<dyn ObjectStore>,
}

/// The bucket of an `s3://` URL, and the path in it.
pub(super) fn s3(url: &Url) -> Result<(AmazonS3, Path), Error> {
    let endpoint_is_plain = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| value.starts_with("http://")));
    let bucket = AmazonS3Builder::from_env()
        .with_url(url.as_str())
        .with_http_connector(SpawnedReqwestConnector::new(threads()?.handle().clone()))
        .with_allow_http(endpoint_is_plain)
        .build()?;
    Ok((bucket, Path::from(url.path())))
}

/// The runtime of connections. Connections outlive the runtimes of queries.
fn threads() -> Result<&'static Runtime, Error> {
    static THREADS: OnceLock<Runtime> = OnceLock::new();
    if let Some(threads) = THREADS.get() {
        return Ok(threads);
    }
    let threads = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("rollbook-store")
        .enable_all()
        .build()
        .map_err(local_error)?;
    Ok(THREADS.get_or_init(|| threads))
}

impl Remote {
    pub(super) fn new(object: Arc<dyn ObjectStore>) -> Self {
        Self { object }
    }

    pub(super) async fn put_new(&self, path: &str, bytes: &[u8]) -> Result<Put, LakeError> {
        let location = Path::from(path);
        let mut pause = PAUSE;
        for attempt in 1.. {
            let payload = PutPayload::from(bytes.to_vec());
            let mode = PutOptions::from(PutMode::Create);
            let refused = match self.object.put_opts(&location, payload, mode).await {
                Ok(_) => return Ok(Put::Done),
                Err(refused) => refused,
            };
            // The store may have put the object although it answered with an error.
            match self.find(&location).await {
                Ok(Some(found)) if found == bytes => return Ok(Put::Done),
                Ok(Some(_)) => return Ok(Put::Exists),
                _ if attempt == ATTEMPTS => return Err(failed("write", path)(refused)),
                _ => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    pub(super) async fn put_over(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        let location = Path::from(path);
        let put = || self.object.put(&location, PutPayload::from(bytes.to_vec()));
        retry_request(put)
            .await
            .map_err(failed("write", path))
            .map(drop)
    }

    pub(super) async fn put_file(
        &self,
        path: &str,
        staged: NamedTempFile,
    ) -> Result<(), LakeError> {
        retry_request(|| self.send(path, staged.as_file()))
            .await
            .map_err(failed("write", path))
    }

    pub(super) async fn download(&self, path: &str) -> Result<File, LakeError> {
        retry_request(|| self.fetch(path))
            .await
            .map_err(failed("read", path))
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), LakeError> {
        let location = Path::from(path);
        match retry_request(|| self.object.delete(&location)).await {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(source) => Err(failed("delete", path)(source)),
        }
    }

    pub(super) async fn check_conditional_put(
        &self,
        path: &str,
        bytes: &[u8],
        location: &str,
    ) -> Result<(), LakeError> {
        let again = || {
            let payload = PutPayload::from(bytes.to_vec());
            let mode = PutOptions::from(PutMode::Create);
            async { self.object.put_opts(&Path::from(path), payload, mode).await }
        };
        let detail = match retry_request(again).await {
            Err(Error::AlreadyExists { .. }) => return Ok(()),
            Err(error @ Error::NotImplemented { .. }) => error.to_string(),
            Err(error) => return Err(failed("write", path)(error)),
            Ok(_) => "a second put of one path was not refused".to_owned(),
        };
        let location = location.to_owned();
        Err(LakeError::NoConditionalPut { location, detail })
    }

    async fn find(&self, location: &Path) -> Result<Option<bytes::Bytes>, Error> {
        match self.object.get(location).await {
            Ok(found) => found.bytes().await.map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, path: &str, staged: &File) -> Result<(), Error> {
        let location = Path::from(path);
        let mut file = staged;
        file.seek(SeekFrom::Start(0)).map_err(local_error)?;
        let size = file.metadata().map_err(local_error)?.len();
        if size <= SINGLE_PUT_BYTES {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(local_error)?;
            let put = self.object.put(&location, PutPayload::from(bytes));
            return put.await.map(drop);
        }
        let upload = self.object.put_multipart(&location).await?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, SINGLE_PUT_BYTES as usize);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(local_error)? {
                0 => break,
                length => {
                    parts.wait_for_capacity(PARTS_AT_ONCE).await?;
                    parts.write(&buffer[..length]);
                }
            }
        }
        parts.finish().await.map(drop)
    }

    async fn fetch(&self, path: &str) -> Result<File, Error> {
        let mut file = tempfile::tempfile().map_err(local_error)?;
        let mut stream = self.object.get(&Path::from(path)).await?.into_stream();
        while let Some(bytes) = stream.try_next().await? {
            file.write_all(&bytes).map_err(local_error)?;
        }
        file.seek(SeekFrom::Start(0)).map_err(local_error)?;
        Ok(file)
    }
}

/// Repeats an idempotent request while it fails with a generic error.
async fn retry_request<T, F: Future<Output = Result<T, Error>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(Error::Generic { .. }) => tokio::time::sleep(pause).await,
            settled => return settled,
        }
        pause *= 2;
    }
    attempt().await
}

fn failed(doing: &'static str, path: &str) -> impl FnOnce(Error) -> LakeError + use<> {
    let path = path.to_owned();
    move |source| LakeError::Store {
        doing,
        path,
        source,
    }
}

fn local_error(source: std::io::Error) -> Error {
    Error::Generic {
        store: "temporary file",
        source: Box::new(source),
    }
}
