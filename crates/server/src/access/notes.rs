//! What is known of a request, for the record of it: learned at several places, and recorded at one.

use std::sync::{Arc, Mutex, PoisonError};

use rollbook_app::access::{Caller, Grant};
use rollbook_app::audit::Act;
use rollbook_model::TenantName;

use super::route_rights::Needs;

/// What the server learns of a request while it is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestNotes(Arc<Mutex<Noted>>);

#[derive(Debug, Clone, Default)]
pub(super) struct Noted {
    /// The grant of the caller, if they have one.
    pub(super) grant: Option<Grant>,
    /// Their tenant, once it is known.
    pub(super) tenant: Option<TenantName>,
    /// The segment in the body.
    pub(super) segment: Option<String>,
    /// The SQL in the body.
    pub(super) statement: Option<String>,
    /// What else the body is about.
    pub(super) about: Option<String>,
    /// The act, before the caller and the result are known.
    pub(super) pending: Option<Pending>,
}

/// An act that has not begun, and what its route needs.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) act: Act,
    pub(super) needs: Option<Needs>,
}

impl RequestNotes {
    pub(super) fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes the SQL of a request, and the segment that its body names.
    pub(crate) fn note_statement(&self, statement: String, segment: Option<String>) {
        self.note(|noted| {
            noted.statement = Some(statement);
            noted.segment = segment;
        });
    }

    /// Notes what else the body of a request is about.
    pub(crate) fn note_about(&self, about: String) {
        self.note(|noted| noted.about = Some(about));
    }

    /// Who the caller is, for the log: a key by its prefix. The subject of a JWT may be a personal value.
    pub(crate) fn caller(&self) -> String {
        match self.noted().grant.as_ref().map(Grant::caller) {
            Some(Caller::Key(prefix)) => prefix.to_string(),
            Some(Caller::Subject(_)) => "jwt".to_owned(),
            Some(Caller::Local) => "local".to_owned(),
            None => "none".to_owned(),
        }
    }

    pub(super) fn noted(&self) -> Noted {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
