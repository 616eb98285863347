//! Commands that are recorded in the audit: personal data of one person, API keys, secrets, the master key.

use rollbook_app::audit::{Act, Caller};
use rollbook_app::{AppError, Workspace};

use crate::arguments::{ApiKey, Command, Keys, Person, Secret};
use crate::commands::clock::now;

/// A command that is recorded.
pub(super) struct Recorded {
    name: &'static str,
    person: Option<i64>,
    key: Option<String>,
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
        Some(Self { name, person, key })
    }

    /// Records the command with its result, if the lake has API keys: without them nobody asks who did what.
    pub(super) async fn record(
        self,
        workspace: &Workspace,
        result: &anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if !workspace.api_keys()?.any().await? {
            return Ok(());
        }
        let log = workspace.audit_log(now)?;
        let mut act = Act::done(now(), Caller::Command(user()), self.name.to_owned());
        act.tenant = Some(workspace.tenant.clone());
        (act.person_id, act.key) = (self.person, self.key);
        if let Err(error) = result {
            let known = error.downcast_ref::<AppError>();
            act.result = known.map_or("failed", |error| error.code().0).to_owned();
        }
        log.record(act).await?;
        log.stop().await;
        Ok(())
    }
}

/// The name of the user of this process, as its environment tells it.
fn user() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"];
    let mut set = names.iter().filter_map(|name| std::env::var(name).ok());
    let name = set.find(|name| !name.is_empty());
    name.unwrap_or_else(|| "unknown".to_owned())
}
