//! A condition as the tree of clauses that its author wrote, and what each of them looks at.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Function, UnaryOperator, Visitor};

use crate::criteria::behaviour::{Call, behaviour, evidence, relations_of, settle};
use crate::error::EngineError;
use crate::rewriting::walk::walk;
use crate::session::Session;
use crate::sql::parsing;
use crate::tables::traits::TRAIT_GROUPS;

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
    /// The clause in SQL.
    pub text: String,
    /// What it looks at: an expression of `people`, where there is one that says more than whether
    /// the clause is met.
    pub value: Option<String>,
    /// What that is compared with, and how.
    pub bound: Option<(Comparison, String)>,
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
            Self::Atom(atom) => atom.text.clone(),
        }
    }

    fn text_within(&self) -> String {
        match self {
            Self::Atom(atom) => atom.text.clone(),
            other => format!("({})", other.text()),
        }
    }

    /// The clauses all of which have to be met: one where they are not joined by `and`.
    pub fn conjuncts(&self) -> &[Self] {
        match self {
            Self::All(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Nested(inner) => Self::of(inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => {
                let mut parts = Vec::new();
                for side in [Self::of(left), Self::of(right)] {
                    match side {
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
                for side in [Self::of(left), Self::of(right)] {
                    match side {
                        Self::Any(more) => parts.extend(more),
                        one => parts.push(one),
                    }
                }
                Self::Any(parts)
            }
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Self::Not(Box::new(Self::of(expr))),
            other => Self::Atom(Atom::of(other)),
        }
    }
}

impl Atom {
    fn of(expr: &Expr) -> Self {
        let text = expr.to_string();
        let (value, bound) = match expr {
            Expr::BinaryOp { left, op, right } => match Comparison::of(op) {
                Some(how) if is_looked_up(left) => {
                    (Some(left.to_string()), Some((how, right.to_string())))
                }
                Some(how) => (
                    Some(right.to_string()),
                    Some((how.turned(), left.to_string())),
                ),
                None => (None, None),
            },
            Expr::Between { expr, .. }
            | Expr::InList { expr, .. }
            | Expr::IsNull(expr)
            | Expr::IsNotNull(expr)
            | Expr::Like { expr, .. }
            | Expr::ILike { expr, .. } => (Some(expr.to_string()), None),
            Expr::Function(function) => counted(function),
            _ => (None, None),
        };
        Self { text, value, bound }
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

/// `did` and `ordered` say whether something happened often enough: how often it did, and how
/// often it has to.
fn counted(function: &Function) -> (Option<String>, Option<(Comparison, String)>) {
    let Some(name @ ("did" | "ordered")) = behaviour(function) else {
        return (None, None);
    };
    // What is wrong with it is told where it is planned.
    let Ok(call) = Call::of(name, function) else {
        return (None, None);
    };
    let mut kept = call.without(&["at_least", "at_most"]);
    if name == "ordered" {
        kept.insert(0, "'order_placed'".to_owned());
    }
    let value = format!("times({})", kept.join(", "));
    let bound = call.named("at_most").is_none().then(|| {
        let least = call.named("at_least").map(ToString::to_string);
        (
            Comparison::MoreOrEqual,
            least.unwrap_or_else(|| "1".to_owned()),
        )
    });
    (Some(value), bound)
}

/// What is shown of the rows of a view, and the order.
fn shown(view: &str) -> &'static str {
    match view {
        "_fact_activities" => "at, type, channel, campaign_id",
        "_spending" => "at, external_id as order_id, converted as amount",
        "_fact_orders_refunded" => "at, order_id, amount, currency",
        "_fact_order_lines" => "at, sku, title, category, quantity, total",
        "_fact_deals" | "_fact_deals_won" | "_fact_deals_lost" => {
            "at, external_id as deal_id, stage, status, value"
        }
        "_fact_tickets" => "at, external_id as ticket_id, status, priority, category, closed_at",
        "_fact_objects" => "at, object_type, external_id",
        _ => "at, external_id as order_id, status, total, currency",
    }
}

/// The view that a group of traits is computed from.
fn view_of_traits(group: &str) -> Option<&'static str> {
    Some(match group {
        "order_traits" => "_fact_orders_placed",
        "revenue_traits" => "_spending",
        "activity_traits" => "_fact_activities",
        "deal_traits" => "_fact_deals",
        "ticket_traits" => "_fact_tickets",
        _ => return None,
    })
}

impl Session {
    /// A condition as a tree of clauses.
    ///
    /// # Errors
    /// Whatever keeps the text from being read.
    pub fn clauses(&self, criteria: &str) -> Result<Clause, EngineError> {
        let (parsed, _) = parsing::condition(self.state(), criteria, self.limits())?;
        Ok(Clause::of(&parsed.tree))
    }

    /// Queries for the newest rows, at most `most` each, that a clause looks at for one person.
    ///
    /// # Errors
    /// Whatever is wrong with the text.
    pub fn evidence(
        &self,
        clause: &str,
        person: i64,
        most: usize,
    ) -> Result<Vec<String>, EngineError> {
        let (parsed, _) = parsing::condition(self.state(), clause, self.limits())?;
        let mut condition = parsed.tree.clone();
        settle(self.state(), self.as_of(), &mut condition)?;
        let mut looks = Looks {
            rows: Vec::new(),
            viewpoint: self.viewpoint(),
        };
        if let ControlFlow::Break(error) = walk(&condition, &mut looks) {
            return Err(error);
        }
        let query = |(view, conditions): (&str, Vec<String>)| {
            let conditions: String = conditions.iter().map(|one| format!(" and {one}")).collect();
            let columns = shown(view);
            format!(
                "select {columns} from {view} where person_id = {person}{conditions} \
                 order by at desc limit {most}"
            )
        };
        let mut queries: Vec<String> = looks.rows.into_iter().map(query).collect();
        queries.dedup();
        Ok(queries)
    }
}

impl Session {
    /// The column and the text of a clause that compares the one with the other.
    ///
    /// # Errors
    /// Whatever keeps the text from being read.
    pub fn compared_text(&self, clause: &str) -> Result<Option<(String, String)>, EngineError> {
        let (parsed, _) = parsing::condition(self.state(), clause, self.limits())?;
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } = &parsed.tree
        else {
            return Ok(None);
        };
        Ok(match (left.as_ref(), text_of(right)) {
            (Expr::Identifier(column), Some(text)) => Some((column.to_string(), text)),
            _ => None,
        })
    }

    /// The type of activities that a clause asks about, where it asks about one.
    ///
    /// # Errors
    /// Whatever keeps the text from being read.
    pub fn type_asked(&self, clause: &str) -> Result<Option<String>, EngineError> {
        let (parsed, _) = parsing::condition(self.state(), clause, self.limits())?;
        let Expr::Function(function) = &parsed.tree else {
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

/// A walk that notes the rows which a clause looks at.
struct Looks {
    rows: Vec<(&'static str, Vec<String>)>,
    viewpoint: crate::criteria::behaviour::EvaluationContext,
}

impl Visitor for Looks {
    type Break = EngineError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<EngineError> {
        match expr {
            Expr::Identifier(name) => {
                let of = |group: &&crate::tables::traits::TraitGroup| {
                    let mut traits = group.traits.iter();
                    traits.any(|one| one.name.eq_ignore_ascii_case(&name.value))
                };
                let group = TRAIT_GROUPS.iter().find(of);
                let view = group.and_then(|group| view_of_traits(group.name));
                self.rows.extend(view.map(|view| (view, Vec::new())));
                ControlFlow::Continue(())
            }
            Expr::Function(function) => {
                let Some(name) = behaviour(function) else {
                    return ControlFlow::Continue(());
                };
                let rows = Call::of(name, function);
                match rows.and_then(|call| evidence(&call, &self.viewpoint)) {
                    Ok(rows) => {
                        self.rows.extend(rows);
                        ControlFlow::Continue(())
                    }
                    Err(error) => ControlFlow::Break(error),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
