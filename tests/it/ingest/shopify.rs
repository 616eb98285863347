//! The admin export of Shopify, with all oddities of the example files.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, counts, text};

struct Shop {
    lake: OwnLake,
    ingested: Value,
}

fn export() -> PathBuf {
    rollbook_tests::test_data().join("shopify/csv_export_format")
}

/// One ingest for all read-only tests.
fn shop() -> &'static Shop {
    static SHOP: OnceLock<Shop> = OnceLock::new();
    SHOP.get_or_init(|| {
        let folder = export();
        let lake = OwnLake::new("shopify");
        let ingested = lake.json(&["ingest".as_ref(), "shopify".as_ref(), folder.as_os_str()]);
        Shop { lake, ingested }
    })
}

impl Shop {
    fn person(&self, email: &str) -> Value {
        let rows = self
            .lake
            .sql(&format!("select * from people where email = '{email}'"));
        assert_eq!(rows.len(), 1, "{email}");
        rows[0].clone()
    }

    fn order(&self, id: &str) -> Value {
        let rows = self
            .lake
            .sql(&format!("select * from orders where external_id = '{id}'"));
        assert_eq!(rows.len(), 1, "{id}");
        rows[0].clone()
    }
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn duplicate_orders_fold_and_continuation_rows_become_lines() {
    let shop = shop();
    assert_eq!(counts(&shop.ingested, "orders"), [8, 7, 1, 0]);
    assert_eq!(counts(&shop.ingested, "order_lines"), [9, 8, 1, 0]);
    assert_eq!(counts(&shop.ingested, "refunds"), [3, 3, 0, 0]);
    assert_eq!(counts(&shop.ingested, "persons"), [10, 4, 6, 0]);
    let lines = shop.lake.sql(
        "select external_id, line, sku, title, total, person_id > 0 as linked from order_lines \
         where order_id in ('5001', '5002') order by external_id",
    );
    assert_eq!(
        Value::Array(lines),
        json!([
            {"external_id": "5001/1", "line": 1, "sku": "MUG-B", "title": "Mug, blue",
             "total": "40.0000", "linked": true},
            {"external_id": "5002/1", "line": 1, "sku": "TEE", "title": "Tee",
             "total": "20.0000", "linked": true},
            {"external_id": "5002/2", "line": 2, "sku": "STK", "title": "Sticker",
             "total": "10.0000", "linked": true},
        ])
    );
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn one_person_for_every_spelling_of_an_address() {
    let shop = shop();
    let ada = shop.person("ada@example.com");
    assert_eq!(ada["order_count"], 2);
    assert_eq!(ada["first_name"], "Ada");
    assert_eq!(shop.order("5001")["person_id"], ada["person_id"]);
    assert_eq!(shop.order("5002")["person_id"], ada["person_id"]);
    assert_eq!(shop.lake.value("select count(*) from people"), 4);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn long_numbers_and_leading_zeros_stay_whole() {
    let shop = shop();
    let ada = shop.person("ada@example.com");
    assert_eq!(ada["postal_code"], "01067");
    assert_eq!(ada["phone"], "+49 30 1");
    assert_eq!(ada["tags"], json!(["vip", "repeat"]));
    assert_eq!(ada["accepts_email_marketing"], true);
    assert_eq!(ada["accepts_sms_marketing"], false);
    let bo = shop.person("bo@example.org");
    assert_eq!(bo["last_name"], "Öre");
    assert_eq!(bo["region"], "WA");
    assert_eq!(bo["note"], "line1\nline2");
    assert!(
        !text(&bo, "custom").contains("line1"),
        "free text lies in the vault alone"
    );
    let cy = shop.person("cy@example.net");
    assert_eq!(
        cy["accepts_email_marketing"],
        Value::Null,
        "blank is not a no"
    );
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn guests_stay_anonymous_and_buyers_become_persons() {
    let shop = shop();
    let guest = shop.order("5003");
    assert_eq!(
        (&guest["person_id"], &guest["identity_id"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(guest["total"], "16.9000");
    let dd = shop.person("dd@example.com");
    assert_eq!(dd["display_name"], "D");
    assert_eq!(shop.order("5007")["person_id"], dd["person_id"]);
    // The customers export wins over the name on an order.
    assert_eq!(shop.person("cy@example.net")["display_name"], Value::Null);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn times_keep_their_offsets_across_clock_changes() {
    let shop = shop();
    assert_eq!(shop.order("5001")["placed_at"], "2025-03-30T00:59:59Z");
    assert_eq!(shop.order("5002")["placed_at"], "2025-03-30T01:00:00Z");
    assert_eq!(shop.order("5004")["paid_at"], "2025-04-02T17:00:00Z");
    assert_eq!(shop.order("5006")["paid_at"], Value::Null);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn payments_and_refunds_add_up() {
    let shop = shop();
    let both = shop.order("5007");
    assert_eq!(both["status"], "paid");
    assert_eq!(both["cancelled_at"], "2025-04-06T07:00:00Z");
    let refunds = shop.lake.sql(
        "select order_id, amount, currency, refunded_at, is_time_estimated from refunds \
         order by order_id",
    );
    let refund = |order: &str, amount: &str, currency: &str, at: &str| {
        json!({"order_id": order, "amount": amount, "currency": currency, "refunded_at": at,
               "is_time_estimated": true})
    };
    assert_eq!(
        Value::Array(refunds),
        json!([
            refund("5004", "25.0000", "USD", "2025-04-02T17:00:00Z"),
            refund("5005", "50.0000", "USD", "2025-04-03T17:00:00Z"),
            refund("5007", "23.8000", "EUR", "2025-04-06T07:00:00Z"),
        ])
    );
    assert_eq!(shop.person("ada@example.com")["total_spent"], "88.3000");
    assert_eq!(shop.person("dd@example.com")["total_spent"], "0.0000");
    let pending = shop.person("cy@example.net");
    assert_eq!(
        (&pending["order_count"], &pending["paid_order_count"]),
        (&json!(1), &json!(0))
    );
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn foreign_currency_is_never_added_unconverted() {
    let shop = shop();
    assert_eq!(shop.lake.json(&["settings", "currency"])["currency"], "EUR");
    let bo = shop.person("bo@example.org");
    assert_eq!(bo["paid_order_count"], 2);
    assert_eq!(bo["total_spent"], "0.0000", "dollars counted as euros");
    // Two orders and two refunds, reported as what they are: not converted.
    assert_eq!(bo["unconverted_amount_count"], 4);
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn newer_export_updates_orders_and_keeps_persons() {
    let folder = export();
    let lake = OwnLake::new("shopify-again");
    lake.json(&["ingest".as_ref(), "shopify".as_ref(), folder.as_os_str()]);
    let orders = std::fs::read_to_string(folder.join("orders_export.csv")).unwrap();
    let paid = orders.replace(
        "#1006,cy@example.net,pending,,",
        "#1006,cy@example.net,paid,2025-04-05 12:00:00 +0200,",
    );
    assert_ne!(orders, paid);
    let path = lake.write("later/orders_export.csv", &paid);
    let again = lake.json(&["ingest".as_ref(), "shopify".as_ref(), path.as_os_str()]);
    assert_eq!(counts(&again, "orders"), [8, 1, 7, 0]);
    assert_eq!(counts(&again, "order_lines"), [9, 0, 9, 0]);
    assert_eq!(counts(&again, "persons"), [7, 0, 7, 0]);
    let order = lake.sql("select status, paid_at from orders where external_id = '5006'");
    let expected = json!({"status": "paid", "paid_at": "2025-04-05T10:00:00Z"});
    assert_eq!(order[0], expected);
}

#[test]
fn exports_of_other_layouts_are_read_too() {
    let lake = OwnLake::new("shopify-layouts");
    let customers = lake.write(
        "export/customers_export.csv",
        "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address City,\
         Default Address Province Code,Default Address Country Code,Default Address Zip,\
         Default Address Phone,Phone,Total Orders,Note,Tags\n\
         '7001,Eve,Ex,eve@example.com,no,Boston,MA,US,'02134,,'+1 617 555 0100,1,,\n\
         '7002,Phil,Only,,no,Boston,MA,US,'02134,'+1 617 555 0101,,0,,\n",
    );
    let orders = lake.write(
        "export/orders_export_1.csv",
        "Name,Email,Financial Status,Total,Created at,Lineitem quantity,Lineitem name,\
         Lineitem price\n\
         #1,eve@example.com,paid,30.00,2024-01-01 10:00:00 -0500,1,Cup,10.00\n\
         #1,eve@example.com,,,2024-01-01 10:00:00 -0500,2,Pot,10.00\n",
    );
    let ingested = lake.json(&[
        "ingest".as_ref(),
        "shopify".as_ref(),
        customers.as_os_str(),
        orders.as_os_str(),
    ]);
    assert_eq!(counts(&ingested, "persons"), [3, 2, 1, 0]);
    assert_eq!(counts(&ingested, "order_lines"), [2, 2, 0, 0]);
    let persons = lake.sql(
        "select display_name, postal_code, phone, order_count from people order by display_name",
    );
    assert_eq!(
        Value::Array(persons),
        json!([
            {"display_name": "Eve Ex", "postal_code": "02134", "phone": "+1 617 555 0100",
             "order_count": 1},
            {"display_name": "Phil Only", "postal_code": "02134", "phone": "+1 617 555 0101",
             "order_count": 0},
        ])
    );
    // A customer without an e-mail is known by the id of the newer layout.
    let by_id = lake.value("select external_id from persons where external_id like 'customer/%'");
    assert_eq!(by_id, "customer/7002");
    let lines = lake.sql("select external_id, total from order_lines order by external_id");
    let expected = json!([
        {"external_id": "#1/1", "total": "10.0000"},
        {"external_id": "#1/2", "total": "20.0000"},
    ]);
    assert_eq!(Value::Array(lines), expected);
}

#[test]
fn bad_amount_goes_to_quarantine_alone() {
    let lake = OwnLake::new("shopify-bad");
    let orders = lake.write(
        "orders_export.csv",
        "Name,Email,Financial Status,Total,Created at,Lineitem quantity,Lineitem name,\
         Lineitem price,Id,Refunded Amount\n\
         #1,eve@example.com,paid,1O.00,2024-01-01 10:00:00 -0500,1,Cup,10.00,1,0.00\n\
         #2,eve@example.com,paid,10.00,2024-01-02 10:00:00 -0500,1,Cup,10.00,2,some\n",
    );
    let ingested = lake.json(&["ingest".as_ref(), "shopify".as_ref(), orders.as_os_str()]);
    assert_eq!(counts(&ingested, "orders"), [2, 1, 0, 1]);
    assert_eq!(counts(&ingested, "order_lines"), [2, 2, 0, 0]);
    assert_eq!(
        counts(&ingested, "refunds"),
        [1, 0, 0, 1],
        "an unreadable refund is not none"
    );
    let set_aside =
        lake.sql("select table_name, line, column_name, value from quarantine order by table_name");
    assert_eq!(
        Value::Array(set_aside),
        json!([
            {"table_name": "orders", "line": 2, "column_name": "total", "value": "1O.00"},
            {"table_name": "refunds", "line": 3, "column_name": "amount", "value": "some"},
        ])
    );
}

#[test]
fn checkout_with_a_phone_number_links_by_it() {
    let lake = OwnLake::new("shopify-phone");
    lake.write(
        "in/customers_export.csv",
        "Customer ID,First Name,Last Name,Email,Phone,Default Address Country Code,Total Spent,Total Orders\n\
         '9001,Ann,Lee,,'+14155552671,US,30.00,1\n\
         '9002,Bob,Ray,bob@shop.example,'+14155552672,US,40.00,1\n",
    );
    lake.write(
        "in/orders_export.csv",
        "Name,Email,Financial Status,Paid at,Total,Refunded Amount,Created at,Lineitem quantity,\
         Lineitem name,Lineitem price,Billing Name,Billing Phone,Billing Country,Phone,Id,Currency\n\
         #1,,paid,2024-02-01 10:00:00 +0000,30.00,5.00,2024-02-01 10:00:00 +0000,1,Tea,30.00,Ann Lee,(415) 555-2671,US,,1,USD\n\
         #1,,,,,,2024-02-01 10:00:00 +0000,2,Cup,5.00,,,,,,\n\
         #2,,paid,2024-02-02 10:00:00 +0000,40.00,,2024-02-02 10:00:00 +0000,1,Tea,40.00,Bob Ray,,United States,'4155552672,2,USD\n\
         #3,,paid,2024-02-03 10:00:00 +0000,50.00,,2024-02-03 10:00:00 +0000,1,Tea,50.00,Cy Day,,US,'+14155552673,3,USD\n\
         #4,,paid,2024-02-04 10:00:00 +0000,60.00,,2024-02-04 10:00:00 +0000,1,Tea,60.00,,,US,0000000000,4,USD\n",
    );
    let folder = lake.path("in");
    lake.json(&["ingest".as_ref(), "shopify".as_ref(), folder.as_os_str()]);
    let of = |table: &str| {
        lake.sql(&format!(
            "select t.external_id, coalesce(p.display_name, '-') as who from {table} t \
             left join people p on p.person_id = t.person_id order by 1"
        ))
    };
    let row = |id: &str, who: &str| json!({"external_id": id, "who": who});
    // A number that nobody has is nobody's.
    let orders = [
        row("1", "Ann Lee"),
        row("2", "Bob Ray"),
        row("3", "Cy Day"),
        row("4", "-"),
    ];
    assert_eq!(of("orders"), orders);
    assert_eq!(of("refunds"), [row("1", "Ann Lee")]);
    assert_eq!(
        of("order_lines")[..2],
        [row("1/1", "Ann Lee"), row("1/2", "Ann Lee")]
    );
    // Ann and Bob are the customers of the other file, Cy is in no other.
    assert_eq!(lake.value("select count(*) from people"), 3);
    assert_eq!(
        lake.value("select count(*) from identities where identity_type = 'phone'"),
        3
    );
}
