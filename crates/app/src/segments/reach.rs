//! Reach: which members can be contacted, after consent, suppression and holdout.

use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_lake::{Lake, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::membership;
use rollbook_segments::{Channel, Definition, Percent, SegmentError};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::NamedSegments;
use crate::access::Rights;
use crate::{AppError, Workspace, suppressions};

/// Number of members that remain after each step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The segment.
    pub segment: SegmentKey,
    /// The channel.
    pub channel: Channel,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// All members.
    pub matched: u64,
    /// Of these, those with an address for the channel.
    pub addressed: u64,
    /// Of these, those who consented.
    pub consented: u64,
    /// Of these, those who are not suppressed.
    pub not_suppressed: u64,
    /// Of these, those outside the holdout.
    pub not_held_out: u64,
    /// Members who can be contacted; equal to `not_held_out`.
    pub deliverable: u64,
}

/// Criteria of a channel: the person has an address, and consented.
fn conditions(channel: Channel) -> [&'static str; 2] {
    match channel {
        Channel::Email => [
            "email_domain is not null",
            "accepts_email_marketing and coalesce(gdpr_consent, true)",
        ],
        Channel::Sms => [
            "phone is not null",
            "accepts_sms_marketing and coalesce(gdpr_consent, true)",
        ],
    }
}

/// Counts the members who can be contacted over a channel, and those lost at each step.
///
/// # Errors
/// There is no lake; the segment does not exist; it was never refreshed; the query exceeds a limit.
pub async fn reach(
    workspace: &Workspace,
    key: &SegmentKey,
    channel: Option<Channel>,
    as_of: Timestamp,
) -> Result<Reach, AppError> {
    workspace.require("segments::reach::reach")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let definition = workspace.definition(&lake, &state, key).await?;
    workspace.require_channel(channel)?;
    let (_, members) = membership::members_now(&lake, &state, key).await?;
    let channel = channel.or(definition.channel).unwrap_or(Channel::Email);
    let (reach, _) = deliverable(
        workspace,
        &lake,
        &state,
        &definition,
        &members,
        channel,
        as_of,
    )
    .await?;
    Ok(reach)
}

/// The members who can be contacted, and the counts of each step.
pub(super) async fn deliverable(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    definition: &Definition,
    members: &RoaringTreemap,
    channel: Channel,
    as_of: Timestamp,
) -> Result<(Reach, RoaringTreemap), AppError> {
    let among = Some(Arc::new(members.clone()));
    // Who has an address counts, and no address is returned.
    let workspace = &workspace.with_rights(Rights::ALL);
    let session = workspace
        .session_of_persons(lake, state, as_of, among)
        .await?;
    let named = NamedSegments {
        definitions: Vec::new(),
        fixed: std::collections::BTreeMap::new(),
    };
    let parse = |text: &str| session.condition(text).map_err(SegmentError::from);
    let conditions = conditions(channel).map(parse);
    let conditions: Vec<_> = conditions.into_iter().collect::<Result<_, _>>()?;
    let met = named.evaluation(&session).each_of(&conditions).await?;
    let addressed = members & &met[0];
    let consented = &addressed & &met[1];
    let of = (lake, state);
    let suppressed =
        suppressions::suppressed_persons(workspace, of, &consented, channel, as_of).await?;
    let not_suppressed = &consented - &suppressed;
    let left = match definition.holdout {
        None => not_suppressed.clone(),
        Some(part) => not_suppressed
            .iter()
            .filter(|person| !is_sampled(*person, definition.key.as_str(), part))
            .collect(),
    };
    let reach = Reach {
        segment: definition.key.clone(),
        channel,
        snapshot: state.data,
        matched: members.len(),
        addressed: addressed.len(),
        consented: consented.len(),
        not_suppressed: not_suppressed.len(),
        not_held_out: left.len(),
        deliverable: left.len(),
    };
    Ok((reach, left))
}

/// Whether a person is in a sample of size `part`; deterministic for a salt.
///
/// The first 8 bytes of SHA-256(salt, zero byte, id as 8 bytes little-endian), read as a little-endian
/// number modulo 10,000, are compared with the part in hundredths of a percent.
pub(super) fn is_sampled(person: u64, salt: &str, part: Percent) -> bool {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update([0]);
    hash.update(person.to_le_bytes());
    let digest = hash.finalize();
    let first: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
    u64::from_le_bytes(first) % 10_000 < part.of_ten_thousand()
}

#[cfg(test)]
mod tests {
    use super::is_sampled;

    #[test]
    fn samples_have_the_expected_size_and_are_stable() {
        let part = "10".parse().unwrap();
        let drawn = |salt: &str| {
            (1..=20_000)
                .filter(|id| is_sampled(*id, salt, part))
                .count()
        };
        assert!((1_850..2_150).contains(&drawn("vip")), "{}", drawn("vip"));
        assert_eq!(drawn("vip"), drawn("vip"));
        let both = |id: &u64| is_sampled(*id, "vip", part) && is_sampled(*id, "lapsed", part);
        assert!((140..260).contains(&(1..=20_000).filter(both).count()));
        assert!((1..100).all(|id| is_sampled(id, "all", "100".parse().unwrap())));
        assert!(!(1..100).any(|id| is_sampled(id, "none", "0".parse().unwrap())));
    }
}
