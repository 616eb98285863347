//! Which criteria cost as much as their text tells.

use rollbook_engine::{Tame, is_column_of_people, tame};
use rollbook_lake::{Lake, State};
use rollbook_model::SegmentKey;
use rollbook_segments::{custom_traits, definition};

use crate::{AppError, Workspace};

/// Whether each of some criteria costs as much as its text tells. That of traits of the tenant's own
/// does not, and that of segments which are named only if the criteria of all segments do.
///
/// # Errors
/// Those of the lake.
pub async fn are_tame(workspace: &Workspace, criteria: &[&str]) -> Result<Vec<bool>, AppError> {
    // Mostly the texts alone tell, and the lake need not be opened: no trait of the tenant's own has
    // the name of another column.
    let of_texts = |text: &&str| tame(text, &|name| !is_column_of_people(name)) == Tame::Yes;
    if criteria.iter().all(of_texts) {
        return Ok(vec![true; criteria.len()]);
    }
    let lake = match workspace.lake().await {
        Ok(lake) => lake,
        Err(error) if error.is_no_lake() => {
            let each = criteria.iter();
            return Ok(each
                .map(|text| tame(text, &|_| false) != Tame::No)
                .collect());
        }
        Err(error) => return Err(error),
    };
    let state = lake.head().await?;
    let found = looked_at(&state, criteria)?;
    let all_are = match found.contains(&Tame::IfSegmentsAre) {
        true => saved_are_tame(&lake, &state, None).await?,
        false => true,
    };
    let is_tame = |found: Tame| match found {
        Tame::Yes => true,
        Tame::IfSegmentsAre => all_are,
        Tame::No => false,
    };
    Ok(found.into_iter().map(is_tame).collect())
}

/// All segments, and whether the criteria of each cost as much as their text tells.
///
/// # Errors
/// Those of the lake.
pub async fn tameness(workspace: &Workspace) -> Result<Vec<(SegmentKey, bool)>, AppError> {
    let lake = workspace.lake().await?;
    let definitions = definition::list(&lake, &lake.head().await?).await?;
    let texts = definitions.iter().map(|one| one.criteria.as_str());
    let are_tame = are_tame(workspace, &texts.collect::<Vec<_>>()).await?;
    let keys = definitions.into_iter().map(|one| one.key);
    Ok(keys.zip(are_tame).collect())
}

/// Whether the criteria of a segment, or of all, are tame.
///
/// # Errors
/// Those of the lake; [`rollbook_segments::SegmentError::Unknown`].
pub async fn is_saved_tame(
    workspace: &Workspace,
    key: Option<&SegmentKey>,
) -> Result<bool, AppError> {
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    saved_are_tame(&lake, &state, key).await
}

async fn saved_are_tame(
    lake: &Lake,
    state: &State,
    key: Option<&SegmentKey>,
) -> Result<bool, AppError> {
    let definitions = match key {
        Some(key) => vec![definition::show(lake, state, key).await?],
        None => definition::list(lake, state).await?,
    };
    let texts = definitions.iter().map(|one| one.criteria.as_str());
    let found = looked_at(state, &texts.collect::<Vec<_>>())?;
    if key.is_none() || !found.contains(&Tame::IfSegmentsAre) {
        return Ok(!found.contains(&Tame::No));
    }
    Box::pin(saved_are_tame(lake, state, None)).await
}

fn looked_at(state: &State, criteria: &[&str]) -> Result<Vec<Tame>, AppError> {
    let traits = custom_traits::since(state)?;
    let is_own = |name: &str| traits.keys().any(|own| own.as_str() == name);
    Ok(criteria.iter().map(|text| tame(text, &is_own)).collect())
}

/// Whether fields, with commas between them, are columns that `people` has in every lake.
pub fn are_built_in(fields: &str) -> bool {
    fields
        .split(',')
        .all(|field| is_column_of_people(field.trim()))
}
