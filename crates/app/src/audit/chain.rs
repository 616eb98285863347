//! Writing a chain: groups of records as objects, which are folded into larger ones.

use std::collections::VecDeque;

use rollbook_lake::storage::Put;
use rollbook_lake::{LakeError, Store};
use rollbook_model::Timestamp;
use uuid::Uuid;

use crate::audit::act::Act;
use crate::audit::record::{Record, digest, encode};
use crate::audit::summary::Summary;

/// The folder of all chains.
pub(super) const FOLDER: &str = "_audit/chains";
/// Groups that wait for a store that does not accept them, at most.
const MAX_WAITING: usize = 1_000;
/// A folded object of this size is not folded again.
const FOLDED_BYTES: usize = 8 << 20;

/// Why acts were not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("an act cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{MAX_WAITING} groups of acts wait for the store already")]
    Full,
    #[error("`{0}` was written by somebody else")]
    Foreign(String),
}

/// Consecutive records, as an object.
#[derive(Debug, Clone)]
struct Group {
    first: u64,
    records: u64,
    summary: Summary,
    bytes: Vec<u8>,
}

/// A chain that this process writes.
#[derive(Debug)]
pub(super) struct Chain {
    store: Store,
    /// Its name, which sorts by time.
    pub(super) name: String,
    /// Records with a number, stored or waiting.
    next: u64,
    /// The hash of the last of them.
    last: String,
    /// Groups that are not stored yet.
    waiting: VecDeque<Group>,
    /// Stored groups that are to be folded.
    unfolded: Vec<Group>,
    /// The number of stored records, and the hash of the last one.
    pub(super) stored: (u64, String),
}

/// What the first record of a chain names as the record before it.
pub(super) fn hash_before_first(chain: &str) -> String {
    digest(chain)
}

impl Chain {
    /// A new chain, of which nothing is stored yet.
    pub(super) fn new(store: Store, at: Timestamp) -> Self {
        let name = format!("{:016}-{}", at.micros().max(0), Uuid::new_v4().simple());
        let last = hash_before_first(&name);
        Self {
            store,
            name,
            next: 0,
            stored: (0, last.clone()),
            last,
            waiting: VecDeque::new(),
            unfolded: Vec::new(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Stores acts. When this fails they wait, and are stored with later ones.
    pub(super) async fn write(&mut self, acts: Vec<Act>) -> Result<(), ChainError> {
        if self.waiting.len() >= MAX_WAITING {
            self.store_waiting().await?;
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(ChainError::Full);
        }
        let group = self.encode(acts)?;
        self.waiting.push_back(group);
        self.store_waiting().await
    }

    fn encode(&mut self, acts: Vec<Act>) -> Result<Group, ChainError> {
        let (first, mut bytes) = (self.next, Vec::new());
        let mut summary = Summary::EMPTY;
        for act in acts {
            summary.add(&act);
            let record = Record {
                number: self.next,
                act,
                previous: self.last.clone(),
            };
            let (line, hash) = encode(&record)?;
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            self.next += 1;
            self.last = hash;
        }
        let records = self.next - first;
        Ok(Group {
            first,
            records,
            summary,
            bytes,
        })
    }

    pub(super) async fn store_waiting(&mut self) -> Result<(), ChainError> {
        while let Some(group) = self.waiting.front() {
            let path = self.path(group);
            // A put whose answer was lost may have been done.
            if self.store.put_new(&path, &group.bytes).await? == Put::Exists
                && self.store.get(&path).await?.as_deref() != Some(&group.bytes)
            {
                return Err(ChainError::Foreign(path));
            }
            let group = self.waiting.pop_front().expect("it was the front");
            let last = last_hash(&group.bytes).unwrap_or_default();
            self.stored = (group.first + group.records, last);
            self.unfolded.push(group);
        }
        Ok(())
    }

    /// Stored objects that are to be folded.
    pub(super) fn unfolded(&self) -> usize {
        self.unfolded.len()
    }

    /// Folds stored groups into one object. Readers find each record once or twice, and never not at all.
    pub(super) async fn fold(&mut self) -> Result<(), LakeError> {
        if self.unfolded.len() < 2 {
            return Ok(());
        }
        let mut summary = Summary::EMPTY;
        for group in &self.unfolded {
            summary.merge(&group.summary);
        }
        let folded = Group {
            summary,
            first: self.unfolded[0].first,
            records: self.unfolded.iter().map(|group| group.records).sum(),
            bytes: self
                .unfolded
                .iter()
                .flat_map(|group| group.bytes.iter().copied())
                .collect(),
        };
        self.store
            .put_over(&self.path(&folded), &folded.bytes)
            .await?;
        let parts: Vec<String> = self.unfolded.iter().map(|group| self.path(group)).collect();
        let is_large = folded.bytes.len() >= FOLDED_BYTES;
        self.unfolded = if is_large { Vec::new() } else { vec![folded] };
        for part in parts {
            self.store.delete(&part).await?;
        }
        Ok(())
    }

    fn path(&self, group: &Group) -> String {
        let Group { first, records, .. } = group;
        let (chain, summary) = (&self.name, group.summary.to_name());
        format!("{FOLDER}/{chain}/{first:020}-{records}-{summary}.ndjson")
    }
}

/// The hash at the end of the last line.
fn last_hash(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let hash = text.trim_end().strip_suffix("\"}")?.rsplit_once('"')?.1;
    Some(hash.to_owned())
}
