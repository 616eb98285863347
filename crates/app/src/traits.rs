//! Custom traits: listing, and applying a folder of `.sql` files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rollbook_engine::{CustomTrait, EngineError, Session, is_column_of_people};
use rollbook_lake::{LakeError, State};
use rollbook_model::{SegmentKey, Timestamp, TraitName};
use rollbook_segments::{Criteria, TraitDefinition, custom_traits};
use serde::Serialize;

use crate::segments::NamedSegments;
pub use crate::sql_files::PlannedAction;
use crate::sql_files::{SqlFile, header, sql_files};
use crate::{AppError, Workspace};

/// The fields of a header.
const FIELDS: [&str; 2] = ["description", "default"];

/// A custom trait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedTrait {
    /// Its name, which is its column of `people`.
    pub name: TraitName,
    /// The type of its values.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// The value for persons without a row, as an SQL literal.
    pub default: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// The segments whose criteria use it.
    pub segments: Vec<SegmentKey>,
    /// Why it cannot be computed, if it cannot.
    pub problem: Option<String>,
    /// The time of the last change.
    pub updated_at: Timestamp,
    /// Its SQL.
    pub sql: String,
}

/// What applying the folder does with one trait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTrait {
    /// The trait.
    #[serde(rename = "trait")]
    pub name: TraitName,
    /// The action.
    pub action: PlannedAction,
    /// The type of its values.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// Number of persons with a row.
    pub persons: Option<u64>,
    /// The segments to be refreshed because their criteria use it.
    pub segments: Vec<SegmentKey>,
}

/// The differences between a folder and the lake.
#[derive(Debug)]
pub struct TraitPlan {
    /// The traits that differ.
    pub lines: Vec<PlannedTrait>,
    base: State,
    wanted: BTreeMap<TraitName, TraitFile>,
}

/// A trait as defined by a file.
#[derive(Debug)]
struct TraitFile {
    path: PathBuf,
    description: Option<String>,
    default: Option<String>,
    /// The line of the header that has the default, from 1.
    default_line: usize,
    sql: String,
    /// Lines of the file before the SQL.
    lines_before: usize,
}

impl TraitFile {
    fn of(file: &SqlFile) -> Result<Self, AppError> {
        let (fields, rest) = header(&file.text, &FIELDS).map_err(|reason| file.invalid(reason))?;
        let blank = rest.len() - rest.trim_start().len();
        let blank = rest[..blank].rfind('\n').map_or(0, |at| at + 1);
        let before = file.text.len() - rest.len() + blank;
        let field = |name: &str| fields.get(name).map(|&value| value.to_owned());
        let mut lines = file.text.lines();
        let has_default = |line: &str| {
            let line = line.trim().strip_prefix("--");
            line.is_some_and(|line| line.trim_start().starts_with("default"))
        };
        Ok(Self {
            path: file.path.clone(),
            description: field("description").filter(|text| !text.is_empty()),
            default: field("default").filter(|text| !text.is_empty()),
            default_line: lines.position(has_default).map_or(1, |at| at + 1),
            sql: rest[blank..].trim_end().to_owned(),
            lines_before: file.text[..before].matches('\n').count(),
        })
    }

    /// The definition that replaces `before`.
    fn definition(
        &self,
        name: &TraitName,
        before: Option<&TraitDefinition>,
        at: Timestamp,
    ) -> TraitDefinition {
        let new = TraitDefinition {
            name: name.clone(),
            description: self.description.clone(),
            default: self.default.clone(),
            sql: self.sql.clone(),
            updated_at: at,
            since: at,
        };
        match before {
            Some(before) if before.computes_as(&new) => TraitDefinition {
                since: before.since,
                updated_at: match before.description == new.description {
                    true => before.updated_at,
                    false => at,
                },
                ..new
            },
            _ => new,
        }
    }

    /// The trait for the engine, padded so that positions in errors refer to the file.
    fn custom_trait(&self, name: &TraitName) -> CustomTrait {
        CustomTrait {
            name: name.to_string(),
            sql: "\n".repeat(self.lines_before) + &self.sql,
            default: self.default.clone(),
        }
    }

    fn invalid(&self, source: EngineError) -> AppError {
        let path = self.path.clone();
        let source = match source {
            EngineError::InTrait { source, .. } => source,
            source => Arc::new(source),
        };
        match source.as_ref() {
            EngineError::TraitDefault { .. } => AppError::SqlFile {
                path,
                reason: format!("`default` at line {}: {source}", self.default_line),
            },
            _ => AppError::InFile { path, source },
        }
    }
}

/// All custom traits, by name.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn list(workspace: &Workspace, now: Timestamp) -> Result<Vec<ListedTrait>, AppError> {
    workspace.require("traits::list")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let known = custom_traits::list(&lake, &state).await?;
    let session = workspace.session(&lake, &state, now).await?;
    let types = types(&session);
    let named = NamedSegments::all(&lake, &state).await?;
    let listed = known.into_iter().map(|one| {
        let (ty, problem) = match types.get(one.name.as_str()) {
            Some(Ok(ty)) => (Some(ty.clone()), None),
            Some(Err(problem)) => (None, Some(problem.clone())),
            None => {
                let problem = "`people` has a built-in column of this name".to_owned();
                (None, Some(problem))
            }
        };
        ListedTrait {
            segments: segments_using(&session, &named, &one.name),
            name: one.name,
            ty,
            default: one.default,
            description: one.description,
            problem,
            updated_at: one.updated_at,
            sql: one.sql,
        }
    });
    Ok(listed.collect())
}

fn types(session: &Session) -> BTreeMap<&str, Result<String, String>> {
    let types = session.custom_traits().into_iter();
    types
        .map(|(name, ty)| (name, ty.map_err(|error| error.to_string())))
        .collect()
}

/// The segments whose criteria use a trait directly.
fn segments_using(session: &Session, named: &NamedSegments, name: &TraitName) -> Vec<SegmentKey> {
    let wanted = BTreeSet::from([name.to_string()]);
    let uses_it = |criteria: &str| {
        // Criteria that cannot be parsed use nothing.
        Criteria::parse(criteria, session.limits())
            .is_ok_and(|criteria| !criteria.names_among(&wanted).is_empty())
    };
    let all = named.definitions.iter();
    all.filter(|one| one.list.is_none() && uses_it(&one.criteria))
        .map(|one| one.key.clone())
        .collect()
}

/// Compares a folder with the lake, and runs new and changed traits. Nothing is changed.
///
/// # Errors
/// The folder or a file cannot be read; a file has an invalid name, header or SQL; a trait fails or exceeds a
/// limit; a segment would fail with the new traits; [`AppError::TraitInUse`].
pub async fn plan(
    workspace: &Workspace,
    folder: &Path,
    as_of: Timestamp,
) -> Result<TraitPlan, AppError> {
    workspace.require("traits::plan")?;
    let mut wanted = BTreeMap::new();
    for file in sql_files(folder)? {
        let name: TraitName = file.name.parse().map_err(|error| {
            file.invalid(format!("its name is not a valid trait name: {error}"))
        })?;
        if is_column_of_people(name.as_str()) {
            return Err(file.invalid(format!("`people` has a built-in column `{name}`")));
        }
        wanted.insert(name, TraitFile::of(&file)?);
    }
    let lake = workspace.lake_or_new().await?;
    let state = lake.head().await?;
    let known = custom_traits::list(&lake, &state).await?;
    let own = wanted
        .iter()
        .map(|(name, draft)| draft.custom_trait(name))
        .collect();
    let session = workspace
        .session_with(&lake, &state, as_of, None, own)
        .await?;
    let named = NamedSegments::all(&lake, &state).await?;
    let mut lines = Vec::new();
    for (name, draft) in &wanted {
        let before = known.iter().find(|one| one.name == *name);
        let after = draft.definition(name, before, as_of);
        let action = match before {
            None => PlannedAction::New,
            Some(before) if *before == after => continue,
            Some(_) => PlannedAction::Changed,
        };
        if !session.is_plain_name(name.as_str()) {
            return Err(AppError::SqlFile {
                path: draft.path.clone(),
                reason: format!("`{name}` is an SQL keyword: criteria could not use it"),
            });
        }
        let ran = session.run_trait(name.as_str()).await;
        let (ty, persons) = ran.map_err(|error| draft.invalid(error))?;
        let computes = before.is_none_or(|before| !before.computes_as(&after));
        lines.push(PlannedTrait {
            name: name.clone(),
            action,
            ty: Some(ty),
            persons: Some(persons),
            segments: match computes {
                true => segments_using(&session, &named, name),
                false => Vec::new(),
            },
        });
    }
    for one in known.iter().filter(|one| !wanted.contains_key(&one.name)) {
        lines.push(PlannedTrait {
            name: one.name.clone(),
            action: PlannedAction::Removed,
            ty: None,
            persons: None,
            segments: segments_using(&session, &named, &one.name),
        });
    }
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    check_segments(&session, &named, &lines).await?;
    Ok(TraitPlan {
        lines,
        base: state,
        wanted,
    })
}

/// Evaluates the segments that use changed or removed traits.
///
/// # Errors
/// [`AppError::TraitInUse`] or [`AppError::OfSegment`] for the first trait that breaks a segment.
async fn check_segments(
    session: &Session,
    named: &NamedSegments,
    lines: &[PlannedTrait],
) -> Result<(), AppError> {
    let mut evaluation = named.evaluation(session);
    for line in lines {
        let members = evaluation.segments(&line.segments).await;
        let failed = line.segments.iter().zip(members);
        let failed = failed.filter_map(|(key, members)| Some((key.clone(), members.err()?)));
        let failed: Vec<_> = failed.collect();
        if failed.is_empty() {
            continue;
        }
        return Err(match line.action {
            PlannedAction::Removed => AppError::TraitInUse {
                name: line.name.clone(),
                segments: failed.into_iter().map(|(key, _)| key).collect(),
            },
            _ => {
                let (segment, source) = failed.into_iter().next().expect("there is one");
                AppError::OfSegment {
                    segment,
                    source: Box::new(source),
                }
            }
        });
    }
    Ok(())
}

/// Applies a plan to the lake, in one commit.
///
/// # Errors
/// Traits changed since the plan was made; the lake cannot be written.
pub async fn apply(workspace: &Workspace, plan: &TraitPlan, at: Timestamp) -> Result<(), AppError> {
    workspace.require("traits::apply")?;
    if plan.lines.is_empty() {
        return Ok(());
    }
    let lake = workspace.lake_or_new().await?;
    let known = custom_traits::list(&lake, &plan.base).await?;
    let traits = plan.wanted.iter().map(|(name, draft)| {
        let before = known.iter().find(|one| one.name == *name);
        draft.definition(name, before, at)
    });
    match custom_traits::replace(&lake, &plan.base, traits.collect(), at).await? {
        true => Ok(()),
        false => Err(LakeError::Busy { attempts: 1 }.into()),
    }
}
