//! The parts of a stream of members. A stream holds some rows at a time, fewer if there are many streams, and encodes
//! few of them at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use roaring::RoaringTreemap;
use rollbook_app::rows::export::{ExportFormat, Exporter, ids};
use rollbook_app::segments::{self, Hashing, Refreshed};
use rollbook_app::{AppError, ArrowError, RecordBatch};
use rollbook_model::memory::MemoryReservation;
use tokio::time::sleep;

use crate::problem::{BUSY, Problem};
use crate::state::Server;
use crate::state::pulls::RunningPull;

/// Members at a time if only their ids are requested.
const IDS: usize = 8_192;
/// Bytes of a row with columns as long as that is not known.
const ROW_BYTES: usize = 256;
/// Members at a time if there are columns, between these bounds; at first no more than these.
const FIRST_PERSONS: usize = 8_192;
const MIN_PERSONS: usize = 1_024;
const MAX_PERSONS: usize = 50_000;
/// Rows that are encoded at a time if there are columns.
const ENCODED_ROWS: usize = 1_024;
/// Rows per Parquet row group at most; they are encoded together.
const ROW_GROUP_ROWS: usize = 131_072;
/// How long a stream waits for memory that others use.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// It waits for this fraction of all memory at most (one in so many).
const LARGEST_WAIT: usize = 16;
const WAIT: Duration = Duration::from_millis(200);

/// The parts of a stream of members.
pub(super) struct MemberParts {
    server: Server,
    refreshed: Refreshed,
    members: RoaringTreemap,
    columns: Vec<String>,
    hash: Option<Hashing>,
    format: ExportFormat,
    /// The next member to read, at the least; `None` after the last one.
    next: Option<u64>,
    /// Members to read at a time.
    persons: usize,
    /// The rows that were read, and how many of them are encoded.
    rows: Option<(RecordBatch, usize)>,
    /// Made with the first rows, which have the columns; `None` again at the end.
    exporter: Option<Exporter>,
    is_begun: bool,
    reservation: MemoryReservation,
    pull: RunningPull,
}

impl MemberParts {
    pub(super) fn new(
        server: Server,
        refreshed: Refreshed,
        members: RoaringTreemap,
        columns: Vec<String>,
        hash: Option<Hashing>,
        format: ExportFormat,
    ) -> Self {
        let mut own = Self {
            reservation: server.workspace().reservation(),
            pull: RunningPull::begin(server.pulls()),
            server,
            refreshed,
            members,
            columns,
            hash,
            format,
            next: Some(0),
            persons: 0,
            rows: None,
            exporter: None,
            is_begun: false,
        };
        match own.columns.is_empty() {
            true => own.adapt(size_of::<u64>()),
            false => {
                own.adapt(ROW_BYTES);
                own.persons = own.persons.min(FIRST_PERSONS);
            }
        }
        own
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The rows cannot be read or encoded; 503 `busy` if others use the memory for too long.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(bytes) = self.encode()? {
                return Ok(Some(bytes));
            }
            // What is read next must not be held beside the rows before.
            self.rows = None;
            self.reservation.resize(0);
            if self.next.is_none() && self.is_begun {
                let Some(exporter) = self.exporter.take() else {
                    return Ok(None);
                };
                let end = exporter.end().map_err(failed)?;
                return Ok((!end.is_empty()).then(|| end.into()));
            }
            self.read().await?;
        }
    }

    /// Encodes further rows of those that were read; `None` if there are none.
    fn encode(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some((rows, encoded)) = &mut self.rows else {
            return Ok(None);
        };
        let left = rows.num_rows() - *encoded;
        let exporter = match &mut self.exporter {
            Some(known) => known,
            none => none.insert(Exporter::new(self.format, &rows.schema()).map_err(failed)?),
        };
        if left == 0 && self.is_begun {
            return Ok(None);
        }
        let count = match (self.columns.is_empty(), self.format) {
            (true, _) | (_, ExportFormat::Parquet) => left,
            (false, _) => left.min(ENCODED_ROWS),
        };
        let bytes = exporter
            .write(&rows.slice(*encoded, count))
            .map_err(failed)?;
        *encoded += count;
        self.is_begun = true;
        Ok(Some(bytes.into()))
    }

    /// Reads the next rows.
    async fn read(&mut self) -> Result<(), Problem> {
        let Some(from) = self.next else {
            return Ok(());
        };
        let mut ids = self.members.iter();
        ids.advance_to(from);
        let mut some: Vec<u64> = ids.by_ref().take(self.persons).collect();
        self.next = ids.next();
        some.shrink_to_fit();
        let rows = self.rows_of(some).await?;
        let bytes = rows.get_array_memory_size();
        self.reservation.resize(bytes);
        if rows.num_rows() > 0 {
            self.adapt(bytes.div_ceil(rows.num_rows()));
        }
        self.rows = Some((rows, 0));
        Ok(())
    }

    /// Sets how many members are read at a time, given the bytes of a row.
    fn adapt(&mut self, row_bytes: usize) {
        let memory = self.server.workspace().limits.total_memory();
        let rows = self.pull.share_of(memory) / row_bytes.max(1);
        self.persons = match (self.columns.is_empty(), self.format) {
            (true, ExportFormat::Parquet) => rows.min(ROW_GROUP_ROWS),
            (true, _) => IDS,
            (false, _) => rows.clamp(MIN_PERSONS, MAX_PERSONS),
        };
    }

    /// Waits for a while until there is room for rows, so that they are not read in vain.
    async fn wait_for_room(&mut self, persons: usize, begun: Instant) {
        let Some(shared) = self.server.workspace().limits.shared else {
            return;
        };
        let needed = (persons * ROW_BYTES).min(shared.limit() / LARGEST_WAIT);
        while shared.available() < needed && begun.elapsed() < MAX_WAIT {
            sleep(WAIT).await;
        }
    }

    async fn rows_of(&mut self, members: Vec<u64>) -> Result<RecordBatch, Problem> {
        if self.columns.is_empty() {
            return ids(&members).map_err(failed);
        }
        let begun = Instant::now();
        loop {
            self.wait_for_room(members.len(), begun).await;
            let (of, columns, hash) = (self.refreshed.clone(), self.columns.clone(), self.hash);
            let members = members.clone();
            let found = self.server.compute(move |server| async move {
                segments::fields(server.workspace(), &of, &members, &columns, hash).await
            });
            match found.await {
                Err(problem) if problem.code == BUSY && begun.elapsed() < MAX_WAIT => {
                    sleep(WAIT).await;
                }
                found => return found,
            }
        }
    }
}

fn failed(source: ArrowError) -> Problem {
    Problem::from(AppError::Rows { source })
}
