//! Encryption with AES-256-GCM-SIV (RFC 8452) of a value, of the rows of a table, of a whole object.
//! Encrypted values are called sealed.
//!
//! A value of a row is sealed with the data key of its identity. Table, column and row of the value are
//! authenticated with it, so that no value can be moved to another place. The nonce is fixed: GCM-SIV
//! stays secure with it, and two sealed values of one place reveal only whether they are equal. So two
//! versions of a row can be compared without decrypting them.

use std::cell::LazyCell;
use std::sync::Arc;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Date32Builder, RecordBatch, StringBuilder,
};
use arrow::compute::{cast, concat, concat_batches};
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use arrow::error::ArrowError;
use hmac::{Hmac, Mac};
use rollbook_model::shares::in_shares;
use rollbook_model::{ColumnDef, TableDef};
use sha2::Sha256;

use crate::encryption::key_pages::{DataKeys, Key};

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// The smallest number of rows for which a thread pays.
const FEWEST: usize = 1024;

/// A cipher with a key.
struct Cipher(Aes256GcmSiv);

impl Cipher {
    fn new(key: &Key) -> Self {
        Self(Aes256GcmSiv::new(key.into()))
    }

    /// Appends the sealed form of `value` to `sealed`. `place` is authenticated with it.
    fn seal(&self, nonce: &Nonce, place: &[u8], value: &[u8], sealed: &mut Vec<u8>) {
        let begin = sealed.len();
        sealed.extend_from_slice(value);
        let value = &mut sealed[begin..];
        let tag = self.0.encrypt_inout_detached(nonce, place, value.into());
        let tag = tag.expect("a value is shorter than 64 GiB");
        sealed.extend_from_slice(&tag);
    }

    /// Decrypts a sealed value into `value`; `None` where it was sealed with another key or another
    /// `place`.
    fn open(&self, nonce: &Nonce, place: &[u8], sealed: &[u8], value: &mut Vec<u8>) -> Option<()> {
        let (content, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
        value.clear();
        value.extend_from_slice(content);
        let tag = Tag::try_from(tag).ok()?;
        let opened = self
            .0
            .decrypt_inout_detached(nonce, place, value.as_mut_slice().into(), &tag);
        opened.ok()
    }
}

/// Seals an object and authenticates its path `place`: a random nonce, then the sealed bytes.
pub(crate) fn seal_object(key: &Key, place: &str, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = random::<NONCE_BYTES>().to_vec();
    let nonce = nonce(&sealed);
    Cipher::new(key).seal(&nonce, place.as_bytes(), bytes, &mut sealed);
    sealed
}

/// Like [`seal_object`], but equal bytes have equal sealed forms: the nonce is derived from them. It only tells that they
/// are equal.
pub(crate) fn seal_repeatably(key: &Key, place: &str, bytes: &[u8]) -> Vec<u8> {
    let mut of_nonces = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    of_nonces.update(bytes);
    let mut sealed = of_nonces.finalize().into_bytes()[..NONCE_BYTES].to_vec();
    let nonce = nonce(&sealed);
    Cipher::new(key).seal(&nonce, place.as_bytes(), bytes, &mut sealed);
    sealed
}

/// Decrypts what [`seal_object`] sealed; `None` where the key or the path differs.
pub(crate) fn open_object(key: &Key, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (first, rest) = sealed.split_at_checked(NONCE_BYTES)?;
    let mut bytes = Vec::new();
    Cipher::new(key).open(&nonce(first), place.as_bytes(), rest, &mut bytes)?;
    Some(bytes)
}

/// Random bytes from the system.
pub(crate) fn random<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

fn nonce(bytes: &[u8]) -> Nonce {
    Nonce::try_from(bytes).expect("a nonce has twelve bytes")
}

/// The identity whose data key seals each row; `None` where the tenant's own key, 0, seals all rows.
fn owners(def: &TableDef, keys: &[ArrayRef]) -> Result<Option<ArrayRef>, ArrowError> {
    let of_identity = def.vault_keys().first() == Some(&"identity_id");
    of_identity
        .then(|| cast(&keys[0], &DataType::Int64))
        .transpose()
}

/// What is authenticated with the values of rows: table and column, then the key columns that
/// distinguish rows sealed with the same data key.
struct AssociatedData<'a> {
    def: &'a TableDef,
    texts: Vec<ArrayRef>,
}

impl<'a> AssociatedData<'a> {
    fn of(def: &'a TableDef, keys: &[ArrayRef]) -> Result<Self, ArrowError> {
        let texts = def.vault_keys().iter().zip(keys);
        let texts = texts.filter(|(name, _)| **name != "identity_id");
        let texts = texts.map(|(_, column)| cast(column, &DataType::Utf8));
        let texts = texts.collect::<Result<_, _>>()?;
        Ok(Self { def, texts })
    }

    fn write(&self, column: &ColumnDef, row: usize, place: &mut Vec<u8>) {
        place.clear();
        let texts = self
            .texts
            .iter()
            .map(|texts| texts.as_string::<i32>().value(row));
        for part in [self.def.name, column.name].into_iter().chain(texts) {
            place.extend_from_slice(&(part.len() as u64).to_le_bytes());
            place.extend_from_slice(part.as_bytes());
        }
    }
}

/// Seals the personal columns of rows in `def.vault_schema()`; the result has `def.sealed_schema()`.
/// `keys` must have a key for each identity.
pub(crate) fn seal_rows(
    def: &'static TableDef,
    rows: &RecordBatch,
    keys: &DataKeys,
) -> Result<RecordBatch, ArrowError> {
    let shares = in_shares(rows.num_rows(), FEWEST, |begin, count| {
        seal_share(def, &rows.slice(begin, count), keys)
    });
    let shares = shares.into_iter().collect::<Result<Vec<_>, _>>()?;
    concat_batches(&def.sealed_schema(), &shares)
}

fn seal_share(
    def: &'static TableDef,
    rows: &RecordBatch,
    keys: &DataKeys,
) -> Result<RecordBatch, ArrowError> {
    let named = key_columns(def, rows)?;
    let (owners, places) = (owners(def, &named)?, AssociatedData::of(def, &named)?);
    let columns: Vec<(&ColumnDef, &ArrayRef)> = def
        .personal_columns()
        .map(|column| (column, &rows[column.name]))
        .collect();
    let mut sealed: Vec<BinaryBuilder> = columns.iter().map(|_| BinaryBuilder::new()).collect();
    let (mut place, mut value) = (Vec::new(), Vec::new());
    for row in 0..rows.num_rows() {
        let owner = owner_of(owners.as_ref(), row);
        let key = keys.get(owner).ok_or_else(|| {
            ArrowError::InvalidArgumentError(format!("identity {owner} has no data key"))
        })?;
        let cipher = LazyCell::new(|| Cipher::new(key));
        for ((column, values), sealed) in columns.iter().zip(&mut sealed) {
            if values.is_null(row) {
                sealed.append_null();
                continue;
            }
            places.write(column, row, &mut place);
            value.clear();
            match values.data_type() {
                DataType::Utf8 => {
                    let text = values.as_string::<i32>().value(row);
                    cipher.seal(&Nonce::default(), &place, text.as_bytes(), &mut value);
                }
                DataType::Date32 => {
                    let day = values.as_primitive::<Date32Type>().value(row);
                    cipher.seal(&Nonce::default(), &place, &day.to_le_bytes(), &mut value);
                }
                other => return Err(unsealable(other)),
            }
            sealed.append_value(&value);
        }
    }
    let sealed = sealed
        .iter_mut()
        .map(|column| Arc::new(column.finish()) as ArrayRef);
    RecordBatch::try_new(
        def.sealed_schema(),
        named.into_iter().chain(sealed).collect(),
    )
}

/// Decrypts the personal columns of rows in `def.sealed_schema()`; the result has
/// `def.vault_schema()`. Values whose data key is deleted are null.
pub(crate) fn open_rows(
    def: &'static TableDef,
    rows: &RecordBatch,
    keys: &DataKeys,
) -> Result<RecordBatch, ArrowError> {
    let named = key_columns(def, rows)?;
    let columns: Vec<(&ColumnDef, ArrayRef)> = def
        .personal_columns()
        .map(|column| (column, ArrayRef::clone(&rows[column.name])))
        .collect();
    let opened = open_columns(def, &named, &columns, keys)?;
    RecordBatch::try_new(
        def.vault_schema(),
        named.into_iter().chain(opened).collect(),
    )
}

/// Decrypts some personal columns of rows. `named` are the columns of `def.vault_keys()`.
pub(crate) fn open_columns(
    def: &'static TableDef,
    named: &[ArrayRef],
    columns: &[(&ColumnDef, ArrayRef)],
    keys: &DataKeys,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let shares = in_shares(rows, FEWEST, |begin, count| {
        let slice = |column: &ArrayRef| column.slice(begin, count);
        let named: Vec<ArrayRef> = named.iter().map(slice).collect();
        let columns: Vec<_> = columns
            .iter()
            .map(|(def, column)| (*def, slice(column)))
            .collect();
        open_share(def, &named, &columns, keys)
    });
    let shares = shares.into_iter().collect::<Result<Vec<_>, _>>()?;
    if let [_] = shares.as_slice() {
        return Ok(shares.into_iter().flatten().collect());
    }
    let joined = (0..columns.len()).map(|column| {
        let pieces: Vec<&dyn Array> = shares.iter().map(|share| share[column].as_ref()).collect();
        concat(&pieces)
    });
    joined.collect()
}

fn open_share(
    def: &'static TableDef,
    named: &[ArrayRef],
    columns: &[(&ColumnDef, ArrayRef)],
    keys: &DataKeys,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let (owners, places) = (owners(def, named)?, AssociatedData::of(def, named)?);
    let columns = columns.iter().map(|(column, sealed)| {
        let sealed = cast(sealed, &DataType::Binary)?;
        Ok((*column, sealed.as_binary::<i32>().clone()))
    });
    let columns: Vec<(&ColumnDef, BinaryArray)> = columns.collect::<Result<_, ArrowError>>()?;
    let opened = columns.iter().map(|(column, _)| Opened::of(column));
    let mut opened: Vec<Opened> = opened.collect::<Result<_, _>>()?;
    let (mut place, mut value) = (Vec::new(), Vec::new());
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    for row in 0..rows {
        let key = keys.get(owner_of(owners.as_ref(), row));
        // In most rows most columns are empty.
        let cipher = LazyCell::new(|| key.map(Cipher::new));
        for ((column, sealed), opened) in columns.iter().zip(&mut opened) {
            if sealed.is_null(row) {
                opened.append_null();
                continue;
            }
            let Some(cipher) = cipher.as_ref() else {
                opened.append_null();
                continue;
            };
            places.write(column, row, &mut place);
            cipher
                .open(&Nonce::default(), &place, sealed.value(row), &mut value)
                .and_then(|()| opened.append(&value))
                .ok_or_else(|| {
                    let place = format!("{}.{}", def.name, column.name);
                    ArrowError::ParseError(format!("a value of {place} in the vault is damaged"))
                })?;
        }
    }
    Ok(opened.into_iter().map(Opened::finish).collect())
}

/// A column of decrypted values that is being built.
enum Opened {
    Text(StringBuilder),
    Date(Date32Builder),
}

impl Opened {
    fn of(column: &ColumnDef) -> Result<Self, ArrowError> {
        match column.ty.arrow() {
            DataType::Utf8 => Ok(Self::Text(StringBuilder::new())),
            DataType::Date32 => Ok(Self::Date(Date32Builder::new())),
            other => Err(unsealable(&other)),
        }
    }

    fn append(&mut self, value: &[u8]) -> Option<()> {
        match self {
            Self::Text(texts) => texts.append_value(str::from_utf8(value).ok()?),
            Self::Date(days) => days.append_value(i32::from_le_bytes(value.try_into().ok()?)),
        }
        Some(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(texts) => texts.append_null(),
            Self::Date(days) => days.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut texts) => Arc::new(texts.finish()),
            Self::Date(mut days) => Arc::new(days.finish()),
        }
    }
}

fn owner_of(owners: Option<&ArrayRef>, row: usize) -> i64 {
    owners.map_or(0, |owners| owners.as_primitive::<Int64Type>().value(row))
}

fn key_columns(def: &TableDef, rows: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    let names = def.vault_keys().iter();
    names
        .map(|name| {
            let column = rows.column_by_name(name).cloned();
            column.ok_or_else(|| {
                ArrowError::SchemaError(format!("the vault of {} lacks `{name}`", def.name))
            })
        })
        .collect()
}

fn unsealable(found: &DataType) -> ArrowError {
    ArrowError::NotYetImplemented(format!("encryption of a column of type {found}"))
}

#[cfg(test)]
mod tests {
    use rollbook_model::tables::TABLES;

    use super::{Opened, open_object, seal_object};

    #[test]
    fn every_personal_column_can_be_sealed() {
        for def in TABLES {
            for column in def.personal_columns() {
                assert!(Opened::of(column).is_ok(), "{}.{}", def.name, column.name);
            }
        }
    }

    #[test]
    fn object_opens_only_with_its_key_and_path() {
        let (key, other) = ([7; 32], [8; 32]);
        let sealed = seal_object(&key, "here", b"ann@example.com");
        assert_eq!(
            open_object(&key, "here", &sealed).as_deref(),
            Some(b"ann@example.com".as_slice())
        );
        assert_eq!(open_object(&other, "here", &sealed), None);
        assert_eq!(open_object(&key, "there", &sealed), None);
        for at in 0..sealed.len() {
            let mut corrupt = sealed.clone();
            corrupt[at] ^= 1;
            assert_eq!(open_object(&key, "here", &corrupt), None, "byte {at}");
            assert_eq!(open_object(&key, "here", &sealed[..at]), None, "{at} bytes");
        }
    }
}
