//! Checks the frames of window functions: a negative offset, or an end before the start, fails late
//! or gives no rows. The rule runs before type coercion.

use datafusion::arrow::array::types::IntervalMonthDayNano;
use datafusion::arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use datafusion::optimizer::AnalyzerRule;

/// A day and a month in nanoseconds, as intervals are compared.
const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;
const MONTH: i128 = 30 * DAY;

/// The largest offset in rows: no table has more rows, and adding it to a row number does not
/// overflow.
const MAX_ROWS: u64 = i64::MAX as u64;

/// Refuses invalid window frames.
#[derive(Debug)]
pub(crate) struct SoundWindows;

impl AnalyzerRule for SoundWindows {
    fn name(&self) -> &'static str {
        "sound_windows"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Window(window) = node {
                for expr in &window.window_expr {
                    check_all(expr, window.input.schema())?;
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(plan)
    }
}

fn check_all(expr: &Expr, schema: &DFSchema) -> Result<()> {
    expr.apply(|part| {
        if let Expr::WindowFunction(function) = part {
            check(function, schema)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(drop)
}

fn check(function: &WindowFunction, schema: &DFSchema) -> Result<()> {
    let frame = &function.params.window_frame;
    check_direction(frame)?;
    let bounds = [&frame.start_bound, &frame.end_bound];
    // For rows and groups the planner only accepts integers that are not negative.
    if frame.units != WindowFrameUnits::Range {
        let mut counts = bounds.into_iter().filter_map(count);
        return match counts.find(|count| *count > MAX_ROWS) {
            Some(count) => plan_err!("a window of {count} rows is too large"),
            None => Ok(()),
        };
    }
    for offset in bounds.into_iter().filter_map(offset) {
        let Some(by) = function.params.order_by.first() else {
            continue;
        };
        check_range(offset, &by.expr.get_type(schema)?)?;
    }
    Ok(())
}

fn check_direction(frame: &WindowFrame) -> Result<()> {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    match (&frame.start_bound, &frame.end_bound) {
        (CurrentRow, Preceding(_)) => {
            plan_err!("a window that begins at the current row cannot end before it")
        }
        (Following(_), Preceding(_) | CurrentRow) => {
            plan_err!("a window that begins after the current row cannot end at it or before it")
        }
        _ => Ok(()),
    }
}

/// The offset of a bound in rows or groups.
fn count(bound: &WindowFrameBound) -> Option<u64> {
    match bound {
        WindowFrameBound::Preceding(ScalarValue::UInt64(count))
        | WindowFrameBound::Following(ScalarValue::UInt64(count)) => *count,
        _ => None,
    }
}

/// The offset of a bound in a range; `None` for the current row and for an unbounded frame.
fn offset(bound: &WindowFrameBound) -> Option<&str> {
    match bound {
        WindowFrameBound::Preceding(ScalarValue::Utf8(Some(text)))
        | WindowFrameBound::Following(ScalarValue::Utf8(Some(text))) => Some(text),
        _ => None,
    }
}

fn check_range(offset: &str, ordered_by: &DataType) -> Result<()> {
    let is_negative = match ordered_by {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            is_negative_interval(offset)?
        }
        numeric if numeric.is_numeric() => match offset.trim().parse::<f64>() {
            Ok(number) => number < 0.0,
            Err(_) => {
                return plan_err!(
                    "a window over numbers has bounds that are numbers, not `{offset}`"
                );
            }
        },
        _ => {
            return plan_err!(
                "a window with `range … preceding` or `following` is ordered by a number or a time"
            );
        }
    };
    match is_negative {
        true => plan_err!(
            "a bound of a window is negative: `{offset}`; write `following` instead of `preceding`, or the other way round"
        ),
        false => Ok(()),
    }
}

fn is_negative_interval(text: &str) -> Result<bool> {
    let unit = DataType::Interval(IntervalUnit::MonthDayNano);
    let is_number = text.trim().parse::<f64>().is_ok();
    match ScalarValue::try_from_string(text.to_owned(), &unit) {
        // A number alone would be parsed as months.
        Ok(ScalarValue::IntervalMonthDayNano(Some(interval))) if !is_number => {
            let IntervalMonthDayNano {
                months,
                days,
                nanoseconds,
            } = interval;
            let length = i128::from(months) * MONTH + i128::from(days) * DAY;
            Ok(length + i128::from(nanoseconds) < 0)
        }
        _ => plan_err!("a window over times has bounds that are intervals, not `{text}`"),
    }
}
