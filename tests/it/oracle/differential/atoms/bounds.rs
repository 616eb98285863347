//! Atoms whose thresholds are at or next to existing values, with literals of all types, and with all ways
//! to compare times.

use super::{Atom, Draw, Rows, Where, call};
use crate::oracle::differential::bounds::Literal;
use crate::oracle::differential::facts;
use crate::oracle::differential::when::When;

pub(super) const FORMS: &[fn(&mut Draw<'_>) -> Atom] = &[
    amount,
    amount,
    amounts,
    spent,
    all_within,
    one_of,
    one_of,
    order_total,
    order_total,
    number,
    rating,
    created,
    created,
    on_a_day,
    age,
    age,
    between_ages,
    this_calendar,
    this_calendar,
    spelled,
    moving,
    missing,
    multiplied,
    bound_loosely,
    occurred,
];

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

fn total_spent(draw: &Draw<'_>) -> Vec<String> {
    let rows = facts::spent(draw.values);
    vec![format!(
        "select person_id, sum(converted) as v from ({rows}) group by person_id"
    )]
}

fn compared(value: &str, op: &str, literal: &Literal) -> String {
    format!("{} {op} {}", literal.beside(value), literal.sql)
}

fn amount(draw: &mut Draw<'_>) -> Atom {
    let (op, literal) = (draw.of(&COMPARISONS), draw.bounds.spent(draw.dice));
    let criteria = format!("total_spent {op} {}", literal.text);
    let met = compared("coalesce(a.v, 0)", op, &literal);
    Atom::new(criteria, total_spent(draw), met)
}

fn amounts(draw: &mut Draw<'_>) -> Atom {
    let (one, other) = (draw.bounds.spent(draw.dice), draw.bounds.spent(draw.dice));
    let (criteria, met) = match draw.below(3) {
        0 => (
            format!("total_spent between {} and {}", one.text, other.text),
            format!(
                "{} and {}",
                compared("coalesce(a.v, 0)", ">=", &one),
                compared("coalesce(a.v, 0)", "<=", &other)
            ),
        ),
        1 => (
            format!(
                "(total_spent = {} or total_spent = {})",
                one.text, other.text
            ),
            format!(
                "{} or {}",
                compared("coalesce(a.v, 0)", "=", &one),
                compared("coalesce(a.v, 0)", "=", &other)
            ),
        ),
        _ => (
            format!("not total_spent < {}", one.text),
            format!("not {}", compared("coalesce(a.v, 0)", "<", &one)),
        ),
    };
    Atom::new(criteria, total_spent(draw), met)
}

fn spent(draw: &mut Draw<'_>) -> Atom {
    let when = draw.when();
    let rows = Rows::new(&facts::spent(draw.values), &when, None);
    let (op, literal) = (draw.of(&COMPARISONS), draw.bounds.spent(draw.dice));
    let called = call("spent", &[], &rows.arguments);
    let joined = vec![rows.each("sum(converted)")];
    let met = compared("coalesce(a.v, 0)", op, &literal);
    Atom::new(format!("{called} {op} {}", literal.text), joined, met)
}

/// Between the spending of two persons, both included: a threshold that is slightly off excludes one.
fn all_within(draw: &mut Draw<'_>) -> Atom {
    let [least, most] = draw.bounds.two_spent(draw.dice);
    let called = draw.of(&["total_spent", "spent()"]);
    let met = format!(
        "coalesce(a.v, 0) between cast('{least}' as decimal(38, 4)) and cast('{most}' as \
         decimal(38, 4))"
    );
    let criteria = format!("{called} between {least} and {most}");
    Atom::new(criteria, total_spent(draw), met)
}

/// One of several existing amounts: each must match to the last digit.
fn one_of(draw: &mut Draw<'_>) -> Atom {
    let amounts = draw.bounds.some_spent(draw.dice);
    let called = draw.of(&["total_spent", "spent()"]);
    let exact: Vec<_> = amounts
        .iter()
        .map(|amount| format!("cast('{amount}' as decimal(38, 4))"))
        .collect();
    let met = format!("coalesce(a.v, 0) in ({})", exact.join(", "));
    let criteria = format!("{called} in ({})", amounts.join(", "));
    Atom::new(criteria, total_spent(draw), met)
}

fn order_total(draw: &mut Draw<'_>) -> Atom {
    let (op, literal) = (draw.of(&COMPARISONS), draw.bounds.total(draw.dice));
    let filter = Where {
        argument: format!("total {op} {}", literal.text),
        sql: compared("total", op, &literal),
    };
    let when = draw.when();
    let rows = Rows::new(&facts::of_type("order_placed"), &when, Some(filter));
    super::behaviour::counted(draw, "ordered", &[], rows)
}

/// A whole number beside literals of other types.
fn number(draw: &mut Draw<'_>) -> Atom {
    let op = draw.of(&COMPARISONS);
    let number = draw.of(&["1", "1.0", "1.5", "2.00", "2e0", "15e-1", "0.999999"]);
    let rows = facts::of_type("order_placed");
    let joined = format!("select person_id, count(*) as v from ({rows}) group by person_id");
    let met = format!("coalesce(a.v, 0) {op} {number}");
    Atom::new(format!("order_count {op} {number}"), vec![joined], met)
}

/// A column of doubles.
fn rating(draw: &mut Draw<'_>) -> Atom {
    let op = draw.of(&COMPARISONS);
    let number = draw.of(&["4", "4.0", "4e0", "3.5", "2.000"]);
    let filter = Where::same(format!("satisfaction {op} {number}"));
    let rows = Rows::new(&facts::tickets(), &When::Ever, Some(filter));
    super::behaviour::counted(draw, "has_ticket", &[], rows)
}

fn created(draw: &mut Draw<'_>) -> Atom {
    let (op, at) = (draw.of(&COMPARISONS), draw.bounds.time(draw.dice));
    let criteria = match draw.below(3) {
        0 => format!("created_at {op} '{at}'"),
        1 => format!("created_at {op} cast('{at}' as timestamptz)"),
        _ => format!("created_at {op} timestamptz '{at}'"),
    };
    let met = format!("created_at {op} timestamptz '{at}'");
    Atom::new(criteria, Vec::new(), met)
}

/// A literal day is in the tenant's time zone.
fn on_a_day(draw: &mut Draw<'_>) -> Atom {
    let (op, day) = (draw.of(&COMPARISONS), draw.bounds.day(draw.dice));
    match draw.below(3) {
        0 => Atom::new(
            format!("created_at {op} '{day}'"),
            Vec::new(),
            format!("created_at {op} timestamptz '{day}'"),
        ),
        1 => Atom::new(
            format!("cast(created_at as date) {op} '{day}'"),
            Vec::new(),
            format!("cast(created_at as date) {op} date '{day}'"),
        ),
        _ => Atom::new(
            format!("created_at between '{day}' and '9999-12-31'"),
            Vec::new(),
            format!("created_at >= timestamptz '{day}'"),
        ),
    }
}

fn occurred(draw: &mut Draw<'_>) -> Atom {
    let (op, at) = (draw.of(&COMPARISONS), draw.bounds.time(draw.dice));
    let kind = draw.of(draw.values.activities);
    let filter = Where {
        argument: format!("occurred_at {op} '{at}'"),
        sql: format!("occurred_at {op} timestamptz '{at}'"),
    };
    let rows = Rows::new(&facts::of_type(kind), &When::Ever, Some(filter));
    super::behaviour::counted(draw, "did", &[super::quoted(kind)], rows)
}

/// The time since a person was created, for the oracle: elapsed time, independent of clock changes.
const AGE: &str = "to_microseconds(epoch_us({now}) - epoch_us(created_at))";

/// The time since an event, compared with an interval.
fn age(draw: &mut Draw<'_>) -> Atom {
    let (op, interval) = (draw.of(&["<", "<=", ">", ">="]), draw.interval());
    let compared = |age: &str| format!("{age} {op} interval '{interval}'");
    Atom::new(compared("now() - created_at"), Vec::new(), compared(AGE))
}

fn between_ages(draw: &mut Draw<'_>) -> Atom {
    let not = draw.of(&["", "not "]);
    let between =
        |age: &str| format!("{age} {not}between interval '12 hours' and interval '2 months'");
    Atom::new(between("now() - created_at"), Vec::new(), between(AGE))
}

/// Parts of the tenant's calendar.
fn this_calendar(draw: &mut Draw<'_>) -> Atom {
    let unit = draw.of(&["day", "week", "month", "quarter", "year"]);
    let day = draw.bounds.day(draw.dice);
    let of = |now: &str, today: &str, which: u32| match which {
        0 => format!("date_trunc('{unit}', created_at) = date_trunc('{unit}', {now})"),
        1 => format!("created_at >= date_trunc('{unit}', {now})"),
        2 => format!("date_part('month', created_at) = date_part('month', {now})"),
        3 => format!("cast(created_at as date) = {today}"),
        _ => format!("date_trunc('month', created_at) = date_trunc('month', timestamptz '{day}')"),
    };
    let which = draw.below(5);
    Atom::new(
        of("now()", "current_date", which),
        Vec::new(),
        of("{now}", "cast({now} as date)", which),
    )
}

/// The current time in its various spellings.
fn spelled(draw: &mut Draw<'_>) -> Atom {
    let clock = draw.of(&["\"now\"()", "NOW()", "current_timestamp", "Now( )"]);
    let interval = draw.interval();
    let since = |now: &str| format!("created_at >= {now} - interval '{interval}'");
    Atom::new(since(clock), Vec::new(), since("{now}"))
}

/// A threshold that exists at some moments only.
fn moving(draw: &mut Draw<'_>) -> Atom {
    let day = draw.of(draw.values.days);
    let of =
        |now: &str| format!("created_at < case when {now} >= timestamptz '{day}' then {now} end");
    Atom::new(of("now()"), Vec::new(), of("{now}"))
}

/// Null literals.
fn missing(draw: &mut Draw<'_>) -> Atom {
    let (column, places) = draw.values.place;
    let place = draw.of(places);
    let condition = match draw.below(5) {
        0 => format!("{column} = null"),
        1 => format!("{column} in ('{place}', null)"),
        2 => format!("{column} not in ('{place}', null)"),
        3 => format!("{column} is not distinct from null"),
        _ => format!("coalesce({column} = '{place}', is_lead)"),
    };
    Atom::new(condition.clone(), Vec::new(), condition)
}

fn multiplied(draw: &mut Draw<'_>) -> Atom {
    let (times, unit) = (
        draw.of(&["2", "3"]),
        draw.of(&["1 month", "10 days", "36 hours"]),
    );
    let since = |now: &str| format!("created_at > {now} - {times} * interval '{unit}'");
    Atom::new(since("now()"), Vec::new(), since("{now}"))
}

/// Operators without parentheses: their precedence is the same in every SQL.
fn bound_loosely(draw: &mut Draw<'_>) -> Atom {
    let (column, places) = draw.values.place;
    let (one, other) = (places[0], draw.of(&places[1..]));
    let condition = match draw.below(6) {
        0 => format!("{column} is distinct from '{one}' and is_lead or {column} = '{other}'"),
        1 => format!("is_lead and {column} is distinct from '{one}' or {column} = '{other}'"),
        2 => format!("not {column} is distinct from '{one}' and is_lead"),
        3 => format!("({column} is distinct from '{one}') or is_lead"),
        4 => format!("is_lead is not true and not {column} = '{one}' or {column} is null"),
        _ => format!("{column} = '{one}' or {column} = '{other}' and not is_lead"),
    };
    Atom::new(condition.clone(), Vec::new(), condition)
}
