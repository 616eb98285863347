//! A condition as the tree of clauses that its author wrote, and the value that each of them looks at.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Spanned, UnaryOperator, Value, Visitor,
};

use crate::criteria::behaviour::{Call, behaviour, relations_of};
use crate::criteria::condition::Condition;
use crate::error::EngineError;
use crate::rewriting::walk::walk;

/// A condition, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clause {
    /// All of these.
    All(Vec<Clause>),
    /// At least one of these.
    Any(Vec<Clause>),
    /// Not this.
    Not(Box<Clause>),
    /// What is not taken apart further.
    Atom(Atom),
}

/// A clause without parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atom {
    /// The clause itself.
    pub condition: Condition,
    /// The value that it looks at: an expression on `people`, where there is one that says more than
    /// whether the clause is met.
    pub value: Option<Condition>,
    /// What the value is compared with, and how.
    pub bound: Option<(Comparison, Condition)>,
}

/// How a value is compared with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Less than it.
    Less,
    /// Less than it, or the same.
    LessOrEqual,
    /// More than it.
    More,
    /// More than it, or the same.
    MoreOrEqual,
    /// The same.
    Equal,
    /// Another.
    NotEqual,
}

impl Comparison {
    fn of(op: &BinaryOperator) -> Option<Self> {
        Some(match op {
            BinaryOperator::Lt => Self::Less,
            BinaryOperator::LtEq => Self::LessOrEqual,
            BinaryOperator::Gt => Self::More,
            BinaryOperator::GtEq => Self::MoreOrEqual,
            BinaryOperator::Eq => Self::Equal,
            BinaryOperator::NotEq => Self::NotEqual,
            _ => return None,
        })
    }

    /// The same seen from the other side.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::More,
            Self::LessOrEqual => Self::MoreOrEqual,
            Self::More => Self::Less,
            Self::MoreOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// As SQL has it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::More => ">",
            Self::MoreOrEqual => ">=",
            Self::Equal => "=",
            Self::NotEqual => "<>",
        }
    }
}

impl Clause {
    /// The clauses of a condition, as its author joined them.
    pub fn of(condition: &Condition) -> Self {
        Self::of_part(condition, condition.expr())
    }

    /// The clause in SQL.
    pub fn text(&self) -> String {
        let joined = |parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(Self::text_within).collect();
            parts.join(word)
        };
        match self {
            Self::All(parts) => joined(parts, " and "),
            Self::Any(parts) => joined(parts, " or "),
            Self::Not(part) => format!("not {}", part.text_within()),
            Self::Atom(atom) => atom.condition.source().to_owned(),
        }
    }

    /// The clause in SQL, as a part of another one.
    pub fn text_within(&self) -> String {
        match self {
            Self::Atom(_) => self.text(),
            other => format!("({})", other.text()),
        }
    }

    /// The clause as a condition of its own.
    pub fn condition(&self) -> Condition {
        match self {
            Self::Atom(atom) => atom.condition.clone(),
            other => other
                .first_atom()
                .part_in_words(&other.text(), other.expr()),
        }
    }

    /// The clauses all of which have to be met: one where they are not joined by `and`.
    pub fn conjuncts(&self) -> &[Self] {
        match self {
            Self::All(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    fn expr(&self) -> Expr {
        let within = |part: &Self| match part {
            Self::Atom(_) => part.expr(),
            other => Expr::Nested(Box::new(other.expr())),
        };
        match self {
            Self::All(parts) => joined(parts.iter().map(within), BinaryOperator::And),
            Self::Any(parts) => joined(parts.iter().map(within), BinaryOperator::Or),
            Self::Not(part) => Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(within(part)),
            },
            Self::Atom(atom) => atom.condition.expr().clone(),
        }
    }

    fn first_atom(&self) -> &Condition {
        match self {
            Self::All(parts) | Self::Any(parts) => parts[0].first_atom(),
            Self::Not(part) => part.first_atom(),
            Self::Atom(atom) => &atom.condition,
        }
    }

    fn of_part(whole: &Condition, expr: &Expr) -> Self {
        match expr {
            Expr::Nested(inner) => Self::of_part(whole, inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => {
                let mut parts = Vec::new();
                for side in [left, right] {
                    match Self::of_part(whole, side) {
                        Self::All(more) if parts.is_empty() => parts = more,
                        Self::All(more) => parts.extend(more),
                        one => parts.push(one),
                    }
                }
                Self::All(parts)
            }
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Or,
                right,
            } => {
                let mut parts = Vec::new();
                for side in [left, right] {
                    match Self::of_part(whole, side) {
                        Self::Any(more) if parts.is_empty() => parts = more,
                        Self::Any(more) => parts.extend(more),
                        one => parts.push(one),
                    }
                }
                Self::Any(parts)
            }
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Self::Not(Box::new(Self::of_part(whole, expr))),
            other => Self::Atom(Atom::of(whole, other)),
        }
    }
}

/// Conditions joined from the left; there is at least one.
fn joined(exprs: impl Iterator<Item = Expr>, op: BinaryOperator) -> Expr {
    let all = exprs.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    });
    all.expect("what is joined has parts")
}

impl Atom {
    fn of(whole: &Condition, expr: &Expr) -> Self {
        let part = |expr: &Expr| whole.part(expr.clone());
        let (value, bound) = match expr {
            Expr::BinaryOp { left, op, right } => match Comparison::of(op) {
                Some(how) if is_looked_up(left) => (Some(part(left)), Some((how, part(right)))),
                Some(how) => (Some(part(right)), Some((how.turned(), part(left)))),
                None => (None, None),
            },
            Expr::Between { expr, .. }
            | Expr::InList { expr, .. }
            | Expr::IsNull(expr)
            | Expr::IsNotNull(expr)
            | Expr::Like { expr, .. }
            | Expr::ILike { expr, .. } => (Some(part(expr)), None),
            Expr::Function(function) => match counted(function) {
                Some((value, least)) => {
                    let bound = least.map(|least| (Comparison::MoreOrEqual, whole.part(least)));
                    (Some(whole.part(value)), bound)
                }
                None => (None, None),
            },
            _ => (None, None),
        };
        Self {
            condition: part(expr),
            value,
            bound,
        }
    }

    /// The column and the text of a clause that says that the one equals the other.
    pub fn compared_text(&self) -> Option<(String, String)> {
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } = self.condition.expr()
        else {
            return None;
        };
        match (left.as_ref(), text_of(right)) {
            (Expr::Identifier(column), Some(text)) => Some((column.to_string(), text)),
            _ => None,
        }
    }

    /// The type of activities that a clause asks about, where it asks about one.
    ///
    /// # Errors
    /// [`EngineError::Behaviour`] where a behaviour function is called otherwise than it can be.
    pub fn activity_type(&self) -> Result<Option<String>, EngineError> {
        let Expr::Function(function) = self.condition.expr() else {
            return Ok(None);
        };
        match behaviour(function) {
            Some("did") => {
                let rows = relations_of(&Call::of("did", function)?)?;
                Ok(rows.into_iter().find_map(|(_, kind)| kind))
            }
            _ => Ok(None),
        }
    }
}

fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => value.clone().into_string(),
        _ => None,
    }
}

/// Whether an expression names a column or calls a behaviour function.
fn is_looked_up(expr: &Expr) -> bool {
    struct LookedUp;
    impl Visitor for LookedUp {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                Expr::Function(function) if behaviour(function).is_some() => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    walk(expr, &mut LookedUp).is_break()
}

/// `did` and `ordered` say whether something happened often enough: how often it did, and how often
/// it has to, where there is no upper limit.
fn counted(function: &Function) -> Option<(Expr, Option<Expr>)> {
    let name @ ("did" | "ordered") = behaviour(function)? else {
        return None;
    };
    // Planning reports what is wrong with the call.
    let call = Call::of(name, function).ok()?;
    let mut args = call.without(&["at_least", "at_most"]);
    if name == "ordered" {
        let kind = Value::SingleQuotedString("order_placed".to_owned());
        args.insert(
            0,
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::value(kind))),
        );
    }
    let times = Ident::with_span(function.name.span(), "times");
    let value = Expr::Function(Function {
        name: ObjectName::from(vec![times]),
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        ..function.clone()
    });
    let once = || Expr::value(Value::Number("1".to_owned(), false));
    let least = || call.named("at_least").cloned().unwrap_or_else(once);
    let bound = call.named("at_most").is_none().then(least);
    Some((value, bound))
}

#[cfg(test)]
mod tests {
    use rollbook_model::config::Limits;

    use super::{Atom, Clause, Comparison};
    use crate::criteria::condition::Condition;

    fn clauses(text: &str) -> Clause {
        Clause::of(&Condition::parse(text, &Limits::default()).unwrap())
    }

    fn atom(text: &str) -> Atom {
        match clauses(text) {
            Clause::Atom(atom) => atom,
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn clause_and_its_condition_have_the_same_text() {
        for (text, expected) in [
            ("a and (b and c)", "a and b and c"),
            ("(a or b) and not c", "(a or b) and (not c)"),
            ("not (a and b)", "not (a and b)"),
            ("((a = 1))", "a = 1"),
        ] {
            let clause = clauses(text);
            assert_eq!(clause.text(), expected);
            let condition = clause.condition();
            assert_eq!(condition.source(), expected);
            let printed = condition.expr().to_string().to_lowercase();
            assert_eq!(printed, expected, "{text}");
        }
    }

    #[test]
    fn atoms_have_the_value_and_the_bound_that_they_compare() {
        let parts = |text: &str| {
            let atom = atom(text);
            let value = atom.value.map(|value| value.source().to_owned());
            let bound = atom.bound;
            let bound = bound.map(|(how, bound)| format!("{} {}", how.symbol(), bound.source()));
            (value.unwrap_or_default(), bound.unwrap_or_default())
        };
        let of = |value: &str, bound: &str| (value.to_owned(), bound.to_owned());
        assert_eq!(parts("500 < total_spent"), of("total_spent", "> 500"));
        assert_eq!(parts("country in ('DE')"), of("country", ""));
        assert_eq!(
            parts("did('seen', at_least => 2, within => interval '7 days')"),
            of("times('seen', within => INTERVAL '7 days')", ">= 2")
        );
        assert_eq!(parts("ordered()"), of("times('order_placed')", ">= 1"));
        assert_eq!(parts("did('seen', at_most => 2)"), of("times('seen')", ""));
        assert_eq!(Comparison::Less.symbol(), "<");
        assert_eq!(
            atom("did('seen')").activity_type().unwrap().as_deref(),
            Some("seen")
        );
        let compared = atom("country = 'DE'").compared_text();
        assert_eq!(compared, Some(("country".to_owned(), "DE".to_owned())));
    }
}
