//! The moments at which the clock alone may turn a condition for one person.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Interval, Visit, Visitor};
use rollbook_model::calendar::{PERIODS, period};
use rollbook_model::tables::TABLES;
use rollbook_model::{ColumnType, Timestamp};

use crate::behaviour::before;
use crate::error::EngineError;
use crate::planning::parsed;
use crate::session::Session;

/// Ends of periods that are looked at, from the next on.
const PERIODS_AHEAD: usize = 24;
const DAY: i64 = 86_400_000_000;

/// What of the clock a condition has.
#[derive(Default)]
struct Parts {
    intervals: Vec<Interval>,
    periods: BTreeSet<String>,
    has_days: bool,
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Interval(interval) => self.intervals.push(interval.clone()),
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                self.has_days |= name == "current_date";
                // `today()` is a day in the tenant's zone, or one of UTC.
                self.has_days |= name == "today";
                if PERIODS.contains(&name.as_str()) {
                    self.periods.insert(name);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Session {
    /// A query for all moments that rows of one person have, in a column `at`.
    pub fn moments_of(&self, person: i64) -> String {
        let of_table = TABLES.iter().filter(|def| def.is_personal_fact());
        let of_table = of_table.flat_map(|def| {
            let columns = def.all_columns();
            let times = columns.filter(|column| column.ty == ColumnType::Time && !column.personal);
            times.map(|column| (def.name, column.name))
        });
        let parts = of_table.map(|(table, column)| {
            format!(
                "select {column} as at from {table} where person_id = {person} and {column} is \
                 not null"
            )
        });
        parts.collect::<Vec<_>>().join(" union ")
    }

    /// The moments after this session's at which conditions may come to something else for a
    /// person whose rows have `moments`, in order; the clock does nothing in between.
    ///
    /// # Errors
    /// Whatever keeps a text from being read.
    pub fn turning_points(
        &self,
        criteria: &[&str],
        moments: &[Timestamp],
    ) -> Result<Vec<Timestamp>, EngineError> {
        let now = self.viewpoint();
        let mut parts = Parts::default();
        for text in criteria {
            let (condition, _) = parsed(self.state(), text, self.limits())?;
            let _ = condition.visit(&mut parts);
        }
        let mut points = BTreeSet::new();
        for moment in moments {
            points.insert(moment.micros());
            for interval in &parts.intervals {
                points.extend(passes(*moment, interval));
            }
        }
        if parts.has_days {
            let midnights = points.iter().map(|at| at.div_euclid(DAY) * DAY + DAY);
            points.extend(midnights.collect::<Vec<_>>());
        }
        for name in &parts.periods {
            let mut at = now.as_of;
            for _ in 0..PERIODS_AHEAD {
                let of_now = match name.split_once('_') {
                    Some((_, of)) => format!("this_{of}"),
                    None => "today".to_owned(),
                };
                let of_now = if name == "yesterday" {
                    "today".to_owned()
                } else {
                    of_now
                };
                let Some([_, end]) = period(&of_now, at, now.zone) else {
                    break;
                };
                points.insert(end.micros());
                at = end;
            }
        }
        // A row at the very moment is seen; what is compared with it turns right after.
        let both = points.into_iter().flat_map(|at| [at, at.saturating_add(1)]);
        let after: BTreeSet<i64> = both.filter(|at| *at > now.as_of.micros()).collect();
        Ok(after.into_iter().map(Timestamp::from_micros).collect())
    }
}

/// The first moment that is not earlier than `moment` when the interval is taken from it.
fn passes(moment: Timestamp, interval: &Interval) -> Option<i64> {
    let (mut low, mut high) = (moment.micros(), moment.micros());
    let reaches = |at: i64| Some(before(Timestamp::from_micros(at), interval)? >= moment.micros());
    let mut step = DAY;
    while !reaches(high)? {
        low = high;
        high = high.checked_add(step)?;
        step = step.checked_mul(2)?;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match reaches(middle)? {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Some(low)
}
