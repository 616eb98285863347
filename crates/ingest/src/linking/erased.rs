//! Who was erased, so that they stay so when a provider sends them again.
//!
//! What is kept are HMACs under a key of their own of the record's name and of its tokens. Whoever has
//! that key and a guess can test the guess; nothing can be read from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use rollbook_identity::shared::Shared;
use rollbook_identity::token::Tokens;
use rollbook_lake::{Lake, LakeError, State};
use serde::{Deserialize, Serialize};

use super::marks::{Marking, Marks};

/// The named value that says where the list lies.
pub(crate) const ERASED: &str = "identity/erased";

/// What is known of those who were erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasedList {
    pub(crate) tokens: BTreeSet<String>,
}

/// Tells who was erased.
pub(crate) struct Erased {
    key: Option<Tokens>,
    list: ErasedList,
    tokens: Tokens,
    region: Option<String>,
}

impl Erased {
    /// Those of a snapshot; `tokens` under the tenant's key.
    pub(crate) async fn at(lake: &Lake, state: &State, tokens: Tokens) -> Result<Self, LakeError> {
        let list = list(lake, state).await?;
        let key = match list.tokens.is_empty() {
            true => None,
            false => lake.erasure_key().await?,
        };
        Ok(Self {
            key: key.map(|key| Tokens::new(&key)),
            list,
            tokens,
            region: state.settings()?.default_region,
        })
    }

    /// The records of a batch of persons that may come in; `None` where all may.
    pub(crate) fn admitted(&self, rows: &RecordBatch) -> Option<BooleanArray> {
        let key = self.key.as_ref()?;
        let marking = Marking {
            tokens: &self.tokens,
            shared: Shared::shipped(),
            region: self.region.as_deref(),
        };
        let providers = rows["provider"].as_string::<i32>();
        let ids = rows["external_id"].as_string::<i32>();
        let all: Vec<((), usize)> = (0..rows.num_rows()).map(|row| ((), row)).collect();
        let marks = marking.of_all(rows, &all).into_iter().enumerate();
        let is_admitted = |(row, (_, marks)): (usize, ((), Marks))| {
            let id = match ids.is_valid(row) {
                true => ids.value(row),
                false => "",
            };
            let mut names = names(key, providers.value(row), id, &marks).into_iter();
            Some(!names.any(|name| self.list.tokens.contains(&name)))
        };
        let admitted: BooleanArray = marks.map(is_admitted).collect();
        (admitted.true_count() < rows.num_rows()).then_some(admitted)
    }
}

/// What is known at a snapshot of those who were erased.
pub(crate) async fn list(lake: &Lake, state: &State) -> Result<ErasedList, LakeError> {
    match state.value::<String>(ERASED)? {
        Some(path) => lake.document(&path).await,
        None => Ok(ErasedList::default()),
    }
}

/// What stands for a record and for its values.
pub(crate) fn names(key: &Tokens, provider: &str, id: &str, marks: &Marks) -> Vec<String> {
    let record = key.of_kind("record", &format!("{provider}\0{id}"));
    let values = marks.values.iter().filter(|value| **value != 0);
    let values = values.map(|value| key.of_kind("value", &format!("{value:x}")));
    std::iter::once(record)
        .chain(values)
        .map(|name| name.to_string())
        .collect()
}

/// The key of a lake, made when it is first needed.
pub(crate) async fn key(lake: &Lake) -> Result<Tokens, LakeError> {
    let key: Arc<[u8]> = lake.erasure_key_or_new().await?;
    Ok(Tokens::new(&key))
}
