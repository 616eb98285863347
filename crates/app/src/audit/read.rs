//! Reading chains: their objects, and the acts in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use rollbook_lake::{LakeError, Store};
use rollbook_model::{TenantName, Timestamp};

use crate::AppError;
use crate::access::KeyPrefix;
use crate::audit::act::Act;
use crate::audit::chain::FOLDER;
use crate::audit::record::decode;

/// Attempts to read the objects of a chain while they are folded.
const ATTEMPTS: usize = 20;

/// An object of a chain.
#[derive(Debug, Clone)]
pub(super) struct ChainObject {
    pub(super) path: String,
    pub(super) first: u64,
    pub(super) records: u64,
}

/// The objects of each chain by their first records, the larger one first.
pub(super) async fn chains(store: &Store) -> Result<BTreeMap<String, Vec<ChainObject>>, LakeError> {
    let mut chains: BTreeMap<String, Vec<ChainObject>> = BTreeMap::new();
    let prefix = format!("{FOLDER}/");
    for listed in store.walk(FOLDER).await? {
        let parsed = listed.path.strip_prefix(&prefix).and_then(|below| {
            let (chain, name) = below.split_once('/')?;
            let (first, records) = name.strip_suffix(".ndjson")?.split_once('-')?;
            let (first, records) = (first.parse::<u64>().ok()?, records.parse::<u64>().ok()?);
            first.checked_add(records)?;
            Some((chain, first, records))
        });
        if let Some((chain, first, records)) = parsed {
            let objects = chains.entry(chain.to_owned()).or_default();
            objects.push(ChainObject {
                first,
                records,
                path: listed.path.clone(),
            });
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
            None => {
                return Err(LakeError::Damaged {
                    path: object.path,
                    detail: "it is listed and cannot be read".to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// Which acts are wanted.
#[derive(Debug, Clone, Default)]
pub struct ActFilter {
    /// Only acts from then on.
    pub since: Option<Timestamp>,
    /// Only those of the holder of a key.
    pub who: Option<KeyPrefix>,
    /// Only those in a tenant.
    pub tenant: Option<TenantName>,
    /// Only the newest of them, this many.
    pub limit: Option<usize>,
}

impl ActFilter {
    fn has(&self, act: &Act) -> bool {
        self.since.is_none_or(|since| act.at >= since)
            && self.who.as_ref().is_none_or(|who| act.caller.is_key(who))
            && self
                .tenant
                .as_ref()
                .is_none_or(|tenant| act.tenant.as_ref() == Some(tenant))
    }
}

/// The acts of all chains by time. Lines that are no records are left out: [`super::verify()`] names them.
///
/// # Errors
/// The lake cannot be read.
pub async fn acts(store: &Store, filter: &ActFilter) -> Result<Vec<Act>, AppError> {
    let mut found = Vec::new();
    for (chain, objects) in chains(store).await? {
        let mut seen = 0;
        let read = |object: &ChainObject, bytes: &Bytes| {
            let lines = std::str::from_utf8(bytes).unwrap_or_default().lines();
            // An object may begin with records of the one before it.
            let new = lines
                .zip(object.first..)
                .filter(|(_, number)| *number >= seen);
            for (line, _) in new {
                if let Some(read) = decode(line)
                    && filter.has(&read.record.act)
                {
                    found.push(read.record.act);
                }
            }
            seen = seen.max(object.first + object.records);
        };
        for_each_object(store, &chain, objects, read).await?;
    }
    found.sort_by_key(|act| act.at);
    let limit = filter.limit.unwrap_or(usize::MAX);
    Ok(found.split_off(found.len().saturating_sub(limit)))
}
