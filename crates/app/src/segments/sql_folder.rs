//! Segments as code: applying and exporting a folder of `.sql` files with headers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rollbook_model::{SegmentKey, Timestamp};
use rollbook_segments::membership::{current, persons_now};
use rollbook_segments::{Definition, Draft, Evaluation, definition};
use serde::Serialize;

use super::NamedSegments;
use super::refresh::refresh_one;
use crate::sql_files::{PlannedAction, header, sql_files};
use crate::{AppError, Workspace};

/// The fields of a header.
const FIELDS: [&str; 7] = [
    "name",
    "description",
    "refresh",
    "channel",
    "holdout",
    "owner",
    "tags",
];

/// What applying the folder does with one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedSegment {
    /// The segment.
    pub segment: SegmentKey,
    /// The action.
    pub action: PlannedAction,
    /// Number of members as of the last refresh.
    pub before: Option<u64>,
    /// Number of members after applying.
    pub after: Option<u64>,
    /// Number of persons who would enter.
    pub entered: u64,
    /// Number of persons who would leave.
    pub left: u64,
}

/// The differences between a folder and the lake.
#[derive(Debug)]
pub struct SegmentPlan {
    /// The segments that differ.
    pub lines: Vec<PlannedSegment>,
    drafts: BTreeMap<SegmentKey, Draft>,
}

/// Compares a folder with the lake. Nothing is changed.
///
/// # Errors
/// The folder or a file cannot be read; a file has an invalid name, header or criteria; a remaining segment
/// refers to one that would be removed; the lake cannot be read.
pub async fn plan(
    workspace: &Workspace,
    folder: &Path,
    as_of: Timestamp,
) -> Result<SegmentPlan, AppError> {
    workspace.require("segments::sql_folder::plan")?;
    let drafts = read(folder)?;
    let lake = workspace.lake_or_new().await?;
    let state = lake.head().await?;
    let known = NamedSegments::all(&lake, &state).await?;
    let mut definitions: Vec<Definition> = Vec::new();
    let mut lines = Vec::new();
    for known in &known.definitions {
        // Lists are not managed by files.
        if known.list.is_some() {
            definitions.push(known.clone());
        } else if !drafts.contains_key(&known.key) {
            let before = current(&state, &known.key)?.map(|one| one.count);
            lines.push(line(known.key.clone(), PlannedAction::Removed, before));
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
            None => Some(PlannedAction::New),
            Some(before) if before.revision != after.revision => Some(PlannedAction::Changed),
            Some(_) => None,
        };
        let before = current(&state, key)?.map(|one| one.count);
        if let Some(action) = action {
            lines.push(line(key.clone(), action, before));
            changed.push(key.clone());
        }
        definitions.push(after);
    }
    let session = workspace.session(&lake, &state, as_of).await?;
    let mut evaluation = Evaluation::new(&session, &definitions);
    let fixed = known.fixed.iter().filter(|(key, _)| !changed.contains(key));
    for (key, members) in fixed {
        evaluation.know(key, members);
    }
    // Remaining segments may refer to a removed one.
    let keys: Vec<SegmentKey> = definitions
        .iter()
        .filter(|one| one.list.is_none())
        .map(|one| one.key.clone())
        .collect();
    let removes = lines
        .iter()
        .any(|line| line.action == PlannedAction::Removed);
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
        .filter(|line| line.action == PlannedAction::Removed)
    {
        line.left = line.before.unwrap_or(0);
    }
    lines.sort_by(|a, b| a.segment.cmp(&b.segment));
    Ok(SegmentPlan { lines, drafts })
}

fn line(segment: SegmentKey, action: PlannedAction, before: Option<u64>) -> PlannedSegment {
    PlannedSegment {
        segment,
        action,
        before,
        after: None,
        entered: 0,
        left: 0,
    }
}

/// Applies a plan to the lake, segment by segment.
///
/// # Errors
/// A segment was deleted meanwhile; a static one cannot be computed; the lake cannot be written.
pub async fn apply(
    workspace: &Workspace,
    plan: &SegmentPlan,
    at: Timestamp,
) -> Result<(), AppError> {
    workspace.require("segments::sql_folder::apply")?;
    let lake = workspace.lake_or_new().await?;
    for line in &plan.lines {
        match plan.drafts.get(&line.segment) {
            Some(draft) => {
                let saved = definition::put(&lake, draft, at).await?;
                if saved.is_static() {
                    refresh_one(workspace, &saved.key, at, at, false).await?;
                }
            }
            None => rollbook_segments::delete(&lake, &line.segment, at).await?,
        }
    }
    Ok(())
}

/// Writes every segment except lists into a folder; returns their number.
///
/// # Errors
/// There is no lake; a file cannot be written.
pub async fn export(workspace: &Workspace, folder: &Path) -> Result<u64, AppError> {
    workspace.require("segments::sql_folder::export")?;
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
        fs::write(&path, sql_text(&definition)).map_err(failed(&path))?;
        count += 1;
    }
    Ok(count)
}

fn sql_text(definition: &Definition) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        // A field of the header is one line.
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

/// The definitions in a folder.
fn read(folder: &Path) -> Result<BTreeMap<SegmentKey, Draft>, AppError> {
    let mut drafts = BTreeMap::new();
    for file in sql_files(folder)? {
        let key: SegmentKey = file.name.parse().map_err(|error| {
            file.invalid(format!("its name is not a valid segment key: {error}"))
        })?;
        let draft = draft(key.clone(), &file.text).map_err(|reason| file.invalid(reason))?;
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
        without_personal: false,
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

    use super::{draft, sql_text};

    #[test]
    fn exported_files_parse_back() {
        let key = || "vip".parse().unwrap();
        let text = "-- name: Very important\n-- refresh: 15 minutes\n-- channel: email\n\
                    -- holdout: 10\n-- owner: ann\n-- tags: a, b\n\
                    total_spent > 500 -- in euros\nand country = 'DE'\n";
        let read = draft(key(), text).unwrap();
        let saved = Definition::first(&read, Timestamp::from_micros(1));
        assert_eq!(sql_text(&saved), text);
        assert_eq!(draft(key(), &sql_text(&saved)).unwrap(), read);
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
