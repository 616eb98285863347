//! The key index finds the row of a natural key in a data file without reading the rows.
//!
//! Every data file has an index in a file of its own: 64-bit hashes of the keys in order, and the row
//! number of each. The index is written and deleted with the data file, so it needs no commit. A
//! search for few keys bisects the index, a search for many reads it from beginning to end. Callers compare the
//! found rows with the keys, since two keys may have one hash.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use arrow::array::{Array, AsArray, RecordBatch};
use rollbook_model::{Shape, TableDef, tables};
use xxhash_rust::xxh3::xxh3_128;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::DataFile;
use crate::storage::Listed;

/// The first bytes of an index: kind and version.
const MAGIC: &[u8; 8] = b"rbkeys01";
const HEADER: u64 = 16;
/// A search reads the whole index where more than one in so many of its keys is wanted.
const DENSE: u64 = 64;
/// Hashes that a search for few keys reads at a time.
const BLOCK: u64 = 1024;

/// A 128-bit hash of a row's natural key. The lengths of its parts are hashed with them.
pub fn key_of<'a>(parts: impl IntoIterator<Item = &'a str>, buffer: &mut Vec<u8>) -> u128 {
    buffer.clear();
    for part in parts {
        buffer.extend_from_slice(&(part.len() as u64).to_le_bytes());
        buffer.extend_from_slice(part.as_bytes());
    }
    xxh3_128(buffer)
}

/// The half of a key's hash that the index holds.
pub fn hash_of(key: u128) -> u64 {
    key as u64
}

/// The key columns of a table's index. Identities are found by provider and id of their record.
pub fn indexed_columns(def: &TableDef) -> Vec<&'static str> {
    match def.shape {
        Shape::Own if def.name != tables::IDENTITIES.name => def.key_columns(),
        _ => vec!["provider", "external_id"],
    }
}

/// The keys of a batch's rows; `None` where a key column is missing or has nulls.
pub fn keys_of(def: &TableDef, batch: &RecordBatch) -> Option<Vec<u128>> {
    let columns = indexed_columns(def)
        .into_iter()
        .map(|name| batch.column_by_name(name)?.as_string_opt::<i32>());
    let columns = columns.collect::<Option<Vec<_>>>()?;
    if columns.iter().any(|column| column.null_count() > 0) {
        return None;
    }
    let mut buffer = Vec::new();
    let key = |row| key_of(columns.iter().map(|column| column.value(row)), &mut buffer);
    Some((0..batch.num_rows()).map(key).collect())
}

/// The index of a data file that is being written.
#[derive(Debug, Default)]
pub(crate) struct KeyRun {
    /// Hash and row number of each row.
    entries: Vec<(u64, u32)>,
    /// Whether some rows have no key. Such a file gets no index.
    is_partial: bool,
}

impl KeyRun {
    /// Adds the next rows of the file.
    pub(crate) fn add(&mut self, def: &TableDef, batch: &RecordBatch) {
        match keys_of(def, batch) {
            Some(keys) => self.extend(keys.into_iter()),
            None => self.is_partial = true,
        }
    }

    fn extend(&mut self, keys: impl Iterator<Item = u128>) {
        match u32::try_from(self.entries.len()) {
            Ok(first) => self.entries.extend(keys.map(hash_of).zip(first..)),
            Err(_) => self.is_partial = true,
        }
    }

    /// Writes the index of the data file `path`.
    pub(crate) async fn finish(mut self, lake: &Lake, path: &str) -> Result<(), LakeError> {
        if self.is_partial || self.entries.is_empty() {
            return Ok(());
        }
        self.entries.sort_unstable();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let staged = lake.store().staging_file(folder)?;
        let written = self.write(staged.as_file());
        written.map_err(|source| LakeError::File {
            doing: "write",
            path: staged.path().to_owned(),
            source,
        })?;
        lake.store().put_file(&run_path(path), staged).await
    }

    fn write(&self, out: impl Write) -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 18, out);
        out.write_all(MAGIC)?;
        out.write_all(&(self.entries.len() as u64).to_le_bytes())?;
        for (hash, _) in &self.entries {
            out.write_all(&hash.to_le_bytes())?;
        }
        for (_, row) in &self.entries {
            out.write_all(&row.to_le_bytes())?;
        }
        out.flush()
    }
}

/// The path of a data file's index.
pub(crate) fn run_path(path: &str) -> String {
    format!("{}.keys", path.trim_end_matches(".parquet"))
}

/// The data file whose key index or time index an object is.
pub(crate) fn data_file_of(object: &Listed) -> Option<String> {
    let keys = object.path.strip_suffix(".keys");
    let stem = keys.or_else(|| object.path.strip_suffix(".times"))?;
    Some(format!("{stem}.parquet"))
}

/// The rows of a file whose hashes are in `wanted` (sorted, without duplicates): row number and position
/// of the hash in `wanted`, in order of rows. `None` where the file has no index.
///
/// # Errors
/// [`LakeError::Damaged`]: the index cannot be read, or is not one of this file.
pub async fn look_up(
    lake: &Lake,
    def: &TableDef,
    file: &DataFile,
    wanted: &[u64],
) -> Result<Option<Vec<(u32, usize)>>, LakeError> {
    let path = lake.path(&run_path(&format!("{}/{}", def.name, file.path)));
    let Ok(opened) = lake.store().open(&path).await else {
        return Ok(None);
    };
    let damaged = |detail: String| LakeError::Damaged {
        path: path.clone(),
        detail,
    };
    let found = search(&opened, file.rows, wanted);
    let mut found = found.map_err(|error| damaged(error.to_string()))?;
    found.sort_unstable();
    Ok(Some(found))
}

/// Whether the index of a file matches the keys of its rows. A file without an index matches.
pub(crate) async fn matches(
    lake: &Lake,
    def: &TableDef,
    file: &DataFile,
    keys: &[u128],
) -> Result<bool, LakeError> {
    let path = lake.path(&run_path(&format!("{}/{}", def.name, file.path)));
    let Some(found) = lake.store().get(&path).await? else {
        return Ok(true);
    };
    let mut run = KeyRun::default();
    run.extend(keys.iter().copied());
    run.entries.sort_unstable();
    let mut expected = Vec::with_capacity(found.len());
    run.write(&mut expected).map_err(|source| LakeError::File {
        doing: "compare",
        path: path.into(),
        source,
    })?;
    Ok(expected == found)
}

fn search(run: &File, rows: u64, wanted: &[u64]) -> std::io::Result<Vec<(u32, usize)>> {
    let mut header = [0; HEADER as usize];
    run.read_exact_at(&mut header, 0)?;
    let (magic, count) = header.split_at(8);
    let count = u64::from_le_bytes(count.try_into().unwrap_or_default());
    if magic != MAGIC || count != rows {
        let detail = format!("it is not an index of {rows} rows");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, detail));
    }
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
        return Ok(Vec::new());
    };
    // All wanted hashes lie between the first and the last.
    let mut known = Hashes::of(run, count);
    let begin = known.first_not_below(*first, 0)?;
    let end = match last.checked_add(1) {
        Some(beyond) => known.first_not_below(beyond, begin)?,
        None => count,
    };
    let most = (end - begin) / DENSE;
    let mut places = Vec::new();
    if wanted.len() as u64 > most {
        let hashes = numbers::<8>(run, HEADER + begin * 8, end - begin)?;
        let mut place = 0;
        for (entry, hash) in (begin..).zip(hashes) {
            let hash = u64::from_le_bytes(hash?);
            while place < wanted.len() && wanted[place] < hash {
                place += 1;
            }
            if wanted.get(place) == Some(&hash) {
                places.push((entry, place));
            }
        }
    } else {
        let mut from = begin;
        for (place, hash) in wanted.iter().enumerate() {
            from = known.first_not_below(*hash, from)?;
            let mut entry = from;
            while entry < count && known.at(entry)? == *hash {
                places.push((entry, place));
                entry += 1;
            }
        }
    }
    if places.len() as u64 <= most {
        let row = |(entry, place)| Ok((row_at(run, count, entry)?, place));
        return places.into_iter().map(row).collect();
    }
    let rows = numbers::<4>(run, HEADER + count * 8 + begin * 4, end - begin)?;
    let (mut rows, mut next) = ((begin..).zip(rows), places.into_iter().peekable());
    let mut found = Vec::with_capacity(next.len());
    while let (Some((entry, row)), Some(_)) = (rows.next(), next.peek()) {
        let row = u32::from_le_bytes(row?);
        while let Some((_, place)) = next.next_if(|(at, _)| *at == entry) {
            found.push((row, place));
        }
    }
    Ok(found)
}

/// Reads `count` consecutive numbers of `N` bytes.
fn numbers<const N: usize>(
    mut run: &File,
    from: u64,
    count: u64,
) -> std::io::Result<impl Iterator<Item = std::io::Result<[u8; N]>>> {
    run.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::with_capacity(1 << 18, run);
    Ok((0..count).map(move |_| {
        let mut bytes = [0; N];
        reader.read_exact(&mut bytes).map(|()| bytes)
    }))
}

/// The hashes of an index, read in blocks, since a search looks at several nearby hashes.
struct Hashes<'a> {
    run: &'a File,
    count: u64,
    /// The first entry of the block.
    first: u64,
    block: Vec<u8>,
}

impl<'a> Hashes<'a> {
    fn of(run: &'a File, count: u64) -> Self {
        Self {
            run,
            count,
            first: 0,
            block: Vec::new(),
        }
    }

    fn at(&mut self, entry: u64) -> std::io::Result<u64> {
        let held = self.first..self.first + self.block.len() as u64 / 8;
        if !held.contains(&entry) {
            self.first = entry.saturating_sub(BLOCK / 2);
            let entries = BLOCK.min(self.count - self.first);
            self.block.resize(8 * entries as usize, 0);
            let from = HEADER + self.first * 8;
            self.run.read_exact_at(&mut self.block, from)?;
        }
        let at = 8 * (entry - self.first) as usize;
        let bytes = self.block[at..at + 8].try_into().unwrap_or_default();
        Ok(u64::from_le_bytes(bytes))
    }

    /// The first entry from `from` on whose hash is at least `hash`. Hashes are evenly distributed, so the
    /// search begins at an estimate and doubles its steps until they enclose the hash.
    fn first_not_below(&mut self, hash: u64, from: u64) -> std::io::Result<u64> {
        let count = self.count;
        let guess = (u128::from(hash) * u128::from(count)) >> 64;
        let guess = u64::try_from(guess).unwrap_or(from).clamp(from, count);
        let (mut low, mut high, mut step) = (from, count, 64);
        if guess < count && self.at(guess)? < hash {
            low = guess + 1;
            while low + step < count && self.at(low + step)? < hash {
                low += step;
                step *= 2;
            }
            high = (low + step).min(count);
        } else {
            high = high.min(guess);
            while high > low + step && self.at(high - step)? >= hash {
                high -= step;
                step *= 2;
            }
            low = low.max(high.saturating_sub(step));
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle)? < hash {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }
}

fn row_at(run: &File, count: u64, entry: u64) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    run.read_exact_at(&mut bytes, HEADER + count * 8 + entry * 4)?;
    Ok(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{KeyRun, search};

    /// Every occurrence of every wanted hash is found, by bisection and by reading the whole index.
    #[test]
    fn key_index_finds_exactly_its_keys() {
        for rows in [1_u64, 2, 100, 10_000] {
            // Every third hash twice; spread, clustered at one end, and both ends of the range.
            let mut hashes: Vec<u64> = (0..rows)
                .map(|n| (n - n % 3).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .collect();
            hashes[0] = u64::MAX;
            let entries: Vec<(u64, u32)> = hashes.iter().copied().zip(0..).collect();
            let mut run = KeyRun {
                entries: entries.clone(),
                is_partial: false,
            };
            run.entries.sort_unstable();
            let mut file = tempfile::tempfile().unwrap();
            run.write(&file).unwrap();
            file.flush().unwrap();
            for step in [1, 7, 997] {
                let mut wanted: Vec<u64> = hashes.iter().copied().step_by(step).collect();
                wanted.extend([0, 1, 5, u64::MAX - 1]);
                wanted.sort_unstable();
                wanted.dedup();
                let mut found = search(&file, rows, &wanted).unwrap();
                found.sort_unstable();
                let expected: Vec<(u32, usize)> = entries
                    .iter()
                    .filter_map(|(hash, row)| Some((*row, wanted.binary_search(hash).ok()?)))
                    .collect();
                assert_eq!(found, expected, "{rows} rows, every {step}");
            }
        }
        assert!(search(&tempfile::tempfile().unwrap(), 1, &[1]).is_err());
    }
}
