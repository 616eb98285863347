//! What a call asks: an aggregate over the rows of a fact, a sequence, a segment.

use arrow::compute::kernels::cast_utils::{
    IntervalParseConfig, IntervalUnit, parse_interval_month_day_nano_config,
};
use arrow::datatypes::IntervalMonthDayNano;
use chrono_tz::Tz;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArgumentList, FunctionArguments, Ident, Interval,
    ObjectName, Value,
};
use rollbook_model::calendar::{PERIODS, period};
use rollbook_model::{GivenTime, Timestamp, nearest};

use super::{EvaluationContext, PERSON, Where};
use crate::criteria::behaviour::aggregate_kind::{AggregateKind, WindowAggregate, is_cached};
use crate::criteria::behaviour::call::Call;
use crate::criteria::behaviour::fact::{Fact, literal, of_type, of_view, quoted};
use crate::error::EngineError;
use crate::functions::make_lenient;
use crate::operators::counting::{CountKind, Counted};
use crate::sql::parsing::plain_condition;
use crate::times::{self, Clocks};

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
const SPENT: &str = "cast(sum(converted){filter} as decimal(29, 4))";

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
        figured: Option<WindowAggregate>,
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
    pub(super) fn of(call: &Call, eval_context: &EvaluationContext) -> Result<Self, EngineError> {
        let counted = [&["at_least", "at_most"], WHEN.as_slice()].concat();
        match call.function {
            "in_segment" => {
                call.allow(1, &[])?;
                Ok(Self::Segment(call.text_at(0, "the key of a segment")?))
            }
            "sequence" => sequence(call, eval_context.zone),
            "did" | "ordered" => {
                call.allow(usize::from(call.function == "did"), &counted)?;
                aggregate(call, eval_context, typed(call)?, COUNT, between(call)?)
            }
            "times" | "first_time" | "last_time" => {
                call.allow(1, &WHEN)?;
                let (function, answer) = match call.function {
                    "times" => (COUNT, Answer::OrZero),
                    "first_time" => (FIRST, Answer::Value),
                    _ => (LAST, Answer::Value),
                };
                aggregate(call, eval_context, typed(call)?, function, answer)
            }
            "spent" => {
                call.allow(0, &WHEN)?;
                let fact = of_view(view_of(call.function), &[]);
                aggregate(call, eval_context, fact, SPENT, Answer::OrZero)
            }
            "bought" => bought(call, eval_context, &counted),
            _ => standing(call, eval_context, standing_columns(call.function)),
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

/// The views of the rows that a call with a window is about, each with their type where they have
/// one.
pub(crate) fn relations_of(
    call: &Call,
) -> Result<Vec<(&'static str, Option<String>)>, EngineError> {
    let of = |fact: Fact| (fact.relation, fact.kind);
    Ok(match call.function {
        "in_segment" => Vec::new(),
        "sequence" => {
            let types = [0, 1].map(|at| call.text_at(at, "two types of behaviour"));
            let [first, second] = types;
            vec![of(of_type(&first?)), of(of_type(&second?))]
        }
        "did" | "ordered" | "times" | "first_time" | "last_time" => vec![of(typed(call)?)],
        other => vec![(view_of(other), None)],
    })
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

fn bought(
    call: &Call,
    eval_context: &EvaluationContext,
    counted: &[&str],
) -> Result<Question, EngineError> {
    let columns = BOUGHT.map(|(name, _)| name);
    call.allow(1, &[columns.as_slice(), counted].concat())?;
    let fact = bought_of(call)?;
    if fact.condition.is_none() && call.named("where").is_none() {
        return Err(call.refused("it wants a sku or a category, such as bought('SKU-1')"));
    }
    aggregate(call, eval_context, fact, COUNT, between(call)?)
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
    eval_context: &EvaluationContext,
    columns: &[&'static str],
) -> Result<Question, EngineError> {
    let places = usize::from(call.function == "has_object");
    call.allow(places, &[columns, &["at_least", "at_most"], &WHEN].concat())?;
    let fact = freshness_of(call, columns)?;
    aggregate(call, eval_context, fact, COUNT, between(call)?)
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
fn freshness_of(call: &Call, columns: &[&'static str]) -> Result<Fact, EngineError> {
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
    eval_context: &EvaluationContext,
    fact: Fact,
    function: &str,
    answer: Answer,
) -> Result<Question, EngineError> {
    if let Some(counted) = counted(call, eval_context, &fact, function)? {
        return Ok(Question::Counted(counted, answer));
    }
    let relation = fact.relation;
    let figured = figured(call, eval_context, &fact, function)?;
    let (conditions, text) = rows_of(call, eval_context, fact)?;
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
    eval_context: &EvaluationContext,
    fact: Fact,
) -> Result<(Vec<String>, Option<Where>), EngineError> {
    let text = condition_of(call, fact.relation)?;
    let mut conditions: Vec<String> = fact.condition.into_iter().collect();
    match when(call, eval_context)? {
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
    let lenient = leniently(text);
    let text = lenient.as_deref().unwrap_or(text);
    // A line of its own: the text may end in a comment.
    format!("({text}\n)")
}

/// A condition that is null for a row which it cannot be computed for; `None` where it always can.
fn leniently(text: &str) -> Option<String> {
    let given = plain_condition(text, text.len())?;
    let mut lenient = Expr::clone(&given.tree);
    make_lenient(&mut lenient, |_| false);
    (lenient != *given.tree).then(|| lenient.to_string())
}

/// The view that has the rows which a call is about, and the conditions on them.
pub(crate) fn evidence(
    call: &Call,
    eval_context: &EvaluationContext,
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
        _ => freshness_of(call, standing_columns(call.function))?,
    };
    let relation = fact.relation;
    Ok(vec![(relation, rows_of(call, eval_context, fact)?.0)])
}

/// What a call asks of the activities of a type, where no SQL is needed to tell which.
fn counted(
    call: &Call,
    eval_context: &EvaluationContext,
    fact: &Fact,
    function: &str,
) -> Result<Option<Counted>, EngineError> {
    let Some(kind) = fact.kind.clone() else {
        return Ok(None);
    };
    // What is wrong with the window is told in any case.
    let is_ever = when(call, eval_context)?.is_none();
    let window = match is_ever {
        true => Some(None),
        false => window(call, eval_context).map(Some),
    };
    let what = match function {
        COUNT => CountKind::Count,
        FIRST if is_ever => CountKind::First,
        LAST if is_ever => CountKind::Last,
        _ => return Ok(None),
    };
    let window = window.filter(|_| call.named("where").is_none());
    Ok(window.map(|window| Counted {
        kind,
        window,
        measure: what,
    }))
}

/// What a call asks of all rows of a view that is kept in memory.
fn figured(
    call: &Call,
    eval_context: &EvaluationContext,
    fact: &Fact,
    function: &str,
) -> Result<Option<WindowAggregate>, EngineError> {
    if fact.condition.is_some() || call.named("where").is_some() || !is_cached(fact.relation) {
        return Ok(None);
    }
    let window = match when(call, eval_context)? {
        None => Some([i64::MIN, i64::MAX]),
        Some(_) => window(call, eval_context),
    };
    let aggregate_kind = match function {
        COUNT => AggregateKind::Count,
        FIRST => AggregateKind::First,
        LAST => AggregateKind::Last,
        _ => AggregateKind::Sum,
    };
    Ok(window.map(|window| WindowAggregate {
        window,
        aggregate_kind,
    }))
}

/// The window that a call names, from its first moment on, before its last, in microseconds; `None`
/// where SQL has to tell.
fn window(call: &Call, eval_context: &EvaluationContext) -> Option<[i64; 2]> {
    match call.named("within") {
        Some(Expr::Interval(interval)) => Some([
            before(eval_context.as_of, interval, eval_context.zone)?.checked_add(1)?,
            i64::MAX,
        ]),
        Some(Expr::Function(function)) => {
            let name = function.name.to_string().to_lowercase();
            let period = period(&name, eval_context.as_of, eval_context.zone)?;
            Some(period.map(Timestamp::micros))
        }
        Some(_) => None,
        None => from_and_until(call, eval_context.zone),
    }
}

/// The moments of `from` and `until`, where they are written out.
fn from_and_until(call: &Call, zone: Tz) -> Option<[i64; 2]> {
    let end = |name: &str, open: i64| match call.named(name) {
        None => Some(open),
        Some(_) => {
            let text = call.text(name).ok().flatten()?;
            Some(text.parse::<GivenTime>().ok()?.in_zone(zone).micros())
        }
    };
    Some([end("from", i64::MIN)?, end("until", i64::MAX)?])
}

/// An interval that is written out in one text.
pub(crate) fn span(interval: &Interval) -> Option<IntervalMonthDayNano> {
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
    is_plain.then_some(parsed)
}

/// A moment less an interval, as SQL has it on the calendar of a zone: months, then days, then the
/// rest.
pub(crate) fn before(moment: Timestamp, interval: &Interval, zone: Tz) -> Option<i64> {
    let parsed = span(interval)?;
    if parsed.nanoseconds % 1_000 != 0 || parsed.months < 0 || parsed.days < 0 {
        return None;
    }
    let interval = times::Interval {
        months: parsed.months,
        days: parsed.days,
        nanos: parsed.nanoseconds,
    };
    Clocks::uncached(zone).plus(moment.micros(), interval.negated()?)
}

/// The moment that an interval goes back to.
pub(super) fn ago(interval: &Interval) -> Expr {
    let now = Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("now")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: Vec::new(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    });
    Expr::BinaryOp {
        left: Box::new(now),
        op: BinaryOperator::Minus,
        right: Box::new(Expr::Interval(interval.clone())),
    }
}

/// The condition on `at` that `within`, `from` and `until` make.
fn when(call: &Call, eval_context: &EvaluationContext) -> Result<Option<String>, EngineError> {
    let has = |name: &str| call.named(name).is_some();
    let within = call.named("within");
    if within.is_some() && (has("from") || has("until")) {
        return Err(call.refused("it has either `within`, or `from` and `until`"));
    }
    if let Some(Expr::Function(function)) = within {
        let name = function.name.to_string().to_lowercase();
        let is_plain =
            matches!(&function.args, FunctionArguments::List(list) if list.args.is_empty());
        if is_plain && period(&name, eval_context.as_of, eval_context.zone).is_none() {
            let meant = nearest(&name, PERIODS).unwrap_or("last_month");
            let message = format!("there is no period `{name}()`: did you mean `{meant}()`?");
            return Err(call.refused(&message));
        }
        if !is_plain {
            return Err(call.refused(NO_WINDOW));
        }
    }
    if !(within.is_some() || has("from") || has("until")) {
        return Ok(None);
    }
    let window = window(call, eval_context).ok_or_else(|| call.refused(NO_WINDOW))?;
    Ok(Some(within_window(window)))
}

/// What a `within` is.
const NO_WINDOW: &str =
    "`within` is an interval, such as interval '30 days', or a period, such as last_month()";

/// A condition on `at`.
fn within_window([from, until]: [i64; 2]) -> String {
    let literal = |at: i64| literal(Timestamp::from_micros(at));
    let from = (from > i64::MIN).then(|| format!("at >= {} and ", literal(from)));
    let until = (until < i64::MAX).then(|| format!("at < {} and ", literal(until)));
    let [from, until] = [from, until].map(Option::unwrap_or_default);
    format!("{from}{until}at <= now()")
}

/// Those who did one thing and then another, later, within a time of it. Both happened in the
/// window that `from` and `until` make, and both meet its `where`.
fn sequence(call: &Call, zone: Tz) -> Result<Question, EngineError> {
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
    let window =
        from_and_until(call, zone).ok_or_else(|| call.refused("`from` and `until` are moments"))?;
    let mut window = vec![within_window(window)];
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
    // How late the second may be: after whichever first reaches furthest, which need not be the
    // last one, since a month from the 30th and one from the 31st may end on the same day. Of one
    // moment the second comes before the first: it is not later.
    let reaches = match within {
        Some(within) => format!("at + {within}"),
        None => "now()".to_owned(),
    };
    let reach = format!(
        "max(case when not is_second then {reaches} end) over (partition by person_id order by \
         at, is_second desc rows between unbounded preceding and 1 preceding)"
    );
    let relation = format!(
        "select distinct person_id as {PERSON} from (select person_id, at, is_second, {reach} as \
         reach from ({} union all {})) where is_second and at <= reach",
        rows(&first, false),
        rows(&second, true)
    );
    Ok(Question::Sequence { relation, texts })
}
