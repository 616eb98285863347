//! The `person` commands.

use std::io::Write;

use anyhow::Context;
use rollbook_app::Workspace;
use rollbook_app::identity::{Sought, erase, find, readmit};
use rollbook_app::persons::reading::in_reading_order;
use rollbook_app::persons::{self, TimelineAsked, timeline};
use serde_json::{Value, json};

use super::ingest::refresh_segments;
use super::{as_of, decider, now};
use crate::arguments::{Form, Person};
use crate::show::{Document, Shown, print};

pub(super) async fn run(workspace: &Workspace, what: Person, form: Form) -> anyhow::Result<()> {
    match what {
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
            print(&shown, form)
        }
        Person::Find {
            email,
            phone,
            external,
        } => {
            let sought = match (email, phone, external) {
                (Some(email), _, _) => Sought::Email(email),
                (_, Some(phone), _) => Sought::Phone(phone),
                (_, _, external) => external.unwrap_or_default().parse().context("--external")?,
            };
            let found = find(workspace, &sought, now()).await?;
            if found.is_empty() {
                eprintln!("nobody has a record with it");
            }
            let found: Vec<Value> = found
                .iter()
                .map(|person| json!({ "person_id": person }))
                .collect();
            print(&Shown::list(&found, &["person_id"])?, form)
        }
        Person::Timeline {
            person,
            kind,
            limit,
            moment,
        } => {
            let asked = TimelineAsked {
                kind,
                limit: Some(limit),
                next: None,
            };
            let found =
                timeline(workspace, person, &asked, as_of(workspace, &moment).await?).await?;
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
            print(&shown, form)?;
            if found.next.is_some() {
                eprintln!("there is more: --limit shows up to 1000");
            }
            Ok(())
        }
        Person::Erase { person, how } => {
            let forgotten = erase(workspace, person, &decider(&how)).await?;
            print(&Shown::object(&forgotten)?, form)?;
            match how.dry_run {
                false => refresh_segments(workspace).await,
                true if form == Form::Table => eprintln!("this would go; nothing was changed"),
                true => {}
            }
            Ok(())
        }
        Person::Readmit {
            email,
            phone,
            external,
            how,
        } => {
            let mut sought: Vec<Sought> = email.into_iter().map(Sought::Email).collect();
            sought.extend(phone.into_iter().map(Sought::Phone));
            for record in external {
                sought.push(record.parse().context("--external")?);
            }
            let names = readmit(workspace, &sought, &decider(&how)).await?;
            if names == 0 {
                eprintln!("nothing of this was in the way");
            }
            print(&Shown::object(&json!({ "names": names }))?, form)
        }
        Person::Export { person } => {
            let all = persons::export(workspace, person, now()).await?;
            writeln!(std::io::stdout(), "{all:#}")?;
            Ok(())
        }
    }
}
