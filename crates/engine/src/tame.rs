//! Conditions whose cost can be told from their text: comparisons and arithmetic of a person's
//! values, what they did, and functions whose results are no larger than their arguments.
//!
//! What is not known here is not tame. Which functions make much out of little, and which of them
//! cannot be interrupted, changes with every version of DataFusion; a list of those that do not,
//! and that many conditions need, stays right.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Value,
    Visit, Visitor,
};

use crate::behaviour::BEHAVIOURS;
use crate::complexity::tokens;
use crate::statement::{condition, is_select};

/// Characters of a text that is planned in no time.
const MOST_CHARACTERS: usize = 4_000;
/// Texts that may be put together in one condition.
const MOST_JOINED: usize = 8;
/// Functions whose results are no larger than their arguments, in time that follows their length.
const FUNCTIONS: [&str; 44] = [
    "abs",
    "btrim",
    "ceil",
    "char_length",
    "character_length",
    "coalesce",
    "contains",
    "current_date",
    "current_time",
    "current_timestamp",
    "date_bin",
    "date_part",
    "date_trunc",
    "ends_with",
    "exp",
    "floor",
    "greatest",
    "ifnull",
    "isnan",
    "json_text",
    "least",
    "left",
    "length",
    "ln",
    "lower",
    "ltrim",
    "now",
    "nullif",
    "nvl",
    "position",
    "power",
    "right",
    "round",
    "rtrim",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "to_date",
    "today",
    "trim",
    "trunc",
    "upper",
];
/// Parts of the calendar, which are functions of no argument.
const CALENDAR: [&str; 2] = ["last_", "this_"];

/// Whether criteria are a condition whose cost their text tells.
pub fn is_tame(criteria: &str) -> bool {
    if criteria.len() > MOST_CHARACTERS || is_select(criteria) {
        return false;
    }
    let Ok(tokens) = tokens(criteria, MOST_CHARACTERS) else {
        // What is wrong with it is told without running it.
        return true;
    };
    match condition(&tokens) {
        Ok(condition) => Visit::visit(&condition, &mut Wild::default()).is_continue(),
        Err(_) => true,
    }
}

/// Looks for what is not tame.
#[derive(Default)]
struct Wild {
    joined: usize,
}

impl Visitor for Wild {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let is_tame = match expr {
            Expr::BinaryOp { op, .. } => match op {
                BinaryOperator::StringConcat => {
                    self.joined += 1;
                    self.joined <= MOST_JOINED
                }
                op => is_plain(op),
            },
            Expr::Function(call) => is_tame_call(call),
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::Like { any: false, .. }
            | Expr::ILike { any: false, .. }
            | Expr::UnaryOp { .. }
            | Expr::Cast { array: false, .. }
            | Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Nested(_)
            | Expr::Value(_)
            | Expr::TypedString(_)
            | Expr::AtTimeZone { .. }
            | Expr::Case { .. }
            | Expr::Interval(_) => true,
            _ => false,
        };
        match is_tame {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

fn is_plain(op: &BinaryOperator) -> bool {
    use BinaryOperator::{
        And, Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Or, Plus,
    };
    matches!(
        op,
        And | Divide | Eq | Gt | GtEq | Lt | LtEq | Minus | Modulo | Multiply | NotEq | Or | Plus
    )
}

fn is_tame_call(call: &Function) -> bool {
    let name = call.name.to_string().to_lowercase();
    let name = name.trim_matches('"');
    if BEHAVIOURS.contains(&name) {
        return wheres(call).all(is_tame);
    }
    FUNCTIONS.contains(&name) || CALENDAR.iter().any(|part| name.starts_with(part))
}

/// The conditions on facts that a call is given as texts.
fn wheres(call: &Function) -> impl Iterator<Item = &str> {
    let args = match &call.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    args.iter().filter_map(|arg| match arg {
        FunctionArg::Named {
            name,
            arg: FunctionArgExpr::Expr(Expr::Value(value)),
            ..
        } if name.value.eq_ignore_ascii_case("where") => match &value.value {
            Value::SingleQuotedString(text) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::is_tame;

    #[test]
    fn what_marketers_write_is_tame() {
        for criteria in [
            "country = 'DE' and total_spent > 500",
            "lower(email) like '%@example.com' or city is null",
            "did('email_opened', within => interval '30 days', at_least => 3, where => 'channel = ''email''')",
            "spent(this_year()) > 2 * spent(last_year())",
            "created_at >= date_trunc('month', now()) - interval '1 month'",
            "not in_segment('vips') and has_deal(where => 'amount > 10')",
            "case when country in ('DE', 'AT') then total_spent > 1 else order_count between 1 and 3 end",
            "extract(year from created_at) = 2025 and first_name || ' ' || surname = 'Ann Lee'",
            "total_spent >",
        ] {
            assert!(is_tame(criteria), "{criteria}");
        }
    }

    #[test]
    fn what_may_grow_or_run_long_is_not() {
        let long = format!("country in ('{}')", "x".repeat(5_000));
        let joined = format!("{} = 'x'", vec!["city"; 20].join(" || "));
        for criteria in [
            "repeat(city, 100) = 'x'",
            "length(replace(city, 'x', 'yyyy')) > 2",
            "concat(city, city) = 'x'",
            "person_id in (select person_id from orders)",
            "exists (select 1)",
            "select person_id from people",
            "email ~ 'a'",
            "regexp_like(city, 'x')",
            "levenshtein(city, 'x') < 2",
            "make_array(1)[1] = 1",
            "did('x', where => 'repeat(channel, 9) = ''x''')",
            "\"Repeat\"(city, 100) = 'x'",
            "lpad(city, 1000) = ''",
            long.as_str(),
            joined.as_str(),
        ] {
            assert!(!is_tame(criteria), "{criteria}");
        }
    }
}
