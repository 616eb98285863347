//! Commands that are recorded in the audit: personal data of one person, retention, API keys, secrets, the
//! master key.

use rollbook_app::access::IssuedKey;
use rollbook_app::audit::{Act, BEGUN, Caller, DONE};
use rollbook_app::{AppError, Workspace};
use rollbook_model::TenantName;

use crate::arguments::{ApiKey, Command, Keys, Person, PersonRequest, Retention, Secret, Tenant};
use crate::commands::clock::now;

/// A command that is recorded, before it does anything and with its result.
pub(super) struct Recorded {
    name: &'static str,
    person: Option<i64>,
    key: Option<String>,
    /// The tenant that it is about, if that is not the one of `--tenant`.
    tenant: Option<TenantName>,
    about: Option<String>,
}

/// What is recorded of a command about a tenant, and which one; `None` if it changes nothing.
fn of_tenant(command: &Tenant) -> Option<(&'static str, &TenantName)> {
    Some(match command {
        Tenant::Create { name, .. } => ("tenant create", name),
        Tenant::Limit { name, .. } => ("tenant limit", name),
        Tenant::Suspend { name } => ("tenant suspend", name),
        Tenant::Resume { name } => ("tenant resume", name),
        Tenant::Delete { name, .. } => ("tenant delete", name),
        Tenant::List => return None,
    })
}

impl Recorded {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            person: None,
            key: None,
            tenant: None,
            about: None,
        }
    }

    /// What is recorded of a command; `None` if it is not.
    pub(super) fn of(command: &Command) -> Option<Self> {
        let (name, person, key) = match command {
            Command::Person(Person::Show { person, .. }) => ("person show", Some(*person), None),
            Command::Person(Person::Find { .. }) => ("person find", None, None),
            Command::Person(Person::Timeline { person, .. }) => {
                ("person timeline", Some(*person), None)
            }
            Command::Person(Person::Erase { person, .. }) => ("person erase", Some(*person), None),
            Command::Person(Person::Request(request)) => {
                let (name, person) = match request {
                    PersonRequest::Export { person, .. } => ("person request export", person),
                    PersonRequest::Erase { person, .. } => ("person request erase", person),
                    PersonRequest::Restrict { person, .. } => ("person request restrict", person),
                };
                (name, Some(*person), None)
            }
            Command::Person(Person::Hold { person, .. }) => ("person hold", Some(*person), None),
            Command::Person(Person::Release { person, .. }) => {
                ("person release", Some(*person), None)
            }
            Command::Retention(Retention::Set { .. }) => ("retention set", None, None),
            Command::Retention(Retention::Unset { .. }) => ("retention unset", None, None),
            Command::Retention(Retention::Run { .. }) => ("retention run", None, None),
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
            Command::Tenant(command) => {
                let (name, tenant) = of_tenant(command)?;
                return Some(Self {
                    tenant: Some(tenant.clone()),
                    ..Self::named(name)
                });
            }
            _ => return None,
        };
        let about = match command {
            Command::Secret(Secret::Put(put)) => Some(&put.name),
            Command::Secret(Secret::Delete { name }) => Some(name),
            _ => None,
        };
        Some(Self {
            person,
            key,
            about: about.map(|name| format!("secret {name}")),
            ..Self::named(name)
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
        let tenant = self.tenant.as_ref().unwrap_or(&workspace.tenant);
        act.tenant = Some(tenant.clone());
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
        key: Some(key.key.prefix.to_string()),
        ..Recorded::named("serve, which created the first key")
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
