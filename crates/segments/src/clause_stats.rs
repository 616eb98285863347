//! Statistics of the clauses of a condition: how many persons each one excludes, and probable mistakes.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use roaring::RoaringTreemap;
use rollbook_engine::{Atom, Clause, Comparison, Condition, Session};
use rollbook_model::nearest;
use serde::Serialize;

use crate::values::text;
use crate::{Evaluation, SegmentError};

/// Distinct values of a column that are read to find the nearest one.
const VALUES_LOOKED_AT: usize = 10_000;

/// Decimal places of thresholds.
const SCALE: i8 = 6;

/// Person counts of one clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClauseStats {
    /// Its number, from 1.
    pub clause: usize,
    /// The clause in SQL.
    pub text: String,
    /// How many meet it.
    pub alone: u64,
    /// How many would belong without it.
    pub without: u64,
    /// How many meet all other clauses and not this one.
    pub only_this_fails: u64,
    /// Some of these.
    pub sample: Vec<u64>,
}

/// Members and clause statistics of a condition.
#[derive(Debug)]
pub struct ConditionStats {
    /// Who belongs.
    pub members: RoaringTreemap,
    /// The clauses, all of which have to be met.
    pub clauses: Vec<ClauseStats>,
    /// Probable mistakes, in words.
    pub warnings: Vec<String>,
}

/// Counts the persons of each clause of a condition, with a sample of up to `sample` persons each.
///
/// # Errors
/// [`SegmentError::Criteria`] where a clause cannot be evaluated; [`SegmentError::Named`],
/// [`SegmentError::UnknownName`] and [`SegmentError::Circle`] where a segment that it names has no members.
pub async fn clause_stats(
    session: &Session,
    evaluation: &mut Evaluation<'_>,
    condition: &Condition,
    sample: usize,
) -> Result<ConditionStats, SegmentError> {
    let tree = Clause::of(condition);
    let conjuncts = tree.conjuncts();
    let mut conditions: Vec<Condition> = conjuncts.iter().map(Clause::condition).collect();
    conditions.push(Condition::everybody());
    let mut met = evaluation.each_of(&conditions).await?;
    let everybody = met.pop().unwrap_or_default();
    let mut clauses = Vec::new();
    for (at, clause) in conjuncts.iter().enumerate() {
        let without = others(&everybody, &met, at);
        let failing = &without - &met[at];
        clauses.push(ClauseStats {
            clause: at + 1,
            text: clause.text(),
            alone: met[at].len(),
            without: without.len(),
            only_this_fails: failing.len(),
            sample: failing.iter().take(sample).collect(),
        });
    }
    let members = others(&everybody, &met, met.len());
    let warnings = warnings(session, conjuncts, &met, &everybody).await?;
    Ok(ConditionStats {
        members,
        clauses,
        warnings,
    })
}

/// The persons who meet all clauses but one.
fn others(everybody: &RoaringTreemap, met: &[RoaringTreemap], but: usize) -> RoaringTreemap {
    let others = met.iter().enumerate().filter(|(at, _)| *at != but);
    others.fold(everybody.clone(), |all, (_, one)| all & one)
}

async fn warnings(
    session: &Session,
    conjuncts: &[Clause],
    met: &[RoaringTreemap],
    everybody: &RoaringTreemap,
) -> Result<Vec<String>, SegmentError> {
    let mut warnings = Vec::new();
    if everybody.is_empty() {
        return Ok(warnings);
    }
    for (clause, met) in conjuncts.iter().zip(met) {
        let text = clause.text();
        if met == everybody && text != "true" {
            warnings.push(format!("everybody meets `{text}`"));
        }
        let mut unknown = Vec::new();
        atoms(clause, &mut |atom| unknown.push(atom.clone()));
        let mut told = false;
        for atom in unknown {
            if let Some(warning) = unknown_value(session, &atom).await? {
                warnings.push(warning);
                told = true;
            }
        }
        if met.is_empty() && !told {
            warnings.push(format!("nobody meets `{text}`"));
        }
    }
    for (at, (clause, one)) in conjuncts.iter().zip(met).enumerate() {
        for (other, another) in conjuncts.iter().zip(met).skip(at + 1) {
            let are_met = !one.is_empty() && !another.is_empty();
            if are_met && one.is_disjoint(another) {
                let (clause, other) = (clause.text(), other.text());
                warnings.push(format!("nobody meets both `{clause}` and `{other}`"));
            }
        }
    }
    Ok(warnings)
}

fn atoms(clause: &Clause, note: &mut impl FnMut(&Atom)) {
    match clause {
        Clause::All(parts) | Clause::Any(parts) => {
            parts.iter().for_each(|part| atoms(part, note));
        }
        Clause::Not(part) => atoms(part, note),
        Clause::Atom(atom) => note(atom),
    }
}

/// A warning where a compared text never occurs in its column, or an activity type never occurs.
async fn unknown_value(session: &Session, atom: &Atom) -> Result<Option<String>, SegmentError> {
    let (kept, sql, wanted, what) = if let Some((column, wanted)) = atom.compared_text() {
        let kept = session.cached_texts(&column, VALUES_LOOKED_AT).await;
        let sql = format!("select distinct {column} from people where {column} is not null");
        (kept, sql, wanted, format!("`{column}`"))
    } else if let Some(kind) = atom.activity_type()? {
        let kept = session.cached_activity_types().await;
        let sql = "select distinct type from activities".to_owned();
        (kept, sql, kind, "the types of activities".to_owned())
    } else {
        return Ok(None);
    };
    let known = match kept {
        Some(kept) => kept,
        None => distinct(session, &sql).await?,
    };
    if known.len() >= VALUES_LOOKED_AT || known.contains(&wanted) {
        return Ok(None);
    }
    let nearest = nearest(&wanted, known.iter().map(String::as_str));
    let nearest = nearest.or_else(|| {
        let mut alike = known.iter().filter(|one| one.eq_ignore_ascii_case(&wanted));
        alike.next().map(String::as_str)
    });
    let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?"));
    let hint = hint.unwrap_or_default();
    Ok(Some(format!("`{wanted}` never occurs in {what}{hint}")))
}

async fn distinct(session: &Session, sql: &str) -> Result<BTreeSet<String>, SegmentError> {
    let mut rows = session
        .stream(&format!("{sql} limit {VALUES_LOOKED_AT}"))
        .await?;
    let mut values = BTreeSet::new();
    while let Some(batch) = rows.next_batch().await? {
        values.extend((0..batch.num_rows()).filter_map(|row| text(batch.column(0), row)));
    }
    Ok(values)
}

/// A threshold for a requested number of members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FittedThreshold {
    /// The clause that was fitted, as it is now.
    pub clause: String,
    /// The bound in it.
    pub threshold: String,
    /// How many belong with it, exactly.
    pub count: u64,
    /// The whole criteria with it.
    pub criteria: String,
}

/// Finds the threshold of a clause, by its number from 1, for which the number of members is nearest to
/// `size`.
///
/// # Errors
/// [`SegmentError::NoThreshold`] where there is no such clause, where it does not compare a value with a
/// number by size, or where nobody meets the other clauses; else as [`clause_stats`].
pub async fn fit(
    evaluation: &mut Evaluation<'_>,
    condition: &Condition,
    clause: usize,
    size: u64,
) -> Result<FittedThreshold, SegmentError> {
    let tree = Clause::of(condition);
    let conjuncts = tree.conjuncts();
    let refused = |reason: &str| SegmentError::NoThreshold {
        clause,
        clauses: conjuncts.len(),
        reason: reason.to_owned(),
    };
    let chosen = clause.checked_sub(1).and_then(|at| conjuncts.get(at));
    let chosen = chosen.ok_or_else(|| refused("there is no such clause"))?;
    let Clause::Atom(Atom {
        value: Some(value),
        bound: Some((how, _)),
        ..
    }) = chosen
    else {
        return Err(refused("it does not compare a value with a number"));
    };
    let is_descending = match how {
        Comparison::More | Comparison::MoreOrEqual => true,
        Comparison::Less | Comparison::LessOrEqual => false,
        _ => return Err(refused("it does not compare by size")),
    };
    let mut conditions: Vec<Condition> = conjuncts.iter().map(Clause::condition).collect();
    conditions[clause - 1] = Condition::everybody();
    let met = evaluation.each_of(&conditions).await?;
    let others = met
        .into_iter()
        .reduce(|all, one| all & one)
        .unwrap_or_default();
    let mut values = numbers(evaluation, value, &others)
        .await?
        .ok_or_else(|| refused("the value that it compares is not a number"))?;
    values.sort_unstable();
    if is_descending {
        values.reverse();
    }
    let (threshold, count) =
        nearest_cut(&values, size).ok_or_else(|| refused("nobody meets the other clauses"))?;
    let threshold = decimal_text(threshold);
    let symbol = if is_descending { ">=" } else { "<=" };
    let fitted = format!("{} {symbol} {threshold}", value.source());
    let mut texts: Vec<String> = conjuncts.iter().map(Clause::text_within).collect();
    fitted.clone_into(&mut texts[clause - 1]);
    Ok(FittedThreshold {
        clause: fitted,
        threshold,
        count,
        criteria: texts.join(" and "),
    })
}

/// The values of an expression for some persons, in millionths; `None` where they are no numbers.
async fn numbers(
    evaluation: &mut Evaluation<'_>,
    value: &Condition,
    persons: &RoaringTreemap,
) -> Result<Option<Vec<i128>>, SegmentError> {
    let mut rows = evaluation.values(vec![value.clone()]).await?;
    let mut values = Vec::new();
    while let Some(batch) = rows.next_batch().await? {
        if !batch.column(1).data_type().is_numeric() {
            return Ok(None);
        }
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let Ok(numbers) = cast(batch.column(1), &DataType::Decimal128(38, SCALE)) else {
            return Ok(None);
        };
        let numbers = numbers.as_primitive::<Decimal128Type>();
        for (at, id) in ids.values().iter().enumerate() {
            let is_wanted = u64::try_from(*id).is_ok_and(|id| persons.contains(id));
            if is_wanted && numbers.is_valid(at) {
                values.push(numbers.value(at));
            }
        }
    }
    Ok(Some(values))
}

/// The value in order up to which nearest to `size` values lie, and how many these are.
fn nearest_cut(values: &[i128], size: u64) -> Option<(i128, u64)> {
    let size = usize::try_from(size)
        .unwrap_or(usize::MAX)
        .clamp(1, values.len().max(1));
    let at = *values.get(size - 1)?;
    let begin = values.iter().position(|value| *value == at)?;
    let end = begin
        + values[begin..]
            .iter()
            .take_while(|value| **value == at)
            .count();
    // Equal values come together: before all of them, or after.
    Some(match begin > 0 && size - begin < end - size {
        true => (values[begin - 1], begin as u64),
        false => (at, end as u64),
    })
}

fn decimal_text(millionths: i128) -> String {
    let unit = 10_i128.pow(u32::from(SCALE.unsigned_abs()));
    let sign = if millionths < 0 { "-" } else { "" };
    let (whole, rest) = (millionths.abs() / unit, millionths.abs() % unit);
    let rest = format!("{rest:06}");
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{decimal_text, nearest_cut};

    #[test]
    fn cut_is_as_close_as_ties_allow() {
        let values = [9, 8, 8, 8, 5, 4];
        for (size, cut) in [
            (1, (9, 1)),
            (2, (9, 1)),
            (3, (8, 4)),
            (4, (8, 4)),
            (5, (5, 5)),
            (99, (4, 6)),
        ] {
            assert_eq!(nearest_cut(&values, size), Some(cut), "{size}");
        }
        assert_eq!(nearest_cut(&[], 3), None);
        assert_eq!(decimal_text(-1_500_000), "-1.5");
        assert_eq!(decimal_text(20_000_000), "20");
    }
}
