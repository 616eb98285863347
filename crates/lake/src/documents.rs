//! Documents: small objects with JSON or rows.
//!
//! Documents that may contain personal values (criteria, answers, refused rows) are encrypted with a
//! key of the tenant.

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

/// Folders whose objects may contain personal values.
const ENCRYPTED_FOLDERS: [&str; 5] = [
    "_answers/",
    "_definitions/",
    "_identity/",
    "_journal/",
    "_refused/",
];
/// The first bytes of an encrypted object.
const MAGIC: &[u8] = b"rbseal01";
/// The name of the key that encrypts documents.
const DOCUMENT_KEY: &str = "documents";

/// Replaces the texts of a document. Returns whether any was replaced.
fn rewrite_texts(document: &mut Value, change: &impl Fn(&str) -> Option<String>) -> bool {
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
            .fold(false, |any, one| rewrite_texts(one, change) | any),
        Value::Object(all) => all
            .values_mut()
            .fold(false, |any, one| rewrite_texts(one, change) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl Lake {
    /// Stores an immutable document. A path must always be used for the same document.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the document cannot be written as JSON, or the tenant's keys cannot be
    ///   read.
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::Busy`]: other writers changed the tenant's keys in every attempt.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn put_document<T: serde::Serialize>(
        &self,
        below: &str,
        document: &T,
    ) -> Result<(), LakeError> {
        let bytes = self.encrypt_document(below, to_json(document)?).await?;
        let put = self.store().put_new(&self.path(below), &bytes).await;
        put.map(drop)
    }

    /// Stores a document in a new object. Its path is `below` followed by a hash of the content. Returns
    /// the path.
    ///
    /// # Errors
    /// The errors of [`Lake::put_document`].
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

    /// Reads a document.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: the document is missing, or cannot be decrypted or parsed.
    /// - [`LakeError::MasterKey`]: the master key is missing or wrong.
    /// - [`LakeError::PathOutsideLake`]: the path leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn document<T: serde::de::DeserializeOwned>(
        &self,
        below: &str,
    ) -> Result<T, LakeError> {
        from_json(below, &self.bytes(below).await?)
    }

    /// Reads documents, several at a time.
    ///
    /// # Errors
    /// The errors of [`Lake::document`].
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

    /// Stores a document, and replaces an existing one.
    ///
    /// # Errors
    /// The errors of [`Lake::put_document`].
    pub async fn replace_document<T: serde::Serialize>(
        &self,
        below: &str,
        document: &T,
    ) -> Result<(), LakeError> {
        let bytes = self.encrypt_document(below, to_json(document)?).await?;
        self.store().put_over(&self.path(below), &bytes).await
    }

    /// Deletes a document. A path without a document is no error.
    ///
    /// # Errors
    /// [`LakeError::Store`], [`LakeError::File`]: the document cannot be deleted.
    pub async fn remove_document(&self, below: &str) -> Result<(), LakeError> {
        self.store().delete(&self.path(below)).await
    }

    /// Reads a document; `None` where the path has none.
    ///
    /// # Errors
    /// The errors of [`Lake::document`], except for a missing document.
    pub async fn find_document<T: serde::de::DeserializeOwned>(
        &self,
        below: &str,
    ) -> Result<Option<T>, LakeError> {
        let found = self.find_bytes(below).await?;
        found.map(|bytes| from_json(below, &bytes)).transpose()
    }

    /// Rewrites the objects of a folder. `change` gets each text of a JSON document, and the whole of any
    /// other object that is text, and returns the new text, or `None` to keep it. Returns the number of
    /// rewritten objects.
    ///
    /// # Errors
    /// The errors of [`Lake::document`] and [`Lake::put_document`].
    pub async fn rewrite_documents(
        &self,
        folder: &str,
        change: impl Fn(&str) -> Option<String>,
    ) -> Result<u64, LakeError> {
        let (root, mut edited) = (self.path(""), 0);
        for object in self.store().walk(&self.path(folder)).await? {
            let below = object.path.strip_prefix(&root).unwrap_or(&object.path);
            // Temporary files of writers are no documents.
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
                    let is_changed = rewrite_texts(&mut document, &change);
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

    /// The bytes of an object as they are stored: encrypted in folders whose objects may contain
    /// personal values.
    pub(crate) async fn encrypt_document(
        &self,
        below: &str,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, LakeError> {
        if !ENCRYPTED_FOLDERS
            .iter()
            .any(|folder| below.starts_with(folder))
        {
            return Ok(bytes);
        }
        let key = Keyring::of(self).named_or_new(DOCUMENT_KEY).await?;
        let mut encrypted = MAGIC.to_vec();
        encrypted.extend(seal_object(&key, &self.path(below), &bytes));
        Ok(encrypted)
    }

    /// The decrypted bytes of an object; `None` where the path has none.
    pub(crate) async fn find_bytes(&self, below: &str) -> Result<Option<Bytes>, LakeError> {
        match self.store().get(&self.path(below)).await? {
            Some(bytes) => self.decrypt_document(below, bytes).await.map(Some),
            None => Ok(None),
        }
    }

    /// Decrypts bytes that were encrypted for a path. They may have been copied to another one.
    pub(crate) async fn decrypt_document(
        &self,
        below: &str,
        bytes: Bytes,
    ) -> Result<Bytes, LakeError> {
        let Some(sealed) = bytes.strip_prefix(MAGIC) else {
            return Ok(bytes);
        };
        let damaged = || LakeError::Damaged {
            path: below.to_owned(),
            detail: "it cannot be decrypted".to_owned(),
        };
        let key = Keyring::of(self).named(DOCUMENT_KEY).await?;
        let key: Key = key
            .as_deref()
            .and_then(|key| key.try_into().ok())
            .ok_or_else(damaged)?;
        let opened = open_object(&key, &self.path(below), sealed).ok_or_else(damaged)?;
        Ok(Bytes::from(opened))
    }

    /// Stores rows as one immutable Parquet object. Returns its size in bytes.
    ///
    /// # Errors
    /// - [`LakeError::Parquet`]: the rows cannot be written as Parquet.
    /// - [`LakeError::Store`], [`LakeError::File`]: the object cannot be written.
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

    /// Reads the rows that [`Lake::put_rows`] stored.
    ///
    /// # Errors
    /// - [`LakeError::Parquet`]: the object is no Parquet file.
    /// - [`LakeError::Store`], [`LakeError::File`]: the object is missing or cannot be read.
    pub async fn rows(&self, below: &str) -> Result<ParquetRecordBatchReader, LakeError> {
        read_path(self, below, None).await
    }

    /// The decrypted bytes of an object that must exist.
    pub(crate) async fn bytes(&self, below: &str) -> Result<Bytes, LakeError> {
        let found = self.find_bytes(below).await?;
        found.ok_or_else(|| LakeError::Damaged {
            path: below.to_owned(),
            detail: "it is missing".to_owned(),
        })
    }
}
