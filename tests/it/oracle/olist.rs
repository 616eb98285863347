//! The whole Olist data set, against figures computed by loops over the raw files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::own_lake::{OwnLake, counts, text};
use crate::support::raw_files::{Row, in_parts, joined, rows};

struct Olist {
    lake: OwnLake,
    ingested: Value,
}

/// One ingest for all tests in this file, since it is the slow part.
fn olist() -> &'static Olist {
    static OLIST: OnceLock<Olist> = OnceLock::new();
    OLIST.get_or_init(|| {
        let folder = rollbook_tests::test_data().join("olist");
        let lake = OwnLake::new("olist");
        let ingested = lake.json(&["ingest".as_ref(), "olist".as_ref(), folder.as_os_str()]);
        Olist { lake, ingested }
    })
}

fn raw(name: &str) -> Vec<Row> {
    rows(&rollbook_tests::test_data().join("olist").join(name))
}

fn orders() -> Vec<Row> {
    let customers = raw("orders_8k/olist_customers_dataset.csv");
    let orders = raw("orders_8k/olist_orders_dataset.csv");
    joined(orders, &customers, "customer_id")
}

fn leads() -> Vec<Row> {
    raw("olist_marketing_qualified_leads_dataset.csv")
}

fn deals() -> Vec<Row> {
    raw("olist_closed_deals_dataset.csv")
}

/// An order that counts as revenue.
struct Sale {
    customer: String,
    cents: i64,
    /// In local time.
    since: String,
}

fn sales() -> Vec<Sale> {
    let mut items: BTreeMap<String, i64> = BTreeMap::new();
    for item in raw("orders_8k/olist_order_items_dataset.csv") {
        let cents = |name: &str| in_parts(&item[name], 100.0);
        *items.entry(item["order_id"].clone()).or_default() +=
            cents("price") + cents("freight_value");
    }
    let mut sales = Vec::new();
    for order in orders() {
        let Some(cents) = items.get(&order["order_id"]) else {
            continue;
        };
        if !["canceled", "unavailable"].contains(&order["order_status"].as_str()) {
            let since = order.get("order_approved_at");
            sales.push(Sale {
                customer: order["customer_unique_id"].clone(),
                cents: *cents,
                since: since.unwrap_or(&order["order_purchase_timestamp"]).clone(),
            });
        }
    }
    sales
}

/// The cents that each customer spent until a moment in local time.
fn spent(until: &str) -> BTreeMap<String, i64> {
    let mut spent = BTreeMap::new();
    for sale in sales() {
        if sale.since.as_str() <= until {
            *spent.entry(sale.customer).or_default() += sale.cents;
        }
    }
    spent
}

/// The external ids of the persons with these ids at Olist.
fn external_ids(kind: &str, ids: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    ids.into_iter().map(|id| format!("{kind}/{id}")).collect()
}

/// An amount such as `"52.6000"` in cents.
fn cents(amount: &Value) -> i64 {
    let text = amount
        .as_str()
        .unwrap_or_else(|| panic!("{amount} is no decimal"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<4}");
    assert_eq!(&fraction[2..], "00", "{text} has parts of a cent");
    whole.parse::<i64>().unwrap() * 100 + fraction[..2].parse::<i64>().unwrap()
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn every_row_is_accepted() {
    let olist = olist();
    // 31 customers ordered twice; 8,349 payments are in the CSV and in the Parquet file.
    for (table, expected) in [
        ("persons", [16_000, 15_969, 31, 0]),
        ("orders", [8_000, 8_000, 0, 0]),
        ("order_lines", [9_116, 9_116, 0, 0]),
        ("payments", [112_235, 103_886, 8_349, 0]),
        ("shipments", [7_857, 7_857, 0, 0]),
        ("deals", [842, 842, 0, 0]),
        ("activities", [8_000, 8_000, 0, 0]),
        ("products", [32_951, 32_951, 0, 0]),
        ("organizations", [3_095, 3_095, 0, 0]),
    ] {
        assert_eq!(counts(&olist.ingested, table), expected, "{table}");
        let stored = olist.lake.value(&format!("select count(*) from {table}"));
        assert_eq!(stored, expected[1], "{table}");
    }
    assert_eq!(olist.lake.value("select count(*) from people"), 15_969);
    assert_eq!(olist.lake.value("select count(*) from quarantine"), 0);
    assert_eq!(
        olist
            .lake
            .value("select count(*) from deals where status = 'won'"),
        842
    );
    assert_eq!(
        olist
            .lake
            .value("select count(*) from deals where value is not null"),
        0
    );
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn same_files_again_change_nothing() {
    let folder = rollbook_tests::test_data();
    let lake = OwnLake::new("olist-twice");
    let leads = folder.join("olist/olist_marketing_qualified_leads_dataset.csv");
    let ingest = ["ingest".as_ref(), "olist".as_ref(), leads.as_os_str()];
    let first = lake.json(&ingest);
    let second = lake.json(&ingest);
    for table in ["persons", "activities"] {
        assert_eq!(counts(&first, table), [8_000, 8_000, 0, 0], "{table}");
        assert_eq!(counts(&second, table), [8_000, 0, 8_000, 0], "{table}");
    }
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn zip_prefixes_regain_zeros_and_the_later_address_wins() {
    let olist = olist();
    let mut ordered = orders();
    ordered.sort_by_key(|order| order["order_purchase_timestamp"].clone());
    let expected: BTreeMap<String, String> = ordered
        .iter()
        .map(|order| {
            let zip = &order["customer_zip_code_prefix"];
            let person = &order["customer_unique_id"];
            (format!("customer/{person}"), format!("{zip:0>5}"))
        })
        .collect();
    let persons = olist
        .lake
        .sql("select external_id, postal_code from persons where external_id like 'customer/%'");
    let found: BTreeMap<String, String> = persons
        .iter()
        .map(|row| {
            (
                text(row, "external_id").into(),
                text(row, "postal_code").into(),
            )
        })
        .collect();
    assert!(
        found == expected,
        "{} customers, {} expected",
        found.len(),
        expected.len()
    );

    let expected: BTreeMap<String, String> = raw("olist_sellers_dataset.csv")
        .iter()
        .map(|row| {
            let (seller, zip) = (&row["seller_id"], &row["seller_zip_code_prefix"]);
            (format!("seller/{seller}"), format!("{zip:0>5}"))
        })
        .collect();
    let found: BTreeMap<String, String> = olist
        .lake
        .sql("select external_id, custom from organizations")
        .iter()
        .map(|row| {
            let custom: Value = serde_json::from_str(text(row, "custom")).unwrap();
            (
                text(row, "external_id").into(),
                text(&custom, "postal_code").into(),
            )
        })
        .collect();
    assert!(
        found == expected,
        "{} sellers, {} expected",
        found.len(),
        expected.len()
    );
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn local_times_are_read_in_brazilian_time() {
    let olist = olist();
    // On 2017-10-15 the clocks went from 00:00 to 01:00: midnight never was.
    let never = "select count(*) from activities where occurred_at = '2017-10-15T03:00:00Z'";
    assert_eq!(olist.lake.value(never), 7);
    // On 2018-02-17 23:33 was twice; the earlier one, still in summer time, is taken.
    let twice = olist.lake.sql(
        "select placed_at, paid_at from orders \
         where external_id = '69df6146503dba833ea2ae56237acd97'",
    );
    assert_eq!(text(&twice[0], "placed_at"), "2018-02-18T01:33:56Z");
    assert_eq!(text(&twice[0], "paid_at"), "2018-02-18T01:46:46Z");
    // The one deal that was won before its first contact is kept as it is.
    let reversed = "select count(*) from deals d join activities a on a.person_id = d.person_id \
                    where d.closed_at < a.occurred_at";
    assert_eq!(olist.lake.value(reversed), 1);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn channels_equal_the_leads_file_and_blank_is_null() {
    let olist = olist();
    let mut expected: BTreeMap<Option<String>, i64> = BTreeMap::new();
    for lead in leads() {
        *expected.entry(lead.get("origin").cloned()).or_default() += 1;
    }
    assert_eq!(
        (expected[&None], expected[&Some("unknown".to_owned())]),
        (60, 1_099)
    );
    let found: BTreeMap<Option<String>, i64> = olist
        .lake
        .sql(
            "select channel, count(*) as n from activities \
             where type = 'first_contact' and person_id > 0 group by channel",
        )
        .iter()
        .map(|row| {
            (
                row["channel"].as_str().map(str::to_owned),
                row["n"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn payments_of_unknown_orders_are_kept() {
    let olist = olist();
    let lone = "select count(*) from payments where person_id = 0 and at is null";
    assert_eq!(olist.lake.value(lone), 95_537);
    let expected: i64 = raw("orders_8k/olist_order_payments_dataset.csv")
        .iter()
        .map(|payment| in_parts(&payment["payment_value"], 100.0))
        .sum();
    let sum = olist
        .lake
        .value("select sum(amount) from payments where person_id > 0");
    assert_eq!(cents(&sum), expected);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn total_spent_equals_the_sum_of_items() {
    let olist = olist();
    let expected: BTreeMap<String, i64> = spent("2019")
        .into_iter()
        .map(|(id, cents)| (format!("customer/{id}"), cents))
        .collect();
    let found: BTreeMap<String, i64> = olist
        .lake
        .sql(
            "select i.external_id, p.total_spent from people p \
             join identities i on i.person_id = p.person_id where p.total_spent > 0",
        )
        .iter()
        .map(|row| {
            (
                text(row, "external_id").to_owned(),
                cents(&row["total_spent"]),
            )
        })
        .collect();
    assert!(
        found == expected,
        "{} customers, {} expected",
        found.len(),
        expected.len()
    );
}

/// A segment, the moment of its refresh, and its expected members.
struct Expected {
    key: &'static str,
    criteria: &'static str,
    as_of: &'static str,
    members: BTreeSet<String>,
}

fn expected_segments() -> Vec<Expected> {
    let of_origin = |origin: &str| {
        let mut leads = leads();
        leads.retain(|lead| lead.get("origin").is_some_and(|found| found == origin));
        leads
    };
    let id_of = |row: Row| row["mql_id"].clone();
    let won_by_search = joined(of_origin("paid_search"), &deals(), "mql_id");
    let with_deal: BTreeSet<String> = deals().into_iter().map(id_of).collect();
    let mut without_deal = of_origin("social");
    without_deal.retain(|lead| !with_deal.contains(&lead["mql_id"]));
    let big_spenders = spent("2019").into_iter();
    let big_spenders = big_spenders.filter(|(_, cents)| *cents >= 50_000);
    let mut in_sp: BTreeMap<String, u64> = BTreeMap::new();
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for order in orders() {
        let (customer, at) = (
            &order["customer_unique_id"],
            &order["order_purchase_timestamp"],
        );
        if order["customer_state"] == "SP" {
            *in_sp.entry(customer.clone()).or_default() += 1;
        }
        if at.as_str() <= "2018-08-01 00:00:00" {
            let last = last.entry(customer.clone()).or_default();
            *last = at.max(last).clone();
        }
    }
    let repeat_in_sp = in_sp.into_iter().filter(|(_, orders)| *orders >= 2);
    // 90 days before 2018-08-01 00:00 in Brazil; no clock was changed in between.
    let spent_then = spent("2018-08-01 00:00:00");
    let lapsed = last.into_iter().filter(|(customer, last)| {
        let cents = spent_then.get(customer);
        last.as_str() < "2018-05-03 00:00:00" && cents.is_some_and(|cents| *cents >= 20_000)
    });
    const AFTER_ALL: &str = "2019-01-01T00:00:00Z";
    vec![
        Expected {
            key: "big-spenders",
            criteria: "total_spent >= 500",
            as_of: AFTER_ALL,
            members: external_ids("customer", big_spenders.map(|(id, _)| id)),
        },
        Expected {
            key: "repeat-sao-paulo",
            criteria: "country = 'BR' and region = 'SP' and order_count >= 2",
            as_of: AFTER_ALL,
            members: external_ids("customer", repeat_in_sp.map(|(id, _)| id)),
        },
        Expected {
            key: "won-by-paid-search",
            criteria: "select distinct d.person_id from deals d \
                       join people p on p.person_id = d.person_id \
                       where d.status = 'won' and p.source = 'paid_search'",
            as_of: AFTER_ALL,
            members: external_ids("lead", won_by_search.into_iter().map(id_of)),
        },
        Expected {
            key: "lapsed",
            criteria: "last_order_at < now() - interval '90 days' and total_spent >= 200",
            as_of: "2018-08-01T03:00:00Z",
            members: external_ids("customer", lapsed.map(|(id, _)| id)),
        },
        Expected {
            key: "social-without-deal",
            criteria: "is_lead and source = 'social' \
                       and person_id not in (select person_id from deals)",
            as_of: AFTER_ALL,
            members: external_ids("lead", without_deal.into_iter().map(id_of)),
        },
    ]
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn five_segments_equal_members_from_raw_files() {
    let olist = olist();
    for segment in expected_segments() {
        let Expected {
            key,
            criteria,
            as_of,
            members,
        } = segment;
        assert!(members.len() > 1, "{key} proves nothing");
        olist
            .lake
            .json(&["segment", "put", key, "--criteria", criteria]);
        olist
            .lake
            .json(&["segment", "refresh", key, "--as-of", as_of]);

        let preview = olist.lake.json(&[
            "segment",
            "preview",
            "--criteria",
            criteria,
            "--as-of",
            as_of,
        ]);
        assert_eq!(preview["count"], members.len(), "{key}");
        let listed = olist.lake.json(&["segment", "members", key]);
        assert_eq!(listed.as_array().unwrap().len(), members.len(), "{key}");
        let found: BTreeSet<String> = olist
            .lake
            .sql(&format!(
                "select i.external_id from segment_members m \
                 join identities i on i.person_id = m.person_id where m.segment = '{key}'"
            ))
            .iter()
            .map(|row| text(row, "external_id").to_owned())
            .collect();
        let (missing, extra) = (
            members.difference(&found).count(),
            found.difference(&members).count(),
        );
        assert_eq!(
            (missing, extra),
            (0, 0),
            "{key}: missing and extra of {}",
            members.len()
        );
    }
}
