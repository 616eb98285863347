//! The `identity` commands.

use rollbook_app::Workspace;
use rollbook_app::identity::{
    self, AmbiguityPolicy, DecisionRequest, Followed, SuggestedPairs, decide, link_files,
};
use serde_json::{Value, json};

use crate::arguments::{
    AmbiguityOption, BlockedCommand, DecisionOptions, Identity, LinkFiles, OutputFormat,
    ReviewCommand,
};
use crate::commands::clock::{decider, now};
use crate::commands::ingest::refresh_segments;
use crate::output::show::{Document, Shown, print};

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Identity,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        Identity::Link(arguments) => link(arguments, format),
        Identity::Stats => {
            let stats = identity::stats(workspace, now()).await?;
            let columns = ["provider", "records", "persons", "not_linked"];
            let mut shown = Shown::list(&stats.providers, &columns)?;
            if format == OutputFormat::Table {
                eprintln!(
                    "{} records of {} persons; {} records wait for a decision, {} may belong to another person",
                    stats.records, stats.persons, stats.ambiguous, stats.suggested
                );
            }
            shown.document = Document::of(&stats)?;
            print(&shown, format)
        }
        Identity::Review(arguments) => review(workspace, arguments, format).await,
        Identity::Merge { a, b, how } => {
            decided(workspace, DecisionRequest::Merge(a, b), how, format).await
        }
        Identity::Split { identity, how } => {
            decided(workspace, DecisionRequest::Split(identity), how, format).await
        }
        Identity::Undo { entry, how } => {
            decided(workspace, DecisionRequest::Undo(entry), how, format).await
        }
        Identity::Different { a, b, how } => {
            decided(workspace, DecisionRequest::Apart(a, b), how, format).await
        }
        Identity::Suggest { at_least, limit } => {
            let mut all = identity::suggested(workspace, at_least, now()).await?;
            let count = all.len();
            all.truncate(limit);
            let columns = ["a", "name_a", "b", "name_b", "probability"];
            print(&Shown::list(&all, &columns)?, format)?;
            if count > limit {
                eprintln!("there are {count} pairs: --limit shows more");
            }
            Ok(())
        }
        Identity::Decisions => {
            let all = identity::decisions(workspace).await?;
            print(
                &Shown::list(&all, &["entry", "how", "verdict", "at", "by"])?,
                format,
            )
        }
        Identity::Blocked { change: None } => {
            let all = identity::blocked(workspace).await?;
            print(&Shown::list(&all, &["rule", "value"])?, format)
        }
        Identity::Blocked {
            change: Some(BlockedCommand::Add { value, how }),
        } => {
            let followed = identity::block(workspace, &value, &decider(&how)).await?;
            print_effect(workspace, &followed, &how, format).await
        }
        Identity::Blocked {
            change: Some(BlockedCommand::Remove { value, how }),
        } => {
            let followed = identity::unblock(workspace, &value, &decider(&how)).await?;
            print_effect(workspace, &followed, &how, format).await
        }
    }
}

async fn review(
    workspace: &Workspace,
    arguments: ReviewCommand,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        ReviewCommand::List => {
            let waiting = identity::reviews(workspace).await?;
            if waiting.is_empty() {
                eprintln!("no record waits for a decision");
            }
            let columns = [
                "identity_id",
                "provider",
                "external_id",
                "person_id",
                "candidates",
                "later",
            ];
            print(&Shown::list(&waiting, &columns)?, format)
        }
        ReviewCommand::Show { identity } => {
            let review = identity::review(workspace, identity, now()).await?;
            let mut record = review.record.clone();
            record["rule"] = match review.review.person_id {
                0 => json!("(waits)"),
                _ => json!("(may be)"),
            };
            let mut sides = vec![record];
            for person in &review.persons {
                let mut side = person.clone();
                let rules = review.review.candidates.iter();
                let rules = rules.filter(|one| side["person_id"] == one.person_id);
                side["rule"] = json!(rules.map(|one| one.rule).collect::<Vec<_>>().join(", "));
                sides.push(side);
            }
            let columns = [
                "rule",
                "person_id",
                "provider",
                "external_id",
                "first_name",
                "last_name",
                "email",
                "phone",
                "city",
                "country",
            ];
            let mut shown = Shown::list(&sides, &columns)?;
            shown.document = Document::of(&review)?;
            print(&shown, format)
        }
        ReviewCommand::Decide {
            identity,
            same,
            different: _,
            later,
            how,
        } => {
            let wanted = match same {
                Some(person) => DecisionRequest::Same(identity, person),
                None if later => DecisionRequest::Later(identity),
                None => DecisionRequest::Different(identity),
            };
            decided(workspace, wanted, how, format).await
        }
    }
}

async fn decided(
    workspace: &Workspace,
    wanted: DecisionRequest,
    how: DecisionOptions,
    format: OutputFormat,
) -> anyhow::Result<()> {
    let followed = decide(workspace, &wanted, &decider(&how)).await?;
    print_effect(workspace, &followed, &how, format).await
}

async fn print_effect(
    workspace: &Workspace,
    followed: &Followed,
    how: &DecisionOptions,
    format: OutputFormat,
) -> anyhow::Result<()> {
    if !how.dry_run {
        refresh_segments(workspace).await;
    }
    if format == OutputFormat::Table {
        match how.dry_run {
            true => eprintln!("dry run: nothing was changed"),
            false => eprintln!("decision {}", followed.entry),
        }
    }
    let mut shown = Shown::list(&followed.moved, &["identity_id", "from", "to"])?;
    shown.document = Document::of(&followed)?;
    print(&shown, format)
}

fn link(arguments: LinkFiles, format: OutputFormat) -> anyhow::Result<()> {
    let ambiguity = match arguments.bridges {
        AmbiguityOption::Review => AmbiguityPolicy::Review,
        AmbiguityOption::Merge => AmbiguityPolicy::Merge,
    };
    let pairs = arguments.suggest.zip(arguments.pairs);
    let pairs = pairs.map(|(at_least, to)| SuggestedPairs { at_least, to });
    let links = link_files(
        &arguments.files,
        &arguments.columns,
        ambiguity,
        pairs.as_ref(),
    )?;
    let rows: Vec<Value> = links
        .iter()
        .map(|link| {
            json!({
                "file": link.file,
                "id": link.id,
                "person_id": link.person,
                "matched_by": link.matched_by,
                "ambiguous": link.is_ambiguous,
            })
        })
        .collect();
    let columns = ["file", "id", "person_id", "matched_by", "ambiguous"];
    print(&Shown::rows(&rows, &columns)?, format)
}
