//! The files of all providers in one folder give the persons of a table written by hand, also if they
//! arrive twice.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;

const QBO: &str = "\
Id,DisplayName,GivenName,FamilyName,PrimaryEmailAddr.Address,PrimaryPhone.FreeFormNumber,BillAddr.Line1,BillAddr.City,BillAddr.CountrySubDivisionCode,BillAddr.PostalCode,BillAddr.Country,MetaData.CreateTime
q1,Ann Lee,Ann,Lee,ann@example.com,(415) 555-2671,12 Main Street,Boston,MA,2134,US,2023-01-01T00:00:00Z
q2,Bob Ray,Bob,Ray,bob@example.org,,,,,,US,2023-01-02T00:00:00Z
q3,Example Ltd,,,info@example.org,,,,,,US,2023-01-03T00:00:00Z
";
const INVOICES: &str = "\
Id,CustomerRef.value,CurrencyRef.value,TotalAmt,Balance,TxnDate
i1,q1,USD,100.00,0,2024-01-05
i2,q2,USD,70.00,70.00,2024-01-06
";
const SHOPIFY: &str = "\
Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Phone
'1,Ann,Lee,ANN@example.com,yes,
'2,Cy,Day,cy@example.com,no,'+4930123456
";
const SHOPIFY_ORDERS: &str = "\
Name,Email,Financial Status,Paid at,Subtotal,Shipping,Taxes,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,Id,Currency
#1,ann@example.com,paid,2024-02-01 10:00:00 +0000,30.00,0,0,30.00,2024-02-01 10:00:00 +0000,1,Tea,30.00,1001,USD
#2,cy@example.com,paid,2024-02-02 10:00:00 +0000,40.00,0,0,40.00,2024-02-02 10:00:00 +0000,1,Tea,40.00,1002,USD
";
const AMAZON: &str = "\
amazon-order-id\torder-item-id\tpurchase-date\tlast-updated-date\torder-status\tbuyer-email\tbuyer-name\tbuyer-phone-number\tsku\tproduct-name\tquantity\tcurrency\titem-price\titem-tax\tshipping-price\tship-address-1\tship-city\tship-state\tship-postal-code\tship-country
A1\tI1\t2024-03-01T00:00:00Z\t2024-03-02T00:00:00Z\tShipped\tx7@marketplace.amazon.com\tAnn Lee\t\tTEA\tTea\t1\tUSD\t10.00\t1.00\t2.00\t12 Main St.\tBoston\tMA\t02134\tUS
A1\tI2\t2024-03-01T00:00:00Z\t2024-03-02T00:00:00Z\tShipped\tx7@marketplace.amazon.com\tAnn Lee\t\tCUP\tCup\t1\tUSD\t5.00\t0.50\t0\t12 Main St.\tBoston\tMA\t02134\tUS
A2\tI3\t2024-03-03T00:00:00Z\t2024-03-03T00:00:00Z\tUnshipped\t\tA. Lee\t415-555-2671\tTEA\tTea\t1\tUSD\t10.00\t0\t0\t1 Else Rd\tSalem\tMA\t01970\tUS
A3\tI4\t2024-03-04T00:00:00Z\t2024-03-04T00:00:00Z\tShipped\t\tDee Poe\t\tTEA\tTea\t2\tUSD\t20.00\t0\t0\t9 Elm Avenue #4\tDover\tDE\t19901\tUS
";
const SHIPSTATION: &str = "\
shipmentId,orderNumber,customerEmail,createDate,shipDate,carrierCode,shipTo.name,shipTo.street1,shipTo.city,shipTo.state,shipTo.postalCode,shipTo.country
s1,W1,bob@example.org,2024-04-01T00:00:00Z,2024-04-02T00:00:00Z,ups,Bob Ray,,,,,US
s2,W2,,2024-04-01T00:00:00Z,2024-04-02T00:00:00Z,ups,Kim Ray,12 Main Street,Boston,MA,02134,US
";
const HUBSPOT: &str = "\
id,property_email,property_firstname,property_lastname,property_phone,property_createdate
h1,cy@example.com,C.,Day,(415) 555-2671,2024-05-01 00:00:00
h2,Bob@Example.org,Bob,Ray,,2024-05-02 00:00:00
h3,test@test.com,Test,Test,,2024-05-03 00:00:00
";
const KLAVIYO: &str = "\
Klaviyo ID,Email,First Name,Last Name,Email Marketing Consent,Profile Created On
K1,ann@example.com,Ann,Lee,SUBSCRIBED,2024-06-01
K2,noreply@example.com,No,Body,UNSUBSCRIBED,2024-06-01
";
const MANUAL: &str = "\
external_id,first_name,last_name,email,address_line1,city,region,postal_code,country,created_at
m1,Dee,Poe,dee@example.com,9 Elm Ave Apt 4,Dover,DE,19901,US,2024-07-01
";

/// The expected persons of all records, written by hand. `email` stands for the hash of an address.
const TRUTH: [&[&str]; 9] = [
    // Ann: the shop and the list by e-mail, one order by address, one by phone.
    &[
        "amazon:email",
        "amazon:order/A2",
        "klaviyo:K1",
        "qbo:q1",
        "shopify:email",
    ],
    // Bob, in three places.
    &["hubspot:h2", "qbo:q2", "shipstation:email"],
    // A role's address links nobody.
    &["qbo:q3"],
    &["shopify:email"],
    // Dee: only the address says so.
    &["amazon:order/A3", "manual:m1"],
    // Another surname at Ann's address is somebody else.
    &["shipstation:order/W2"],
    &["hubspot:h3"],
    &["klaviyo:K2"],
    // Cy's address and Ann's phone: it waits.
    &["0", "hubspot:h1"],
];

fn write_all(lake: &OwnLake) -> String {
    for (path, text) in [
        ("in/qbo/customers.csv", QBO),
        ("in/qbo/invoices.csv", INVOICES),
        ("in/shopify/customers_export.csv", SHOPIFY),
        ("in/shopify/orders_export.csv", SHOPIFY_ORDERS),
        ("in/amazon/orders.txt", AMAZON),
        ("in/shipstation/shipments.csv", SHIPSTATION),
        ("in/hubspot/contacts.csv", HUBSPOT),
        ("in/klaviyo/profiles.csv", KLAVIYO),
        ("in/manual/persons.csv", MANUAL),
    ] {
        lake.write(path, text);
    }
    lake.path("in").to_str().unwrap().to_owned()
}

fn persons(lake: &OwnLake) -> BTreeSet<Vec<String>> {
    let rows = lake.sql(
        "select person_id, provider || ':' || case when external_id like 'email:%' then 'email' \
         else external_id end as record from identities order by record",
    );
    let mut persons: std::collections::BTreeMap<i64, Vec<String>> = Default::default();
    for row in rows {
        let person = row["person_id"].as_i64().unwrap();
        let records = persons.entry(person).or_default();
        records.push(row["record"].as_str().unwrap().to_owned());
    }
    if let Some(waiting) = persons.get_mut(&0) {
        waiting.insert(0, "0".to_owned());
    }
    persons.into_values().collect()
}

#[test]
fn seven_providers_are_the_persons_of_the_truth_table() {
    let lake = OwnLake::new("sync");
    let folder = write_all(&lake);
    lake.json(&["settings", "default_region", "US"]);
    let done = lake.json(&["sync", &folder]);
    let providers: Vec<&str> = done
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["provider"].as_str().unwrap())
        .collect();
    let order = [
        "qbo",
        "shopify",
        "amazon",
        "shipstation",
        "hubspot",
        "klaviyo",
        "manual",
    ];
    assert_eq!(providers, order);
    let truth: BTreeSet<Vec<String>> = TRUTH
        .iter()
        .map(|of| of.iter().map(|one| (*one).to_owned()).collect())
        .collect();
    assert_eq!(persons(&lake), truth);
    for one in done.as_array().unwrap() {
        assert_eq!(one["errors"], 0, "{one}");
    }
    assert_eq!(done[4]["ambiguous"], 1);
    // Ann's orders at all providers count: 100 + 30 + 18.50 + 10.
    let ann = lake
        .sql("select total_spent, paid_order_count from people where email = 'ann@example.com'");
    assert_eq!(
        ann,
        [json!({"total_spent": "158.5000", "paid_order_count": 4})]
    );
    // The same files again are not read, and read in full they change nothing.
    let snapshot = lake.value("select count(*) from identity_log");
    let again = lake.json(&["sync", &folder]);
    let skipped = |one: &Value| one["fetched"] == 0 && one["skipped"].as_u64() > Some(0);
    assert_eq!(again.as_array().unwrap().len(), order.len(), "{again}");
    assert!(again.as_array().unwrap().iter().all(skipped), "{again}");
    let full = lake.json(&["sync", &folder, "--full"]);
    assert_eq!(full.as_array().unwrap().len(), order.len(), "{full}");
    for one in full.as_array().unwrap() {
        let changed = ["created", "updated", "linked", "ambiguous", "errors"];
        assert!(changed.iter().all(|name| one[name] == 0), "{one}");
    }
    assert_eq!(lake.value("select count(*) from identity_log"), snapshot);
    assert_eq!(persons(&lake), truth);
}

#[test]
fn order_of_arrival_does_not_change_persons() {
    let truth: BTreeSet<Vec<String>> = TRUTH
        .iter()
        .map(|of| of.iter().map(|one| (*one).to_owned()).collect())
        .collect();
    for (at, order) in [
        [
            "manual",
            "klaviyo",
            "hubspot",
            "shipstation",
            "amazon",
            "shopify",
            "qbo",
        ],
        [
            "hubspot",
            "amazon",
            "qbo",
            "manual",
            "shopify",
            "klaviyo",
            "shipstation",
        ],
    ]
    .iter()
    .enumerate()
    {
        let lake = OwnLake::new(&format!("sync-order-{at}"));
        let folder = write_all(&lake);
        lake.json(&["settings", "default_region", "US"]);
        for provider in order {
            let files = format!("{folder}/{provider}");
            lake.json(&["ingest", provider, &files]);
        }
        assert_eq!(persons(&lake), truth, "{order:?}");
    }
}

#[test]
fn concurrent_syncs_equal_one_sync() {
    let truth: BTreeSet<Vec<String>> = TRUTH
        .iter()
        .map(|of| of.iter().map(|one| (*one).to_owned()).collect())
        .collect();
    let lake = OwnLake::new("sync-at-once");
    let folder = write_all(&lake);
    lake.json(&["settings", "default_region", "US"]);
    let runs = [0, 1].map(|_| {
        let mut command = lake.command(&["sync", &folder]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    assert_eq!(persons(&lake), truth);
    let spent = "select sum(total) as total from orders";
    let total = lake.value(spent);
    lake.json(&["sync", &folder, "--full"]);
    assert_eq!((persons(&lake), lake.value(spent)), (truth, total));
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
}

#[test]
fn broken_provider_does_not_stop_the_others() {
    let lake = OwnLake::new("sync-wrong");
    let folder = write_all(&lake);
    lake.write("in/unheard-of/file.csv", "a,b\n1,2\n");
    let done = lake.run(&["sync", &folder]);
    assert_eq!(done.status.code(), Some(1));
    let complaint = String::from_utf8(done.stderr).unwrap();
    assert!(complaint.contains("unheard-of"), "{complaint}");
    assert_eq!(
        lake.value("select count(*) from orders where provider = 'shopify'"),
        2
    );
    let empty = lake.path("empty");
    fs::create_dir_all(&empty).unwrap();
    let refused = lake.run(&["sync", empty.to_str().unwrap()]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(
        complaint.contains("has no subfolder of a provider"),
        "{complaint}"
    );
}
