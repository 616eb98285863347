//! The tables whose rows a condition looks at: those that may come to pass for it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Visitor};
use rollbook_model::tables::{PERSONS, TABLES};

use crate::criteria::behaviour::{Call, behaviour, relations_of};
use crate::rewriting::walk::walk;
use crate::tables::traits::{TRAIT_GROUPS, is_consent};

/// Columns of persons that follow from what they bought and from their deals.
const ROLES: [&str; 4] = ["is_customer", "is_lead", "is_contact", "lifecycle_stage"];

/// A table, and a type of its rows where only these are looked at.
pub(crate) type Fact = (&'static str, Option<String>);

/// The tables of a condition.
pub(crate) fn facts(condition: &Expr) -> BTreeSet<Fact> {
    let mut looking = Looking(BTreeSet::new());
    let _ = walk(condition, &mut looking);
    looking.0
}

/// All tables of facts.
pub(crate) fn all_facts() -> BTreeSet<Fact> {
    let of_persons = TABLES.iter().filter(|def| def.is_personal_fact());
    of_persons.map(|def| (def.name, None)).collect()
}

struct Looking(BTreeSet<Fact>);

impl Looking {
    fn note(&mut self, tables: &[&'static str]) {
        self.0.extend(tables.iter().map(|table| (*table, None)));
    }
}

impl Visitor for Looking {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.0 = all_facts();
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                let Some(name) = behaviour(function) else {
                    return ControlFlow::Continue(());
                };
                let rows = Call::of(name, function).and_then(|call| relations_of(&call));
                for (view, kind) in rows.unwrap_or_default() {
                    match tables_of_view(view) {
                        ["activities"] => drop(self.0.insert(("activities", kind))),
                        tables => self.note(tables),
                    }
                }
            }
            Expr::Identifier(name) => self.note_column(&name.value),
            Expr::CompoundIdentifier(names) => {
                if let Some(name) = names.last() {
                    self.note_column(&name.value);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Looking {
    fn note_column(&mut self, name: &str) {
        let name = name.to_lowercase();
        if ROLES.contains(&name.as_str()) {
            return self.note(&["orders", "deals"]);
        }
        let of_group = TRAIT_GROUPS
            .iter()
            .find(|group| group.traits.iter().any(|one| one.name == name));
        match of_group.map(|group| group.name) {
            Some("order_traits") => self.note(&["orders"]),
            Some("revenue_traits") => self.note(&["orders", "refunds"]),
            Some("deal_traits") => self.note(&["deals"]),
            Some("activity_traits") => self.note(&["activities"]),
            Some("ticket_traits") => self.note(&["tickets"]),
            None if is_consent(&name) => self.note(&["consents"]),
            None if PERSONS.arrivals().any(|column| column.name == name) => {
                self.note(&[PERSONS.name])
            }
            None if PERSONS.all_columns().any(|column| column.name == name) => {}
            // A trait of the tenant's own may look at anything.
            _ => self.0.extend(all_facts()),
        }
    }
}

fn tables_of_view(view: &str) -> &'static [&'static str] {
    match view {
        "_fact_activities" => &["activities"],
        "_fact_orders_placed" | "_fact_orders_paid" => &["orders"],
        "_fact_orders_refunded" | "_spending" => &["orders", "refunds"],
        "_fact_order_lines" => &["orders", "order_lines"],
        "_fact_deals" | "_fact_deals_won" | "_fact_deals_lost" => &["deals"],
        "_fact_tickets" => &["tickets"],
        _ => &["objects"],
    }
}

#[cfg(test)]
mod tests {
    use rollbook_queries::views::FACTS;

    use super::tables_of_view;

    #[test]
    fn every_view_of_facts_has_its_tables() {
        for (view, sql) in FACTS {
            for table in tables_of_view(view) {
                let own = format!("_{table}");
                let words = sql.split(|c: char| !c.is_alphanumeric() && c != '_');
                assert!(
                    words.into_iter().any(|word| word == *table || word == own),
                    "{view} does not read {table}"
                );
            }
        }
    }
}
