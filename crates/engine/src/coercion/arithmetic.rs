//! Arithmetic with intervals and with decimal literals.
//!
//! DataFusion cannot multiply an interval. Its quotient of decimals has only four more digits after
//! the point than the dividend, which is too few for `1.0 / 3`.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::coercion::comparisons::{as_double, digits};
use crate::coercion::intervals::{INTERVAL, divided, is_length, multiplied};

/// Arithmetic that DataFusion lacks, or computes with too few digits.
#[derive(Debug)]
pub(crate) struct Arithmetic;

impl ExprPlanner for Arithmetic {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{
            Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus,
        };
        if expr.op == BinaryOperator::BitwiseXor {
            // DataFusion parses `^` as exclusive or, which binds less than `+`.
            return plan_err!("`^` is a power in other databases: write power(a, b)");
        }
        let is_arithmetic = matches!(expr.op, Plus | Minus | Multiply | Divide | Modulo);
        if !is_arithmetic && !matches!(expr.op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
            return Ok(PlannerResult::Original(expr));
        }
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema))
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let RawBinaryExpr {
            op,
            left: l,
            right: r,
        } = expr;
        let planned = match (is_length(&left), is_length(&right)) {
            (true, false) if right.is_numeric() && op == Multiply => multiplied(l, r),
            (false, true) if left.is_numeric() && op == Multiply => multiplied(r, l),
            (true, false) if right.is_numeric() && op == Divide => divided(l, r),
            (true, false) | (false, true)
                if !is_arithmetic && (left.is_numeric() || right.is_numeric()) =>
            {
                return plan_err!(
                    "Cannot infer common argument type: a number is compared with a length of \
                     time; compare times as in `now() - created_at > interval '30 days'`, or days \
                     as in `current_date - cast(created_at as date) > 30`"
                );
            }
            (true, true) if left != right && matches!(op, Plus | Minus) => {
                let operator = if op == Plus {
                    Operator::Plus
                } else {
                    Operator::Minus
                };
                binary(cast(l, INTERVAL), operator, cast(r, INTERVAL))
            }
            (false, false) if is_arithmetic && uses_doubles(&op, [&l, &r], [&left, &right]) => {
                let operator = match op {
                    Plus => Operator::Plus,
                    Minus => Operator::Minus,
                    Multiply => Operator::Multiply,
                    Divide => Operator::Divide,
                    _ => Operator::Modulo,
                };
                binary(as_double(l), operator, as_double(r))
            }
            _ => {
                let original = RawBinaryExpr {
                    op,
                    left: l,
                    right: r,
                };
                return Ok(PlannerResult::Original(original));
            }
        };
        Ok(PlannerResult::Planned(planned))
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// Whether decimals are computed as doubles: if an operand contains a decimal literal, and the
/// result is a quotient or may need more than 38 digits.
fn uses_doubles(op: &BinaryOperator, exprs: [&Expr; 2], types: [&DataType; 2]) -> bool {
    let [Some((left, left_scale)), Some((right, right_scale))] = types.map(digits) else {
        return false;
    };
    let has_decimal =
        |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.data_type().is_decimal());
    let is_literal = |expr: &&Expr| expr.exists(|part| Ok(has_decimal(part))).unwrap_or(false);
    if !exprs.iter().any(is_literal) {
        return false;
    }
    let most = match op {
        BinaryOperator::Divide => return true,
        BinaryOperator::Multiply => left + right + 1,
        _ => (left - left_scale).max(right - right_scale) + left_scale.max(right_scale) + 1,
    };
    most > 38
}
