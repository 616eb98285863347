//! Several tenants on one server: separate, limited, fair to each other.

mod fairness;
mod isolation;
mod lifecycle;
mod quotas;

use serde_json::{Value, json};

use super::access::token;
use crate::support::own_lake::OwnLake;
use crate::support::polling::eventually;
use crate::support::server::{Answer, Server};

/// A caller of a tenant.
struct Caller<'a> {
    server: &'a Server,
    bearer: String,
}

impl<'a> Caller<'a> {
    /// A caller with a key for all of a tenant.
    fn admin(lake: &OwnLake, server: &'a Server, tenant: &str) -> Self {
        let caller = Self::with(server, &token(lake, "admin", &["--tenants", tenant]));
        // Servers know of a new key within a second.
        eventually("the key is unknown", || {
            caller.get("/v1/tenants").status != 401
        });
        caller
    }

    fn with(server: &'a Server, token: &str) -> Self {
        Self {
            server,
            bearer: format!("Bearer {token}"),
        }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map(Value::to_string);
        let body = text.as_deref().map(|text| ("application/json", text));
        let headers = [("authorization", self.bearer.as_str())];
        self.server.ask_with(&headers, method, path, body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some(body))
    }

    fn sql(&self, query: &str) -> Answer {
        self.post("/v1/sql", &json!({ "query": query }))
    }

    /// Posts rows in CSV.
    fn rows(&self, source: &str, more: &[(&str, &str)], rows: &str) -> Answer {
        let mut headers = vec![("authorization", self.bearer.as_str())];
        headers.extend(more);
        let path = format!("/v1/ingest/native/{source}");
        self.server
            .send_text("POST", &path, "text/csv", &headers, rows)
    }

    /// The number of persons.
    fn persons(&self) -> u64 {
        let answer = self.sql("select count(*) as n from people").json();
        answer["rows"][0]["n"].as_u64().unwrap()
    }
}

/// Rows of so many persons, whose mail addresses have this domain.
fn persons(count: usize, domain: &str) -> String {
    let rows = (1..=count).map(|n| format!("p{n},p{n}@{domain},QQ\n"));
    format!(
        "external_id,email,country\n{}",
        rows.collect::<Vec<_>>().concat()
    )
}
