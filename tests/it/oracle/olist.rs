//! The whole of Olist, against figures that Polars computes from the raw files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use polars::prelude::{
    Column, DataFrame, DataType, IntoLazy, JoinArgs, JoinType, LazyFrame, col, len, lit,
};
use serde_json::Value;

use crate::support::own_lake::{OwnLake, counts, text};

struct Olist {
    lake: OwnLake,
    ingested: Value,
}

/// One ingest for all tests here: it is the slow part.
fn olist() -> &'static Olist {
    static OLIST: OnceLock<Olist> = OnceLock::new();
    OLIST.get_or_init(|| {
        let folder = rollbook_tests::test_data().join("olist");
        let lake = OwnLake::new("olist");
        let ingested = lake.json(&["ingest".as_ref(), "olist".as_ref(), folder.as_os_str()]);
        Olist { lake, ingested }
    })
}

/// A raw file as text columns, blank cells as nulls.
fn raw(name: &str) -> LazyFrame {
    let path = rollbook_tests::test_data().join("olist").join(name);
    frame(&path).lazy()
}

fn frame(path: &Path) -> DataFrame {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(|n| n.trim_start_matches('\u{feff}').into())
        .collect();
    let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in cells.iter_mut().zip(&record.unwrap()) {
            column.push((!cell.trim().is_empty()).then(|| cell.to_owned()));
        }
    }
    let columns = names
        .iter()
        .zip(cells)
        .map(|(name, column)| Column::new(name.into(), column));
    DataFrame::new_infer_height(columns.collect()).unwrap()
}

fn customers() -> LazyFrame {
    raw("orders_8k/olist_customers_dataset.csv")
}

fn orders() -> LazyFrame {
    let customer = JoinArgs::new(JoinType::Inner);
    raw("orders_8k/olist_orders_dataset.csv").join(
        customers(),
        [col("customer_id")],
        [col("customer_id")],
        customer,
    )
}

fn leads() -> LazyFrame {
    raw("olist_marketing_qualified_leads_dataset.csv")
}

fn deals() -> LazyFrame {
    raw("olist_closed_deals_dataset.csv")
}

/// `customer_unique_id` and `cents` of each order that counts as revenue, with its local `since`.
fn revenue() -> LazyFrame {
    let cents = |name: &str| {
        (col(name).cast(DataType::Float64) * lit(100.0) + lit(0.5)).cast(DataType::Int64)
    };
    let items = raw("orders_8k/olist_order_items_dataset.csv")
        .group_by([col("order_id")])
        .agg([(cents("price") + cents("freight_value"))
            .sum()
            .alias("cents")]);
    let status = || col("order_status");
    orders()
        .filter(
            status()
                .neq(lit("canceled"))
                .and(status().neq(lit("unavailable"))),
        )
        .join(
            items,
            [col("order_id")],
            [col("order_id")],
            JoinArgs::new(JoinType::Inner),
        )
        .with_column(
            col("order_approved_at")
                .fill_null(col("order_purchase_timestamp"))
                .alias("since"),
        )
}

fn texts(frame: &DataFrame, column: &str) -> Vec<Option<String>> {
    let values = frame.column(column).unwrap().str().unwrap();
    values
        .iter()
        .map(|value| value.map(str::to_owned))
        .collect()
}

/// The external ids that persons have whose id at Olist is in the column.
fn external_ids(kind: &str, frame: LazyFrame, column: &str) -> BTreeSet<String> {
    let frame = frame.select([col(column)]).collect().unwrap();
    texts(&frame, column)
        .into_iter()
        .map(|id| format!("{kind}/{}", id.unwrap()))
        .collect()
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
    let ordered = orders().sort(["order_purchase_timestamp"], Default::default());
    let ordered = ordered.collect().unwrap();
    let person = texts(&ordered, "customer_unique_id")
        .into_iter()
        .map(Option::unwrap);
    let zip = texts(&ordered, "customer_zip_code_prefix")
        .into_iter()
        .map(Option::unwrap);
    let expected: BTreeMap<String, String> = person
        .zip(zip)
        .map(|(p, z)| (format!("customer/{p}"), format!("{z:0>5}")))
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

    let sellers = raw("olist_sellers_dataset.csv").collect().unwrap();
    let seller = texts(&sellers, "seller_id").into_iter().map(Option::unwrap);
    let zip = texts(&sellers, "seller_zip_code_prefix")
        .into_iter()
        .map(Option::unwrap);
    let expected: BTreeMap<String, String> = seller
        .zip(zip)
        .map(|(s, z)| (format!("seller/{s}"), format!("{z:0>5}")))
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
    let by_origin = leads()
        .group_by([col("origin")])
        .agg([len().alias("n")])
        .collect()
        .unwrap();
    let n = by_origin
        .column("n")
        .unwrap()
        .cast(&DataType::Int64)
        .unwrap();
    let expected: BTreeMap<Option<String>, i64> = texts(&by_origin, "origin")
        .into_iter()
        .zip(n.i64().unwrap().iter().flatten())
        .collect();
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
    let paid = raw("orders_8k/olist_order_payments_dataset.csv")
        .select([
            (col("payment_value").cast(DataType::Float64) * lit(100.0) + lit(0.5))
                .cast(DataType::Int64)
                .sum(),
        ])
        .collect()
        .unwrap();
    let expected = paid
        .column("payment_value")
        .unwrap()
        .i64()
        .unwrap()
        .get(0)
        .unwrap();
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
    let spent = revenue()
        .group_by([col("customer_unique_id")])
        .agg([col("cents").sum()])
        .collect()
        .unwrap();
    let expected: BTreeMap<String, i64> = texts(&spent, "customer_unique_id")
        .into_iter()
        .map(|id| format!("customer/{}", id.unwrap()))
        .zip(
            spent
                .column("cents")
                .unwrap()
                .i64()
                .unwrap()
                .iter()
                .flatten(),
        )
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

/// A segment, when it is refreshed, and who must be in it.
struct Expected {
    key: &'static str,
    criteria: &'static str,
    as_of: &'static str,
    members: BTreeSet<String>,
}

fn expected_segments() -> Vec<Expected> {
    let inner = || JoinArgs::new(JoinType::Inner);
    let id = || [col("customer_unique_id")];
    let spent = |until: &str| {
        revenue()
            .filter(col("since").lt_eq(lit(until.to_owned())))
            .group_by(id())
            .agg([col("cents").sum()])
    };
    let won_by_search = leads().filter(col("origin").eq(lit("paid_search"))).join(
        deals(),
        [col("mql_id")],
        [col("mql_id")],
        inner(),
    );
    let without_deal = leads()
        .filter(col("origin").eq(lit("social")))
        .join(
            deals(),
            [col("mql_id")],
            [col("mql_id")],
            JoinArgs::new(JoinType::Left),
        )
        .filter(col("won_date").is_null());
    let repeat_in_sp = orders()
        .filter(col("customer_state").eq(lit("SP")))
        .group_by(id())
        .agg([len().alias("orders")])
        .filter(col("orders").gt_eq(lit(2)));
    // 90 days before 2018-08-01 00:00 in Brazil; no clock was changed in between.
    let lapsed = orders()
        .filter(col("order_purchase_timestamp").lt_eq(lit("2018-08-01 00:00:00")))
        .group_by(id())
        .agg([col("order_purchase_timestamp").max().alias("last")])
        .filter(col("last").lt(lit("2018-05-03 00:00:00")))
        .join(spent("2018-08-01 00:00:00"), id(), id(), inner())
        .filter(col("cents").gt_eq(lit(20_000)));
    const AFTER_ALL: &str = "2019-01-01T00:00:00Z";
    vec![
        Expected {
            key: "big-spenders",
            criteria: "total_spent >= 500",
            as_of: AFTER_ALL,
            members: external_ids(
                "customer",
                spent("2019").filter(col("cents").gt_eq(lit(50_000))),
                "customer_unique_id",
            ),
        },
        Expected {
            key: "repeat-sao-paulo",
            criteria: "country = 'BR' and region = 'SP' and order_count >= 2",
            as_of: AFTER_ALL,
            members: external_ids("customer", repeat_in_sp, "customer_unique_id"),
        },
        Expected {
            key: "won-by-paid-search",
            criteria: "select distinct d.person_id from deals d \
                       join people p on p.person_id = d.person_id \
                       where d.status = 'won' and p.source = 'paid_search'",
            as_of: AFTER_ALL,
            members: external_ids("lead", won_by_search, "mql_id"),
        },
        Expected {
            key: "lapsed",
            criteria: "last_order_at < now() - interval '90 days' and total_spent >= 200",
            as_of: "2018-08-01T03:00:00Z",
            members: external_ids("customer", lapsed, "customer_unique_id"),
        },
        Expected {
            key: "social-without-deal",
            criteria: "is_lead and source = 'social' \
                       and person_id not in (select person_id from deals)",
            as_of: AFTER_ALL,
            members: external_ids("lead", without_deal, "mql_id"),
        },
    ]
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn five_segments_equal_polars() {
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
