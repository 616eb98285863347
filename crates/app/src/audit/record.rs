//! A record of a chain: an act with its number, bound to the record before it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::audit::act::Act;

/// What the line of a record ends with: the hash of all before it.
const HASH: &str = ",\"hash\":\"";

/// An act in its chain, without its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its number in the chain, from 0.
    pub(super) number: u64,
    #[serde(flatten)]
    pub(super) act: Act,
    /// The hash of the record before it; of the first one, that of the name of the chain.
    pub(super) previous: String,
}

/// A record as it was read, with its hash, which is that of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadRecord {
    pub(super) record: Record,
    pub(super) hash: String,
}

/// The SHA-256 of bytes in hexadecimal digits.
pub(super) fn digest(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The line of a record, and its hash.
///
/// # Errors
/// The record cannot be written as JSON.
pub(super) fn encode(record: &Record) -> Result<(String, String), serde_json::Error> {
    Ok(with_last_member(
        &serde_json::to_string(record)?,
        HASH,
        digest,
    ))
}

/// The record of a line; `None` if its hash is wrong, or it is no record.
pub(super) fn decode(line: &str) -> Option<ReadRecord> {
    let (body, hash) = without_last_member(line, HASH)?;
    if digest(body) != hash {
        return None;
    }
    let record = serde_json::from_str(&format!("{body}}}")).ok()?;
    let hash = hash.to_owned();
    Some(ReadRecord { record, hash })
}

/// A JSON object with one member more at its end, which is computed from the text before it.
pub(super) fn with_last_member(
    object: &str,
    name: &str,
    value: impl Fn(String) -> String,
) -> (String, String) {
    let body = object.strip_suffix('}').unwrap_or(object);
    let value = value(body.to_owned());
    (format!("{body}{name}{value}\"}}"), value)
}

/// The text before the last member of an object, and the value of that.
pub(super) fn without_last_member<'a>(line: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    line.strip_suffix("\"}")?.rsplit_once(name)
}

#[cfg(test)]
mod tests {
    use super::{Record, decode, encode};
    use crate::audit::act::{Act, AskedStatement, Caller};

    fn record() -> Record {
        let at = "2026-01-01".parse().unwrap();
        let mut act = Act::done(
            at,
            Caller::Key("abcdefghij".to_owned()),
            "POST /v1/sql".to_owned(),
        );
        act.rows = Some(3);
        act.statement = Some(AskedStatement {
            code: "00".to_owned(),
            text: Some("select \"hash\":\"x\"".to_owned()),
        });
        Record {
            number: 7,
            act,
            previous: "ab".to_owned(),
        }
    }

    #[test]
    fn records_are_read_back() {
        let (line, hash) = encode(&record()).unwrap();
        let read = decode(&line).unwrap();
        assert_eq!((read.record, read.hash), (record(), hash));
    }

    #[test]
    fn any_changed_byte_is_found() {
        let (line, _) = encode(&record()).unwrap();
        for at in 0..line.len() {
            for changed in [b'0', b'1', b' ', b'"'] {
                let mut bytes = line.clone().into_bytes();
                if bytes[at] == changed {
                    continue;
                }
                bytes[at] = changed;
                assert_eq!(
                    decode(std::str::from_utf8(&bytes).unwrap()),
                    None,
                    "byte {at}"
                );
            }
        }
        assert_eq!(decode(&line[1..]), None);
        assert_eq!(decode(""), None);
    }
}
