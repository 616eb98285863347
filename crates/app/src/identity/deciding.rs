//! Who is whom: how many records are how many persons, what waits for a decision, and deciding.

use std::str::FromStr;
use std::sync::Arc;

use rollbook_engine::Parameter;
use rollbook_identity::token::{MatchRule, Tokens};
use rollbook_ingest::persons::decide::{
    self, Blocked, Decider, DecisionRequest, Followed, Review, decided, records_with, reviews,
};
use rollbook_ingest::persons::erase::{self, Forgotten};
use rollbook_ingest::persons::erasure_list;
use rollbook_lake::State;
use rollbook_model::{ProviderName, Timestamp};
use rollbook_queries::identity as questions;
use serde::Serialize;
use serde_json::Value;

use crate::normal::normal;
use crate::rows::objects;
use crate::{AppError, Workspace};

/// How records are persons, by provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Records of persons.
    pub records: u64,
    /// Persons.
    pub persons: u64,
    /// Records that wait for a decision, with whatever hangs on them.
    pub ambiguous: u64,
    /// Pairs and more of persons who may be one.
    pub suggested: u64,
    /// Records whose rows lie with another person than theirs.
    pub moved: u64,
    /// The same by provider.
    pub providers: Vec<Value>,
}

/// A record to be decided about, with what is known of it and of whom it could be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewShown {
    /// By which rule it points to whom.
    #[serde(flatten)]
    pub review: Review,
    /// What it says.
    pub record: Value,
    /// What is known of those.
    pub persons: Vec<Value>,
}

/// By what a person is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// An e-mail address of any record of theirs.
    Email(String),
    /// A phone number of any record of theirs.
    Phone(String),
    /// A record, by provider and its id there.
    External(ProviderName, String),
}

impl FromStr for Sought {
    type Err = InvalidRecord;

    /// A record, as `PROVIDER:ID`.
    fn from_str(text: &str) -> Result<Self, InvalidRecord> {
        let parts = text.split_once(':');
        let parts = parts.and_then(|(provider, id)| Some((provider.parse().ok()?, id)));
        let (provider, id) = parts.ok_or_else(|| InvalidRecord(text.to_owned()))?;
        Ok(Self::External(provider, id.to_owned()))
    }
}

/// A text that names no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no record: write PROVIDER:ID, such as shopify:1234")]
pub struct InvalidRecord(String);

/// Counts records and persons.
pub async fn stats(workspace: &Workspace, now: Timestamp) -> Result<Stats, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, now).await?;
    let answer = session.query(questions::STATS).await?;
    let providers = objects(&answer.batches)?;
    let total = |name: &str| {
        let counts = providers.iter().filter_map(|row| row[name].as_u64());
        counts.sum::<u64>()
    };
    let persons = session.query(questions::PERSONS).await?;
    let persons = objects(&persons.batches)?;
    let persons = persons.first().and_then(|row| row["persons"].as_u64());
    let moves = lake.moves(&state).await?;
    let reviews = reviews(&lake, &state).await?;
    let ambiguous = reviews.iter().filter(|one| one.person_id == 0).count() as u64;
    Ok(Stats {
        records: total("records"),
        persons: persons.unwrap_or(0),
        ambiguous,
        suggested: reviews.len() as u64 - ambiguous,
        moved: moves.map_or(0, |moves| moves.iter().count() as u64),
        providers,
    })
}

/// The records that wait for a decision.
pub async fn waiting(workspace: &Workspace) -> Result<Vec<Review>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    Ok(reviews(&lake, &state).await?)
}

/// One of them, with both sides.
pub async fn review(
    workspace: &Workspace,
    identity: i64,
    now: Timestamp,
) -> Result<ReviewShown, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let review = decide::waiting(&lake, &state, identity).await?;
    let session = workspace.session(&lake, &state, now).await?;
    let shown = |rows: Vec<Value>| rows.into_iter().next().unwrap_or(Value::Null);
    // A record of a person is shown as the person.
    let record = match review.person_id {
        0 => {
            let id = [("identity_id", Parameter::Int(identity))];
            session.query_with(questions::RECORD, &id).await?
        }
        person => {
            let id = [("person_id", Parameter::Int(person))];
            session
                .query_with(rollbook_queries::questions::PERSON, &id)
                .await?
        }
    };
    let mut ids: Vec<i64> = review.candidates.iter().map(|one| one.person_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut persons = Vec::new();
    for person in ids {
        let id = [("person_id", Parameter::Int(person))];
        let found = session
            .query_with(rollbook_queries::questions::PERSON, &id)
            .await?;
        persons.push(shown(objects(&found.batches)?));
    }
    Ok(ReviewShown {
        review,
        record: shown(objects(&record.batches)?),
        persons,
    })
}

/// Decides, or only says what would follow.
pub async fn decide(
    workspace: &Workspace,
    wanted: &DecisionRequest,
    decider: &Decider,
) -> Result<Followed, AppError> {
    let lake = workspace.lake().await?;
    Ok(decide::decide(&lake, wanted, decider).await?)
}

/// Forgets a person, or only counts what would go.
pub async fn erase(
    workspace: &Workspace,
    person: i64,
    decider: &Decider,
) -> Result<Forgotten, AppError> {
    let lake = workspace.lake().await?;
    Ok(erase::erase(&lake, person, decider).await?)
}

/// The decisions that hold.
pub async fn decisions(workspace: &Workspace) -> Result<Vec<Value>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    Ok(decided(&lake, &state).await?)
}

/// The persons who have a record with this value; several where it is shared.
pub async fn find(
    workspace: &Workspace,
    sought: &Sought,
    now: Timestamp,
) -> Result<Vec<i64>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (tier, value) = match sought {
        Sought::External(provider, id) => {
            let session = workspace.session(&lake, &state, now).await?;
            let named = [
                ("provider", Parameter::Text(Some(provider.to_string()))),
                ("external_id", Parameter::Text(Some(id.clone()))),
            ];
            let found = session.query_with(questions::FIND_RECORD, &named).await?;
            let found = objects(&found.batches)?;
            return Ok(found
                .iter()
                .filter_map(|row| row["person_id"].as_i64())
                .collect());
        }
        Sought::Email(text) => (MatchRule::Email, text),
        Sought::Phone(text) => (MatchRule::Phone, text),
    };
    let region = state.settings()?.default_region;
    let mut values: Vec<String> = normal(tier, value, region.as_deref()).into_iter().collect();
    if values.is_empty() && tier == MatchRule::Phone {
        // Without a country it may be a number of any country that somebody is in.
        let session = workspace.session(&lake, &state, now).await?;
        let countries = session.query(questions::COUNTRIES).await?;
        for row in objects(&countries.batches)? {
            values.extend(normal(tier, value, row["country"].as_str()));
        }
    }
    let Some(key) = lake.token_key().await?.filter(|_| !values.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut persons = Vec::new();
    for value in values {
        let token = Tokens::new(&Arc::clone(&key)).of(tier, &value);
        persons.extend(records_with(&lake, &state, tier, token).await?);
    }
    persons.sort_unstable();
    persons.dedup();
    Ok(persons)
}

/// The values that match nobody because somebody said so.
pub async fn blocked(workspace: &Workspace) -> Result<Vec<Blocked>, AppError> {
    workspace.must_see("blocked", "value")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let all = decide::blocked(&lake, &state).await?;
    Ok(all.into_iter().map(|(_, blocked)| blocked).collect())
}

/// An e-mail address or a phone number matches nobody from now on; records that it joined are
/// resolved anew.
pub async fn block(
    workspace: &Workspace,
    text: &str,
    decider: &Decider,
) -> Result<Followed, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (tier, value) = value_of(&state, text)?;
    let key = lake.token_key_or_new().await?;
    let blocked = Blocked {
        rule: tier.name().to_owned(),
        token: Tokens::new(&key).of(tier, &value).to_string(),
        value,
    };
    Ok(decide::decide(&lake, &DecisionRequest::Block(blocked), decider).await?)
}

/// Takes that back.
pub async fn unblock(
    workspace: &Workspace,
    text: &str,
    decider: &Decider,
) -> Result<Followed, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (tier, value) = value_of(&state, text)?;
    let mut all = decide::blocked(&lake, &state).await?.into_iter();
    let found = all.find(|(_, one)| one.rule == tier.name() && one.value == value);
    let (entry, _) = found.ok_or_else(|| AppError::NotBlocked {
        text: text.to_owned(),
    })?;
    Ok(decide::decide(&lake, &DecisionRequest::Undo(entry), decider).await?)
}

/// Lets somebody who was erased come in again, with this value or record of theirs. How many names
/// stood in the way.
pub async fn readmit(
    workspace: &Workspace,
    sought: &[Sought],
    decider: &Decider,
) -> Result<u64, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (mut records, mut values) = (Vec::new(), Vec::new());
    for one in sought {
        match one {
            Sought::External(provider, id) => records.push((provider.clone(), id.clone())),
            Sought::Email(text) | Sought::Phone(text) => {
                values.push(value_of(&state, text)?);
            }
        }
    }
    Ok(erasure_list::readmit(&lake, &records, &values, decider).await?)
}

/// What a text is, in normal form: an e-mail address has an `@`.
fn value_of(state: &State, text: &str) -> Result<(MatchRule, String), AppError> {
    let tier = match text.contains('@') {
        true => MatchRule::Email,
        false => MatchRule::Phone,
    };
    let region = state.settings()?.default_region;
    let found = normal(tier, text, region.as_deref()).map(|value| (tier, value));
    found.ok_or_else(|| AppError::NotBlockable {
        text: text.to_owned(),
    })
}

/// Where a person went who has no records any longer.
pub async fn became(
    workspace: &Workspace,
    person: i64,
    now: Timestamp,
) -> Result<Option<i64>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let session = workspace.session(&lake, &state, now).await?;
    let (mut at, mut seen) = (person, Vec::new());
    loop {
        let id = [("person_id", Parameter::Int(at))];
        let found = session.query_with(questions::BECAME, &id).await?;
        let found = objects(&found.batches)?;
        let next = found.first().and_then(|row| row["to_person"].as_i64());
        match next.filter(|next| *next != 0 && *next != person && !seen.contains(next)) {
            Some(next) => seen.push(std::mem::replace(&mut at, next)),
            None => return Ok((at != person).then_some(at)),
        }
    }
}
