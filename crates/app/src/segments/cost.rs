//! Which criteria have a cost that their text bounds; others run in a worker process with a memory limit.

use rollbook_engine::{Condition, CostClass, cost_class, is_column_of_people};
use rollbook_lake::{Lake, State};
use rollbook_model::SegmentKey;
use rollbook_segments::{custom_traits, definition};

use crate::{AppError, Workspace};

/// Whether the text of each of some criteria bounds its cost. Criteria with custom traits are unbounded,
/// since traits are queries; criteria that refer to segments are bounded if those of all segments are.
///
/// # Errors
/// The lake cannot be read; there being none is no error.
pub async fn have_bounded_cost(
    workspace: &Workspace,
    criteria: &[&str],
) -> Result<Vec<bool>, AppError> {
    workspace.require("segments::cost::have_bounded_cost")?;
    // Most texts use built-in columns only, so the lake need not be opened: a custom trait never has the
    // name of a built-in column.
    let criteria: Vec<Parsed> = criteria
        .iter()
        .map(|text| CostClass::condition_in(text))
        .collect();
    let is_tame =
        |one: &Parsed| class(one, &|name| !is_column_of_people(name)) == CostClass::Bounded;
    if criteria.iter().all(is_tame) {
        return Ok(vec![true; criteria.len()]);
    }
    let lake = match workspace.lake().await {
        Ok(lake) => lake,
        Err(error) if error.is_no_lake() => {
            let each = criteria.iter();
            return Ok(each
                .map(|one| class(one, &|_| false) != CostClass::Unbounded)
                .collect());
        }
        Err(error) => return Err(error),
    };
    let state = lake.head().await?;
    let found = classify(&state, &criteria)?;
    let all_are_bounded = match found.contains(&CostClass::BoundedIfSegmentsAre) {
        true => saved_are_bounded(&lake, &state, None).await?,
        false => true,
    };
    let is_bounded = |found: CostClass| match found {
        CostClass::Bounded => true,
        CostClass::BoundedIfSegmentsAre => all_are_bounded,
        CostClass::Unbounded => false,
    };
    Ok(found.into_iter().map(is_bounded).collect())
}

/// All segments, each with whether its criteria have a bounded cost.
///
/// # Errors
/// There is no lake, or it cannot be read.
pub async fn bounded_segments(workspace: &Workspace) -> Result<Vec<(SegmentKey, bool)>, AppError> {
    workspace.require("segments::cost::bounded_segments")?;
    let lake = workspace.lake().await?;
    let definitions = definition::list(&lake, &lake.head().await?).await?;
    let texts = definitions.iter().map(|one| one.criteria.as_str());
    let bounded = have_bounded_cost(workspace, &texts.collect::<Vec<_>>()).await?;
    let keys = definitions.into_iter().map(|one| one.key);
    Ok(keys.zip(bounded).collect())
}

/// Whether the criteria of a saved segment, or of all if `None`, have a bounded cost.
///
/// # Errors
/// There is no lake, or it cannot be read; the segment does not exist.
pub async fn saved_has_bounded_cost(
    workspace: &Workspace,
    key: Option<&SegmentKey>,
) -> Result<bool, AppError> {
    workspace.require("segments::cost::saved_has_bounded_cost")?;
    let lake = workspace.lake().await?;
    let state = lake.head().await?;
    saved_are_bounded(&lake, &state, key).await
}

async fn saved_are_bounded(
    lake: &Lake,
    state: &State,
    key: Option<&SegmentKey>,
) -> Result<bool, AppError> {
    let definitions = match key {
        Some(key) => vec![definition::show(lake, state, key).await?],
        None => definition::list(lake, state).await?,
    };
    let parsed = definitions.iter();
    let parsed = parsed.map(|one| CostClass::condition_in(&one.criteria));
    let found = classify(state, &parsed.collect::<Vec<_>>())?;
    if key.is_none() || !found.contains(&CostClass::BoundedIfSegmentsAre) {
        return Ok(!found.contains(&CostClass::Unbounded));
    }
    Box::pin(saved_are_bounded(lake, state, None)).await
}

/// A condition, or the class of a text that is none.
type Parsed = Result<Condition, CostClass>;

fn class(criteria: &Parsed, is_own_trait: &dyn Fn(&str) -> bool) -> CostClass {
    match criteria {
        Ok(condition) => cost_class(condition, is_own_trait),
        Err(class) => *class,
    }
}

fn classify(state: &State, criteria: &[Parsed]) -> Result<Vec<CostClass>, AppError> {
    let traits = custom_traits::since(state)?;
    let is_own = |name: &str| traits.keys().any(|own| own.as_str() == name);
    Ok(criteria.iter().map(|one| class(one, &is_own)).collect())
}

/// Whether a comma-separated list of fields has built-in columns of `people` only, no custom traits.
pub fn are_built_in_columns(fields: &str) -> bool {
    fields
        .split(',')
        .all(|field| is_column_of_people(field.trim()))
}
