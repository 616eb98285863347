//! Segments from a file that lists person ids or e-mail addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use roaring::RoaringTreemap;
use rollbook_identity::token::MatchRule;
use rollbook_model::Timestamp;
use rollbook_segments::refresh::freeze;
use rollbook_segments::{Definition, Draft, RefreshRequest, Schedule, definition};
use serde::Serialize;

use crate::identity::normal_form::forms;
use crate::segments::members::checksum;
use crate::{AppError, Workspace};

/// Result of saving a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SavedList {
    /// The segment.
    #[serde(flatten)]
    pub definition: Definition,
    /// Number of members.
    pub count: u64,
    /// Number of lines that match no person.
    pub unknown: u64,
    /// The first ten of these line numbers, from 1.
    pub unknown_lines: Vec<usize>,
}

/// Saves a segment whose members a file lists: person ids or e-mail addresses, one per line. The addresses
/// are not stored.
///
/// # Errors
/// The file cannot be read or is not UTF-8; there is no lake; the key is reserved; the lake cannot be
/// written.
pub async fn put_list(
    workspace: &Workspace,
    draft: &Draft,
    file: &Path,
    at: Timestamp,
) -> Result<SavedList, AppError> {
    workspace.require("segments::list_file::put_list")?;
    let text = std::fs::read_to_string(file).map_err(|source| AppError::ListFile {
        path: file.to_owned(),
        source,
    })?;
    let (mut ids, mut emails): (Vec<(usize, u64)>, BTreeMap<String, usize>) = Default::default();
    let mut unknown = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let entry = line.trim().trim_matches('"').trim();
        let is_header = number == 1 && ["person_id", "email"].contains(&entry);
        if entry.is_empty() || is_header {
            continue;
        }
        match entry.parse::<u64>() {
            Ok(id) => ids.push((number, id)),
            Err(_) if entry.contains('@') => {
                let form = forms(MatchRule::Email, entry, None).into_iter().next();
                emails.entry(form.unwrap_or_default()).or_insert(number);
            }
            Err(_) => unknown.push(number),
        }
    }
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    // An address matches persons who have it in any of their records.
    let session = workspace
        .session_of_records(&lake, &state, at, None)
        .await?;
    let column = match emails.is_empty() {
        true => "cast(null as varchar)",
        false => "email",
    };
    let sql = format!("select person_id, {column} from persons where person_id <> 0");
    let (mut known, mut members) = (RoaringTreemap::new(), RoaringTreemap::new());
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut rows = session.stream(&sql).await?;
    while let Some(batch) = rows.next_batch().await? {
        let persons = batch.column(0).as_primitive::<Int64Type>();
        let texts = cast(batch.column(1), &DataType::Utf8);
        let texts = texts.map_err(|source| AppError::Rows { source })?;
        let texts = texts.as_string::<i32>();
        for at in 0..batch.num_rows() {
            let person = persons.value(at).unsigned_abs();
            known.insert(person);
            let text = texts.is_valid(at).then(|| texts.value(at));
            let forms = text.map(|text| forms(MatchRule::Email, text, None));
            for form in forms.into_iter().flatten() {
                if emails.contains_key(&form) {
                    members.insert(person);
                    found.insert(form);
                }
            }
        }
    }
    // The id of a merged person is kept as given, and stands for the surviving person.
    let gone = lake.person_redirects(state.person_redirects_path()).await?;
    for (number, id) in ids {
        match gone.current(id) {
            Some(now) if known.contains(now) => drop(members.insert(id)),
            _ => unknown.push(number),
        }
    }
    let missing = emails.iter().filter(|(email, _)| !found.contains(*email));
    unknown.extend(missing.map(|(_, number)| *number));
    unknown.sort_unstable();
    let draft = Draft {
        criteria: String::new(),
        refresh: Some(Schedule::Static),
        list: Some(checksum(&members)),
        ..draft.clone()
    };
    let saved = definition::put(&lake, &draft, at).await?;
    let request = RefreshRequest {
        keys: vec![saved.key.clone()],
        as_of: at,
        now: at,
        is_full: false,
        without_personal: false,
    };
    let done = freeze(&lake, &saved, &Arc::new(members), &request).await?;
    Ok(SavedList {
        definition: saved,
        count: done.refreshed.count,
        unknown: unknown.len() as u64,
        unknown_lines: unknown.into_iter().take(10).collect(),
    })
}
