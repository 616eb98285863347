//! What a call asks: an aggregate over the rows of a fact, a sequence, a segment.

use std::ops::ControlFlow;

use arrow::compute::kernels::cast_utils::{
    IntervalParseConfig, IntervalUnit, parse_interval_month_day_nano_config,
};
use chrono::{Days, Months};
use datafusion::sql::sqlparser::ast::{Expr, FunctionArguments, Interval, Value, Visit, Visitor};
use rollbook_model::calendar::{PERIODS, period};
use rollbook_model::{Timestamp, nearest};

use super::call::Call;
use super::fact::{Fact, of_type, of_view, quoted};
use super::{PERSON, Viewpoint, Where};
use crate::counting::{Counted, What};
use crate::error::EngineError;
use crate::resident::{Figure, Figured, is_kept};

/// The arguments that say when.
const WHEN: [&str; 4] = ["within", "from", "until", "where"];

/// The arguments of `bought`, and the columns that they are about.
const BOUGHT: [(&str, &str); 3] = [
    ("sku", "sku"),
    ("product", "product_id"),
    ("category", "category"),
];

/// The aggregates, each with the place of its filter.
const COUNT: &str = "count(*){filter}";
const FIRST: &str = "min(at){filter}";
const LAST: &str = "max(at){filter}";
const SPENT: &str = "cast(sum(converted){filter} as decimal(19, 4))";

/// What a call asks.
pub(super) enum Question {
    /// Whether somebody belongs to a segment.
    Segment(String),
    /// Whether somebody is in a relation of those who did one thing after another.
    Sequence { relation: String, texts: Vec<Where> },
    /// What is counted of the activities of a type.
    Counted(Counted, Answer),
    /// What an aggregate over a fact's rows comes to.
    Aggregate {
        relation: &'static str,
        aggregate: String,
        /// The same, where nothing but persons and times have to be looked at.
        figured: Option<Figured>,
        answer: Answer,
        text: Option<Where>,
    },
}

/// How the value of an aggregate answers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// As it is; null for who has no such fact.
    Value,
    /// As it is; 0 for who has no such fact.
    OrZero,
    /// Whether there are at least so many, and at most so many.
    Between(u64, Option<u64>),
}

impl Question {
    pub(super) fn of(call: &Call, viewpoint: &Viewpoint) -> Result<Self, EngineError> {
        let counted = [&["at_least", "at_most"], WHEN.as_slice()].concat();
        match call.function {
            "in_segment" => {
                call.allow(1, &[])?;
                Ok(Self::Segment(call.text_at(0, "the key of a segment")?))
            }
            "sequence" => sequence(call),
            "did" | "ordered" => {
                call.allow(usize::from(call.function == "did"), &counted)?;
                aggregate(call, viewpoint, typed(call)?, COUNT, between(call)?)
            }
            "times" | "first_time" | "last_time" => {
                call.allow(1, &WHEN)?;
                let (function, answer) = match call.function {
                    "times" => (COUNT, Answer::OrZero),
                    "first_time" => (FIRST, Answer::Value),
                    _ => (LAST, Answer::Value),
                };
                aggregate(call, viewpoint, typed(call)?, function, answer)
            }
            "spent" => {
                call.allow(0, &WHEN)?;
                let fact = of_view(view_of(call.function), &[]);
                aggregate(call, viewpoint, fact, SPENT, Answer::OrZero)
            }
            "bought" => bought(call, viewpoint, &counted),
            _ => standing(call, viewpoint, standing_columns(call.function)),
        }
    }
}

/// What a call that begins with a type of behaviour is about.
fn typed(call: &Call) -> Result<Fact, EngineError> {
    Ok(match call.function {
        "ordered" => of_type("order_placed"),
        _ => of_type(&call.text_at(0, "a type of behaviour")?),
    })
}

/// The view of the rows that the other calls are about.
fn view_of(function: &str) -> &'static str {
    match function {
        "spent" => "_spending",
        "bought" => "_fact_order_lines",
        "has_deal" => "_fact_deals",
        "has_ticket" => "_fact_tickets",
        _ => "_fact_objects",
    }
}

/// The view of the rows that a call with a window is about, and their type where they have one.
pub(crate) fn relation_of(
    call: &Call,
) -> Result<Option<(&'static str, Option<String>)>, EngineError> {
    Ok(match call.function {
        "in_segment" | "sequence" => None,
        "did" | "ordered" | "times" | "first_time" | "last_time" => {
            let fact = typed(call)?;
            Some((fact.relation, fact.kind))
        }
        other => Some((view_of(other), None)),
    })
}

/// The ends of a call's window as far as it has one, in microseconds; `None` where they are not
/// known before the call is evaluated.
pub(super) fn ends(call: &Call, viewpoint: &Viewpoint) -> Option<Vec<i64>> {
    match call.function {
        "in_segment" => Some(Vec::new()),
        // The time between the two is the same whenever it is looked at.
        "sequence" => from_and_until(call).map(Vec::from),
        _ => window(call, viewpoint).map(Vec::from),
    }
}

fn between(call: &Call) -> Result<Answer, EngineError> {
    let least = call.count("at_least")?.unwrap_or(1);
    let most = call.count("at_most")?;
    if most.is_some_and(|most| most < least) {
        let message =
            format!("`at_most` is below `at_least`, which is {least}: nobody can meet it");
        return Err(call.refused(&message));
    }
    Ok(Answer::Between(least, most))
}

fn bought(call: &Call, viewpoint: &Viewpoint, counted: &[&str]) -> Result<Question, EngineError> {
    let columns = BOUGHT.map(|(name, _)| name);
    call.allow(1, &[columns.as_slice(), counted].concat())?;
    let fact = bought_of(call)?;
    if fact.condition.is_none() && call.named("where").is_none() {
        return Err(call.refused("it wants a sku or a category, such as bought('SKU-1')"));
    }
    aggregate(call, viewpoint, fact, COUNT, between(call)?)
}

/// The lines that a call of `bought` is about.
fn bought_of(call: &Call) -> Result<Fact, EngineError> {
    let mut values = Vec::new();
    for (name, column) in BOUGHT {
        values.push((column, call.text(name)?));
    }
    let mut fact = of_view(view_of(call.function), &values);
    if let Some(any) = call.text_at_or_none(0, "a sku or a category")? {
        let any = quoted(&any);
        let condition = format!("({any} in (sku, product_id, category))");
        fact.condition = Some(match fact.condition {
            Some(more) => format!("{condition} and {more}"),
            None => condition,
        });
    }
    Ok(fact)
}

/// `has_deal` and its like: rows as they stand, with a value for each of some columns.
fn standing(
    call: &Call,
    viewpoint: &Viewpoint,
    columns: &[&'static str],
) -> Result<Question, EngineError> {
    let places = usize::from(call.function == "has_object");
    call.allow(places, &[columns, &["at_least", "at_most"], &WHEN].concat())?;
    let fact = standing_of(call, columns)?;
    aggregate(call, viewpoint, fact, COUNT, between(call)?)
}

/// The columns that a call of `has_deal` and its like gives values for.
fn standing_columns(function: &str) -> &'static [&'static str] {
    match function {
        "has_deal" => &["pipeline", "stage", "status", "owner"],
        "has_ticket" => &["status", "priority", "category"],
        _ => &[],
    }
}

/// The rows that a call of `has_deal` and its like is about.
fn standing_of(call: &Call, columns: &[&'static str]) -> Result<Fact, EngineError> {
    let mut values = Vec::new();
    if call.function == "has_object" {
        let kind = call.text_at(0, "a type of object")?;
        values.push(("object_type", Some(kind)));
    }
    for column in columns {
        values.push((*column, call.text(column)?));
    }
    Ok(of_view(view_of(call.function), &values))
}

fn aggregate(
    call: &Call,
    viewpoint: &Viewpoint,
    fact: Fact,
    function: &str,
    answer: Answer,
) -> Result<Question, EngineError> {
    if let Some(counted) = counted(call, viewpoint, &fact, function)? {
        return Ok(Question::Counted(counted, answer));
    }
    let relation = fact.relation;
    let figured = figured(call, viewpoint, &fact, function)?;
    let (conditions, text) = rows_of(call, viewpoint, fact)?;
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!(" filter (where {})", conditions.join(" and ")),
    };
    Ok(Question::Aggregate {
        relation,
        aggregate: function.replace("{filter}", &filter),
        figured,
        answer,
        text,
    })
}

/// The conditions on the rows that a call is about, and the text of its `where`.
fn rows_of(
    call: &Call,
    viewpoint: &Viewpoint,
    fact: Fact,
) -> Result<(Vec<String>, Option<Where>), EngineError> {
    let text = condition_of(call, fact.relation)?;
    let mut conditions: Vec<String> = fact.condition.into_iter().collect();
    match when(call, viewpoint)? {
        Some(when) => conditions.push(when),
        None if fact.is_past => {}
        None => conditions.push("at <= now()".to_owned()),
    }
    conditions.extend(text.iter().map(|text| within_brackets(&text.text)));
    Ok((conditions, text))
}

/// The text of a call's `where`, on the columns of a view.
fn condition_of(call: &Call, relation: &'static str) -> Result<Option<Where>, EngineError> {
    let text = call.text("where")?;
    Ok(text.map(|text| Where {
        function: call.function.to_owned(),
        relation,
        text,
        position: call.position_of("where"),
    }))
}

/// A condition as part of another.
fn within_brackets(text: &str) -> String {
    // A line of its own: the text may end in a comment.
    format!("({text}\n)")
}

/// The view that has the rows which a call is about, and the conditions on them.
pub(crate) fn evidence(
    call: &Call,
    viewpoint: &Viewpoint,
) -> Result<Vec<(&'static str, Vec<String>)>, EngineError> {
    let fact = match call.function {
        "in_segment" => return Ok(Vec::new()),
        "sequence" => {
            let types = [0, 1].map(|at| call.text_at(at, "two types of behaviour"));
            let mut rows = Vec::new();
            let text = call.text("where")?.map(|text| within_brackets(&text));
            for kind in types {
                let fact = of_type(&kind?);
                let past = Some("at <= now()".to_owned());
                let conditions = fact.condition.into_iter().chain(past).chain(text.clone());
                rows.push((fact.relation, conditions.collect()));
            }
            return Ok(rows);
        }
        "bought" => bought_of(call)?,
        "did" | "ordered" | "times" | "first_time" | "last_time" => typed(call)?,
        "spent" => of_view(view_of(call.function), &[]),
        _ => standing_of(call, standing_columns(call.function))?,
    };
    let relation = fact.relation;
    Ok(vec![(relation, rows_of(call, viewpoint, fact)?.0)])
}

/// What a call asks of the activities of a type, where no SQL is needed to tell which.
fn counted(
    call: &Call,
    viewpoint: &Viewpoint,
    fact: &Fact,
    function: &str,
) -> Result<Option<Counted>, EngineError> {
    let Some(kind) = fact.kind.clone() else {
        return Ok(None);
    };
    // What is wrong with the window is told in any case.
    let is_ever = when(call, viewpoint)?.is_none();
    let window = match is_ever {
        true => Some(None),
        false => window(call, viewpoint).map(Some),
    };
    let what = match function {
        COUNT => What::Count,
        FIRST if is_ever => What::First,
        LAST if is_ever => What::Last,
        _ => return Ok(None),
    };
    let window = window.filter(|_| call.named("where").is_none());
    Ok(window.map(|window| Counted { kind, window, what }))
}

/// What a call asks of all rows of a view that is kept in memory.
fn figured(
    call: &Call,
    viewpoint: &Viewpoint,
    fact: &Fact,
    function: &str,
) -> Result<Option<Figured>, EngineError> {
    if fact.condition.is_some() || call.named("where").is_some() || !is_kept(fact.relation) {
        return Ok(None);
    }
    let window = match when(call, viewpoint)? {
        None => Some([i64::MIN, i64::MAX]),
        Some(_) => window(call, viewpoint),
    };
    let figure = match function {
        COUNT => Figure::Count,
        FIRST => Figure::First,
        LAST => Figure::Last,
        _ => Figure::Sum,
    };
    Ok(window.map(|window| Figured { window, figure }))
}

/// The window that a call names, from its first moment on, before its last, in microseconds; `None`
/// where SQL has to tell.
fn window(call: &Call, viewpoint: &Viewpoint) -> Option<[i64; 2]> {
    match call.named("within") {
        Some(Expr::Interval(interval)) => {
            Some([before(viewpoint.as_of, interval)?.checked_add(1)?, i64::MAX])
        }
        Some(Expr::Function(function)) => {
            let name = function.name.to_string().to_lowercase();
            let period = period(&name, viewpoint.as_of, viewpoint.zone)?;
            Some(period.map(Timestamp::micros))
        }
        Some(_) => None,
        None => from_and_until(call),
    }
}

/// The moments of `from` and `until`, where they are written out.
fn from_and_until(call: &Call) -> Option<[i64; 2]> {
    let end = |name: &str, open: i64| match call.named(name) {
        None => Some(open),
        Some(_) => {
            let text = call.text(name).ok().flatten()?;
            Some(text.parse::<Timestamp>().ok()?.micros())
        }
    };
    Some([end("from", i64::MIN)?, end("until", i64::MAX)?])
}

/// A moment less an interval, as SQL has it: months, then days, then the rest.
pub(crate) fn before(moment: Timestamp, interval: &Interval) -> Option<i64> {
    let Expr::Value(value) = interval.value.as_ref() else {
        return None;
    };
    let Value::SingleQuotedString(text) = &value.value else {
        return None;
    };
    let is_plain = interval.leading_field.is_none()
        && interval.leading_precision.is_none()
        && interval.last_field.is_none()
        && interval.fractional_seconds_precision.is_none();
    let seconds = IntervalParseConfig::new(IntervalUnit::Second);
    let parsed = parse_interval_month_day_nano_config(text, seconds).ok()?;
    let months = u32::try_from(parsed.months).ok()?;
    let days = u64::try_from(parsed.days).ok()?;
    if !is_plain || parsed.nanoseconds % 1_000 != 0 {
        return None;
    }
    let at = moment.to_utc()?;
    let at = at.checked_sub_months(Months::new(months))?;
    let at = at.checked_sub_days(Days::new(days))?;
    at.timestamp_micros()
        .checked_sub(parsed.nanoseconds / 1_000)
}

/// The condition on `at` that `within`, `from` and `until` make.
fn when(call: &Call, viewpoint: &Viewpoint) -> Result<Option<String>, EngineError> {
    let (from, until) = (moment(call, "from")?, moment(call, "until")?);
    let Some(within) = call.named("within") else {
        let from = from.map(|from| format!("at >= {from}"));
        let until = until.map(|until| format!("at < {until}"));
        let mut conditions: Vec<_> = from.into_iter().chain(until).collect();
        if conditions.is_empty() {
            return Ok(None);
        }
        conditions.push("at <= now()".to_owned());
        return Ok(Some(conditions.join(" and ")));
    };
    if from.is_some() || until.is_some() {
        return Err(call.refused("it has either `within`, or `from` and `until`"));
    }
    match within {
        Expr::Interval(interval) => Ok(Some(format!("at > now() - {interval} and at <= now()"))),
        Expr::Function(function) if matches!(&function.args, FunctionArguments::List(list) if list.args.is_empty()) => {
            let name = function.name.to_string().to_lowercase();
            let Some([from, until]) = period(&name, viewpoint.as_of, viewpoint.zone) else {
                let meant = nearest(&name, PERIODS).unwrap_or("last_month");
                let message = format!("there is no period `{name}()`: did you mean `{meant}()`?");
                return Err(call.refused(&message));
            };
            let (from, until) = (timestamp(from), timestamp(until));
            Ok(Some(format!("at >= {from} and at < {until} and at <= now()")))
        }
        _ => Err(call.refused(
            "`within` is an interval, such as interval '30 days', or a period, such as last_month()",
        )),
    }
}

/// A moment that is the same for everybody.
fn moment(call: &Call, name: &str) -> Result<Option<String>, EngineError> {
    let Some(expr) = call.named(name) else {
        return Ok(None);
    };
    if expr.visit(&mut NamesNothing).is_break() {
        let message = format!("`{name}` is a moment for everybody, such as '2025-01-31'");
        return Err(call.refused(&message));
    }
    Ok(Some(format!("cast(({expr}) as timestamp with time zone)")))
}

/// Stops where a column or a query is named.
struct NamesNothing;

impl Visitor for NamesNothing {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Subquery(_)
            | Expr::InSubquery { .. }
            | Expr::Exists { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn timestamp(at: Timestamp) -> String {
    format!("cast('{at}' as timestamp with time zone)")
}

/// Those who did one thing and then another, later, within a time of it. Both happened in the
/// window that `from` and `until` make, and both meet its `where`.
fn sequence(call: &Call) -> Result<Question, EngineError> {
    call.allow(2, &WHEN)?;
    let first = of_type(&call.text_at(0, "two types of behaviour")?);
    let second = of_type(&call.text_at(1, "two types of behaviour")?);
    let within = match call.named("within") {
        None => None,
        Some(Expr::Interval(interval)) => Some(interval),
        Some(_) => {
            let message = "`within` is the time between the two, such as interval '7 days'";
            return Err(call.refused(message));
        }
    };
    let mut window = vec!["at <= now()".to_owned()];
    window.extend(moment(call, "from")?.map(|from| format!("at >= {from}")));
    window.extend(moment(call, "until")?.map(|until| format!("at < {until}")));
    let mut texts = Vec::new();
    for fact in [&first, &second] {
        texts.extend(condition_of(call, fact.relation)?);
    }
    window.extend(texts.first().map(|text| within_brackets(&text.text)));
    let window = window.join(" and ");
    let rows = |fact: &Fact, is_second: bool| {
        let condition = fact.condition.as_deref().unwrap_or("true");
        format!(
            "select person_id, at, {is_second} as is_second from {} where person_id <> 0 and \
             {condition} and {window}",
            fact.relation
        )
    };
    // Of one moment the second comes before the first: it is not later.
    let before = "max(case when not is_second then at end) over (partition by person_id order by \
                  at, is_second desc rows between unbounded preceding and 1 preceding)";
    let in_time = match within {
        Some(within) => format!("at <= before + {within}"),
        None => "before is not null".to_owned(),
    };
    let relation = format!(
        "select distinct person_id as {PERSON} from (select person_id, at, is_second, {before} as \
         before from ({} union all {})) where is_second and before < at and {in_time}",
        rows(&first, false),
        rows(&second, true)
    );
    Ok(Question::Sequence { relation, texts })
}
