//! How an expression of the clock moves, as far as it takes to find when it passes a value.

use chrono_tz::Tz;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType as SqlType, DateTimeField, Expr, FunctionArg, FunctionArgExpr,
    FunctionArguments, Interval, Value,
};

use crate::criteria::behaviour::clock_expr::{Reads, reads};
use crate::criteria::behaviour::parts::reads_clock;

pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;

/// How an expression moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As the clock does, but for jumps at midnight, or as much later or earlier as these parts of
    /// a day say; it is never further from the clock, and back, than the second number says.
    Steady { parts: Vec<i64>, slack: i64 },
    /// It changes at the end of the parts of a calendar alone.
    Period(String),
    /// It changes at midnight alone.
    Daily,
    /// It changes at full hours alone.
    Hourly,
    /// Nobody knows.
    Unknown,
}

impl Pace {
    /// That of the clock less an interval.
    pub(crate) fn of_interval(interval: &Interval, zone: Tz) -> Self {
        let (parts, slack) = taken(interval, zone);
        Self::Steady { parts, slack }
    }

    /// Whether its place may be an earlier one later.
    pub(crate) fn can_fall(&self) -> bool {
        match self {
            Self::Steady { slack, .. } => *slack > DAY,
            Self::Period(_) => false,
            _ => true,
        }
    }

    /// Both at once.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Steady { mut parts, slack },
                Self::Steady {
                    parts: more,
                    slack: other,
                },
            ) => {
                parts.extend(more);
                Self::Steady {
                    parts,
                    slack: slack.saturating_add(other),
                }
            }
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Daily, Self::Daily) => Self::Daily,
            (Self::Daily | Self::Hourly, Self::Daily | Self::Hourly) => Self::Hourly,
            _ => Self::Unknown,
        }
    }
}

/// The zone of the tenant's calendar.
pub(crate) fn zone_of(state: &SessionState) -> Tz {
    let zone = state.config_options().execution.time_zone.as_deref();
    zone.and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC)
}

/// The parts of a day in an interval, and how far what it is taken from may go back.
fn taken(interval: &Interval, zone: Tz) -> (Vec<i64>, i64) {
    // What is not read here is not known to be free of months.
    let Some(span) = crate::criteria::behaviour::question::span(interval) else {
        return (Vec::new(), 12 * DAY);
    };
    let rest = (span.nanoseconds / 1_000).rem_euclid(DAY);
    let mut parts = match rest {
        0 => Vec::new(),
        rest => vec![rest, DAY - rest],
    };
    let mut slack = if span.months == 0 { 0 } else { 12 * DAY };
    // Days and months are those of the clocks, which are put back at some hour.
    if zone != Tz::UTC && (span.months, span.days) != (0, 0) {
        parts.extend((1..24).map(|hour| hour * HOUR));
        slack += 2 * DAY;
    }
    (parts, slack)
}

/// How an expression of the clock, and of nothing else, moves.
pub(crate) fn pace(state: &SessionState, expr: &Expr) -> Pace {
    match expr {
        Expr::Nested(inner) => pace(state, inner),
        other if !reads_clock(state, other) => Pace::Daily,
        Expr::Function(function) => match reads(state, function) {
            Reads::Now => steady(),
            Reads::Today => Pace::Steady {
                parts: Vec::new(),
                slack: 2 * DAY,
            },
            Reads::Otherwise => Pace::Unknown,
            Reads::Nothing => {
                let FunctionArguments::List(list) = &function.args else {
                    return Pace::Unknown;
                };
                let args: Option<Vec<&Expr>> = list.args.iter().map(argument).collect();
                let name = function.name.to_string().to_lowercase();
                match (name.as_str(), args.as_deref()) {
                    ("date_trunc", Some([unit, inner])) => truncated(state, unit, inner),
                    ("date_part" | "datepart", Some([unit, inner])) => {
                        part(text(unit).unwrap_or_default(), pace(state, inner))
                    }
                    ("to_date" | "to_timestamp", Some([inner])) => dated(pace(state, inner)),
                    (_, Some(args)) => each(state, args.iter().copied()),
                    _ => Pace::Unknown,
                }
            }
        },
        Expr::Cast {
            expr, data_type, ..
        } => match (data_type, pace(state, expr)) {
            (SqlType::Timestamp(..), inner) => inner,
            (SqlType::Date, inner) => dated(inner),
            (_, Pace::Steady { .. }) => Pace::Unknown,
            (_, inner) => inner,
        },
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } if !reads_clock(state, time_zone.as_ref()) => match pace(state, timestamp) {
            // Clocks there are put back at some hour.
            Pace::Steady { mut parts, slack } => {
                parts.extend((1..24).map(|hour| hour * HOUR));
                Pace::Steady {
                    parts,
                    slack: slack.saturating_add(2 * DAY),
                }
            }
            other => other,
        },
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Plus | BinaryOperator::Minus,
            right,
        } if !reads_clock(state, right.as_ref()) => match pace(state, left) {
            Pace::Steady { mut parts, slack } => {
                let (more, less) = match strip(right) {
                    Expr::Interval(interval) => taken(interval, zone_of(state)),
                    _ => (Vec::new(), 12 * DAY),
                };
                parts.extend(more);
                Pace::Steady {
                    parts,
                    slack: slack.saturating_add(less),
                }
            }
            other => other,
        },
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Plus,
            right,
        } if matches!(strip(left), Expr::Interval(_)) => {
            let turned = Expr::BinaryOp {
                left: right.clone(),
                op: BinaryOperator::Plus,
                right: left.clone(),
            };
            pace(state, &turned)
        }
        Expr::BinaryOp { left, right, .. } => each(state, [left.as_ref(), right.as_ref()]),
        Expr::UnaryOp { expr, .. } => each(state, [expr.as_ref()]),
        Expr::Extract { field, expr, .. } => part(&field_name(field), pace(state, expr)),
        _ => Pace::Unknown,
    }
}

fn steady() -> Pace {
    Pace::Steady {
        parts: Vec::new(),
        slack: 0,
    }
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string().to_lowercase()
}

/// What any operation makes of parts that change at known moments alone.
fn each<'a>(state: &SessionState, parts: impl IntoIterator<Item = &'a Expr>) -> Pace {
    let paces = parts.into_iter().map(|part| pace(state, part));
    let stepwise = paces.map(|pace| match pace {
        Pace::Steady { .. } | Pace::Period(_) => Pace::Unknown,
        other => other,
    });
    stepwise.reduce(Pace::with).unwrap_or(Pace::Daily)
}

/// The day of a moment.
fn dated(inner: Pace) -> Pace {
    match inner {
        Pace::Steady { parts, slack } => Pace::Steady {
            parts,
            slack: slack.saturating_add(2 * DAY),
        },
        other => other,
    }
}

fn truncated(state: &SessionState, unit: &Expr, inner: &Expr) -> Pace {
    let longest = match text(unit).map(str::to_lowercase).as_deref() {
        Some("year") => 367,
        Some("quarter") => 93,
        Some("month") => 32,
        Some("week") => 8,
        _ => 2,
    };
    match pace(state, inner) {
        Pace::Steady { parts, slack } => Pace::Steady {
            parts,
            slack: slack.saturating_add(longest * DAY),
        },
        other => other,
    }
}

/// A part of a date: it does not rise with the clock.
fn part(unit: &str, inner: Pace) -> Pace {
    let is_daily = [
        "day",
        "dow",
        "doy",
        "isodow",
        "week",
        "isoweek",
        "month",
        "quarter",
        "year",
        "isoyear",
        "decade",
        "century",
        "millennium",
    ];
    match inner {
        Pace::Steady { parts, .. } if parts.is_empty() && is_daily.contains(&unit) => Pace::Daily,
        Pace::Steady { parts, .. } if parts.is_empty() && unit == "hour" => Pace::Hourly,
        Pace::Steady { .. } => Pace::Unknown,
        other => other,
    }
}
