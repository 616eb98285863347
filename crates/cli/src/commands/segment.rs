//! The `segment` commands.

use std::process::ExitCode;

use rollbook_app::{AppError, Place, segments};
use rollbook_model::config::DEFAULT_TENANT;
use serde_json::{Value, json};

use super::{as_of, now};
use crate::arguments::{Form, Segment};
use crate::complain::complain;
use crate::show::{Shown, print};

pub(super) async fn run(place: &Place, what: Segment, form: Form) -> anyhow::Result<ExitCode> {
    match what {
        Segment::Put {
            key,
            criteria,
            name,
            description,
        } => {
            let draft = segments::Draft {
                name,
                description,
                ..segments::Draft::new(key, criteria)
            };
            let saved = segments::put(place, &draft, now()).await?;
            print(&Shown::object(&saved)?, form)?;
            if form == Form::Table {
                let tenant = tenant_flag(place);
                eprintln!("next: rollbook{tenant} segment refresh {}", saved.key);
            }
        }
        Segment::List => {
            let listed = segments::list(place).await?;
            let columns = [
                "key", "name", "revision", "count", "snapshot", "as_of", "criteria",
            ];
            print(&Shown::list(&listed, &columns)?, form)?;
        }
        Segment::Show { key } => {
            print(&Shown::object(&segments::show(place, &key).await?)?, form)?;
        }
        Segment::Delete { key } => {
            segments::delete(place, &key, now()).await?;
            print(&Shown::object(&json!({ "deleted": key }))?, form)?;
        }
        Segment::Preview { criteria, moment } => {
            let found = segments::preview(place, &criteria, as_of(&moment)).await?;
            print(&Shown::object(&found)?, form)?;
        }
        Segment::Refresh { keys, full, moment } => {
            let outcomes = segments::refresh(place, &keys, as_of(&moment), now(), full).await?;
            return refreshed(outcomes, form);
        }
        Segment::Members { key, snapshot } => {
            let (_, persons) = segments::members(place, &key, snapshot).await?;
            let rows = persons
                .iter()
                .map(|person| vec![person.to_string()])
                .collect();
            let columns = vec!["person_id".to_owned()];
            print(
                &Shown {
                    document: json!(persons),
                    columns,
                    rows,
                },
                form,
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints every segment's outcome; one that failed makes the command fail, after the others.
fn refreshed(outcomes: Vec<segments::Outcome>, form: Form) -> anyhow::Result<ExitCode> {
    let mut failed = Vec::new();
    let mut lines: Vec<Value> = Vec::new();
    for outcome in outcomes {
        match outcome.result {
            Ok(done) => {
                let refreshed = done.refreshed;
                lines.push(json!({
                    "segment": outcome.segment,
                    "status": "fresh",
                    "count": refreshed.count,
                    "entered": done.entered,
                    "left": done.left,
                    "evaluated": match done.how {
                        segments::How::Full => json!("all"),
                        segments::How::Patched(persons) => json!(persons),
                        segments::How::Standing => json!("none"),
                    },
                    "snapshot": refreshed.snapshot,
                    "revision": refreshed.revision,
                    "as_of": refreshed.as_of,
                    "computed_at": refreshed.computed_at,
                }));
            }
            Err(error) => {
                lines.push(json!({
                    "segment": outcome.segment,
                    "status": "failed",
                    "error": error.to_string(),
                }));
                failed.push((outcome.segment, error));
            }
        }
    }
    let columns = [
        "segment",
        "status",
        "count",
        "entered",
        "left",
        "evaluated",
        "snapshot",
        "as_of",
    ];
    print(&Shown::list(&lines, &columns)?, form)?;
    for (segment, error) in &failed {
        let error: &AppError = error;
        complain(&anyhow::anyhow!("segment `{segment}`: {error}"), None);
    }
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}

fn tenant_flag(place: &Place) -> String {
    match place.tenant.as_str() {
        DEFAULT_TENANT => String::new(),
        tenant => format!(" --tenant {tenant}"),
    }
}
