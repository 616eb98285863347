//! Rights, and the roles that combine them: the one table of who may do what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Right {
    /// Read definitions, counts and reports.
    Read,
    /// Read ids of persons: of members, of samples, in scores, and the events of one person.
    Members,
    /// Read all members of a segment in one answer.
    Export,
    /// Save and delete segments.
    SegmentsWrite,
    /// Compute segments.
    Refresh,
    /// Run SQL.
    Sql,
    /// Ingest rows.
    Ingest,
    /// List records that wait for a decision, and decide who is whom.
    Identity,
    /// Read the metrics of the server.
    Metrics,
    /// Read the audit: what callers did.
    Audit,
    /// List, create and revoke API keys.
    Keys,
    /// Read personal values: names, addresses, phone numbers.
    Pii,
    /// Erase persons.
    Erase,
    /// List, create and delete all tenants of the server. No role has it: it is for whoever runs the server.
    Tenants,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 14] = [
        Self::Read,
        Self::Members,
        Self::Export,
        Self::SegmentsWrite,
        Self::Refresh,
        Self::Sql,
        Self::Ingest,
        Self::Identity,
        Self::Metrics,
        Self::Audit,
        Self::Keys,
        Self::Pii,
        Self::Erase,
        Self::Tenants,
    ];

    /// Its name in commands, requests and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Members => "members",
            Self::Export => "export",
            Self::SegmentsWrite => "segments:write",
            Self::Refresh => "refresh",
            Self::Sql => "sql",
            Self::Ingest => "ingest",
            Self::Identity => "identity",
            Self::Metrics => "metrics",
            Self::Audit => "audit",
            Self::Keys => "keys",
            Self::Pii => "pii",
            Self::Erase => "erase",
            Self::Tenants => "tenants",
        }
    }
}

/// A named set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// Definitions, counts, reports.
    Viewer,
    /// A viewer who also defines segments and uses their members.
    Marketer,
    /// A viewer who also runs SQL and sees members' ids.
    Analyst,
    /// Ingest, decisions about records, refreshes, metrics.
    Operator,
    /// Everything in its tenants.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Marketer,
        Self::Analyst,
        Self::Operator,
        Self::Admin,
    ];

    /// Its name in commands, requests and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Marketer => "marketer",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The rights of the role.
    pub const fn rights(self) -> Rights {
        match self {
            Self::Viewer => Rights::of(&[Right::Read]),
            Self::Marketer => Rights::of(&[
                Right::Read,
                Right::Members,
                Right::Export,
                Right::SegmentsWrite,
                Right::Refresh,
            ]),
            Self::Analyst => Rights::of(&[Right::Read, Right::Members, Right::Sql]),
            Self::Operator => Rights::of(&[
                Right::Refresh,
                Right::Ingest,
                Right::Identity,
                Right::Metrics,
            ]),
            Self::Admin => Rights::ALL.without(Right::Tenants),
        }
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u16);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// Every right: those of the command line, and of a server in whose lake no key was ever created.
    pub const ALL: Self = Self::of(&Right::ALL);

    /// These rights.
    pub const fn of(rights: &[Right]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < rights.len() {
            bits |= 1 << rights[at] as u16;
            at += 1;
        }
        Self(bits)
    }

    /// Whether it has a right.
    pub const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u16) != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn within(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// The same without one right.
    #[must_use]
    pub const fn without(self, right: Right) -> Self {
        Self(self.0 & !(1 << right as u16))
    }

    /// The first of `needed` that is missing.
    pub fn missing(self, needed: &[Right]) -> Option<Right> {
        needed.iter().copied().find(|right| !self.has(*right))
    }

    /// The rights, in their order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.has(*right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<T: IntoIterator<Item = Right>>(rights: T) -> Self {
        let rights = rights.into_iter();
        rights.fold(Self::NONE, |all, right| all.with(Self::of(&[right])))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// A name that no right or role has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} `{value}`: {known}")]
pub struct UnknownName {
    kind: &'static str,
    value: String,
    known: String,
}

/// The one of `all` with this name.
fn named<T: Copy>(
    kind: &'static str,
    all: &[T],
    name: fn(T) -> &'static str,
    value: &str,
) -> Result<T, UnknownName> {
    let found = all.iter().copied().find(|one| name(*one) == value);
    found.ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|one| format!("`{}`", name(*one))).collect();
        UnknownName {
            kind,
            value: value.to_owned(),
            known: format!("use one of {}", names.join(", ")),
        }
    })
}

impl FromStr for Right {
    type Err = UnknownName;
    fn from_str(value: &str) -> Result<Self, UnknownName> {
        named("right", &Self::ALL, Self::name, value)
    }
}

impl FromStr for Role {
    type Err = UnknownName;
    fn from_str(value: &str) -> Result<Self, UnknownName> {
        named("role", &Self::ALL, Self::name, value)
    }
}

impl TryFrom<String> for Right {
    type Error = UnknownName;
    fn try_from(value: String) -> Result<Self, UnknownName> {
        value.parse()
    }
}

impl TryFrom<String> for Role {
    type Error = UnknownName;
    fn try_from(value: String) -> Result<Self, UnknownName> {
        value.parse()
    }
}

impl From<Right> for String {
    fn from(right: Right) -> Self {
        right.name().to_owned()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.name().to_owned()
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Right, Rights, Role};

    #[test]
    fn names_are_parsed_back() {
        for right in Right::ALL {
            assert_eq!(right.name().parse::<Right>().unwrap(), right);
        }
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
        }
        let error = "root".parse::<Role>().unwrap_err().to_string();
        assert!(
            error.contains("`root`") && error.contains("`admin`"),
            "{error}"
        );
        assert!("PII".parse::<Right>().is_err());
    }

    #[test]
    fn admin_alone_has_personal_values_erasure_keys_and_audit() {
        for role in Role::ALL {
            for right in [Right::Pii, Right::Erase, Right::Keys, Right::Audit] {
                assert_eq!(role.rights().has(right), role == Role::Admin, "{role}");
            }
        }
    }

    #[test]
    fn sets_are_combined() {
        let rights = Role::Viewer.rights().with(Rights::of(&[Right::Pii]));
        assert_eq!(rights.iter().collect::<Vec<_>>(), [Right::Read, Right::Pii]);
        assert_eq!(rights.without(Right::Pii), Role::Viewer.rights());
        assert_eq!(rights.missing(&[Right::Read, Right::Sql]), Some(Right::Sql));
        assert_eq!(Rights::ALL.missing(&Right::ALL), None);
        assert_eq!(Right::ALL.into_iter().collect::<Rights>(), Rights::ALL);
        assert_eq!(Rights::NONE.iter().count(), 0);
    }
}
