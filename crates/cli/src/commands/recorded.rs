//! Commands that are recorded in the audit: personal data of one person, API keys, secrets, the master key.

use rollbook_app::access::IssuedKey;
use rollbook_app::audit::{Act, BEGUN, Caller, DONE};
use rollbook_app::{AppError, Workspace};

use crate::arguments::{ApiKey, Command, Keys, Person, Secret};
use crate::commands::clock::now;

/// A command that is recorded, before it does anything and with its result.
pub(super) struct Recorded {
    name: &'static str,
    person: Option<i64>,
    key: Option<String>,
    about: Option<String>,
}

impl Recorded {
    /// What is recorded of a command; `None` if it is not.
    pub(super) fn of(command: &Command) -> Option<Self> {
        let (name, person, key) = match command {
            Command::Person(Person::Show { person, .. }) => ("person show", Some(*person), None),
            Command::Person(Person::Find { .. }) => ("person find", None, None),
            Command::Person(Person::Timeline { person, .. }) => {
                ("person timeline", Some(*person), None)
            }
            Command::Person(Person::Erase { person, .. }) => ("person erase", Some(*person), None),
            Command::Person(Person::Readmit { .. }) => ("person readmit", None, None),
            Command::Person(Person::Export { person }) => ("person export", Some(*person), None),
            Command::ApiKey(ApiKey::Create(_)) => ("api-key create", None, None),
            Command::ApiKey(ApiKey::Rotate { prefix, .. }) => {
                ("api-key rotate", None, Some(prefix.to_string()))
            }
            Command::ApiKey(ApiKey::Revoke { prefix }) => {
                ("api-key revoke", None, Some(prefix.to_string()))
            }
            Command::Secret(Secret::Put(_)) => ("secret put", None, None),
            Command::Secret(Secret::Delete { .. }) => ("secret delete", None, None),
            Command::Keys(Keys::Rotate) => ("keys rotate", None, None),
            _ => return None,
        };
        let about = match command {
            Command::Secret(Secret::Put(put)) => Some(&put.name),
            Command::Secret(Secret::Delete { name }) => Some(name),
            _ => None,
        };
        Some(Self {
            name,
            person,
            key,
            about: about.map(|name| format!("secret {name}")),
        })
    }

    /// Records that the command begins, if the lake has API keys: without them nobody asks who did what.
    ///
    /// # Errors
    /// It cannot be recorded, so nothing is to be done.
    pub(super) async fn begin(&self, workspace: &Workspace) -> anyhow::Result<()> {
        self.record(workspace, BEGUN).await
    }

    /// Records the result of the command.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub(super) async fn end(
        &self,
        workspace: &Workspace,
        result: &anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let code = result.as_ref().err().map(|error| {
            let known = error.downcast_ref::<AppError>();
            known.map_or("failed", |error| error.code().0)
        });
        self.record(workspace, code.unwrap_or(DONE)).await
    }

    async fn record(&self, workspace: &Workspace, result: &str) -> anyhow::Result<()> {
        if !workspace.api_keys()?.any().await? {
            return Ok(());
        }
        let mut act = Act::done(now(), Caller::Command(user()), self.name.to_owned());
        act.tenant = Some(workspace.tenant.clone());
        (act.person_id, act.key) = (self.person, self.key.clone());
        act.about.clone_from(&self.about);
        act.result = result.to_owned();
        let log = workspace.audit_log(now)?;
        log.record(act).await?;
        log.stop().await;
        Ok(())
    }
}

/// Records that the first start beyond this machine created a key.
///
/// # Errors
/// It cannot be recorded.
pub(super) async fn record_first_key(workspace: &Workspace, key: &IssuedKey) -> anyhow::Result<()> {
    let created = Recorded {
        name: "serve, which created the first key",
        person: None,
        key: Some(key.key.prefix.to_string()),
        about: None,
    };
    created.end(workspace, &Ok(())).await
}

/// The name of the user of this process, as its environment tells it.
fn user() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"];
    let mut set = names.iter().filter_map(|name| std::env::var(name).ok());
    let name = set.find(|name| !name.is_empty());
    name.unwrap_or_else(|| "unknown".to_owned())
}
