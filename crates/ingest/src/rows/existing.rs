//! Finding the rows of the lake that staged rows may replace, in memory that does not grow with
//! either.
//!
//! Keys are looked up in order of their hashes; matches are sorted by file and row, so that each file is
//! read once; the versions of these rows are sorted by staged row.

use std::collections::HashMap;
use std::iter::Peekable;
use std::path::Path;

use rollbook_lake::table::key_index::{hash_of, look_up};
use rollbook_lake::table::provider::{read_file, read_rows};
use rollbook_lake::{DataFile, Lake};
use rollbook_model::TableDef;

use crate::IngestError;
use crate::error::staging;
use crate::rows::fingerprint::Encoder;
use crate::rows::sort::{Sorted, Sorter};
use crate::rows::stage::{KeyEntry, RowVersion, Stage, StagedBatch, UNKNOWN, keys_of, updated_of};

/// The maximum number of keys looked up at once.
pub(crate) const LOOKED_UP: usize = 4 << 20;

/// A row of the lake: its place, and hashes of its content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExistingRow {
    pub(crate) file: usize,
    pub(crate) row: u32,
    pub(crate) stored: u64,
    /// The low half of the key of its personal values.
    pub(crate) vault_key: u64,
    /// Its `updated_at` in microseconds since 1970; [`UNKNOWN`] where it has none.
    pub(crate) updated: i64,
}

impl ExistingRow {
    /// Whether this version is newer than a staged row. If one of the two has no `updated_at`, the one that
    /// arrived later is the newer.
    pub(crate) fn is_newer_than(&self, version: &RowVersion) -> bool {
        version.updated != UNKNOWN && version.updated < self.updated
    }
}

/// The input of a lookup.
pub(crate) struct Lookup<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) def: &'static TableDef,
    pub(crate) files: &'a [DataFile],
    /// For temporary files.
    pub(crate) folder: &'a Path,
}

/// Rows of the lake with the key hashes of staged rows, in the order of the staged rows.
pub(crate) struct ExistingRows {
    def: &'static TableDef,
    /// Staged row, the two halves of the key, file and row, hash of the content, vault key, `updated_at`.
    rows: Peekable<Sorted<7>>,
}

impl Lookup<'_> {
    /// Finds the rows in the lake that staged rows may replace, and reads their versions.
    pub(crate) async fn known(&self, stage: &Stage) -> Result<ExistingRows, IngestError> {
        let mut matches = Sorter::new(self.folder);
        for entries in stage.keys(LOOKED_UP)? {
            self.look_up(&entries?, &mut matches).await?;
        }
        let mut known = Sorter::new(self.folder);
        let mut matches = matches.sorted().map_err(staging)?.peekable();
        while let Some(next) = matches.peek() {
            let file = next.as_ref().map_or(0, |[file, ..]| *file);
            let mut of_file = Vec::new();
            while let Some(found) =
                matches.next_if(|next| next.as_ref().map_or(true, |[at, ..]| *at == file))
            {
                let [_, row, staged, _] = found.map_err(staging)?;
                of_file.push((u32::try_from(row).unwrap_or(u32::MAX), staged));
            }
            self.read_known(file, &of_file, &mut known).await?;
        }
        Ok(ExistingRows {
            def: self.def,
            rows: known.sorted().map_err(staging)?.peekable(),
        })
    }

    /// Adds file, row, staged row and missing columns of each row whose key hash is that of a staged row.
    /// `entries` are sorted by hash.
    pub(crate) async fn look_up(
        &self,
        entries: &[KeyEntry],
        matches: &mut Sorter<4>,
    ) -> Result<(), IngestError> {
        let mut wanted: Vec<u64> = entries.iter().map(|entry| entry.hash).collect();
        wanted.dedup();
        for (at, file) in self.files.iter().enumerate() {
            for (row, hash) in self.candidates(file, &wanted).await? {
                let first = entries.partition_point(|entry| entry.hash < hash);
                let staged = entries[first..]
                    .iter()
                    .take_while(|entry| entry.hash == hash);
                for entry in staged {
                    let (staged, absent) = (u64::from(entry.row), u64::from(entry.absent));
                    let found = [at as u64, u64::from(row), staged, absent];
                    matches.push(found).map_err(staging)?;
                }
            }
        }
        Ok(())
    }

    /// The rows of a file whose key hash is one of the wanted ones, each with its hash.
    pub(crate) async fn candidates(
        &self,
        file: &DataFile,
        wanted: &[u64],
    ) -> Result<Vec<(u32, u64)>, IngestError> {
        if let Some(found) = look_up(self.lake, self.def, file, wanted).await? {
            let found = found.into_iter().map(|(row, place)| (row, wanted[place]));
            return Ok(found.collect());
        }
        let (mut rows, mut row) = (Vec::new(), 0_u32);
        let columns = self.def.key_columns();
        for batch in read_file(self.lake, self.def, file, Some(&columns)).await? {
            let batch = batch.map_err(IngestError::rows(self.def.name, "read"))?;
            for key in keys_of(self.def, &batch)? {
                let hash = hash_of(key);
                if wanted.binary_search(&hash).is_ok() {
                    rows.push((row, hash));
                }
                row += 1;
            }
        }
        Ok(rows)
    }

    /// Reads the versions of some rows of a file, each for one or more staged rows.
    async fn read_known(
        &self,
        file: u64,
        wanted: &[(u32, u64)],
        known: &mut Sorter<7>,
    ) -> Result<(), IngestError> {
        let mut rows: Vec<u32> = wanted.iter().map(|(row, _)| *row).collect();
        rows.dedup();
        let stored = Encoder::stored(self.def)?;
        let vault_key = match self.def.has_personal() {
            true => Some(Encoder::vault_key(self.def)?),
            false => None,
        };
        let (mut numbers, mut wanted) = (rows.iter(), wanted.iter().peekable());
        let of_file = &self.files[usize::try_from(file).unwrap_or(usize::MAX)];
        for batch in read_rows(self.lake, self.def, of_file, &rows, None).await? {
            let batch = batch.map_err(IngestError::rows(self.def.name, "read"))?;
            let (keys, hashes) = (keys_of(self.def, &batch)?, stored.hashes(&batch)?);
            let updated = updated_of(&batch);
            let vault_keys = vault_key.as_ref().map(|encoder| encoder.keys(&batch));
            let vault_keys = vault_keys.transpose()?;
            for (place, (key, row)) in keys.iter().zip(&mut numbers).enumerate() {
                let vault_key = vault_keys.as_ref().map_or(0, |keys| keys[place] as u64);
                while let Some((_, staged)) = wanted.next_if(|(wanted, _)| wanted == row) {
                    let record = [
                        *staged,
                        hash_of(*key),
                        (key >> 64) as u64,
                        file << 32 | u64::from(*row),
                        hashes[place],
                        vault_key,
                        updated(place).cast_unsigned(),
                    ];
                    known.push(record).map_err(staging)?;
                }
            }
        }
        Ok(())
    }
}

impl ExistingRows {
    pub(crate) fn is_empty(&mut self) -> bool {
        self.rows.peek().is_none()
    }

    /// The rows in the lake with the keys of the rows of a piece, by their index in the piece.
    pub(crate) fn of(
        &mut self,
        piece: &StagedBatch<'_>,
    ) -> Result<HashMap<usize, ExistingRow>, IngestError> {
        let first = u64::from(piece.first);
        let end = first + piece.rows.num_rows() as u64;
        let mut keys = None;
        let mut existing = HashMap::new();
        while let Some(record) = self
            .rows
            .next_if(|next| next.as_ref().map_or(true, |[staged, ..]| *staged < end))
        {
            let [staged, low, high, place, stored, vault_key, updated] = record.map_err(staging)?;
            let keys = match &keys {
                Some(keys) => keys,
                None => keys.insert(keys_of(self.def, &piece.rows)?),
            };
            let row = usize::try_from(staged - first).unwrap_or(usize::MAX);
            // Two keys may share a hash.
            if keys[row] != u128::from(high) << 64 | u128::from(low) {
                continue;
            }
            let found = ExistingRow {
                file: usize::try_from(place >> 32).unwrap_or(usize::MAX),
                row: place as u32,
                stored,
                vault_key,
                updated: updated.cast_signed(),
            };
            existing.insert(row, found);
        }
        Ok(existing)
    }
}
