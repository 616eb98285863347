//! Who can really be reached: consent, suppression, holdout.

use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_lake::{Lake, State};
use rollbook_model::{SegmentKey, SnapshotNumber, Timestamp};
use rollbook_segments::membership;
use rollbook_segments::{Channel, Definition, Percent, definition};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Named;
use crate::{AppError, Workspace, suppressions};

/// How many remain after each step, from those who belong to those who can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The segment.
    pub segment: SegmentKey,
    /// How they are reached.
    pub channel: Channel,
    /// The snapshot of the data.
    pub snapshot: SnapshotNumber,
    /// How many belong.
    pub matched: u64,
    /// Of these, who has an address.
    pub addressed: u64,
    /// Of these, who consented.
    pub consented: u64,
    /// Of these, who is not suppressed.
    pub not_suppressed: u64,
    /// Of these, who is not held out.
    pub not_held_out: u64,
    /// Who is left.
    pub deliverable: u64,
}

/// The address that a channel needs, and the consent.
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

/// How many members of a segment can be reached, and what holds the others back.
pub async fn reach(
    workspace: &Workspace,
    key: &SegmentKey,
    channel: Option<Channel>,
    as_of: Timestamp,
) -> Result<Reach, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let definition = definition::show(&lake, &state, key).await?;
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

/// The members who can be reached, and how many each step leaves.
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
    let session = workspace.session_among(lake, state, as_of, among).await?;
    let named = Named {
        definitions: Vec::new(),
        fixed: std::collections::BTreeMap::new(),
    };
    let texts = conditions(channel).map(str::to_owned);
    let met = named.evaluation(&session).each_of(&texts).await?;
    let addressed = members & &met[0];
    let consented = &addressed & &met[1];
    let of = (lake, state);
    let suppressed = suppressions::persons(workspace, of, &consented, channel, as_of).await?;
    let not_suppressed = &consented - &suppressed;
    let left = match definition.holdout {
        None => not_suppressed.clone(),
        Some(part) => not_suppressed
            .iter()
            .filter(|person| !is_drawn(*person, definition.key.as_str(), part))
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

/// Whether a person is drawn where a part of all is: always the same for the same salt.
///
/// The first eight bytes of the SHA-256 of the salt, a zero byte and the id (eight bytes, the
/// lowest first), taken as a number with the lowest byte first, modulo 10,000, lie below the part
/// in hundredths of a percent.
pub(super) fn is_drawn(person: u64, salt: &str, part: Percent) -> bool {
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
    use super::is_drawn;

    #[test]
    fn holdout_is_stable_and_of_the_given_size() {
        let part = "10".parse().unwrap();
        let drawn = |salt: &str| (1..=20_000).filter(|id| is_drawn(*id, salt, part)).count();
        assert!((1_850..2_150).contains(&drawn("vip")), "{}", drawn("vip"));
        assert_eq!(drawn("vip"), drawn("vip"));
        let both = |id: &u64| is_drawn(*id, "vip", part) && is_drawn(*id, "lapsed", part);
        assert!((140..260).contains(&(1..=20_000).filter(both).count()));
        assert!((1..100).all(|id| is_drawn(id, "all", "100".parse().unwrap())));
        assert!(!(1..100).any(|id| is_drawn(id, "none", "0".parse().unwrap())));
    }
}
