//! Small immutable objects: JSON documents and rows, and how they are read back.
//!
//! Documents that may name somebody (criteria, answers, what was refused) are sealed under a key
//! of the tenant's.

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::try_join_all;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::LakeError;
use crate::encryption::key_pages::Key;
use crate::encryption::seal::{open_object, seal_object};
use crate::json::{from_json, to_json};
use crate::lake::Lake;
use crate::table::provider::read_path;
use crate::vault::keys::Keyring;

/// Folders whose objects may name somebody.
const SEALED: [&str; 5] = [
    "_answers/",
    "_definitions/",
    "_identity/",
    "_journal/",
    "_refused/",
];
/// The first bytes of what is sealed.
const SEAL: &[u8] = b"rbseal01";
/// The key that documents are sealed under.
const DOCUMENTS: &str = "documents";

/// Changes the texts of a document; whether any was changed.
fn edit_texts(document: &mut Value, change: &impl Fn(&str) -> Option<String>) -> bool {
    match document {
        Value::String(text) => match change(text) {
            Some(changed) => {
                *text = changed;
                true
            }
            None => false,
        },
        Value::Array(all) => all
            .iter_mut()
            .fold(false, |any, one| edit_texts(one, change) | any),
        Value::Object(all) => all
            .values_mut()
            .fold(false, |any, one| edit_texts(one, change) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl Lake {
    /// Puts an immutable document in the tenant's folder; the same path must mean the same bytes.
    pub async fn put_document<T: serde::Serialize>(
        &self,
        below: &str,
        document: &T,
    ) -> Result<(), LakeError> {
        let bytes = self.encrypt_document(below, to_json(document)?).await?;
        let put = self.store().put_new(&self.path(below), &bytes).await;
        put.map(drop)
    }

    /// Puts a document in a new object, whose name begins as `below` does and follows from the
    /// content; its path.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put_content<T: serde::Serialize>(
        &self,
        below: &str,
        document: &T,
    ) -> Result<String, LakeError> {
        let bytes = to_json(document)?;
        let path = format!("{below}-{:016x}.json", xxh3_64(&bytes));
        let bytes = self.encrypt_document(&path, bytes).await?;
        self.store().put_new(&self.path(&path), &bytes).await?;
        Ok(path)
    }

    /// Reads a document of the tenant's folder.
    pub async fn document<T: serde::de::DeserializeOwned>(
        &self,
        below: &str,
    ) -> Result<T, LakeError> {
        from_json(below, &self.bytes(below).await?)
    }

    /// Reads documents, several at a time.
    ///
    /// # Errors
    /// As [`Lake::document`].
    pub async fn documents<T: serde::de::DeserializeOwned>(
        &self,
        below: &[String],
    ) -> Result<Vec<T>, LakeError> {
        let mut all = Vec::with_capacity(below.len());
        for some in below.chunks(self.store().read_at_once()) {
            let read = some.iter().map(|below| self.document(below));
            all.extend(try_join_all(read).await?);
        }
        Ok(all)
    }

    /// Puts a document that a later one may replace.
    pub async fn replace_document<T: serde::Serialize>(
        &self,
        below: &str,
        document: &T,
    ) -> Result<(), LakeError> {
        let bytes = self.encrypt_document(below, to_json(document)?).await?;
        self.store().put_over(&self.path(below), &bytes).await
    }

    /// Takes a document away that a later one may replace; nothing where there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_document(&self, below: &str) -> Result<(), LakeError> {
        self.store().delete(&self.path(below)).await
    }

    /// Reads a document that may not be there.
    pub async fn find_document<T: serde::de::DeserializeOwned>(
        &self,
        below: &str,
    ) -> Result<Option<T>, LakeError> {
        let found = self.find_bytes(below).await?;
        found.map(|bytes| from_json(below, &bytes)).transpose()
    }

    /// Rewrites the objects below a folder where `change` has another text: of documents for one of
    /// their texts, of others for the whole. How many.
    pub async fn rewrite_documents(
        &self,
        folder: &str,
        change: impl Fn(&str) -> Option<String>,
    ) -> Result<u64, LakeError> {
        let (root, mut edited) = (self.path(""), 0);
        for object in self.store().walk(&self.path(folder)).await? {
            let below = object.path.strip_prefix(&root).unwrap_or(&object.path);
            // What somebody is writing is no document yet.
            let name = below.rsplit('/').next().unwrap_or(below);
            if name.starts_with('.') {
                continue;
            }
            let Some(bytes) = self.find_bytes(below).await? else {
                continue;
            };
            let changed = match below.ends_with(".json") {
                true => {
                    let mut document: Value = from_json(below, &bytes)?;
                    let is_changed = edit_texts(&mut document, &change);
                    is_changed.then(|| to_json(&document)).transpose()?
                }
                false => {
                    let text = str::from_utf8(&bytes).ok();
                    text.and_then(&change).map(String::into_bytes)
                }
            };
            if let Some(changed) = changed {
                let bytes = self.encrypt_document(below, changed).await?;
                self.store().put_over(&object.path, &bytes).await?;
                edited += 1;
            }
        }
        Ok(edited)
    }

    /// The bytes of an object as they are put, sealed where they may name somebody.
    pub(crate) async fn encrypt_document(
        &self,
        below: &str,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, LakeError> {
        if !SEALED.iter().any(|folder| below.starts_with(folder)) {
            return Ok(bytes);
        }
        let key = Keyring::of(self).named_or_new(DOCUMENTS).await?;
        let mut sealed = SEAL.to_vec();
        sealed.extend(seal_object(&key, &self.path(below), &bytes));
        Ok(sealed)
    }

    /// An object as [`Lake::encrypt_document`] was given it.
    pub(crate) async fn find_bytes(&self, below: &str) -> Result<Option<Bytes>, LakeError> {
        match self.store().get(&self.path(below)).await? {
            Some(bytes) => self.open_as(below, bytes).await.map(Some),
            None => Ok(None),
        }
    }

    /// Bytes that were encrypt_document for that path, wherever they lie now.
    pub(crate) async fn open_as(&self, below: &str, bytes: Bytes) -> Result<Bytes, LakeError> {
        let Some(sealed) = bytes.strip_prefix(SEAL) else {
            return Ok(bytes);
        };
        let damaged = || LakeError::Damaged {
            path: below.to_owned(),
            detail: "it does not open".to_owned(),
        };
        let key = Keyring::of(self).named(DOCUMENTS).await?;
        let key: Key = key
            .as_deref()
            .and_then(|key| key.try_into().ok())
            .ok_or_else(damaged)?;
        let opened = open_object(&key, &self.path(below), sealed).ok_or_else(damaged)?;
        Ok(Bytes::from(opened))
    }

    /// Puts rows in the tenant's folder as one immutable Parquet object; its size in bytes.
    pub async fn put_rows(&self, below: &str, rows: &RecordBatch) -> Result<u64, LakeError> {
        let failed = |source| LakeError::Parquet {
            doing: "write",
            path: below.to_owned(),
            source,
        };
        let compression = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(compression));
        let mut writer = writer.map_err(failed)?;
        writer.write(rows).map_err(failed)?;
        let bytes = writer.into_inner().map_err(failed)?;
        self.store().put_new(&self.path(below), &bytes).await?;
        Ok(bytes.len() as u64)
    }

    /// Reads the rows that [`Lake::put_rows`] put.
    pub async fn rows(&self, below: &str) -> Result<ParquetRecordBatchReader, LakeError> {
        read_path(self, below, None).await
    }

    pub(crate) async fn bytes(&self, below: &str) -> Result<Bytes, LakeError> {
        let found = self.find_bytes(below).await?;
        found.ok_or_else(|| LakeError::Damaged {
            path: below.to_owned(),
            detail: "it is missing".to_owned(),
        })
    }
}
