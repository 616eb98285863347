//! Entries and exits of a segment over the coming days, by time alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringTreemap;
use rollbook_lake::{Lake, State};
use rollbook_model::{SegmentKey, Timestamp};
use serde::Serialize;

use crate::affected::{Basis, affected_since, due_by_clock};
use crate::{Criteria, Definition, Evaluation, SegmentError, Sessions};

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// The forecast of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The end of the day.
    pub at: Timestamp,
    /// How many will have entered since the day before.
    pub entered: u64,
    /// How many will have left.
    pub left: u64,
    /// How many belong then.
    pub count: u64,
}

/// The segment to forecast, and its data.
pub struct CalendarRequest<'a> {
    /// The lake.
    pub lake: &'a Lake,
    /// Sessions over it.
    pub sessions: &'a dyn Sessions,
    /// The data.
    pub state: &'a State,
    /// The segment.
    pub definition: &'a Definition,
    /// All definitions that it may name.
    pub all: &'a [Definition],
    /// The members of the static ones.
    pub fixed: &'a BTreeMap<SegmentKey, Arc<RoaringTreemap>>,
}

impl CalendarRequest<'_> {
    /// The entries and exits of each of the coming days, from `as_of` on.
    ///
    /// # Errors
    /// [`SegmentError::Criteria`] where the criteria cannot be evaluated; [`SegmentError::Named`],
    /// [`SegmentError::UnknownName`] and [`SegmentError::Circle`] where a segment that they name has no members;
    /// [`SegmentError::Session`] and [`SegmentError::Lake`] where the data cannot be opened or read.
    pub async fn days(&self, as_of: Timestamp, days: u32) -> Result<Vec<Day>, SegmentError> {
        let first = self.sessions.open(self.state, as_of, None).await?;
        let criteria = Criteria::parse(&self.definition.criteria, first.limits())?;
        let mut evaluation = Evaluation::new(&first, self.all).with_fixed(self.fixed);
        let mut members = evaluation.of(&criteria).await?;
        let mut basis = Basis {
            snapshot: self.state.data,
            as_of,
        };
        let mut calendar = Vec::new();
        for day in 1..=i64::from(days) {
            let at = Timestamp::from_micros(as_of.micros() + day * DAY);
            let session = self.sessions.open(self.state, at, None).await?;
            let mut over = evaluation.over(&session);
            let next = match self.concerned(&over, basis).await? {
                None => over.of(&criteria).await?,
                Some(persons) if persons.is_empty() => members.clone(),
                Some(persons) => {
                    let among = Some(Arc::new(persons.clone()));
                    let some = self.sessions.open(self.state, at, among).await?;
                    (&members - &persons) | evaluation.over(&some).of(&criteria).await?
                }
            };
            calendar.push(Day {
                at,
                entered: (&next - &members).len(),
                left: (&members - &next).len(),
                count: next.len(),
            });
            (members, basis.as_of) = (next, at);
        }
        Ok(calendar)
    }

    /// The persons whom the day may affect; `None` where it may be anybody.
    async fn concerned(
        &self,
        over: &Evaluation<'_>,
        basis: Basis,
    ) -> Result<Option<RoaringTreemap>, SegmentError> {
        let session = over.session();
        let key = &self.definition.key;
        if over.revisions(key).is_none() {
            return Ok(None);
        }
        let Some(changed) = affected_since(self.lake, session, self.state, basis).await? else {
            return Ok(None);
        };
        let conditions = BTreeMap::from([(key.clone(), over.conditions(key))]);
        let (keys, due) = due_by_clock(self.lake, self.state, session, conditions, basis).await?;
        Ok((!keys.is_empty()).then(|| changed.with(&due)))
    }
}
