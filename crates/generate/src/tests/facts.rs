//! Amounts add up, times are in order, references exist, consent is respected.

use std::collections::{HashMap, HashSet};

use rollbook_model::Timestamp;

use super::{Folder, Rows, cents, ids, read, run};
use crate::output::Table;

#[test]
fn amounts_add_up() {
    let folder = Folder::new("amounts");
    run(&folder.0, 1_500, 11);
    let (orders, lines) = (read(&folder.0, "orders"), read(&folder.0, "order_lines"));
    let mut of_lines: HashMap<&str, i64> = HashMap::new();
    for line in &lines {
        let quantity: i64 = line["quantity"].parse().unwrap();
        let full = quantity * cents(line, "unit_price");
        assert_eq!(
            full - cents(line, "discount"),
            cents(line, "total"),
            "{line:?}"
        );
        *of_lines.entry(&line["order_id"]).or_default() += cents(line, "total");
    }
    let mut totals = HashMap::new();
    for order in &orders {
        let id = order["external_id"].as_str();
        assert_eq!(
            of_lines.remove(id),
            Some(cents(order, "subtotal")),
            "{order:?}"
        );
        let due = cents(order, "subtotal") - cents(order, "discount")
            + cents(order, "tax")
            + cents(order, "shipping");
        assert_eq!(due, cents(order, "total"), "{order:?}");
        totals.insert(id, order);
    }
    assert!(of_lines.is_empty(), "lines without an order: {of_lines:?}");

    let refunds = read(&folder.0, "refunds");
    let mut refunded = HashSet::new();
    for refund in &refunds {
        let order = totals[refund["order_id"].as_str()];
        let (amount, total) = (cents(refund, "amount"), cents(order, "total"));
        match order["status"].as_str() {
            "refunded" => assert_eq!(amount, total, "{refund:?}"),
            "partially_refunded" => assert!(0 < amount && amount < total, "{refund:?}"),
            status => panic!("a refund of an order that is {status}"),
        }
        assert_eq!(refund["currency"], order["currency"]);
        assert_eq!(refund["person_external_id"], order["person_external_id"]);
        assert!(refund["refunded_at"] > order["paid_at"], "{refund:?}");
        refunded.insert(refund["order_id"].as_str());
    }
    let said = orders
        .iter()
        .filter(|order| order["status"].ends_with("refunded"));
    let said: HashSet<&str> = said.map(|order| order["external_id"].as_str()).collect();
    assert_eq!(refunded, said);
    assert!(
        refunds.len() * 20 < orders.len() * 3,
        "more than 15 % are given back"
    );
}

#[test]
fn times_are_in_order() {
    let folder = Folder::new("times");
    let summary = run(&folder.0, 1_500, 12);
    let last = summary.last_event.unwrap();
    let read_time = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut latest = None;
    let mut check = |table: &str, earlier: &str, later: &[&str]| {
        for row in read(&folder.0, table) {
            assert!(
                row[earlier].as_str() >= "2024-01-01T00:00:00Z",
                "{table} {row:?}"
            );
            for column in [earlier]
                .iter()
                .chain(later)
                .filter(|column| !row[**column].is_empty())
            {
                let time = read_time(&row[*column]);
                assert!(read_time(&row[earlier]) <= time, "{table}.{column} {row:?}");
                assert!(
                    time.micros() < read_time("2026-01-01").micros(),
                    "{table} {row:?}"
                );
                latest = latest.max(Some(time).filter(|_| table != "persons"));
            }
        }
    };
    check("orders", "placed_at", &["paid_at", "cancelled_at"]);
    check("order_lines", "placed_at", &[]);
    check("refunds", "refunded_at", &[]);
    check("deals", "created_at", &["closed_at", "updated_at"]);
    check("tickets", "opened_at", &["closed_at"]);
    check("activities", "occurred_at", &[]);
    check(
        "persons",
        "created_at",
        &["updated_at", "last_seen_at", "marketing_opt_in_date"],
    );
    assert_eq!(latest, Some(last));

    for order in read(&folder.0, "orders") {
        let (paid, cancelled) = (
            !order["paid_at"].is_empty(),
            !order["cancelled_at"].is_empty(),
        );
        let expected = match order["status"].as_str() {
            "pending" => (false, false),
            "cancelled" => (false, true),
            _ => (true, false),
        };
        assert_eq!((paid, cancelled), expected, "{order:?}");
    }
    for deal in read(&folder.0, "deals") {
        assert_eq!(
            deal["status"] == "open",
            deal["closed_at"].is_empty(),
            "{deal:?}"
        );
        assert_eq!(
            deal["status"] == "lost",
            !deal["lost_reason"].is_empty(),
            "{deal:?}"
        );
    }
}

#[test]
fn every_referenced_row_exists() {
    let folder = Folder::new("references");
    run(&folder.0, 1_500, 13);
    let tables: HashMap<&str, Rows> = Table::ALWAYS
        .iter()
        .map(|table| (table.name(), read(&folder.0, table.name())))
        .collect();
    let known: HashMap<&str, HashSet<&str>> = tables
        .iter()
        .map(|(name, rows)| (*name, ids(rows)))
        .collect();
    for (table, column, target) in [
        ("orders", "person_external_id", "persons"),
        ("order_lines", "person_external_id", "persons"),
        ("refunds", "person_external_id", "persons"),
        ("deals", "person_external_id", "persons"),
        ("activities", "person_external_id", "persons"),
        ("tickets", "person_external_id", "persons"),
        ("persons", "organization_id", "organizations"),
        ("deals", "organization_id", "organizations"),
        ("order_lines", "order_id", "orders"),
        ("order_lines", "product_id", "products"),
        ("refunds", "order_id", "orders"),
        ("refunds", "line_id", "order_lines"),
        ("orders", "campaign_id", "campaigns"),
        ("activities", "campaign_id", "campaigns"),
        ("campaign_spend", "campaign_id", "campaigns"),
    ] {
        let named: Vec<&str> = tables[table]
            .iter()
            .map(|row| row[column].as_str())
            .filter(|id| !id.is_empty())
            .collect();
        assert!(!named.is_empty(), "{table}.{column} is always blank");
        for id in named {
            assert!(known[target].contains(id), "{table}.{column} names `{id}`");
        }
    }
    for activity in tables["activities"]
        .iter()
        .filter(|row| !row["subject_id"].is_empty())
    {
        let target = format!("{}s", activity["subject_type"]);
        assert!(
            known[target.as_str()].contains(activity["subject_id"].as_str()),
            "{activity:?}"
        );
    }
    let guests = tables["orders"]
        .iter()
        .filter(|row| row["person_external_id"].is_empty())
        .count();
    assert!(
        guests > 0 && guests * 10 < tables["orders"].len(),
        "{guests} orders of guests"
    );
    for person in &tables["persons"] {
        let domain = person["email"].split_once('@').unwrap().1;
        assert!(
            ["example.com", "example.org"].contains(&domain),
            "{person:?}"
        );
    }
    let emails: HashSet<&str> = tables["persons"]
        .iter()
        .map(|row| row["email"].as_str())
        .collect();
    assert_eq!(emails.len(), tables["persons"].len());
}

#[test]
fn only_persons_with_consent_are_mailed() {
    let folder = Folder::new("consent");
    run(&folder.0, 1_500, 14);
    let persons = read(&folder.0, "persons");
    let persons: HashMap<&str, _> = persons
        .iter()
        .map(|row| (row["external_id"].as_str(), row))
        .collect();
    let activities = read(&folder.0, "activities");
    let mut left: HashMap<&str, &str> = HashMap::new();
    for row in activities
        .iter()
        .filter(|row| row["type"] == "email_unsubscribed")
    {
        left.insert(&row["person_external_id"], &row["occurred_at"]);
        assert_eq!(
            persons[row["person_external_id"].as_str()]["accepts_email_marketing"],
            "false"
        );
    }
    let mut sent = 0;
    for row in activities.iter().filter(|row| row["type"] == "email_sent") {
        let person = row["person_external_id"].as_str();
        let opted_in = persons[person]["marketing_opt_in_date"].as_str();
        assert!(
            !opted_in.is_empty() && opted_in <= row["occurred_at"].as_str(),
            "{row:?}"
        );
        assert!(
            left.get(person)
                .is_none_or(|at| row["occurred_at"].as_str() < *at),
            "{row:?}"
        );
        sent += 1;
    }
    assert!(
        sent > 500 && !left.is_empty(),
        "{sent} mails, {} left",
        left.len()
    );
}
