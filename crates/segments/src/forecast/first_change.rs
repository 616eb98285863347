//! The first moment at which time alone may change the members of segments.
//!
//! It is computed when freshness is asked for, so that refreshes do not pay for it. For time windows, the
//! next row to enter or leave is found: activities in their time index, other facts by a pass over a
//! column of times. For values of persons that are compared with the current time, the nearest ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{SortOptions, sort_limit};
use datafusion::common::ScalarValue;
use roaring::RoaringTreemap;
use rollbook_engine::{Beside as ValueBeside, Found, Lookup, PersonQuery, Session, Transitions};
use rollbook_lake::{Lake, NearestRow, State};
use rollbook_model::{ColumnType, SegmentKey, Timestamp, tables};

use crate::custom_traits::{self, TraitDefinition};
use crate::{Criteria, Definition, Evaluation, Refreshed, SegmentError, Sessions};

/// The beginning of 2200, in microseconds since 1970: later than any row.
const LATEST: i64 = 7_258_118_400_000_000;

/// The view of activities.
const ACTIVITIES: &str = "_fact_activities";

/// The memberships to look at, and their data.
pub struct FirstChangeRequest<'a> {
    /// The lake.
    pub lake: &'a Lake,
    /// Sessions over it.
    pub sessions: &'a dyn Sessions,
    /// The data.
    pub state: &'a State,
    /// All definitions.
    pub all: &'a [Definition],
    /// The members of the static ones.
    pub fixed: &'a BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
}

impl FirstChangeRequest<'_> {
    /// For each membership, which must be up to date: the first moment after its own at which time alone may
    /// change it, or an earlier one; `None` where it never does.
    ///
    /// # Errors
    /// [`SegmentError::Session`] and [`SegmentError::Lake`] where the data cannot be opened or read;
    /// [`SegmentError::Criteria`] where a lookup in it fails.
    pub async fn first_changes(
        &self,
        memberships: &[&Refreshed],
    ) -> Result<Vec<Option<Timestamp>>, SegmentError> {
        let mut first = vec![None; memberships.len()];
        let mut by_moment: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
        for (at, membership) in memberships.iter().enumerate() {
            by_moment.entry(membership.as_of).or_default().push(at);
        }
        for (as_of, places) in by_moment {
            let session = self.sessions.open(self.state, as_of, None).await?;
            let evaluation = Evaluation::new(&session, self.all).with_fixed(self.fixed);
            let mut turnings = Vec::new();
            for place in places {
                let key = &memberships[place].segment;
                // Criteria that cannot be parsed may change at any moment.
                match self.transitions(&session, &evaluation, key).await? {
                    Some(transitions) => turnings.push((place, transitions)),
                    None => first[place] = Some(Timestamp::from_micros(as_of.micros() + 1)),
                }
            }
            let found = self.found(&session, evaluation, &turnings).await?;
            for (place, transitions) in &turnings {
                first[*place] = session.first_change(transitions, &found);
            }
        }
        Ok(first)
    }

    async fn transitions(
        &self,
        session: &Session,
        evaluation: &Evaluation<'_>,
        key: &SegmentKey,
    ) -> Result<Option<Transitions>, SegmentError> {
        let named = evaluation.traits(key);
        let traits = match named.is_empty() {
            true => Vec::new(),
            false => custom_traits::list(self.lake, self.state).await?,
        };
        let traits = traits
            .iter()
            .filter(|one| named.contains(one.name.as_str()));
        let parse = |one: &TraitDefinition| PersonQuery::parse(&one.sql, session.limits());
        let traits: Result<Vec<PersonQuery>, _> = traits.map(parse).collect();
        let (Ok(mut queries), Some(all)) = (traits, evaluation.all_criteria(key)) else {
            return Ok(None);
        };
        let mut conditions = Vec::new();
        for criteria in all {
            match criteria {
                Criteria::Expression(condition) => conditions.push(condition.clone()),
                Criteria::Select(query) => queries.push(query.clone()),
            }
        }
        Ok(session.transitions(&conditions, &queries).ok())
    }

    /// The lookups of all turnings, each done once.
    async fn found(
        &self,
        session: &Session,
        mut evaluation: Evaluation<'_>,
        turnings: &[(usize, Transitions)],
    ) -> Result<Found, SegmentError> {
        let as_of = session.as_of();
        let (mut lookups, mut besides) = (BTreeSet::new(), BTreeSet::new());
        for (_, transitions) in turnings {
            lookups.extend(transitions.lookups(as_of));
            besides.extend(transitions.beside(as_of));
        }
        let mut found = Found::default();
        for part in besides.into_iter().collect::<Vec<_>>().chunks(64) {
            note_values(&mut evaluation, part, &mut found).await;
        }
        let (of_activities, others): (Vec<Lookup>, Vec<Lookup>) =
            lookups.into_iter().partition(|lookup| {
                matches!(
                    lookup,
                    Lookup::First(ACTIVITIES, ..) | Lookup::Last(ACTIVITIES, ..)
                )
            });
        self.note_activities(of_activities, &mut found).await?;
        if !others.is_empty() {
            let later = self
                .sessions
                .open(self.state, Timestamp::from_micros(LATEST), None)
                .await?;
            for part in by_relation(others) {
                note_rows(&later, &part, &mut found).await?;
            }
        }
        Ok(found)
    }

    async fn note_activities(
        &self,
        lookups: Vec<Lookup>,
        found: &mut Found,
    ) -> Result<(), SegmentError> {
        let beside = |lookup: &Lookup| match lookup {
            Lookup::First(_, kind, at) => (kind.clone(), *at, true),
            Lookup::Last(_, kind, at) => (kind.clone(), *at, false),
            Lookup::Arrival(_, at) => (None, *at, true),
        };
        let asked = lookups
            .iter()
            .map(beside)
            .map(|(kind, at, is_after)| NearestRow { kind, at, is_after });
        let asked: Vec<NearestRow> = asked.collect();
        if asked.is_empty() {
            return Ok(());
        }
        let def = tables::table("activities").expect("it is a canonical table");
        let files = self.state.table(def.name).files;
        let times = self.lake.nearest_times(def, &files, &asked).await?;
        found.rows.extend(lookups.into_iter().zip(times));
        Ok(())
    }
}

/// Groups lookups by query.
fn by_relation(lookups: Vec<Lookup>) -> Vec<Vec<Lookup>> {
    let mut parts: BTreeMap<(&str, bool), Vec<Lookup>> = BTreeMap::new();
    for lookup in lookups {
        let of = match &lookup {
            Lookup::First(view, ..) => (*view, false),
            Lookup::Last(view, ..) | Lookup::Arrival(view, _) => (*view, true),
        };
        parts.entry(of).or_default().push(lookup);
    }
    parts.into_values().collect()
}

async fn note_rows(
    session: &Session,
    lookups: &[Lookup],
    found: &mut Found,
) -> Result<(), SegmentError> {
    let Some(query) = session.lookup_query(lookups) else {
        return Ok(());
    };
    let mut rows = session.stream(&query).await?;
    let batch = rows.next_batch().await?;
    for (at, lookup) in lookups.iter().enumerate() {
        let value = batch
            .as_ref()
            .and_then(|batch| ScalarValue::try_from_array(batch.column(at), 0).ok());
        let time = value.and_then(|value| value.cast_to(&ColumnType::Time.arrow()).ok());
        let time = match time {
            Some(ScalarValue::TimestampMicrosecond(at, _)) => at,
            _ => None,
        };
        found.rows.insert(lookup.clone(), time);
    }
    Ok(())
}

/// Looks up values on `people`; those that cannot be computed are left out.
async fn note_values(evaluation: &mut Evaluation<'_>, besides: &[ValueBeside], found: &mut Found) {
    if let Ok(values) = values(evaluation, besides).await {
        found.values.extend(besides.iter().cloned().zip(values));
    } else if besides.len() > 1 {
        for one in besides {
            Box::pin(note_values(evaluation, std::slice::from_ref(one), found)).await;
        }
    }
}

async fn values(
    evaluation: &mut Evaluation<'_>,
    besides: &[ValueBeside],
) -> Result<Vec<Vec<ScalarValue>>, SegmentError> {
    let expressions = besides.iter().flat_map(ValueBeside::expressions);
    let mut rows = evaluation.values(expressions.collect()).await?;
    let mut best: Vec<Option<ArrayRef>> = vec![None; besides.len() * 3];
    while let Some(batch) = rows.next_batch().await? {
        for (place, best) in best.iter_mut().enumerate() {
            let column = batch.column(place + 1);
            if column.null_count() == column.len() {
                continue;
            }
            // The greatest before the bound, the least after it.
            let options = SortOptions {
                descending: place % 3 == 0,
                nulls_first: false,
            };
            let nearest = |column: &ArrayRef| sort_limit(column, Some(options), Some(1));
            let all = match best.take() {
                None => nearest(column),
                Some(known) => nearest(column).and_then(|one| {
                    let both = arrow::compute::concat(&[known.as_ref(), one.as_ref()])?;
                    nearest(&both)
                }),
            };
            *best = Some(all.map_err(|source| rollbook_engine::EngineError::Setup {
                source: Box::new(source.into()),
            })?);
        }
    }
    let scalars = best.chunks(3).map(|three| {
        let known = three.iter().flatten();
        let scalars = known.filter_map(|one| ScalarValue::try_from_array(one, 0).ok());
        scalars.filter(|value| !value.is_null()).collect()
    });
    Ok(scalars.collect())
}
