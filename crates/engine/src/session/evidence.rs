//! The rows that a clause looks at for one person.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Visitor};

use crate::criteria::behaviour::{Call, EvaluationContext, behaviour, evidence, resolve_times};
use crate::criteria::condition::Condition;
use crate::error::EngineError;
use crate::rewriting::walk::walk;
use crate::session::Session;
use crate::tables::traits::{TRAIT_GROUPS, TraitGroup};

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
    /// Queries for the newest rows, at most `most` each, that a clause looks at for one person.
    ///
    /// # Errors
    /// [`EngineError::Behaviour`] where a behaviour function is called otherwise than it can be.
    pub fn evidence(
        &self,
        clause: &Condition,
        person: i64,
        most: usize,
    ) -> Result<Vec<String>, EngineError> {
        let mut condition = clause.expr().clone();
        resolve_times(self.state(), self.as_of(), &mut condition)?;
        let mut looks = Looks {
            rows: Vec::new(),
            eval_context: self.eval_context(),
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

/// A walk that notes the rows which a clause looks at.
struct Looks {
    rows: Vec<(&'static str, Vec<String>)>,
    eval_context: EvaluationContext,
}

impl Visitor for Looks {
    type Break = EngineError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<EngineError> {
        match expr {
            Expr::Identifier(name) => {
                let of = |group: &&TraitGroup| {
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
                match rows.and_then(|call| evidence(&call, &self.eval_context)) {
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
