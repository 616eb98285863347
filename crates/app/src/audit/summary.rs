//! What the name of an object says of the acts in it, so that readers can leave the object out.

use rollbook_model::{TenantName, Timestamp};
use sha2::{Digest, Sha256};

use crate::access::KeyPrefix;
use crate::audit::act::{Act, Caller};

/// Bytes of the filter: two bits are set for each caller and each tenant, so that a filter of a hundred of them still
/// says of most others that they are not there.
const FILTER_BYTES: usize = 32;

/// When the acts of an object were, and a filter of their callers and tenants. Anybody who can write the lake can give
/// an object another name, which [`super::verify()`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// Microseconds of the earliest act.
    first_at: i64,
    /// Microseconds of the latest act.
    last_at: i64,
    filter: [u8; FILTER_BYTES],
}

/// Microseconds of an act; times before 1970 have no place in a name.
fn micros(at: Timestamp) -> i64 {
    at.micros().max(0)
}

/// The two bits of a text: their byte, and their place in it.
fn bits(text: &str) -> [(usize, u8); 2] {
    let digest = Sha256::digest(text);
    [digest[0], digest[1]].map(|byte| (usize::from(byte >> 3), 1 << (byte & 7)))
}

fn name_of(tenant: &TenantName) -> String {
    format!("tenant:{tenant}")
}

impl Summary {
    /// The summary of no acts.
    pub(super) const EMPTY: Self = Self {
        first_at: i64::MAX,
        last_at: 0,
        filter: [0; FILTER_BYTES],
    };

    /// Adds an act.
    pub(super) fn add(&mut self, act: &Act) {
        let at = micros(act.at);
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
        self.insert(&act.caller.to_string());
        if let Some(tenant) = &act.tenant {
            self.insert(&name_of(tenant));
        }
    }

    /// Adds the acts of another summary.
    pub(super) fn merge(&mut self, other: &Self) {
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        for (byte, more) in self.filter.iter_mut().zip(other.filter) {
            *byte |= more;
        }
    }

    fn insert(&mut self, text: &str) {
        for (byte, bit) in bits(text) {
            self.filter[byte] |= bit;
        }
    }

    fn may_have(&self, text: &str) -> bool {
        bits(text)
            .into_iter()
            .all(|(byte, bit)| self.filter[byte] & bit != 0)
    }

    /// Whether an act of a caller may be in the object.
    pub(super) fn may_have_key(&self, key: &KeyPrefix) -> bool {
        self.may_have(&Caller::Key(key.to_string()).to_string())
    }

    /// Whether an act in a tenant may be in the object.
    pub(super) fn may_have_tenant(&self, tenant: &TenantName) -> bool {
        self.may_have(&name_of(tenant))
    }

    /// Whether an act from `since` on and before `until` may be in the object.
    pub(super) fn may_be_within(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        since.is_none_or(|since| self.last_at >= micros(since))
            && until.is_none_or(|until| self.first_at < until.micros())
    }

    /// Whether the object may have an act at a moment or later.
    pub(super) fn may_reach(&self, at: Timestamp) -> bool {
        self.last_at >= micros(at)
    }

    /// Microseconds of the latest act.
    pub(super) fn last_at(&self) -> i64 {
        self.last_at
    }

    /// Whether a reader that trusts the summary finds this act.
    pub(super) fn covers(&self, act: &Act) -> bool {
        (self.first_at..=self.last_at).contains(&micros(act.at))
            && self.may_have(&act.caller.to_string())
            && act
                .tenant
                .as_ref()
                .is_none_or(|tenant| self.may_have_tenant(tenant))
    }

    /// Its part of the name of an object.
    pub(super) fn to_name(self) -> String {
        let Self {
            first_at, last_at, ..
        } = self;
        format!("{first_at:016}-{last_at:016}-{}", hex::encode(self.filter))
    }

    /// The summary in a name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let (first_at, last_at) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let filter = hex::decode(parts.next()?).ok()?.try_into().ok()?;
        parts.next().is_none().then_some(Self {
            first_at,
            last_at,
            filter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;
    use crate::audit::act::{Act, Caller};

    fn act(at: &str, key: &str, tenant: &str) -> Act {
        let caller = Caller::Key(key.to_owned());
        let mut act = Act::done(at.parse().unwrap(), caller, "GET /v1/audit".to_owned());
        act.tenant = Some(tenant.parse().unwrap());
        act
    }

    #[test]
    fn names_say_what_an_object_has() {
        let mut summary = Summary::EMPTY;
        let first = act("2026-01-01", "abcdefghij", "shop");
        let last = act("2026-01-03", "abcdefghi2", "other");
        summary.add(&last);
        summary.add(&first);
        let read = Summary::of_name(&summary.to_name()).unwrap();
        assert_eq!(read, summary);
        for act in [&first, &last] {
            assert!(read.covers(act));
        }
        assert!(!read.covers(&act("2026-01-04", "abcdefghij", "shop")));
        let at = |text: &str| Some(text.parse().unwrap());
        assert!(read.may_be_within(at("2026-01-03"), None));
        assert!(!read.may_be_within(at("2026-01-04"), None));
        assert!(!read.may_be_within(None, at("2026-01-01")));
        assert!(read.may_be_within(None, at("2026-01-02")));
        // A filter of few names excludes nearly all others.
        let others = (0..1_000).map(|number| format!("tenant{number}").parse().unwrap());
        assert!(others.filter(|other| read.may_have_tenant(other)).count() < 50);
        assert_eq!(Summary::of_name("1-2"), None);
        assert_eq!(Summary::of_name(&format!("{}-3", summary.to_name())), None);
    }

    #[test]
    fn folded_objects_have_the_acts_of_all() {
        let (mut one, mut other) = (Summary::EMPTY, Summary::EMPTY);
        let (first, last) = (
            act("2026-01-01", "abcdefghij", "shop"),
            act("2026-01-03", "abcdefghi2", "other"),
        );
        one.add(&first);
        other.add(&last);
        one.merge(&other);
        assert!(one.covers(&first) && one.covers(&last));
    }
}
