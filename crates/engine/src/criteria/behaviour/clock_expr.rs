//! Expressions that name no column: what they come to at any moment.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    EmptyRelation, Expr as Planned, LogicalPlan, LogicalPlanBuilder, Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, Expr, ExprWithAlias, Function, Ident, ObjectNamePart,
    TimezoneInfo, UnaryOperator, Value,
};
use rollbook_model::Timestamp;

use super::behaviour;
use crate::rewriting::expressions::call;
use crate::sql::literals::with_doubles;
use crate::times::{UTC, in_zone};

/// The name that a value of a person has in an expression that is computed for that value.
const VALUE: &str = "_value";

/// An expression that is planned, and waits for the moment.
#[derive(Debug, Clone)]
pub(crate) struct ClockExpr {
    expr: Planned,
    config: Arc<ConfigOptions>,
}

impl ClockExpr {
    /// An expression of the clock and of what is written out; `None` for one that has anything else
    /// in it, or that is wrong.
    pub(crate) fn new(state: &SessionState, expr: &Expr) -> Option<Self> {
        Self::planned(state, expr, &Schema::empty()).ok()
    }

    /// The same of a time, in the zone of the lake.
    pub(crate) fn time(state: &SessionState, expr: &Expr) -> Option<Self> {
        Self::new(state, &as_time(expr))
    }

    /// An expression of the clock and of [`value_column`], for one value.
    pub(crate) fn for_value(
        state: &SessionState,
        expr: &Expr,
        value: &ScalarValue,
    ) -> Option<Self> {
        // What was given out is in UTC; it is of the tenant's calendar here.
        let zone = state.config_options().execution.time_zone.as_deref();
        let ty = in_zone(&value.data_type(), &zone.unwrap_or(UTC).into());
        let value = &value.cast_to(&ty).ok()?;
        let field = Field::new(VALUE, value.data_type(), true);
        let planned = Self::planned(state, expr, &Schema::new(vec![field])).ok()?;
        let expr = planned.expr.transform_up(|expr| {
            Ok(match expr {
                Planned::Column(_) => Transformed::yes(Planned::Literal(value.clone(), None)),
                other => Transformed::no(other),
            })
        });
        Some(Self {
            expr: expr.ok()?.data,
            config: planned.config,
        })
    }

    /// As a condition of a segment is planned, with all rules that give it types.
    fn planned(state: &SessionState, expr: &Expr, schema: &Schema) -> Result<Self> {
        let schema = Arc::new(DFSchema::try_from(schema.clone())?);
        let mut expr = expr.clone();
        with_doubles(&mut expr);
        let expr = ExprWithAlias { expr, alias: None };
        let expr = state.create_logical_expr_from_sql_expr(expr, &schema)?;
        let nothing = LogicalPlan::EmptyRelation(EmptyRelation {
            produce_one_row: false,
            schema,
        });
        let plan = LogicalPlanBuilder::from(nothing)
            .project(vec![expr])?
            .build()?;
        let config = Arc::clone(state.config_options());
        let plan = state
            .analyzer()
            .execute_and_check(plan, &config, |_, _| {})?;
        let mut exprs = plan.expressions();
        let expr = exprs.pop().map(Planned::unalias).unwrap_or_default();
        Ok(Self { expr, config })
    }

    /// What it comes to; `None` where it cannot be told.
    pub(crate) fn at(&self, moment: Timestamp) -> Option<ScalarValue> {
        let start = moment.to_utc()?;
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(&self.config))
            .with_query_execution_start_time(Some(start))
            .build();
        let simplified = ExprSimplifier::new(context).simplify(self.expr.clone());
        match simplified.ok()?.unalias() {
            Planned::Literal(value, _) => Some(value),
            _ => None,
        }
    }

    /// The time that it comes to, in microseconds.
    pub(crate) fn micros(&self, moment: Timestamp) -> Option<i64> {
        micros(&self.at(moment)?)
    }
}

/// The column that stands for a person's value in [`Reckoned::for_value`].
pub(crate) fn value_column() -> Expr {
    Expr::Identifier(Ident::new(VALUE))
}

/// An expression as a time with a zone.
fn as_time(expr: &Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Nested(Box::new(expr.clone()))),
        data_type: SqlType::Timestamp(None, TimezoneInfo::WithTimeZone),
        array: false,
        format: None,
    }
}

/// A time in microseconds.
pub(crate) fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampSecond(at, _) => at.and_then(|at| at.checked_mul(1_000_000)),
        ScalarValue::TimestampMillisecond(at, _) => at.and_then(|at| at.checked_mul(1_000)),
        ScalarValue::TimestampMicrosecond(at, _) => *at,
        ScalarValue::TimestampNanosecond(at, _) => at.map(|at| at.div_euclid(1_000)),
        _ => None,
    }
}

/// A value as an expression; `None` for one of a type that is not written out, and for null.
pub(crate) fn written(value: &ScalarValue) -> Option<Expr> {
    let of = |value: Expr, ty: &str| {
        let ty = Expr::value(Value::SingleQuotedString(ty.to_owned()));
        call("arrow_cast", [value, ty].into_iter())
    };
    let time = |at: i64, unit: &str, zone| of(number(at), &time_type(unit, zone));
    Some(match value {
        ScalarValue::TimestampMicrosecond(Some(at), zone) => time(*at, "Microsecond", zone),
        // As the times of the lake are, so that none of them is out of range beside it.
        ScalarValue::TimestampNanosecond(Some(at), zone) if at % 1_000 == 0 => {
            time(at / 1_000, "Microsecond", zone)
        }
        ScalarValue::TimestampNanosecond(Some(at), zone) => time(*at, "Nanosecond", zone),
        ScalarValue::Date32(Some(day)) => of(of(number((*day).into()), "Int32"), "Date32"),
        ScalarValue::Int32(Some(value)) => number((*value).into()),
        ScalarValue::Int64(Some(value)) => number(*value),
        ScalarValue::Boolean(Some(is_so)) => Expr::value(Value::Boolean(*is_so)),
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Expr::value(Value::SingleQuotedString(text.clone()))
        }
        _ => return None,
    })
}

fn number(value: i64) -> Expr {
    let digits = Expr::value(Value::Number(value.unsigned_abs().to_string(), false));
    match value < 0 {
        true => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(digits),
        },
        false => digits,
    }
}

fn time_type(unit: &str, zone: &Option<Arc<str>>) -> String {
    match zone {
        Some(zone) => format!("Timestamp({unit}, Some(\"{zone}\"))"),
        None => format!("Timestamp({unit}, None)"),
    }
}

/// The function of SQL that a call names: names are in small letters unless they are quoted.
fn name_of(function: &Function) -> String {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] if name.quote_style.is_none() => {
            name.value.to_lowercase()
        }
        [ObjectNamePart::Identifier(name)] => name.value.clone(),
        _ => function.name.to_string().to_lowercase(),
    }
}

/// What a call of SQL's own is to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// It does not read it.
    Nothing,
    /// It is the present moment.
    Now,
    /// It is the present day.
    Today,
    /// It reads it otherwise.
    Otherwise,
}

/// Whether a call reads the clock, by the function that it resolves to, under whatever name.
pub(crate) fn reads(state: &SessionState, function: &Function) -> Reads {
    if behaviour(function).is_some() {
        return Reads::Nothing;
    }
    let name = name_of(function);
    let functions = state.scalar_functions();
    let known = functions
        .get(&name)
        .or_else(|| functions.get(&name.to_lowercase()));
    match known {
        Some(known) if known.signature().volatility == Volatility::Immutable => Reads::Nothing,
        Some(known) => match known.name() {
            "now" => Reads::Now,
            "current_date" => Reads::Today,
            _ => Reads::Otherwise,
        },
        // Aggregates and functions of windows look at rows; what there is not is refused.
        None => Reads::Nothing,
    }
}
