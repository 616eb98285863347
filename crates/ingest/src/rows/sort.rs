//! External merge sort of records of `N` numbers: sorted runs in temporary files, merged when read.
//!
//! This is the one sorter of our own, for keys and row numbers; rows of tables are sorted by DataFusion
//! (`table_order`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::vec;

/// Records per run, which are sorted in memory.
const WAITING: usize = 512 * 1024;
/// Bytes read from or written to a run on disk at once.
const BUFFER: usize = 64 << 10;

/// Takes records of `N` numbers in any order.
pub(crate) struct Sorter<const N: usize> {
    folder: PathBuf,
    most: usize,
    waiting: Vec<[u64; N]>,
    runs: Vec<File>,
}

impl<const N: usize> Sorter<N> {
    /// A sorter that spills to files in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            most: WAITING,
            waiting: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, record: [u64; N]) -> io::Result<()> {
        if self.waiting.len() >= self.most {
            self.spill()?;
        }
        self.waiting.push(record);
        Ok(())
    }

    /// The records in ascending order, compared number by number.
    pub(crate) fn sorted(mut self) -> io::Result<Sorted<N>> {
        self.waiting.sort_unstable();
        let mut sorted = Sorted {
            waiting: self.waiting.into_iter(),
            runs: self.runs.into_iter().map(Records::new).collect(),
            next: BinaryHeap::new(),
        };
        for run in 0..=sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }

    fn spill(&mut self) -> io::Result<()> {
        self.waiting.sort_unstable();
        let mut out = Records::create(&self.folder)?;
        for record in self.waiting.drain(..) {
            out.push(record)?;
        }
        self.runs.push(out.finish()?);
        Ok(())
    }
}

/// Records in order, merged from the runs on disk and the one in memory.
pub(crate) struct Sorted<const N: usize> {
    waiting: vec::IntoIter<[u64; N]>,
    runs: Vec<Records<BufReader<File>>>,
    /// The next record of each run that has one, with the index of the run; memory comes after the runs on
    /// disk.
    next: BinaryHeap<Reverse<([u64; N], usize)>>,
}

impl<const N: usize> Sorted<N> {
    fn advance(&mut self, run: usize) -> io::Result<()> {
        let record = match self.runs.get_mut(run) {
            Some(run) => run.read()?,
            None => self.waiting.next(),
        };
        let next = record.map(|record| Reverse((record, run)));
        self.next.extend(next);
        Ok(())
    }
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = io::Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, run)) = self.next.pop()?;
        Some(self.advance(run).map(|()| record))
    }
}

/// A temporary file of records, one after the other.
pub(crate) struct Records<F>(F);

impl Records<BufWriter<File>> {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self(BufWriter::with_capacity(BUFFER, file)))
    }

    pub(crate) fn push<const N: usize>(&mut self, record: [u64; N]) -> io::Result<()> {
        for number in record {
            self.0.write_all(&number.to_le_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<File> {
        let mut file = self.0.into_inner().map_err(|error| error.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

impl Records<BufReader<File>> {
    /// A reader from the file's current position.
    pub(crate) fn new(file: File) -> Self {
        Self(BufReader::with_capacity(BUFFER, file))
    }

    /// The next record; `None` at the end.
    pub(crate) fn read<const N: usize>(&mut self) -> io::Result<Option<[u64; N]>> {
        let mut record = [0; N];
        for (at, number) in record.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            match self.0.read_exact(&mut bytes) {
                Ok(()) => *number = u64::from_le_bytes(bytes),
                Err(error) if at == 0 && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sorter;

    proptest! {
        /// However many records fit in memory, the output is the sorted input.
        #[test]
        fn records_come_out_in_order(
            records in prop::collection::vec(prop::array::uniform2(0_u64..9), 0..200),
            most in 1_usize..50,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = Sorter { most, ..Sorter::new(folder.path()) };
            for record in &records {
                sorter.push(*record).unwrap();
            }
            let sorted: Vec<[u64; 2]> = sorter.sorted().unwrap().map(Result::unwrap).collect();
            let mut expected = records;
            expected.sort_unstable();
            prop_assert_eq!(sorted, expected);
        }
    }
}
