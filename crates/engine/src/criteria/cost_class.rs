//! Conditions whose cost can be told from their text: comparisons and arithmetic of a person's
//! values, what they did, and functions whose results are no larger than their arguments.
//!
//! The cost of everything else counts as unbounded. Which functions make a large result from small
//! arguments, and which of them cannot be interrupted, changes with every version of DataFusion; a
//! list of functions that do neither, and that many conditions need, stays right.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query,
    Value, Visitor,
};
use rollbook_model::calendar::PERIODS;

use crate::criteria::condition::Condition;
use crate::rewriting::walk::walk;
use crate::sql::behaviour_names::BEHAVIOURS;
use crate::sql::statement::is_select;

/// Characters of the longest text that is planned in a few milliseconds.
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

/// Whether the text of criteria bounds their cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostClass {
    /// The cost is bounded.
    Bounded,
    /// The cost is bounded if that of all segments is: the criteria name segments.
    BoundedIfSegmentsAre,
    /// The cost may be anything.
    Unbounded,
}

impl CostClass {
    /// The condition in a text, for [`cost_class`]; where there is none, what the text alone says: a query
    /// or a long text may cost anything, and errors in a text are found without running it.
    ///
    /// # Errors
    /// The class of a text that is not a condition.
    pub fn condition_in(criteria: &str) -> Result<Condition, Self> {
        match criteria.len() > MOST_CHARACTERS || is_select(criteria) {
            true => Err(Self::Unbounded),
            false => Condition::parse_plain(criteria, MOST_CHARACTERS).ok_or(Self::Bounded),
        }
    }
}

/// Whether the text of a condition bounds its cost. Traits of the tenant's own, which
/// `is_own_trait` knows, are queries.
pub fn cost_class(condition: &Condition, is_own_trait: &dyn Fn(&str) -> bool) -> CostClass {
    if condition.source().len() > MOST_CHARACTERS {
        return CostClass::Unbounded;
    }
    let mut unbounded = UnboundedParts {
        is_own_trait,
        joined: 0,
        names_segments: false,
    };
    match (
        walk(condition.expr(), &mut unbounded).is_break(),
        unbounded.names_segments,
    ) {
        (true, _) => CostClass::Unbounded,
        (false, true) => CostClass::BoundedIfSegmentsAre,
        (false, false) => CostClass::Bounded,
    }
}

fn cost_class_of_text(criteria: &str, is_own_trait: &dyn Fn(&str) -> bool) -> CostClass {
    match CostClass::condition_in(criteria) {
        Ok(condition) => cost_class(&condition, is_own_trait),
        Err(class) => class,
    }
}

/// Looks for parts whose cost is unbounded.
struct UnboundedParts<'a> {
    is_own_trait: &'a dyn Fn(&str) -> bool,
    joined: usize,
    names_segments: bool,
}

impl UnboundedParts<'_> {
    fn is_tame_call(&mut self, call: &Function) -> bool {
        let name = call.name.to_string().to_lowercase();
        let name = name.trim_matches('"');
        self.names_segments |= name == "in_segment";
        if BEHAVIOURS.contains(&name) {
            return wheres(call)
                .all(|text| cost_class_of_text(text, &|_| false) == CostClass::Bounded);
        }
        FUNCTIONS.contains(&name) || PERIODS.contains(&name)
    }

    /// A column, which may be a trait.
    fn is_tame_name(&self, name: Option<&Ident>) -> bool {
        let name = name.map(|name| name.value.to_lowercase());
        !name.is_some_and(|name| (self.is_own_trait)(&name))
    }
}

impl Visitor for UnboundedParts<'_> {
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
            Expr::Function(call) => self.is_tame_call(call),
            Expr::Identifier(name) => self.is_tame_name(Some(name)),
            Expr::CompoundIdentifier(parts) => self.is_tame_name(parts.last()),
            Expr::IsFalse(_)
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
    use super::{CostClass, cost_class_of_text as cost_class};

    #[test]
    fn usual_criteria_are_tame() {
        for criteria in [
            "country = 'DE' and total_spent > 500",
            "lower(email) like '%@example.com' or city is null",
            "did('email_opened', within => interval '30 days', at_least => 3, where => 'channel = ''email''')",
            "spent(this_year()) > 2 * spent(last_year())",
            "created_at >= date_trunc('month', now()) - interval '1 month'",
            "has_deal(where => 'amount > 10')",
            "case when country in ('DE', 'AT') then total_spent > 1 else order_count between 1 and 3 end",
            "extract(year from created_at) = 2025 and first_name || ' ' || surname = 'Ann Lee'",
            "total_spent >",
        ] {
            assert_eq!(
                cost_class(criteria, &|_| false),
                CostClass::Bounded,
                "{criteria}"
            );
        }
        let named = "not in_segment('vips') and country = 'DE'";
        assert_eq!(
            cost_class(named, &|_| false),
            CostClass::BoundedIfSegmentsAre
        );
    }

    #[test]
    fn criteria_that_may_grow_are_not_tame() {
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
            "last_value(city) = ''",
            long.as_str(),
            joined.as_str(),
        ] {
            assert_eq!(
                cost_class(criteria, &|_| false),
                CostClass::Unbounded,
                "{criteria}"
            );
        }
        for criteria in [
            "wealth > 3",
            "people.Wealth > 3",
            "in_segment('a') and wealth > 3",
        ] {
            assert_eq!(
                cost_class(criteria, &|name| name == "wealth"),
                CostClass::Unbounded,
                "{criteria}"
            );
        }
    }
}
