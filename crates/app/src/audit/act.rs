//! An act: what one caller did, or was refused.

use std::fmt;
use std::net::IpAddr;

use rollbook_model::{TenantName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::access::{self, Grant, KeyPrefix};

/// The result of what was done.
pub const DONE: &str = "ok";
/// The result of a change or a command that has not ended yet.
pub const BEGUN: &str = "begun";

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Caller {
    /// The holder of an API key.
    Key(String),
    /// The subject of a JWT.
    Subject(String),
    /// The command line, with the name of its user.
    Command(String),
    /// A caller without a valid key.
    Unknown,
}

impl Caller {
    /// The caller of a request with a grant, if they have one.
    pub fn of(grant: Option<&Grant>) -> Self {
        match grant.map(Grant::caller) {
            Some(access::Caller::Key(prefix)) => Self::Key(prefix.to_string()),
            Some(access::Caller::Subject(subject)) => Self::Subject(subject.to_owned()),
            Some(access::Caller::Local) | None => Self::Unknown,
        }
    }

    /// Whether it is the holder of a key.
    pub fn is_key(&self, prefix: &KeyPrefix) -> bool {
        matches!(self, Self::Key(key) if key == prefix.as_str())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(prefix) => write!(formatter, "key:{prefix}"),
            Self::Subject(subject) => write!(formatter, "subject:{subject}"),
            Self::Command(user) => write!(formatter, "command:{user}"),
            Self::Unknown => formatter.write_str("unknown"),
        }
    }
}

impl From<Caller> for String {
    fn from(caller: Caller) -> Self {
        caller.to_string()
    }
}

impl From<String> for Caller {
    fn from(text: String) -> Self {
        match text.split_once(':') {
            Some(("key", prefix)) => Self::Key(prefix.to_owned()),
            Some(("subject", subject)) => Self::Subject(subject.to_owned()),
            Some(("command", user)) => Self::Command(user.to_owned()),
            _ => Self::Unknown,
        }
    }
}

/// An SQL statement that was asked, without the values in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedStatement {
    /// An authentication code of its text under the master key: equal texts have equal codes, and without the master key
    /// nobody can guess the values in the text.
    pub code: String,
    /// Its text with `?` for each literal; `None` if it could not be split into words.
    pub text: Option<String>,
}

/// What one caller did, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub caller: Caller,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// In which tenant; `None` for callers without a valid key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// The id of the request, as in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Method and route of the request, or the command.
    pub act: String,
    /// The segment that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The person that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_id: Option<i64>,
    /// The API key that it was about, by its prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What else it was about: a review, a decision, two persons, a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The columns of persons that were asked for, comma-separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
    /// Rows in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The statement that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<AskedStatement>,
    /// `ok`, `begun` (of a change or a command), `disconnected`, or the code of the refusal.
    pub result: String,
    /// Refusals before this one that were only counted, because there were too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<u64>,
}

impl Act {
    /// An act that was done.
    pub fn done(at: Timestamp, caller: Caller, act: String) -> Self {
        Self {
            at,
            caller,
            from: None,
            tenant: None,
            request_id: None,
            act,
            segment: None,
            person_id: None,
            key: None,
            about: None,
            columns: None,
            rows: None,
            statement: None,
            result: DONE.to_owned(),
            unlisted: None,
        }
    }
}
