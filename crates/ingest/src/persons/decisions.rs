//! The decisions about records that are in force.

use std::collections::{BTreeSet, HashMap, HashSet};

use rollbook_identity::resolve::Decision;
use rollbook_identity::token::{MatchRule, Token};
use rollbook_lake::{Lake, LakeError, State};
use rollbook_model::Timestamp;
use serde::{Deserialize, Serialize};

/// The named value with the path of the decisions.
pub(crate) const DECISIONS: &str = "identity/decisions";

/// [`StoredDecision::how`] of a split.
pub(crate) const SPLIT: &str = "split";

/// Who decides, and when.
#[derive(Debug, Clone)]
pub struct Decider {
    /// A name.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Only compute the result, and write nothing.
    pub dry_run: bool,
}

/// What was decided about two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Their persons are one.
    Same,
    /// The first is the second's person.
    Belongs,
    /// They are not one person, whatever their values say.
    Different,
    /// A review is postponed.
    Later,
    /// A value never links records.
    Blocked,
}

/// A value that never links records, because somebody blocked it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// What it is: email or phone.
    pub rule: String,
    /// Its normal form.
    pub value: String,
    /// Its token.
    pub token: String,
}

impl Blocked {
    /// The match rule and the token of the value.
    pub(crate) fn token(&self) -> Option<(MatchRule, Token)> {
        let match_rule = MatchRule::ALL
            .iter()
            .find(|match_rule| match_rule.name() == self.rule)?;
        Some((*match_rule, self.token.parse().ok()?))
    }
}

/// A decision, with its time and author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredDecision {
    /// Its entry in the log.
    pub(crate) entry: String,
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The pairs of records that it is about.
    pub(crate) pairs: Vec<[i64; 2]>,
    /// The value that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blocked: Option<Blocked>,
    /// The time.
    pub(crate) at: Timestamp,
    /// The author.
    pub(crate) by: String,
    /// In words: merge, split, review or blocked.
    pub(crate) how: String,
}

/// All decisions in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Decisions {
    /// In order of time.
    pub(crate) all: Vec<StoredDecision>,
}

impl Decisions {
    /// The decisions in force at a snapshot.
    pub(crate) async fn at(lake: &Lake, state: &State) -> Result<Self, LakeError> {
        match state.value::<String>(DECISIONS)? {
            Some(path) => lake.document(&path).await,
            None => Ok(Self::default()),
        }
    }

    /// Whether the review of a record is postponed.
    pub(crate) fn is_later(&self, identity: i64) -> bool {
        let mut all = self.all.iter();
        all.any(|one| one.verdict == Verdict::Later && one.pairs.contains(&[identity, identity]))
    }

    /// Tokens of the blocked values.
    pub(crate) fn blocked(&self) -> impl Iterator<Item = u128> + '_ {
        let blocked = self.all.iter().filter_map(|one| one.blocked.as_ref());
        blocked.filter_map(|one| Some(one.token()?.1.0))
    }

    /// The splits: the time of each, and the records that it separated, which were one person until then.
    pub(crate) fn splits(&self) -> Vec<(Timestamp, BTreeSet<i64>)> {
        let splits = self.all.iter().filter(|one| one.how == SPLIT);
        splits
            .map(|one| (one.at, one.pairs.iter().flatten().copied().collect()))
            .collect()
    }

    /// Records that appear in a decision together with this one.
    pub(crate) fn others(&self, identity: i64) -> impl Iterator<Item = i64> + '_ {
        let pairs = self.all.iter().flat_map(|decided| &decided.pairs);
        pairs.filter_map(move |[a, b]| match (*a == identity, *b == identity) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            _ => None,
        })
    }

    /// The decisions about records in `places`, the latest of each pair, in the form that the resolution
    /// takes.
    pub(crate) fn among(&self, places: &HashMap<i64, u32>) -> Vec<Decision> {
        let mut among = Vec::new();
        let mut known = HashSet::new();
        // The last decision about two records is in force: a merge that is split again is not.
        for decided in self.all.iter().rev() {
            let decision = match decided.verdict {
                Verdict::Same => Decision::Same,
                Verdict::Belongs => Decision::Belongs,
                Verdict::Different => Decision::Different,
                Verdict::Later | Verdict::Blocked => continue,
            };
            for [a, b] in decided.pairs.iter().rev() {
                let (Some(a), Some(b)) = (places.get(a), places.get(b)) else {
                    continue;
                };
                if known.insert([a.min(b), a.max(b)]) {
                    among.push(decision(*a, *b));
                }
            }
        }
        among.reverse();
        among
    }
}
