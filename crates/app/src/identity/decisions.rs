//! Decisions about records and persons: merges, splits, blocked values, erasure.

use rollbook_identity::token::{MatchRule, Tokens};
use rollbook_ingest::persons::decide::{
    self, Blocked, Decider, DecisionRequest, Followed, decided,
};
use rollbook_ingest::persons::erase::{self, Forgotten};
use rollbook_ingest::persons::erasure_list;
use rollbook_lake::State;
use serde_json::Value;

use super::lookup::PersonLookup;
use crate::identity::normal_form::normal;
use crate::{AppError, Workspace};

/// Makes a decision about records or persons; a dry run only returns its effect.
///
/// # Errors
/// There is no lake; the decision names a record, person or decision that does not exist, or contradicts the
/// state of the lake; the lake cannot be written.
pub async fn decide(
    workspace: &Workspace,
    wanted: &DecisionRequest,
    decider: &Decider,
) -> Result<Followed, AppError> {
    workspace.require("identity::decisions::decide")?;
    let lake = workspace.lake().await?;
    Ok(decide::decide(&lake, wanted, decider).await?)
}

/// Erases a person; a dry run only counts what would be deleted.
///
/// # Errors
/// There is no lake or no such person; the lake or the vault cannot be written.
pub async fn erase(
    workspace: &Workspace,
    person: i64,
    decider: &Decider,
) -> Result<Forgotten, AppError> {
    workspace.require("identity::decisions::erase")?;
    let lake = workspace.lake().await?;
    Ok(erase::erase(&lake, person, decider).await?)
}

/// The decisions in force.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn decisions(workspace: &Workspace) -> Result<Vec<Value>, AppError> {
    workspace.require("identity::decisions::decisions")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    Ok(decided(&lake, &state).await?)
}

/// The blocked values, which never link records.
///
/// # Errors
/// There is no lake; the caller may not read personal values.
pub async fn blocked(workspace: &Workspace) -> Result<Vec<Blocked>, AppError> {
    workspace.require("identity::decisions::blocked")?;
    workspace.require_personal_rights("blocked", "value")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let all = decide::blocked(&lake, &state).await?;
    Ok(all.into_iter().map(|(_, blocked)| blocked).collect())
}

/// Blocks an e-mail address or a phone number: it no longer links records, and records that it linked are
/// resolved again.
///
/// # Errors
/// There is no lake; [`AppError::NotBlockable`]; the value is blocked already; the lake cannot be written.
pub async fn block(
    workspace: &Workspace,
    text: &str,
    decider: &Decider,
) -> Result<Followed, AppError> {
    workspace.require("identity::decisions::block")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (rule, value) = normal_value(&state, text)?;
    let key = lake.token_key_or_new().await?;
    let blocked = Blocked {
        rule: rule.name().to_owned(),
        token: Tokens::new(&key).of(rule, &value).to_string(),
        value,
    };
    Ok(decide::decide(&lake, &DecisionRequest::Block(blocked), decider).await?)
}

/// Unblocks a value.
///
/// # Errors
/// There is no lake; [`AppError::NotBlockable`]; [`AppError::NotBlocked`]; the lake cannot be written.
pub async fn unblock(
    workspace: &Workspace,
    text: &str,
    decider: &Decider,
) -> Result<Followed, AppError> {
    workspace.require("identity::decisions::unblock")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (rule, value) = normal_value(&state, text)?;
    let mut all = decide::blocked(&lake, &state).await?.into_iter();
    let found = all.find(|(_, one)| one.rule == rule.name() && one.value == value);
    let (entry, _) = found.ok_or_else(|| AppError::NotBlocked {
        text: text.to_owned(),
    })?;
    Ok(decide::decide(&lake, &DecisionRequest::Undo(entry), decider).await?)
}

/// Lets records of an erased person be ingested again, by these values and records. Returns the number of
/// entries removed from the list of erased identifiers.
///
/// # Errors
/// There is no lake; [`AppError::NotBlockable`]; the lake cannot be written.
pub async fn readmit(
    workspace: &Workspace,
    lookups: &[PersonLookup],
    decider: &Decider,
) -> Result<u64, AppError> {
    workspace.require("identity::decisions::readmit")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let (mut records, mut values) = (Vec::new(), Vec::new());
    for one in lookups {
        match one {
            PersonLookup::External(provider, id) => records.push((provider.clone(), id.clone())),
            PersonLookup::Email(text) | PersonLookup::Phone(text) => {
                values.push(normal_value(&state, text)?);
            }
        }
    }
    Ok(erasure_list::readmit(&lake, &records, &values, decider).await?)
}

/// The rule and the normal form of a text: an e-mail address has an `@`, any other text is a phone number.
fn normal_value(state: &State, text: &str) -> Result<(MatchRule, String), AppError> {
    let rule = match text.contains('@') {
        true => MatchRule::Email,
        false => MatchRule::Phone,
    };
    let region = state.settings()?.default_region;
    let found = normal(rule, text, region.as_deref()).map(|value| (rule, value));
    found.ok_or_else(|| AppError::NotBlockable {
        text: text.to_owned(),
    })
}
