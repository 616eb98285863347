//! The `identity` commands.

use rollbook_app::Workspace;
use rollbook_app::identity::{
    self, AmbiguityPolicy, Followed, Suggest, Wanted, decide, link_files,
};
use serde_json::{Value, json};

use super::ingest::refresh_segments;
use super::{decider, now};
use crate::arguments::{AtBridges, Blocking, Deciding, Form, Identity, LinkFiles, Reviewing};
use crate::show::{Document, Shown, print};

pub(super) async fn run(workspace: &Workspace, what: Identity, form: Form) -> anyhow::Result<()> {
    match what {
        Identity::Link(what) => link(what, form),
        Identity::Stats => {
            let stats = identity::stats(workspace, now()).await?;
            let columns = ["provider", "records", "persons", "not_linked"];
            let mut shown = Shown::list(&stats.providers, &columns)?;
            if form == Form::Table {
                eprintln!(
                    "{} records are {} persons; {} wait for a decision, {} may be of another person",
                    stats.records, stats.persons, stats.ambiguous, stats.suggested
                );
            }
            shown.document = Document::of(&stats)?;
            print(&shown, form)
        }
        Identity::Review(what) => review(workspace, what, form).await,
        Identity::Merge { a, b, how } => decided(workspace, Wanted::Merge(a, b), how, form).await,
        Identity::Split { identity, how } => {
            decided(workspace, Wanted::Split(identity), how, form).await
        }
        Identity::Undo { entry, how } => decided(workspace, Wanted::Undo(entry), how, form).await,
        Identity::Different { a, b, how } => {
            decided(workspace, Wanted::Apart(a, b), how, form).await
        }
        Identity::Suggest { at_least, limit } => {
            let mut all = identity::suggested(workspace, at_least, now()).await?;
            let count = all.len();
            all.truncate(limit);
            let columns = ["a", "name_a", "b", "name_b", "probability"];
            print(&Shown::list(&all, &columns)?, form)?;
            if count > limit {
                eprintln!("there are {count}: --limit shows more");
            }
            Ok(())
        }
        Identity::Decisions => {
            let all = identity::decisions(workspace).await?;
            print(
                &Shown::list(&all, &["entry", "how", "verdict", "at", "by"])?,
                form,
            )
        }
        Identity::Blocked { change: None } => {
            let all = identity::blocked(workspace).await?;
            print(&Shown::list(&all, &["rule", "value"])?, form)
        }
        Identity::Blocked {
            change: Some(Blocking::Add { value, how }),
        } => {
            let followed = identity::block(workspace, &value, &decider(&how)).await?;
            told(workspace, &followed, &how, form).await
        }
        Identity::Blocked {
            change: Some(Blocking::Remove { value, how }),
        } => {
            let followed = identity::unblock(workspace, &value, &decider(&how)).await?;
            told(workspace, &followed, &how, form).await
        }
    }
}

async fn review(workspace: &Workspace, what: Reviewing, form: Form) -> anyhow::Result<()> {
    match what {
        Reviewing::List => {
            let waiting = identity::waiting(workspace).await?;
            if waiting.is_empty() {
                eprintln!("no record waits for a decision, and no pair is suggested");
            }
            let columns = [
                "identity_id",
                "provider",
                "external_id",
                "person_id",
                "candidates",
                "later",
            ];
            print(&Shown::list(&waiting, &columns)?, form)
        }
        Reviewing::Show { identity } => {
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
            print(&shown, form)
        }
        Reviewing::Decide {
            identity,
            same,
            different: _,
            later,
            how,
        } => {
            let wanted = match same {
                Some(person) => Wanted::Same(identity, person),
                None if later => Wanted::Later(identity),
                None => Wanted::Different(identity),
            };
            decided(workspace, wanted, how, form).await
        }
    }
}

async fn decided(
    workspace: &Workspace,
    wanted: Wanted,
    how: Deciding,
    form: Form,
) -> anyhow::Result<()> {
    let followed = decide(workspace, &wanted, &decider(&how)).await?;
    told(workspace, &followed, &how, form).await
}

async fn told(
    workspace: &Workspace,
    followed: &Followed,
    how: &Deciding,
    form: Form,
) -> anyhow::Result<()> {
    if !how.dry_run {
        refresh_segments(workspace).await;
    }
    if form == Form::Table {
        match how.dry_run {
            true => eprintln!("this would follow; nothing was changed"),
            false => eprintln!("decided as {}", followed.entry),
        }
    }
    let mut shown = Shown::list(&followed.moved, &["identity_id", "from", "to"])?;
    shown.document = Document::of(&followed)?;
    print(&shown, form)
}

fn link(what: LinkFiles, form: Form) -> anyhow::Result<()> {
    let bridges = match what.bridges {
        AtBridges::Review => AmbiguityPolicy::Review,
        AtBridges::Merge => AmbiguityPolicy::Merge,
    };
    let suggest = what.suggest.zip(what.pairs);
    let suggest = suggest.map(|(at_least, to)| Suggest { at_least, to });
    let links = link_files(&what.files, &what.columns, bridges, suggest.as_ref())?;
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
    print(&Shown::list(&rows, &columns)?, form)
}
