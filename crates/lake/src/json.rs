//! JSON of documents.

use bytes::Bytes;

use crate::LakeError;

/// A document as JSON that a human can read.
pub(crate) fn to_json<T: serde::Serialize>(document: &T) -> Result<Vec<u8>, LakeError> {
    serde_json::to_vec_pretty(document).map_err(|error| LakeError::Damaged {
        path: "a new object".to_owned(),
        detail: error.to_string(),
    })
}

/// Parses a document. The path is for the error message.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    path: &str,
    bytes: &Bytes,
) -> Result<T, LakeError> {
    serde_json::from_slice(bytes).map_err(|error| LakeError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    })
}
