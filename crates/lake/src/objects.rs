//! Small immutable objects: JSON documents and rows, and how they are read back.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use xxhash_rust::xxh3::xxh3_64;

use crate::LakeError;
use crate::lake::Lake;
use crate::scan::read_path;

/// A document as JSON that a human can read.
pub(crate) fn to_json<T: serde::Serialize>(document: &T) -> Result<Vec<u8>, LakeError> {
    serde_json::to_vec_pretty(document).map_err(|error| LakeError::Damaged {
        path: "a new object".to_owned(),
        detail: error.to_string(),
    })
}

pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    path: &str,
    bytes: &Bytes,
) -> Result<T, LakeError> {
    serde_json::from_slice(bytes).map_err(|error| LakeError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    })
}

impl Lake {
    /// Puts an immutable document in the tenant's folder; the same path must mean the same bytes.
    pub async fn put_document<T: serde::Serialize>(
        &self,
        below: &str,
        document: &T,
    ) -> Result<(), LakeError> {
        self.store()
            .put_new(&self.path(below), &to_json(document)?)
            .await
            .map(drop)
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

    /// Puts a document that a later one may replace.
    pub async fn replace_document<T: serde::Serialize>(
        &self,
        below: &str,
        document: &T,
    ) -> Result<(), LakeError> {
        self.store()
            .put_over(&self.path(below), &to_json(document)?)
            .await
    }

    /// Reads a document that may not be there.
    pub async fn find_document<T: serde::de::DeserializeOwned>(
        &self,
        below: &str,
    ) -> Result<Option<T>, LakeError> {
        let found = self.store().get(&self.path(below)).await?;
        found.map(|bytes| from_json(below, &bytes)).transpose()
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
        self.store()
            .get(&self.path(below))
            .await?
            .ok_or_else(|| LakeError::Damaged {
                path: below.to_owned(),
                detail: "it is missing".to_owned(),
            })
    }
}
