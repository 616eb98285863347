//! Reading chains: their objects, and the acts in them, newest first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rollbook_lake::{LakeError, Store};
use rollbook_model::{TenantName, Timestamp};

use crate::AppError;
use crate::access::KeyPrefix;
use crate::audit::act::Act;
use crate::audit::chain::FOLDER;
use crate::audit::record::decode;
use crate::audit::summary::Summary;

/// Attempts to read the objects of a chain while they are folded.
const ATTEMPTS: usize = 20;
/// Times that objects are listed again because some seem to be missing: they were folded while they were listed.
const LISTINGS: usize = 3;
/// Acts of a page, if nothing else is said.
pub const DEFAULT_ACTS: usize = 1_000;

/// An object of a chain.
#[derive(Debug, Clone)]
pub(super) struct ChainObject {
    pub(super) path: String,
    pub(super) first: u64,
    pub(super) records: u64,
    /// What its name says of its acts; `None` if it says nothing.
    pub(super) summary: Option<Summary>,
}

/// The chain, the numbers and the summary in the path of an object.
fn parse(path: &str) -> Option<(&str, ChainObject)> {
    let below = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let (chain, name) = below.split_once('/')?;
    let mut parts = name.strip_suffix(".ndjson")?.splitn(3, '-');
    let (first, records) = (
        parts.next()?.parse::<u64>().ok()?,
        parts.next()?.parse::<u64>().ok()?,
    );
    first.checked_add(records)?;
    let summary = match parts.next() {
        Some(summary) => Some(Summary::of_name(summary)?),
        None => None,
    };
    let path = path.to_owned();
    let object = ChainObject {
        path,
        first,
        records,
        summary,
    };
    Some((chain, object))
}

/// The objects of each chain by their first records, the larger one first.
pub(super) async fn chains(store: &Store) -> Result<BTreeMap<String, Vec<ChainObject>>, LakeError> {
    let mut chains: BTreeMap<String, Vec<ChainObject>> = BTreeMap::new();
    for listed in store.walk(FOLDER).await? {
        if let Some((chain, object)) = parse(&listed.path) {
            chains.entry(chain.to_owned()).or_default().push(object);
        }
    }
    for objects in chains.values_mut() {
        objects.sort_by_key(|object| (object.first, u64::MAX - object.records));
    }
    Ok(chains)
}

/// Calls `read` for each object of a chain with its bytes, except those whose records are all in a larger one.
pub(super) async fn for_each_object(
    store: &Store,
    chain: &str,
    mut objects: Vec<ChainObject>,
    mut read: impl FnMut(&ChainObject, &Bytes),
) -> Result<(), LakeError> {
    let (mut next, mut attempts) = (0, 0);
    while let Some(object) = objects
        .iter()
        .find(|object| object.first + object.records > next)
        .cloned()
    {
        match store.get(&object.path).await? {
            Some(bytes) => {
                read(&object, &bytes);
                next = object.first + object.records.max(1);
            }
            None if attempts < ATTEMPTS => {
                // It was folded meanwhile.
                attempts += 1;
                objects = chains(store).await?.remove(chain).unwrap_or_default();
            }
            None => return Err(unreadable(object.path)),
        }
    }
    Ok(())
}

fn unreadable(path: String) -> LakeError {
    LakeError::Damaged {
        path,
        detail: "it is listed and cannot be read".to_owned(),
    }
}

/// Which acts are wanted.
#[derive(Debug, Clone)]
pub struct ActFilter {
    /// Only acts from then on.
    pub since: Option<Timestamp>,
    /// Only acts before then.
    pub until: Option<Timestamp>,
    /// Only those of the holder of a key.
    pub who: Option<KeyPrefix>,
    /// Only those in a tenant.
    pub tenant: Option<TenantName>,
    /// Only the newest of them, this many.
    pub limit: usize,
}

impl Default for ActFilter {
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            who: None,
            tenant: None,
            limit: DEFAULT_ACTS,
        }
    }
}

impl ActFilter {
    fn has(&self, act: &Act) -> bool {
        self.since.is_none_or(|since| act.at >= since)
            && self.until.is_none_or(|until| act.at < until)
            && self.who.as_ref().is_none_or(|who| act.caller.is_key(who))
            && self
                .tenant
                .as_ref()
                .is_none_or(|tenant| act.tenant.as_ref() == Some(tenant))
    }

    /// Whether an object may have acts that are wanted.
    fn may_be_in(&self, object: &ChainObject) -> bool {
        object.summary.is_none_or(|summary| {
            summary.may_be_within(self.since, self.until)
                && self
                    .who
                    .as_ref()
                    .is_none_or(|who| summary.may_have_key(who))
                && self
                    .tenant
                    .as_ref()
                    .is_none_or(|tenant| summary.may_have_tenant(tenant))
        })
    }
}

/// An act with its place.
pub(super) struct FoundAct {
    chain: Arc<str>,
    number: u64,
    pub(super) act: Act,
}

/// Reads the wanted acts object by object, the object with the latest act first. Only one object is in memory.
pub(super) struct ActReader {
    store: Store,
    filter: ActFilter,
    /// Objects that are not read yet, the next one last; `None` before they are listed.
    objects: Option<Vec<(Arc<str>, ChainObject)>>,
    /// Numbers of records that were read: an object may hold records of others.
    read: BTreeMap<Arc<str>, Vec<Range<u64>>>,
    attempts: usize,
}

impl ActReader {
    pub(super) fn new(store: Store, filter: ActFilter) -> Self {
        Self {
            store,
            filter,
            objects: None,
            read: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// The objects that are to be read, the one with the latest act last.
    async fn list(&self) -> Result<Vec<(Arc<str>, ChainObject)>, LakeError> {
        let (mut wanted, mut has_gap) = self.list_once().await?;
        for _ in 1..LISTINGS {
            if has_gap {
                (wanted, has_gap) = self.list_once().await?;
            }
        }
        wanted.sort_by_key(|(_, object)| {
            object.summary.map_or(i64::MAX, |summary| summary.last_at())
        });
        Ok(wanted)
    }

    /// The objects that are to be read, and whether some seem to be missing.
    async fn list_once(&self) -> Result<(Vec<(Arc<str>, ChainObject)>, bool), LakeError> {
        let (mut wanted, mut has_gap) = (Vec::new(), false);
        for (chain, objects) in chains(&self.store).await? {
            let (chain, mut next) = (Arc::<str>::from(chain), 0);
            for object in objects {
                let end = object.first + object.records;
                // All its records are in the one before.
                if end <= next {
                    continue;
                }
                has_gap |= object.first > next;
                next = end;
                if self.filter.may_be_in(&object) && !self.has_read(&chain, &(object.first..end)) {
                    wanted.push((Arc::clone(&chain), object));
                }
            }
        }
        Ok((wanted, has_gap))
    }

    fn has_read(&self, chain: &str, numbers: &Range<u64>) -> bool {
        let read = self.read.get(chain).into_iter().flatten();
        let mut read = read.filter(|read| read.contains(&numbers.start));
        read.any(|read| read.end >= numbers.end)
    }

    /// The wanted acts of the next object, in no order; `None` after the last one, and if no later object has an act
    /// at `reaching` or later.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub(super) async fn next(
        &mut self,
        reaching: Option<Timestamp>,
    ) -> Result<Option<Vec<FoundAct>>, LakeError> {
        loop {
            if self.objects.is_none() {
                self.objects = Some(self.list().await?);
            }
            let Some((chain, object)) = self.objects.as_mut().and_then(Vec::pop) else {
                return Ok(None);
            };
            if let (Some(at), Some(summary)) = (reaching, object.summary)
                && !summary.may_reach(at)
            {
                return Ok(None);
            }
            match self.store.get(&object.path).await? {
                Some(bytes) => return Ok(Some(self.acts_of(chain, &object, &bytes))),
                None if self.attempts < ATTEMPTS => {
                    // It was folded meanwhile.
                    self.attempts += 1;
                    self.objects = None;
                }
                None => return Err(unreadable(object.path)),
            }
        }
    }

    fn acts_of(&mut self, chain: Arc<str>, object: &ChainObject, bytes: &[u8]) -> Vec<FoundAct> {
        let numbers = object.first..object.first + object.records;
        let before = self.read.entry(Arc::clone(&chain)).or_default();
        let overlapping: Vec<Range<u64>> = before
            .iter()
            .filter(|read| read.start < numbers.end && numbers.start < read.end)
            .cloned()
            .collect();
        before.push(numbers.clone());
        let lines = std::str::from_utf8(bytes).unwrap_or_default().lines();
        let new = lines
            .zip(numbers)
            .filter(|(_, number)| !overlapping.iter().any(|read| read.contains(number)));
        new.filter_map(|(line, number)| {
            let act = decode(line)?.record.act;
            self.filter.has(&act).then(|| FoundAct {
                chain: Arc::clone(&chain),
                number,
                act,
            })
        })
        .collect()
    }
}

/// The newest acts of all chains that are wanted, by time. Memory is bounded by them and one object. Lines that are no
/// records are left out: [`super::verify()`] names them.
///
/// # Errors
/// The lake cannot be read.
pub async fn acts(store: &Store, filter: &ActFilter) -> Result<Vec<Act>, AppError> {
    let mut reader = ActReader::new(store.clone(), filter.clone());
    let mut newest: BTreeMap<(Timestamp, Arc<str>, u64), Act> = BTreeMap::new();
    loop {
        let oldest = newest.first_key_value().map(|((at, ..), _)| *at);
        let is_full = newest.len() >= filter.limit;
        let Some(found) = reader.next(oldest.filter(|_| is_full)).await? else {
            break;
        };
        for FoundAct { chain, number, act } in found {
            newest.insert((act.at, chain, number), act);
            if newest.len() > filter.limit {
                newest.pop_first();
            }
        }
    }
    Ok(newest.into_values().collect())
}
