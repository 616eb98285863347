//! Status words of providers for orders and deals: each has its meaning, and unknown ones are
//! reported.

use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, counts};

fn ingest(lake: &OwnLake, provider: &str, folder: &str) -> (Value, String) {
    let path = lake.path(folder);
    let output = lake.run(&["ingest", provider, path.to_str().unwrap()]);
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{messages}");
    (serde_json::from_slice(&output.stdout).unwrap(), messages)
}

#[test]
fn statuses_count_in_any_letter_case() {
    let lake = OwnLake::new("statuses_in_capitals");
    lake.write("in/persons.csv", "external_id,email\np1,a@example.com\n");
    let statuses = [
        "paid",
        "Paid",
        "PAID",
        " Partially Paid ",
        "partially-refunded",
        "PARTIALLY_REFUNDED",
        "Completed",
        "pending",
        "Canceled",
        "",
        "shipped",
        "Shipped",
        "in Transit",
    ];
    let order =
        |(at, status): (usize, &&str)| format!("o{at},p1,{status},EUR,10,2025-01-01T00:00:00Z\n");
    let orders: String = statuses.iter().enumerate().map(order).collect();
    let head = "external_id,person_external_id,status,currency,total,placed_at\n";
    lake.write("in/orders.csv", &format!("{head}{orders}"));
    lake.write(
        "in/deals.csv",
        "external_id,person_external_id,status,value,currency,created_at,closed_at\nd1,p1,WON,5,EUR,2025-01-01,2025-01-02\nd2,p1,Open,7,EUR,2025-01-01,\nd3,p1,Closed Won,9,EUR,2025-01-01,2025-01-02\n",
    );
    lake.write(
        "in/tickets.csv",
        "external_id,person_external_id,status,opened_at\nt1,p1,Closed,2025-01-01\nt2,p1,SOLVED,2025-01-01\nt3,p1,Open,2025-01-01\nt4,p1,Resolved,2025-01-01\n",
    );
    let (done, messages) = ingest(&lake, "native", "in");
    assert_eq!(counts(&done, "orders"), [13, 13, 0, 0]);
    let traits = lake.sql(
        "select total_spent, paid_order_count, won_deal_value, open_deal_count, open_ticket_count from people",
    );
    let expected = json!([{"total_spent": "70.0000", "paid_order_count": 7,
        "won_deal_value": "5.0000", "open_deal_count": 1, "open_ticket_count": 2}]);
    assert_eq!(Value::Array(traits), expected);
    for told in [
        "2 rows of `orders` have the status `shipped`, which counts as nothing",
        "1 row of `orders` has the status `in_transit`, which counts as nothing",
        "1 row of `deals` has the status `closed_won`, which counts as nothing",
        "1 row of `tickets` has the status `resolved`, which counts as open",
    ] {
        assert!(messages.contains(told), "{told} is not in:\n{messages}");
    }
    assert!(!messages.contains("`pending`") && !messages.contains("`cancelled`"));
    let unknown = done["unknown_statuses"].as_array().unwrap();
    assert_eq!(unknown.len(), 4, "{unknown:?}");
    let shipped = json!({"table": "orders", "column": "status", "status": "shipped", "rows": 2,
        "counts_as": "nothing"});
    assert!(unknown.contains(&shipped), "{unknown:?}");
}

#[test]
fn amazon_shipment_statuses_have_their_meaning() {
    let lake = OwnLake::new("amazon_statuses");
    let statuses = [
        ("Shipped", "fulfilled"),
        ("Shipped - Delivered to Buyer", "fulfilled"),
        ("Shipped - Picked Up", "fulfilled"),
        ("Shipped - Out for Delivery", "fulfilled"),
        ("SHIPPED - DELIVERED TO BUYER", "fulfilled"),
        ("Unshipped", "paid"),
        ("Shipping", "paid"),
        ("Pending - Waiting for Pick Up", "pending"),
        ("Shipped - Returned to Seller", "returned"),
        ("Shipped - Returning to Seller", "returning"),
        ("Shipped - Rejected by Buyer", "rejected"),
        ("Shipped - Lost in Transit", "lost"),
        ("Shipped - Damaged", "damaged"),
        ("Cancelled", "cancelled"),
    ];
    let head = "amazon-order-id\tpurchase-date\torder-status\tcurrency\titem-price\tbuyer-email\n";
    let line = |(at, (status, _)): (usize, &(&str, &str))| {
        format!("A-{at:02}\t2024-05-01T10:00:00+00:00\t{status}\tINR\t100.00\tb@example.com\n")
    };
    let lines: String = statuses.iter().enumerate().map(line).collect();
    lake.write("in/orders.txt", &format!("{head}{lines}"));
    let (_, messages) = ingest(&lake, "amazon", "in");
    assert!(!messages.contains("counts as"), "{messages}");
    let found = lake.sql("select status from orders order by external_id");
    let found: Vec<_> = found
        .iter()
        .map(|row| row["status"].as_str().unwrap())
        .collect();
    assert_eq!(found, statuses.map(|(_, status)| status));
    let revenue = lake.sql("select total_spent, paid_order_count from people");
    assert_eq!(
        Value::Array(revenue),
        json!([{"total_spent": "700.0000", "paid_order_count": 7}])
    );
    // An amount that cannot be read is no amount of nothing.
    lake.write(
        "more/orders.txt",
        &format!(
            "{head}B-1\t2024-05-01T10:00:00+00:00\tShipped\tINR\tfree\tb@example.com\nB-2\t2024-05-01T10:00:00+00:00\tShipped\tINR\t\tb@example.com\n"
        ),
    );
    let (done, _) = ingest(&lake, "amazon", "more");
    assert_eq!(counts(&done, "orders"), [2, 1, 0, 1]);
}

const DEALS: &str = "deal_id,property_amount,property_createdate,property_closedate,deal_pipeline_id,deal_pipeline_stage_id";

#[test]
fn hubspot_deals_are_won_by_flag_or_stage() {
    let lake = OwnLake::new("hubspot_deals");
    let of = |rows: &[(&str, &str)], flags: &str| {
        let line = |(id, rest): &(&str, &str)| {
            format!("{id},100,2024-05-02 00:00:00,2024-05-10 00:00:00,{rest}\n")
        };
        format!(
            "{DEALS}{flags}\n{}",
            rows.iter().map(line).collect::<String>()
        )
    };
    let statuses = || {
        let rows = lake.sql("select external_id, status, closed_at is null as is_open from deals order by external_id");
        let status = |row: &Value| {
            let open = row["status"] == "open";
            assert_eq!(row["is_open"], open, "{row}");
            row["status"].as_str().unwrap().to_owned()
        };
        rows.iter().map(status).collect::<Vec<_>>()
    };
    lake.write("a/deal_contacts.csv", "deal_id,contact_id\n1,11\n");
    let flags = ",property_hs_is_closed,property_hs_is_closed_won";
    let deals = [
        ("1", "default,closedwon,true,true"),
        ("2", "77,27654321,TRUE,TRUE"),
        ("3", "77,27654322,true,false"),
        ("4", "77,27654320,false,false"),
        ("5", "default,closedlost,,"),
        ("6", "default,appointmentscheduled,,"),
    ];
    lake.write("a/deals.csv", &of(&deals, flags));
    ingest(&lake, "hubspot", "a");
    assert_eq!(statuses(), ["won", "won", "lost", "open", "lost", "open"]);

    // Without flags the stages tell: those of the files, then those that the lake has.
    lake.forget();
    lake.write("b/deal_contacts.csv", "deal_id,contact_id\n1,11\n");
    let stages = "pipeline_id,stage_id,label,display_order,probability,is_closed,closed_won\n77,1,Talk,0,0.2,false,false\n77,2,Yes,1,1.0,true,true\n77,3,No,2,0.0,true,false\n78,4,Old yes,1,1.0,true,\n78,5,Old no,2,0.0,true,\n79,6,Chance alone,0,1.0,,\n79,7,No chance,1,0.0,,\n79,8,Some,2,0.5,,\n79,9,Not closed,3,0.0,false,\n";
    lake.write("b/deal_pipeline_stage.csv", stages);
    let deals = [
        ("1", "77,1"),
        ("2", "77,2"),
        ("3", "77,3"),
        ("4", "78,4"),
        ("5", "78,5"),
        ("6", "78,2"),
        ("7", ",closedwon"),
        ("81", "79,6"),
        ("82", "79,7"),
        ("83", "79,8"),
        ("84", "79,9"),
    ];
    lake.write("b/deals.csv", &of(&deals, ""));
    ingest(&lake, "hubspot", "b");
    let more = ["won", "lost", "open", "open"];
    let first = ["open", "won", "lost", "won", "lost", "open", "won"];
    assert_eq!(statuses(), [&first[..], &more].concat());
    lake.write("c/deal_contacts.csv", "deal_id,contact_id\n1,11\n");
    let deals = [
        ("1", "77,2"),
        ("2", "77,3"),
        ("5", "78,4"),
        ("82", "79,6"),
        ("84", "79,7"),
    ];
    lake.write("c/deals.csv", &of(&deals, ""));
    ingest(&lake, "hubspot", "c");
    let first = ["won", "lost", "lost", "won", "won", "open", "won"];
    let more = ["won", "won", "open", "lost"];
    assert_eq!(statuses(), [&first[..], &more].concat());
}
