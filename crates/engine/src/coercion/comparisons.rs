//! Comparisons of values with different types, without loss of digits.
//!
//! DataFusion compares a decimal with a double as decimals with 15 digits after the point,
//! truncates decimals that do not fit together, and compares an interval with a duration by the
//! interval's months. This rule casts the operands to one type before: to doubles beside a double,
//! to decimals with all digits of both sides, to durations beside an interval. PostgreSQL and
//! DuckDB compare in the same way.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, Case, InList, InSubquery, ScalarFunction, SetComparison, Sort,
    WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery, cast, lit, try_cast,
};
use datafusion::optimizer::AnalyzerRule;

use crate::coercion::intervals::{INTERVAL, LENGTH, is_length, length};
use crate::rewriting::expressions::is_comparison;

/// The largest number of digits in the 128-bit and the 256-bit decimal type.
const DECIMAL_DIGITS: i16 = 38;
const LONG_DECIMAL_DIGITS: i16 = 76;
/// The type of a text compared with a number: 38 digits before and 38 after the point.
const LONG_DIGITS: u8 = 76;
const LONG_SCALE: i8 = 38;

/// Casts operands to a common type. It runs before type coercion.
#[derive(Debug)]
pub(crate) struct ComparableTypes;

impl AnalyzerRule for ComparableTypes {
    fn name(&self) -> &'static str {
        "comparable_types"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        // If the type of a node changes, the nodes above are recomputed.
        let mut is_changed = false;
        let plan = plan.transform_up_with_subqueries(|plan| {
            let plan = comparable(plan)?;
            is_changed |= plan.transformed;
            match is_changed {
                true => plan.map_data(LogicalPlan::recompute_schema),
                false => Ok(plan),
            }
        });
        plan.map(|plan| plan.data)
    }
}

fn comparable(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let table_schema =
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        schema.merge(&table_schema);
    }
    let names = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|expr| align_expression(expr, &schema))?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    plan.transform_data(|plan| align_plan(plan, &schema))
}

/// Aligns the keys of sorts and joins.
fn align_plan(plan: LogicalPlan, schema: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(mut sort) => {
            let changed = sort_by_length(&mut sort.expr, schema);
            Ok(Transformed::new_transformed(
                LogicalPlan::Sort(sort),
                changed,
            ))
        }
        LogicalPlan::Join(mut join) => {
            let mut changed = false;
            for (left, right) in &mut join.on {
                changed |= align(vec![left, right], schema);
            }
            Ok(Transformed::new_transformed(
                LogicalPlan::Join(join),
                changed,
            ))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn align_expression(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            align(vec![left, right], schema)
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) => align(vec![expr, low, high], schema),
        Expr::InList(InList { expr, list, .. }) => {
            let all = [expr.as_mut()].into_iter().chain(list);
            align(all.collect(), schema)
        }
        Expr::Case(case) => align_case(case, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) => match func.name() {
            "nullif" | "greatest" | "least" => align(args.iter_mut().collect(), schema),
            "coalesce" => align_results(args.iter_mut().collect(), schema),
            _ => false,
        },
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let is_compared = params.distinct || matches!(func.name(), "min" | "max");
            let args = is_compared && lengths(params.args.iter_mut(), schema);
            sort_by_length(&mut params.order_by, schema) | args
        }
        Expr::WindowFunction(window) => align_window(window, schema),
        Expr::InSubquery(InSubquery { expr, subquery, .. })
        | Expr::SetComparison(SetComparison { expr, subquery, .. }) => {
            align_subquery(expr, subquery, schema)?
        }
        _ => false,
    };
    Ok(Transformed::new_transformed(expr, changed))
}

fn align_case(case: &mut Case, schema: &DFSchema) -> bool {
    let Case {
        expr,
        when_then_expr,
        else_expr,
    } = case;
    let (mut whens, mut thens) = (Vec::new(), Vec::new());
    for (when, then) in when_then_expr {
        whens.push(when.as_mut());
        thens.push(then.as_mut());
    }
    thens.extend(else_expr.as_deref_mut());
    let results_changed = align_results(thens, schema);
    let Some(operand) = expr else {
        return results_changed;
    };
    whens.push(operand);
    align(whens, schema) | results_changed
}

fn align_window(window: &mut WindowFunction, schema: &DFSchema) -> bool {
    let is_compared = matches!(window.fun.name(), "min" | "max");
    let params = &mut window.params;
    let args = is_compared && lengths(params.args.iter_mut(), schema);
    let parts = lengths(params.partition_by.iter_mut(), schema);
    sort_by_length(&mut params.order_by, schema) | args | parts
}

/// Aligns a value with the column of a subquery.
fn align_subquery(expr: &mut Expr, subquery: &mut Subquery, schema: &DFSchema) -> Result<bool> {
    let result = subquery.subquery.schema();
    if result.fields().len() != 1 {
        return Ok(false);
    }
    let mut column = Expr::Column(Column::from(result.qualified_field(0)));
    let (Ok(ty), ty_of_column) = (expr.get_type(schema), result.field(0).data_type().clone())
    else {
        return Ok(false);
    };
    let before = column.clone();
    let changed = align_typed(vec![(expr, ty), (&mut column, ty_of_column)]);
    if column != before {
        let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone())
            .project(vec![column])?
            .build()?;
        subquery.subquery = plan.into();
    }
    Ok(changed)
}

/// Sorts intervals by their length.
fn sort_by_length(keys: &mut [Sort], schema: &DFSchema) -> bool {
    lengths(keys.iter_mut().map(|key| &mut key.expr), schema)
}

/// Replaces intervals by their lengths; returns whether there were any.
fn lengths<'a>(exprs: impl Iterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let mut changed = false;
    for expr in exprs {
        if matches!(expr.get_type(schema), Ok(DataType::Interval(_))) {
            replace(expr, length);
            changed = true;
        }
    }
    changed
}

fn replace(expr: &mut Expr, with: impl FnOnce(Expr) -> Expr) {
    let taken = std::mem::replace(expr, lit(ScalarValue::Null));
    *expr = with(taken);
}

/// Casts compared operands to a common type where that is needed; returns whether anything changed.
fn align(exprs: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    let typed = exprs.into_iter().map(|expr| {
        let ty = expr.get_type(schema)?;
        Ok((expr, ty))
    });
    // Type coercion reports expressions without a type.
    typed.collect::<Result<Vec<_>>>().is_ok_and(align_typed)
}

/// Casts alternative results, such as those of `case`, to a common type. Intervals are not replaced
/// by lengths, since adding a month to a time follows the calendar.
fn align_results(exprs: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    let types = exprs.iter().map(|expr| expr.get_type(schema));
    let types = types.collect::<Result<Vec<_>>>().unwrap_or_default();
    let has_text = exprs
        .iter()
        .zip(&types)
        .any(|(expr, ty)| is_text_column(expr, ty));
    if has_text && types.iter().any(DataType::is_decimal) {
        // A text that is not a number stays a value: the numbers become texts.
        for (expr, ty) in exprs.into_iter().zip(types) {
            if ty.is_numeric() {
                replace(expr, |expr| cast(expr, DataType::Utf8));
            }
        }
        return true;
    }
    let mut others = types.iter().skip(1);
    match types.first() {
        Some(first) if others.any(|ty| ty != first) => align(exprs, schema),
        _ => false,
    }
}

fn align_typed(operands: Vec<(&mut Expr, DataType)>) -> bool {
    let any = |is: fn(&DataType) -> bool| operands.iter().any(|(_, ty)| is(ty));
    let all = |is: &dyn Fn(&Expr, &DataType) -> bool| {
        let mut all = operands.iter();
        all.all(|(expr, ty)| ty.is_null() || is(expr, ty))
    };
    let first = &operands[0].1;
    let is_one_type = operands.iter().all(|(_, ty)| ty == first);
    let is_interval = |ty: &DataType| matches!(ty, DataType::Interval(_));
    if any(is_length) {
        let are_lengths = all(&|expr, ty| is_length(ty) || text_of(expr).is_some());
        if !are_lengths || is_one_type && !any(is_interval) {
            return false;
        }
        for (expr, ty) in operands {
            if text_of(expr).is_some() {
                replace(expr, |expr| length(cast(expr, INTERVAL)));
            } else if !ty.is_null() && ty != LENGTH {
                replace(expr, length);
            }
        }
        return true;
    }
    let is_number = |ty: &DataType| ty.is_decimal() || ty.is_integer();
    let is_read_as_number = operands.iter().any(|(_, ty)| is_number(ty))
        && operands
            .iter()
            .any(|(expr, ty)| is_text_column(expr, ty) || is_fraction(expr))
        && all(&|_, ty| is_number(ty) || ty.is_string());
    if !any(DataType::is_decimal) && !is_read_as_number {
        return false;
    }
    if any(DataType::is_floating) {
        if !all(&|_, ty| ty.is_numeric()) {
            return false;
        }
        for (expr, ty) in operands {
            if ty.is_decimal() {
                replace(expr, as_double);
            }
        }
        return true;
    }
    // Text compared with a number keeps all of its digits.
    let mut changed = false;
    let mut digits_of = Vec::new();
    let mut operands = operands;
    for (expr, ty) in &mut operands {
        if let Some(decimal) = text_of(expr).and_then(decimal_of) {
            *ty = decimal.data_type();
            **expr = lit(decimal);
            changed = true;
        } else if is_read_as_number && ty.is_string() {
            // A text that is not a number is null in a comparison with a number.
            *ty = DataType::Decimal256(LONG_DIGITS, LONG_SCALE);
            let read = ty.clone();
            replace(expr, |expr| try_cast(expr, read));
            changed = true;
        }
        if !ty.is_null() {
            digits_of.push(digits(ty));
        }
    }
    let Some(digits_of) = digits_of.into_iter().collect::<Option<Vec<_>>>() else {
        return changed;
    };
    let scale = digits_of.iter().map(|(_, scale)| *scale).max();
    let before_point = digits_of.iter().map(|(digits, scale)| digits - scale).max();
    let (Some(scale), Some(before_point)) = (scale, before_point) else {
        return changed;
    };
    let most = before_point + scale;
    if most <= DECIMAL_DIGITS || is_one_type {
        return changed;
    }
    let most = u8::try_from(most.min(LONG_DECIMAL_DIGITS)).unwrap_or(u8::MAX);
    let long = DataType::Decimal256(most, i8::try_from(scale).unwrap_or(i8::MAX));
    for (expr, ty) in operands {
        if !ty.is_null() {
            replace(expr, |expr| cast(expr, long.clone()));
        }
    }
    true
}

/// The number of digits of an integer or decimal type, and how many of them stand after the point.
pub(crate) fn digits(ty: &DataType) -> Option<(i16, i16)> {
    Some(match ty {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => ((*digits).into(), (*scale).into()),
        ty if ty.is_integer() => (20, 0),
        _ => return None,
    })
}

/// The double nearest to a number.
pub(crate) fn as_double(expr: Expr) -> Expr {
    match &expr {
        Expr::Literal(ScalarValue::Decimal128(Some(value), _, scale), _) => {
            // Dividing by a power of ten would round a second time.
            let nearest = format!("{value}e{}", -i16::from(*scale)).parse::<f64>();
            nearest.map_or(expr, lit)
        }
        _ => cast(expr, DataType::Float64),
    }
}

/// Whether an expression is text other than a literal, so that each row is converted.
fn is_text_column(expr: &Expr, ty: &DataType) -> bool {
    ty.is_string() && text_of(expr).is_none()
}

/// Whether an expression is a text literal of a number with digits after the point.
fn is_fraction(expr: &Expr) -> bool {
    let parsed = text_of(expr).and_then(decimal_of);
    matches!(parsed, Some(ScalarValue::Decimal128(_, _, 1..)))
}

/// The text of a text literal.
fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// The decimal that a text spells.
fn decimal_of(text: &str) -> Option<ScalarValue> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{fraction}");
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || digits.len() > 38 {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    let (digits, scale) = (
        digits.len().try_into().ok()?,
        fraction.len().try_into().ok()?,
    );
    Some(ScalarValue::Decimal128(Some(sign * value), digits, scale))
}
