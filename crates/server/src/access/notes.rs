//! What is known of a request, for the record of it: learned at several places, and recorded at one.

use std::sync::{Arc, Mutex, PoisonError};

use rollbook_app::access::Grant;
use rollbook_model::TenantName;

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

    pub(super) fn noted(&self) -> Noted {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
