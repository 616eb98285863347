//! Finding persons: by e-mail address, by phone number, by record, and by an id from before a merge.

use std::str::FromStr;
use std::sync::Arc;

use rollbook_engine::Parameter;
use rollbook_identity::token::{MatchRule, Tokens};
use rollbook_ingest::persons::decide::records_with;
use rollbook_model::{ProviderName, Timestamp};
use rollbook_queries::identity as questions;

use crate::identity::normal_form::normal;
use crate::rows::objects;
use crate::{AppError, Workspace};

/// The value to find persons by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonLookup {
    /// An e-mail address of any of their records.
    Email(String),
    /// A phone number of any of their records.
    Phone(String),
    /// A record, by provider and id at the provider.
    External(ProviderName, String),
}

impl FromStr for PersonLookup {
    type Err = InvalidRecordName;

    /// Parses a record name of the form `PROVIDER:ID`.
    fn from_str(text: &str) -> Result<Self, InvalidRecordName> {
        let parts = text.split_once(':');
        let parts = parts.and_then(|(provider, id)| Some((provider.parse().ok()?, id)));
        let (provider, id) = parts.ok_or_else(|| InvalidRecordName(text.to_owned()))?;
        Ok(Self::External(provider, id.to_owned()))
    }
}

/// A text that is not of the form `PROVIDER:ID`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a record name: write PROVIDER:ID, such as shopify:1234")]
pub struct InvalidRecordName(String);

/// The ids of persons who have a record with this value; several if they share it.
///
/// # Errors
/// There is no lake, or it cannot be read; the value is personal, and the caller may not read personal values.
pub async fn find(
    workspace: &Workspace,
    lookup: &PersonLookup,
    now: Timestamp,
) -> Result<Vec<i64>, AppError> {
    workspace.require("identity::lookup::find")?;
    match lookup {
        PersonLookup::Email(_) => workspace.require_personal_rights("persons", "email")?,
        PersonLookup::Phone(_) => workspace.require_personal_rights("persons", "phone")?,
        PersonLookup::External(..) => {}
    }
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (rule, value) = match lookup {
        PersonLookup::External(provider, id) => {
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
        PersonLookup::Email(text) => (MatchRule::Email, text),
        PersonLookup::Phone(text) => (MatchRule::Phone, text),
    };
    let region = state.settings()?.default_region;
    let mut values: Vec<String> = normal(rule, value, region.as_deref()).into_iter().collect();
    if values.is_empty() && rule == MatchRule::Phone {
        // Without a country code, try the countries of all persons.
        let session = workspace.session(&lake, &state, now).await?;
        let countries = session.query(questions::COUNTRIES).await?;
        for row in objects(&countries.batches)? {
            values.extend(normal(rule, value, row["country"].as_str()));
        }
    }
    let Some(key) = lake.token_key().await?.filter(|_| !values.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut persons = Vec::new();
    for value in values {
        let token = Tokens::new(&Arc::clone(&key)).of(rule, &value);
        persons.extend(records_with(&lake, &state, rule, token).await?);
    }
    persons.sort_unstable();
    persons.dedup();
    Ok(persons)
}

/// The person that a person was merged into; `None` if they were not merged.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn merged_into(
    workspace: &Workspace,
    person: i64,
    now: Timestamp,
) -> Result<Option<i64>, AppError> {
    workspace.require("identity::lookup::merged_into")?;
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
