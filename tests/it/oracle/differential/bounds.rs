//! Existing values in a world's data, for criteria whose thresholds are at or next to them.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::definitions::written_now;
use super::duckdb::Oracle;
use super::facts;
use super::values::Values;
use rollbook_model::Timestamp;

/// Maximum number of values of each kind.
const KEPT: usize = 40;

/// Existing values as text.
#[derive(Default)]
pub(super) struct Bounds {
    /// Total spending of persons, in ten-thousandths.
    spent: Vec<i128>,
    /// Totals of orders, in ten-thousandths.
    totals: Vec<i128>,
    /// Times of creation of persons and of their activities, RFC 3339.
    times: Vec<String>,
    /// The same as days in the tenant's time zone.
    days: Vec<String>,
}

/// A numeric literal.
pub(super) struct Literal {
    /// The literal in criteria.
    pub(super) text: String,
    /// The literal for the oracle.
    pub(super) sql: String,
    /// Whether it is a double, so that the value compared with it is one too.
    pub(super) is_double: bool,
}

impl Literal {
    /// An expression in the form in which it is compared with the literal.
    pub(super) fn beside(&self, value: &str) -> String {
        match self.is_double {
            true => format!("cast({value} as double)"),
            false => value.to_owned(),
        }
    }
}

impl Bounds {
    pub(super) fn of(oracle: &mut Oracle, values: &Values, as_of: Timestamp) -> Self {
        let mut texts = |query: &str| oracle.texts(&written_now(query, as_of));
        let number = |text: String| text.parse().unwrap();
        let scaled = "cast(cast(v as decimal(38, 4)) * 10000 as hugeint)";
        let spent = format!(
            "select cast({scaled} as text) as t from (select sum(converted) as v from ({}) group by \
             person_id) where v is not null group by t order by hash(t) limit {KEPT}",
            facts::spent(values)
        );
        let totals = format!(
            "select cast({scaled} as text) as t from (select total as v from orders) where v is not \
             null group by t order by hash(t) limit {KEPT}"
        );
        let at = "select created_at as happened from persons union select occurred_at from activities \
                  union select placed_at from orders";
        let times = format!(
            "select strftime(happened at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') from ({at}) where happened \
             is not null order by hash(happened) limit {KEPT}"
        );
        let days = format!(
            "select distinct cast(cast(happened as date) as text) from ({at}) where happened is not null \
             order by 1 desc limit {KEPT}"
        );
        Self {
            spent: texts(&spent).into_iter().map(number).collect(),
            totals: texts(&totals).into_iter().map(number).collect(),
            times: texts(&times),
            days: texts(&days),
        }
    }

    pub(super) fn spent(&self, dice: &mut ChaCha8Rng) -> Literal {
        literal(dice, &self.spent)
    }

    /// Two amounts that persons spent, the smaller first, without trailing zeros.
    pub(super) fn two_spent(&self, dice: &mut ChaCha8Rng) -> [String; 2] {
        let mut one = || self.spent.choose(dice).copied().unwrap_or(1_000_000);
        let (one, other) = (one(), one());
        [one.min(other), one.max(other)].map(short)
    }

    /// Some amounts that persons spent, without trailing zeros.
    pub(super) fn some_spent(&self, dice: &mut ChaCha8Rng) -> Vec<String> {
        let some = self.spent.choose_multiple(dice, 24);
        some.map(|&amount| short(amount)).collect()
    }

    pub(super) fn total(&self, dice: &mut ChaCha8Rng) -> Literal {
        literal(dice, &self.totals)
    }

    /// An existing moment, or the one before or after it.
    pub(super) fn time(&self, dice: &mut ChaCha8Rng) -> String {
        let Some(at) = self.times.choose(dice) else {
            return "2025-01-01T00:00:00Z".to_owned();
        };
        let at: Timestamp = at.parse().unwrap();
        let beside = dice.random_range(-1..=1);
        Timestamp::from_micros(at.micros() + beside).to_string()
    }

    /// A day with activities, in the tenant's time zone.
    pub(super) fn day(&self, dice: &mut ChaCha8Rng) -> String {
        let day = self.days.choose(dice);
        day.map_or("2025-01-01", String::as_str).to_owned()
    }
}

/// An existing number or one next to it, as one of the literals of SQL.
fn literal(dice: &mut ChaCha8Rng, values: &[i128]) -> Literal {
    let value = values.choose(dice).copied().unwrap_or(1_000_000);
    let beside = [0, 0, 0, 1, -1, 100, -100].choose(dice).copied();
    let value = value + beside.unwrap_or_default();
    let plain = plain(value);
    let short = short(value);
    let exact = format!("cast('{plain}' as decimal(38, 4))");
    let double = format!("cast('{plain}' as double)");
    let (text, sql, is_double) = match dice.random_range(0..7) {
        0..2 => (plain, exact, false),
        2..4 => (short, exact, false),
        4 => (format!("'{plain}'"), exact, false),
        5 => (format!("{value}e-4"), double, true),
        _ => (format!("cast('{plain}' as double)"), double, true),
    };
    Literal {
        text,
        sql,
        is_double,
    }
}

/// Ten-thousandths as a decimal.
fn plain(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = (value.abs() / 10_000, value.abs() % 10_000);
    format!("{sign}{whole}.{part:04}")
}

/// The same without trailing zeros.
fn short(value: i128) -> String {
    let plain = plain(value);
    plain.trim_end_matches('0').trim_end_matches('.').to_owned()
}
