//! Customers buy from their first day on, each at their own rate, until they leave.

use std::collections::{HashMap, HashSet};

use super::{Folder, counts, read, run_with_all, seconds};
use crate::calendar::DAY;

#[test]
fn customers_buy_between_their_first_order_and_when_they_leave() {
    let folder = Folder::new("customers");
    run_with_all(&folder.0, 3_000, 31);
    let truth = read(&folder.0, "truth/customers");
    let mut placed: HashMap<&str, Vec<i64>> = HashMap::new();
    let mut counted: HashMap<&str, i64> = HashMap::new();
    let orders = read(&folder.0, "orders");
    for order in orders
        .iter()
        .filter(|order| !order["person_external_id"].is_empty())
    {
        let (person, at) = (&*order["person_external_id"], seconds(order, "placed_at"));
        placed.entry(person).or_default().push(at);
        if counts(order) {
            let paid_at = seconds(order, "paid_at");
            let first = counted.entry(person).or_insert(paid_at);
            *first = paid_at.min(*first);
        }
    }
    assert_eq!(truth.len(), placed.len());
    let mut left = 0;
    for row in &truth {
        let person = &*row["person_external_id"];
        let first = seconds(row, "first_order_at");
        assert_eq!(counted[person], first, "{row:?}");
        assert_eq!(placed[person].iter().min(), Some(&first), "{row:?}");
        if !row["left_at"].is_empty() {
            let left_at = seconds(row, "left_at");
            assert!(placed[person].iter().all(|at| *at <= left_at), "{row:?}");
            assert!(left_at >= first + 20 * DAY, "{row:?}");
            left += 1;
        }
    }
    assert!(
        (truth.len() / 5..truth.len() / 2).contains(&left),
        "{left} left"
    );

    // Skewed: a tenth of the customers place at least a third of the orders that are not firsts.
    let mut again: Vec<usize> = placed.values().map(|orders| orders.len() - 1).collect();
    again.sort_unstable();
    let most: usize = again[again.len() * 9 / 10..].iter().sum();
    let all: usize = again.iter().sum();
    assert!(3 * most > all && all > truth.len() / 2, "{most} of {all}");
    assert!(again[again.len() / 3] == 0, "a third do not come back");
}

#[test]
fn persons_without_an_order_are_leads_or_visitors() {
    let folder = Folder::new("covered");
    run_with_all(&folder.0, 2_000, 32);
    let leads = read(&folder.0, "truth/leads");
    let leads: HashSet<&str> = leads
        .iter()
        .map(|row| &*row["person_external_id"])
        .collect();
    let customers = read(&folder.0, "truth/customers");
    let customers: HashMap<&str, i64> = customers
        .iter()
        .map(|row| (&*row["person_external_id"], seconds(row, "first_order_at")))
        .collect();
    let persons = read(&folder.0, "persons");
    let mut stages: HashMap<&str, usize> = HashMap::new();
    for person in persons.iter().filter(|row| row["provider"] == "native") {
        let id = &*person["external_id"];
        *stages.entry(&person["lifecycle_stage"]).or_default() += 1;
        assert_eq!(
            person["is_customer"],
            customers.contains_key(id).to_string()
        );
        if !leads.contains(id) {
            assert_eq!(
                customers.get(id),
                Some(&seconds(person, "created_at")),
                "{id}"
            );
        }
    }
    assert!(
        (840..960).contains(&leads.len().saturating_sub(140)),
        "{}",
        leads.len()
    );
    for (stage, least) in [("lead", 650), ("visitor", 100), ("customer", 900)] {
        assert!(stages[stage] > least, "{stages:?}");
    }
    // Deals are won by those who are customers already.
    for deal in read(&folder.0, "deals") {
        let person = &*deal["person_external_id"];
        assert!(!leads.contains(person), "{deal:?}");
        assert!(
            seconds(&deal, "created_at") >= customers[person],
            "{deal:?}"
        );
    }
}
