//! Traits of a tenant's own, as a folder of `.sql` files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rollbook_engine::{CustomTrait, EngineError, Session, is_column_of_people};
use rollbook_lake::{LakeError, State};
use rollbook_model::{SegmentKey, Timestamp, TraitName};
use rollbook_segments::{TraitDefinition, custom_traits};
use serde::Serialize;

use crate::segments::Named;
pub use crate::segments::code::Action;
use crate::sql_files::{SqlFile, header, sql_files};
use crate::{AppError, Workspace};

/// What a header may say.
const FIELDS: [&str; 2] = ["description", "default"];

/// A trait in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The column of `people`.
    pub name: TraitName,
    /// The type of its values.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// What it is for persons without a row.
    pub default: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// The segments whose criteria name it.
    pub segments: Vec<SegmentKey>,
    /// Why it cannot be computed, where it cannot.
    pub problem: Option<String>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Its text.
    pub sql: String,
}

/// A line of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The trait.
    #[serde(rename = "trait")]
    pub name: TraitName,
    /// What becomes of it.
    pub action: Action,
    /// The type of its values.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// How many persons have a value.
    pub persons: Option<u64>,
    /// The segments that are computed anew, since their criteria name it.
    pub segments: Vec<SegmentKey>,
}

/// A folder held against the lake.
#[derive(Debug)]
pub struct Plan {
    /// What differs.
    pub lines: Vec<Planned>,
    base: State,
    wanted: BTreeMap<TraitName, Draft>,
}

/// A trait as a file has it.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    description: Option<String>,
    default: Option<String>,
    /// The line of the header that says the default, from 1.
    default_line: usize,
    sql: String,
    /// Lines of the file before the text.
    lines_before: usize,
}

impl Draft {
    fn of(file: &SqlFile) -> Result<Self, AppError> {
        let (fields, rest) = header(&file.text, &FIELDS).map_err(|reason| file.wrong(reason))?;
        let blank = rest.len() - rest.trim_start().len();
        let blank = rest[..blank].rfind('\n').map_or(0, |at| at + 1);
        let before = file.text.len() - rest.len() + blank;
        let field = |name: &str| fields.get(name).map(|&value| value.to_owned());
        let mut lines = file.text.lines();
        let says_default = |line: &str| {
            let line = line.trim().strip_prefix("--");
            line.is_some_and(|line| line.trim_start().starts_with("default"))
        };
        Ok(Self {
            path: file.path.clone(),
            description: field("description").filter(|text| !text.is_empty()),
            default: field("default").filter(|text| !text.is_empty()),
            default_line: lines.position(says_default).map_or(1, |at| at + 1),
            sql: rest[blank..].trim_end().to_owned(),
            lines_before: file.text[..before].matches('\n').count(),
        })
    }

    /// What it makes of a trait.
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

    /// The same for an engine, whose places are then those in the file.
    fn own(&self, name: &TraitName) -> CustomTrait {
        CustomTrait {
            name: name.to_string(),
            sql: "\n".repeat(self.lines_before) + &self.sql,
            default: self.default.clone(),
        }
    }

    fn wrong(&self, source: EngineError) -> AppError {
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

/// All traits of the tenant's own, in order of their names.
pub async fn list(workspace: &Workspace, now: Timestamp) -> Result<Vec<Listed>, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    let known = custom_traits::list(&lake, &state).await?;
    let session = workspace.session(&lake, &state, now).await?;
    let types = types(&session);
    let named = Named::all(&lake, &state).await?;
    let listed = known.into_iter().map(|one| {
        let (ty, problem) = match types.get(one.name.as_str()) {
            Some(Ok(ty)) => (Some(ty.clone()), None),
            Some(Err(problem)) => (None, Some(problem.clone())),
            None => {
                let problem = "`people` has a column of this name without it".to_owned();
                (None, Some(problem))
            }
        };
        Listed {
            segments: naming(&session, &named, &one.name),
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

/// The segments whose own criteria name a trait.
fn naming(session: &Session, named: &Named, name: &TraitName) -> Vec<SegmentKey> {
    let wanted = BTreeSet::from([name.to_string()]);
    let names_it = |criteria: &str| {
        let found = session.names_among(criteria, &wanted);
        // A text that cannot be read names nothing.
        found.is_ok_and(|found| !found.is_empty())
    };
    let all = named.definitions.iter();
    all.filter(|one| one.list.is_none() && names_it(&one.criteria))
        .map(|one| one.key.clone())
        .collect()
}

/// Reads a folder, runs what is new in it, and says what would change if the lake had these traits.
/// Nothing is changed.
pub async fn plan(
    workspace: &Workspace,
    folder: &Path,
    as_of: Timestamp,
) -> Result<Plan, AppError> {
    let mut wanted = BTreeMap::new();
    for file in sql_files(folder)? {
        let name: TraitName = file
            .name
            .parse()
            .map_err(|error| file.wrong(format!("its name is no name of a trait: {error}")))?;
        if is_column_of_people(name.as_str()) {
            return Err(file.wrong(format!("`people` has a column `{name}` already")));
        }
        wanted.insert(name, Draft::of(&file)?);
    }
    let lake = workspace.lake_or_new().await?;
    let state = lake.head().await?;
    let known = custom_traits::list(&lake, &state).await?;
    let own = wanted.iter().map(|(name, draft)| draft.own(name)).collect();
    let session = workspace
        .session_with(&lake, &state, as_of, None, own)
        .await?;
    let named = Named::all(&lake, &state).await?;
    let mut lines = Vec::new();
    for (name, draft) in &wanted {
        let before = known.iter().find(|one| one.name == *name);
        let after = draft.definition(name, before, as_of);
        let action = match before {
            None => Action::New,
            Some(before) if *before == after => continue,
            Some(_) => Action::Changed,
        };
        if !session.is_plain_name(name.as_str()) {
            return Err(AppError::SqlFile {
                path: draft.path.clone(),
                reason: format!("`{name}` is a word of SQL: no criteria could name it"),
            });
        }
        let ran = session.run_trait(name.as_str()).await;
        let (ty, persons) = ran.map_err(|error| draft.wrong(error))?;
        let computes = before.is_none_or(|before| !before.computes_as(&after));
        lines.push(Planned {
            name: name.clone(),
            action,
            ty: Some(ty),
            persons: Some(persons),
            segments: match computes {
                true => naming(&session, &named, name),
                false => Vec::new(),
            },
        });
    }
    for one in known.iter().filter(|one| !wanted.contains_key(&one.name)) {
        lines.push(Planned {
            name: one.name.clone(),
            action: Action::Removed,
            ty: None,
            persons: None,
            segments: naming(&session, &named, &one.name),
        });
    }
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    check_segments(&session, &named, &lines).await?;
    Ok(Plan {
        lines,
        base: state,
        wanted,
    })
}

/// Refuses traits without which, or with which, the criteria of a segment cannot be evaluated.
async fn check_segments(
    session: &Session,
    named: &Named,
    lines: &[Planned],
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
            Action::Removed => AppError::TraitInUse {
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

/// Makes the lake have the traits of a plan.
pub async fn apply(workspace: &Workspace, plan: &Plan, at: Timestamp) -> Result<(), AppError> {
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
