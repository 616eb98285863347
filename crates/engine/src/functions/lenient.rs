//! Lenient conditions: an expression that fails for a person is null for that person, and the
//! failure is counted.
//!
//! One invalid value must not stop a segment of a million persons.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, is_not_null, is_null, nullif};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType as SqlType, Expr, Function, Query, UnaryOperator, Value,
    Visitor, VisitorMut,
};

use crate::rewriting::expressions::{call, holds_a_query};
use crate::rewriting::walk::{walk, walk_mut};

const DIVISOR: &str = "_divisor";
const CONVERTED: &str = "_converted";
/// Marks an expression for [`super::rule`], which wraps it once types are known.
pub(super) const RESULT: &str = "_result";

/// Parts of conditions that failed while a session evaluated them, with counts.
#[derive(Debug, Clone, Default)]
pub struct Uncomputed(Arc<Mutex<BTreeMap<String, u64>>>);

impl PartialEq for Uncomputed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Uncomputed {}

impl Uncomputed {
    pub(super) fn add(&self, expression: &str, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(expression.to_owned()).or_default() += count;
    }

    /// Returns the failures since the last call: the SQL of each part, and the number of persons
    /// for whom it failed.
    pub fn take(&self) -> BTreeMap<String, u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *counts)
    }
}

/// A function that counts failures: a divisor that was zero and becomes null, or a value that could
/// not be converted and is null.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lenient {
    name: &'static str,
    counts: Uncomputed,
    signature: Signature,
}

impl Hash for Lenient {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Lenient {
    /// The function that counts failed conversions for the same session.
    pub(super) fn converted(&self) -> ScalarUDF {
        ScalarUDF::from(Self {
            name: CONVERTED,
            counts: self.counts.clone(),
            signature: self.signature.clone(),
        })
    }

    pub(super) fn counts(&self) -> &Uncomputed {
        &self.counts
    }
}

/// The functions that [`make_lenient`] puts into conditions.
pub(crate) fn lenient(counts: &Uncomputed) -> [Lenient; 3] {
    [DIVISOR, CONVERTED, RESULT].map(|name| Lenient {
        name,
        counts: counts.clone(),
        signature: Signature::variadic_any(Volatility::Immutable),
    })
}

impl ScalarUDFImpl for Lenient {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.name == RESULT {
            return Ok(args.args[0].clone());
        }
        let Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(label)))) = args.args.last() else {
            return exec_err!("`{}` is reserved for internal use", self.name);
        };
        let values = &args.args[..args.args.len() - 1];
        let rows = match values
            .iter()
            .all(|value| matches!(value, ColumnarValue::Scalar(_)))
        {
            true => 1,
            false => args.number_rows,
        };
        let arrays = values.iter().map(|value| value.to_array(rows));
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        let (found, failed) = match arrays.as_slice() {
            [divisor] => {
                let zero = ScalarValue::new_zero(divisor.data_type())?.to_scalar()?;
                let is_zero = eq(divisor, &zero)?;
                (nullif(divisor, &is_zero)?, is_zero.true_count())
            }
            [converted, operand] => {
                let failed: BooleanArray = and(&is_null(converted)?, &is_not_null(operand)?)?;
                (Arc::clone(converted), failed.true_count())
            }
            _ => return exec_err!("`{}` is reserved for internal use", self.name),
        };
        if failed > 0 {
            self.counts.add(label, failed as u64);
        }
        crate::rewriting::columnar::columnar(values, found)
    }
}

/// Rewrites a condition so that a division by zero, a failed conversion or another failure is null
/// for that person. Calls that `is_rewritten` accepts are replaced later and never fail.
pub(crate) fn make_lenient(condition: &mut Expr, is_rewritten: fn(&Function) -> bool) {
    let mut parts = FallibleParts {
        is_rewritten,
        queries: 0,
        labels: Vec::new(),
    };
    let _ = walk_mut(condition, &mut parts);
}

/// Finds the parts of a condition that may fail.
struct FallibleParts {
    is_rewritten: fn(&Function) -> bool,
    /// The number of enclosing queries.
    queries: usize,
    /// For each enclosing expression its SQL, if it may fail.
    labels: Vec<Option<String>>,
}

impl VisitorMut for FallibleParts {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let may_fail = match expr {
            Expr::BinaryOp {
                op: BinaryOperator::Divide | BinaryOperator::Modulo,
                right,
                ..
            } => !is_number(right),
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr: operand,
                data_type,
                ..
            } => !is_text(data_type) && reads_column(operand),
            // Inside of queries there may be aggregates.
            _ if self.queries > 0 => false,
            // A text compared with a time is converted to a time.
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                ![left, right].into_iter().any(|side| is_literal(side)) && may_read_texts(expr)
            }
            Expr::Between {
                expr: operand,
                low,
                high,
                ..
            } => {
                !(is_literal(operand) || is_literal(low) && is_literal(high))
                    && may_read_texts(expr)
            }
            Expr::BinaryOp { op, .. } => {
                use BinaryOperator::{Minus, Multiply, Plus};
                matches!(op, Plus | Minus | Multiply) && reads_column(expr)
            }
            Expr::Function(function) => !(self.is_rewritten)(function) && reads_column(expr),
            _ => false,
        };
        self.labels.push(may_fail.then(|| expr.to_string()));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Some(label) = self.labels.pop().flatten() else {
            return ControlFlow::Continue(());
        };
        match expr {
            Expr::BinaryOp {
                op: BinaryOperator::Divide | BinaryOperator::Modulo,
                right,
                ..
            } => {
                let divisor = std::mem::replace(right.as_mut(), nothing());
                **right = labelled(DIVISOR, vec![divisor], &label);
            }
            Expr::Cast {
                kind,
                expr: operand,
                ..
            } => {
                *kind = CastKind::TryCast;
                let operand = operand.as_ref().clone();
                let converted = std::mem::replace(expr, nothing());
                *expr = labelled(CONVERTED, vec![converted, operand], &label);
            }
            _ => {
                let computed = std::mem::replace(expr, nothing());
                *expr = labelled(RESULT, vec![computed], &label);
            }
        }
        ControlFlow::Continue(())
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_literal(inner),
        other => matches!(other, Expr::Value(_)),
    }
}

/// Whether a comparison may convert texts of persons to times. A comparison with a subquery keeps
/// its form, which the planner turns into a join.
fn may_read_texts(comparison: &Expr) -> bool {
    reads_column(comparison) && !holds_a_query(comparison)
}

fn nothing() -> Expr {
    Expr::value(Value::Null)
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(&value.value, Value::Number(digits, _)
            if digits.bytes().any(|byte| (b'1'..=b'9').contains(&byte))),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => is_number(expr),
        Expr::Nested(inner) => is_number(inner),
        _ => false,
    }
}

fn is_text(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::String(_)
            | SqlType::CharVarying(_)
            | SqlType::CharacterVarying(_)
            | SqlType::Character(_)
    )
}

/// Whether an expression reads a column; literals alone fail while the query is planned.
fn reads_column(expr: &Expr) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    walk(expr, &mut Names).is_break()
}

fn labelled(name: &str, args: Vec<Expr>, label: &str) -> Expr {
    let label = Expr::value(Value::SingleQuotedString(label.to_owned()));
    call(name, args.into_iter().chain([label]))
}
