//! Segments as a folder of `.sql` files, each with a header.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::membership::{current, persons_now};
use rollbook_segments::{Definition, Draft, Evaluation, definition};
use serde::Serialize;

use super::Named;
use crate::sql_files::{header, sql_files};
use crate::{AppError, Workspace};

/// What a header may say.
const FIELDS: [&str; 7] = [
    "name",
    "description",
    "refresh",
    "channel",
    "holdout",
    "owner",
    "tags",
];

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is not there yet.
    New,
    /// It differs.
    Changed,
    /// The folder does not have it.
    Removed,
}

/// A line of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The segment.
    pub segment: SegmentKey,
    /// What becomes of it.
    pub action: Action,
    /// How many belong, by what was last computed.
    pub before: Option<u64>,
    /// How many would belong.
    pub after: Option<u64>,
    /// How many would enter.
    pub entered: u64,
    /// How many would leave.
    pub left: u64,
}

/// A folder held against the lake.
#[derive(Debug)]
pub struct Plan {
    /// What differs.
    pub lines: Vec<Planned>,
    drafts: BTreeMap<SegmentKey, Draft>,
}

/// Reads a folder, and says what would change if the lake had the same segments. Nothing is
/// changed.
pub async fn plan(
    workspace: &Workspace,
    folder: &Path,
    as_of: Timestamp,
) -> Result<Plan, AppError> {
    let drafts = read(folder)?;
    let lake = workspace.lake_or_new().await?;
    let state = lake.head().await?;
    let known = Named::all(&lake, &state).await?;
    let mut wanted: Vec<Definition> = Vec::new();
    let mut lines = Vec::new();
    for known in &known.definitions {
        // A list is no code.
        if known.list.is_some() {
            wanted.push(known.clone());
        } else if !drafts.contains_key(&known.key) {
            let before = current(&state, &known.key)?.map(|one| one.count);
            lines.push(line(known.key.clone(), Action::Removed, before));
        }
    }
    let mut changed = Vec::new();
    for (key, draft) in &drafts {
        let before = known.definitions.iter().find(|one| one.key == *key);
        if before.is_none() {
            definition::allow_new(key)?;
        }
        let after = definition::preview(before, draft, as_of);
        let action = match before {
            None => Some(Action::New),
            Some(before) if before.revision != after.revision => Some(Action::Changed),
            Some(_) => None,
        };
        let before = current(&state, key)?.map(|one| one.count);
        if let Some(action) = action {
            lines.push(line(key.clone(), action, before));
            changed.push(key.clone());
        }
        wanted.push(after);
    }
    let session = workspace.session(&lake, &state, as_of).await?;
    let mut evaluation = Evaluation::new(&session, &wanted);
    let fixed = known.fixed.iter().filter(|(key, _)| !changed.contains(key));
    for (key, members) in fixed {
        evaluation.know(key, members);
    }
    // Those that stay may name one that goes.
    let keys: Vec<SegmentKey> = wanted
        .iter()
        .filter(|one| one.list.is_none())
        .map(|one| one.key.clone())
        .collect();
    let removes = lines.iter().any(|line| line.action == Action::Removed);
    let evaluated = if removes { &keys } else { &changed };
    for (key, members) in evaluated.iter().zip(evaluation.segments(evaluated).await) {
        let members = members.map_err(|source| AppError::OfSegment {
            segment: key.clone(),
            source: Box::new(source),
        })?;
        let Some(line) = lines.iter_mut().find(|line| line.segment == *key) else {
            continue;
        };
        let before = match current(&state, key)? {
            Some(refreshed) => persons_now(&lake, &state, &refreshed).await?,
            None => roaring::RoaringTreemap::new(),
        };
        line.after = Some(members.len());
        line.entered = (members.as_ref() - &before).len();
        line.left = (&before - members.as_ref()).len();
    }
    for line in lines
        .iter_mut()
        .filter(|line| line.action == Action::Removed)
    {
        line.left = line.before.unwrap_or(0);
    }
    lines.sort_by(|a, b| a.segment.cmp(&b.segment));
    Ok(Plan { lines, drafts })
}

fn line(segment: SegmentKey, action: Action, before: Option<u64>) -> Planned {
    Planned {
        segment,
        action,
        before,
        after: None,
        entered: 0,
        left: 0,
    }
}

/// Makes the lake have the segments of a plan.
pub async fn apply(workspace: &Workspace, plan: &Plan, at: Timestamp) -> Result<(), AppError> {
    let lake = workspace.lake_or_new().await?;
    for line in &plan.lines {
        match plan.drafts.get(&line.segment) {
            Some(draft) => {
                let saved = definition::put(&lake, draft, at).await?;
                if saved.is_static() {
                    super::refresh_one(workspace, &saved.key, at, at, false).await?;
                }
            }
            None => rollbook_segments::delete(&lake, &line.segment, at).await?,
        }
    }
    Ok(())
}

/// Writes every segment that is no list into a folder; how many.
pub async fn export(workspace: &Workspace, folder: &Path) -> Result<u64, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| AppError::ListFile { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut count = 0;
    for definition in definition::list(&lake, &state).await? {
        if definition.list.is_some() {
            continue;
        }
        let path = folder.join(format!("{}.sql", definition.key));
        fs::write(&path, written(&definition)).map_err(failed(&path))?;
        count += 1;
    }
    Ok(count)
}

fn written(definition: &Definition) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        // A header is a line.
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "-- {name}: {value}");
    };
    if definition.name != definition.key.as_str() {
        field("name", &definition.name);
    }
    let pairs = [
        ("description", definition.description.clone()),
        ("refresh", Some(definition.refresh.to_string())),
        ("channel", definition.channel.map(|one| one.to_string())),
        ("holdout", definition.holdout.map(|one| one.to_string())),
        ("owner", definition.owner.clone()),
        (
            "tags",
            Some(definition.tags.join(", ")).filter(|tags| !tags.is_empty()),
        ),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            field(name, &value);
        }
    }
    text + &definition.criteria + "\n"
}

/// The segments of a folder.
fn read(folder: &Path) -> Result<BTreeMap<SegmentKey, Draft>, AppError> {
    let mut drafts = BTreeMap::new();
    for file in sql_files(folder)? {
        let key: SegmentKey = file
            .name
            .parse()
            .map_err(|error| file.wrong(format!("its name is no key of a segment: {error}")))?;
        let draft = draft(key.clone(), &file.text).map_err(|reason| file.wrong(reason))?;
        drafts.insert(key, draft);
    }
    Ok(drafts)
}

fn draft(key: SegmentKey, text: &str) -> Result<Draft, String> {
    let (fields, rest) = header(text, &FIELDS)?;
    let field = |name: &str| fields.get(name).copied();
    let tags = field("tags").unwrap_or_default();
    let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let parsed = |error: rollbook_segments::InvalidSchedule| error.to_string();
    Ok(Draft {
        name: Some(field("name").unwrap_or(key.as_str()).to_owned()),
        description: field("description").map(str::to_owned),
        refresh: Some(
            field("refresh")
                .unwrap_or("on_ingest")
                .parse()
                .map_err(parsed)?,
        ),
        channel: field("channel")
            .map(str::parse)
            .transpose()
            .map_err(parsed)?,
        holdout: field("holdout")
            .map(str::parse)
            .transpose()
            .map_err(parsed)?,
        owner: field("owner").map(str::to_owned),
        tags: Some(tags.map(str::to_owned).collect()),
        is_whole: true,
        ..Draft::new(key, rest.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use rollbook_model::Timestamp;
    use rollbook_segments::Definition;

    use super::{draft, written};

    #[test]
    fn segment_files_round_trip() {
        let key = || "vip".parse().unwrap();
        let text = "-- name: Very important\n-- refresh: 15 minutes\n-- channel: email\n\
                    -- holdout: 10\n-- owner: ann\n-- tags: a, b\n\
                    total_spent > 500 -- in euros\nand country = 'DE'\n";
        let read = draft(key(), text).unwrap();
        let saved = Definition::first(&read, Timestamp::from_micros(1));
        assert_eq!(written(&saved), text);
        assert_eq!(draft(key(), &written(&saved)).unwrap(), read);
        for (text, message) in [
            ("-- nmae: x\ntrue\n", "did you mean `name`"),
            ("-- name: x\n-- name: y\ntrue\n", "twice"),
            ("-- refresh: often\ntrue\n", "`often` is not a schedule"),
        ] {
            let error = draft(key(), text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
