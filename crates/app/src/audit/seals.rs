//! Seals: how long each chain was, and its last hash, under an authentication code of the master key.

use rollbook_lake::storage::Put;
use rollbook_lake::{AuthenticationKey, LakeError, LakeRoot, Store};
use rollbook_model::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, sleep};

use crate::audit::record::{digest, with_last_member, without_last_member};

/// The folder of the seals of all chains.
pub(super) const FOLDER: &str = "_audit/seals";
/// What the authentication codes of seals are for.
pub(super) const PURPOSE: &str = "rollbook audit seal";
/// What the text of a seal ends with: the code of all before it.
const CODE: &str = ",\"code\":\"";
/// Attempts to store a seal while other servers store theirs.
const ATTEMPTS: u32 = 50;
/// The pause after a lost attempt, which grows with each.
const PAUSE: Duration = Duration::from_millis(2);

/// The length and the last hash of a chain at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// Numbers of seals have no gaps, from 1.
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) chain: String,
    /// How many records the chain had.
    pub(super) records: u64,
    /// The hash of the last of them.
    pub(super) head: String,
    /// The digest of the seal before; empty for the first.
    pub(super) previous: String,
    /// The fingerprint of the master key of the code.
    pub(super) key: String,
}

/// A seal as it was read.
#[derive(Debug, Clone)]
pub(super) struct ReadSeal {
    pub(super) seal: Seal,
    text: String,
}

/// The key for new codes of a purpose. Reading the master key may take as long as its command.
pub(super) async fn key_of(
    root: &LakeRoot,
    purpose: &'static str,
) -> Result<AuthenticationKey, LakeError> {
    let master = root.master().clone();
    let read = tokio::task::spawn_blocking(move || master.authentication_key(purpose));
    read.await
        .unwrap_or_else(|_| Err(unreadable("the master key")))
}

fn unreadable(path: &str) -> LakeError {
    LakeError::Damaged {
        path: path.to_owned(),
        detail: "it cannot be read".to_owned(),
    }
}

pub(super) fn path(number: u64) -> String {
    format!("{FOLDER}/{number:020}.json")
}

/// The numbers of all seals, in order.
pub(super) async fn numbers(store: &Store) -> Result<Vec<u64>, LakeError> {
    let names = store.list(FOLDER).await?.into_iter();
    let numbers = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A seal; `None` if there is none with this number, an error in its place if it is none.
pub(super) async fn read(
    store: &Store,
    number: u64,
) -> Result<Option<Result<ReadSeal, ()>>, LakeError> {
    let Some(bytes) = store.get(&path(number)).await? else {
        return Ok(None);
    };
    let parsed = String::from_utf8(bytes.to_vec()).ok().and_then(|text| {
        let (body, _) = without_last_member(&text, CODE)?;
        let seal: Seal = serde_json::from_str(&format!("{body}}}")).ok()?;
        (seal.number == number).then_some(ReadSeal { seal, text })
    });
    Ok(Some(parsed.ok_or(())))
}

impl ReadSeal {
    /// What the next seal names.
    pub(super) fn digest(&self) -> String {
        digest(&self.text)
    }

    /// Whether its code is right; `None` if the master key of the code is not at hand any more.
    pub(super) async fn has_right_code(&self, root: &LakeRoot) -> Result<Option<bool>, LakeError> {
        let Some((body, code)) = without_last_member(&self.text, CODE) else {
            return Ok(Some(false));
        };
        let (master, fingerprint) = (root.master().clone(), self.seal.key.clone());
        let found = tokio::task::spawn_blocking(move || {
            master.authentication_key_of(&fingerprint, PURPOSE)
        });
        match found.await {
            Ok(Ok(key)) => Ok(Some(key.is_code_of(code, body.as_bytes()))),
            Ok(Err(LakeError::MasterKey { .. })) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(unreadable("the master key")),
        }
    }
}

/// Stores a seal of a chain with the next number. `last` is the number of the last known seal, which others may have
/// followed.
pub(super) async fn append(
    store: &Store,
    key: &AuthenticationKey,
    last: &mut Option<u64>,
    (chain, records, head): (&str, u64, &str),
    at: Timestamp,
) -> Result<(), LakeError> {
    for attempt in 1..=ATTEMPTS {
        let known = match *last {
            Some(known) => known,
            None => numbers(store).await?.last().copied().unwrap_or(0),
        };
        let previous = match known {
            0 => String::new(),
            known => match read(store, known).await? {
                Some(Ok(seal)) => seal.digest(),
                // What was changed stays provable: its text is named as it is.
                _ => store
                    .get(&path(known))
                    .await?
                    .map(digest)
                    .unwrap_or_default(),
            },
        };
        let seal = Seal {
            number: known + 1,
            at,
            chain: chain.to_owned(),
            records,
            head: head.to_owned(),
            previous,
            key: key.fingerprint().to_owned(),
        };
        let text = serde_json::to_string(&seal).map_err(|_| unreadable(&path(seal.number)))?;
        let (text, _) = with_last_member(&text, CODE, |body| key.code(body.as_bytes()));
        if store.put_new(&path(seal.number), text.as_bytes()).await? == Put::Done {
            *last = Some(seal.number);
            return Ok(());
        }
        *last = Some(known + 1);
        if attempt % 10 == 0 {
            // Far behind: look again.
            *last = None;
            sleep(PAUSE * attempt).await;
        }
    }
    Err(LakeError::Busy { attempts: ATTEMPTS })
}
