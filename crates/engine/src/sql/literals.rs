//! Literals of numbers: with a point they are decimals, with an exponent doubles.
//!
//! DataFusion reads both as one or the other. Here they are told apart in the parsed text, right
//! before it is planned: what was written is kept for messages and explanations.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value, VisitMut, VisitorMut,
};

use crate::rewriting::walk::walk_mut;

/// Digits of the longest decimal. A longer literal is a double, as in DuckDB.
const MOST_DIGITS: usize = 38;

/// Makes doubles of the literals that are no decimals.
pub(crate) fn with_doubles(parsed: &mut impl VisitMut) {
    struct Doubles;
    impl VisitorMut for Doubles {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Value(value) = expr
                && let Value::Number(digits, _) = &value.value
                && is_double(digits)
            {
                *expr = double(digits);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(parsed, &mut Doubles);
}

fn is_double(digits: &str) -> bool {
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let leading = digits.bytes().take_while(|byte| *byte == b'0').count();
    digits.contains(['e', 'E']) || count - leading > MOST_DIGITS
}

fn double(digits: &str) -> Expr {
    let digits = digits.replace('_', "");
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(digits))),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    }
}

/// Puts brackets where a text would otherwise not be read again as it was: `- -1` is written out
/// as `--1`, which begins a comment.
pub(crate) fn with_signs_apart(parsed: &mut impl VisitMut) {
    struct Signs;
    impl VisitorMut for Signs {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } = expr
                && inner.to_string().starts_with('-')
            {
                let signed = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
                **inner = Expr::Nested(Box::new(signed));
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(parsed, &mut Signs);
}
