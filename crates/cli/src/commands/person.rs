//! The `person` commands.

use std::io::Write;

use anyhow::Context;
use rollbook_app::Workspace;
use rollbook_app::identity::{Decider, PersonLookup, erase, find, readmit};
use rollbook_app::persons::column_order::in_reading_order;
use rollbook_app::persons::{self, Fulfilled, TimelineQuery, timeline};
use rollbook_app::retention;
use serde_json::{Value, json};

use crate::arguments::{DecidedBy, OutputFormat, Person, PersonRequest};
use crate::commands::clock::{as_of, decider, now};
use crate::commands::ingest::refresh_segments;
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Person,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        Person::Show { person, moment } => {
            let shown =
                persons::show(workspace, person, as_of(workspace, &moment).await?, false).await?;
            let document = Document::of(&shown)?;
            let known = in_reading_order(&shown.person).into_iter();
            let known = known.filter(|(_, value)| !value.is_null());
            let mut lines: Vec<Value> = known
                .map(|(field, value)| json!({"field": field, "value": value}))
                .collect();
            for record in &shown.records {
                let id = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                let value = format!("{}:{}", id("provider"), id("external_id"));
                lines.push(json!({"field": "record", "value": value}));
            }
            for deal in &shown.deals {
                let part = |name: &str| deal[name].as_str().unwrap_or_default().to_owned();
                let value = format!("{} ({})", part("name"), part("status"));
                lines.push(json!({"field": "deal", "value": value}));
            }
            let names = shown.campaigns.iter();
            let names = names.map(|one| one["name"].as_str().or(one["campaign_id"].as_str()));
            lines.extend(names.map(|name| json!({"field": "campaign", "value": name})));
            let segments = shown.segments.iter();
            lines.extend(segments.map(|key| json!({"field": "segment", "value": key})));
            let mut shown = Shown::list(&lines, &["field", "value"])?;
            shown.document = document;
            print(&shown, format)
        }
        Person::Find {
            email,
            phone,
            external,
        } => {
            let lookup = match (email, phone, external) {
                (Some(email), _, _) => PersonLookup::Email(email),
                (_, Some(phone), _) => PersonLookup::Phone(phone),
                (_, _, external) => external.unwrap_or_default().parse().context("--external")?,
            };
            let found = find(workspace, &lookup, now()).await?;
            if found.is_empty() {
                eprintln!("no person has a record with this value");
            }
            let found: Vec<Value> = found
                .iter()
                .map(|person| json!({ "person_id": person }))
                .collect();
            print(&Shown::list(&found, &["person_id"])?, format)
        }
        Person::Timeline {
            person,
            kind,
            limit,
            moment,
        } => {
            let query = TimelineQuery {
                kind,
                limit: Some(limit),
                next: None,
            };
            let found =
                timeline(workspace, person, &query, as_of(workspace, &moment).await?).await?;
            let columns = [
                "at",
                "type",
                "what",
                "amount",
                "currency",
                "provider",
                "external_id",
            ];
            let mut shown = Shown::list(&found.events, &columns)?;
            shown.document = Document::of(&found)?;
            print(&shown, format)?;
            if found.next.is_some() {
                eprintln!("there are more events: --limit shows up to 1000");
            }
            Ok(())
        }
        Person::Erase { person, how } => {
            let forgotten = erase(workspace, person, &decider(&how)).await?;
            print(&Shown::object(&forgotten)?, format)?;
            match how.dry_run {
                false => refresh_segments(workspace).await,
                true if format == OutputFormat::Table => eprintln!("dry run: nothing was changed"),
                true => {}
            }
            Ok(())
        }
        Person::Request(request) => fulfil(workspace, request, format).await,
        Person::Receipts => {
            let receipts = persons::receipts(workspace).await?;
            let columns = [
                "id",
                "request",
                "person_id",
                "by",
                "at",
                "snapshot",
                "rows",
                "sha256",
            ];
            print(&Shown::list(&receipts, &columns)?, format)
        }
        Person::Hold {
            person,
            reason,
            how,
        } => {
            let hold =
                retention::hold(workspace, person, reason.as_deref(), &decider(&how)).await?;
            print(&Shown::object(&hold)?, format)
        }
        Person::Release { person, how } => {
            let ended = retention::release(workspace, person, &decider(&how)).await?;
            if ended == 0 {
                eprintln!("the person was not under legal hold");
            }
            print(&Shown::object(&json!({ "holds": ended }))?, format)
        }
        Person::Holds => {
            let holds = retention::holds(workspace).await?;
            let columns = ["person_id", "reason", "by", "at"];
            print(&Shown::list(&holds, &columns)?, format)
        }
        Person::Readmit {
            email,
            phone,
            external,
            how,
        } => {
            let mut lookups: Vec<PersonLookup> =
                email.into_iter().map(PersonLookup::Email).collect();
            lookups.extend(phone.into_iter().map(PersonLookup::Phone));
            for record in external {
                lookups.push(record.parse().context("--external")?);
            }
            let names = readmit(workspace, &lookups, &decider(&how)).await?;
            if names == 0 {
                eprintln!("none of these values and records was erased");
            }
            print(&Shown::object(&json!({ "names": names }))?, format)
        }
        Person::Export { person } => {
            let all = persons::export(workspace, person, now()).await?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&all)?)?;
            Ok(())
        }
    }
}

/// Fulfils a request of a person. The answer to an export is JSON in every format.
async fn fulfil(
    workspace: &Workspace,
    request: PersonRequest,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let by = |by: DecidedBy| Decider {
        by: by.by,
        at: now(),
        dry_run: false,
    };
    match request {
        PersonRequest::Export { person, by: who } => {
            let done = persons::request_export(workspace, person, &by(who)).await?;
            writeln!(
                std::io::stdout(),
                "{}",
                serde_json::to_string_pretty(&done)?
            )?;
        }
        PersonRequest::Erase { person, by: who } => {
            let done = persons::request_erasure(workspace, person, &by(who)).await?;
            print_receipt(&done, format)?;
            refresh_segments(workspace).await;
        }
        PersonRequest::Restrict { person, by: who } => {
            let done = persons::request_restriction(workspace, person, &by(who)).await?;
            print_receipt(&done, format)?;
        }
    }
    Ok(())
}

/// Prints the receipt as a table, or the receipt and the answer as JSON.
fn print_receipt<T: serde::Serialize>(
    done: &Fulfilled<T>,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let mut shown = Shown::object(&done.receipt)?;
    shown.document = Document::of(done)?;
    print(&shown, format)
}
