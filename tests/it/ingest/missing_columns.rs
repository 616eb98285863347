//! Columns that a file lacks keep their known values.

use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, counts};
use crate::support::server::Server;

/// Ingests a file with the built-in mapping of rollbook's own columns.
fn take(lake: &OwnLake, name: &str, text: &str) -> Value {
    let file = lake.write(name, text);
    lake.json(&["ingest", "native", file.to_str().unwrap()])
}

/// Ingests a folder with custom mappings; returns standard error.
fn take_with(lake: &OwnLake, folder: &str, mappings: &str) -> String {
    let (folder, mappings) = (lake.path(folder), lake.path(mappings));
    let arguments = [
        "ingest",
        "shop",
        folder.to_str().unwrap(),
        "--mappings",
        mappings.to_str().unwrap(),
    ];
    let output = lake.run(&arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn file_with_fewer_columns_removes_no_values() {
    let lake = OwnLake::new("absent_columns");
    take(
        &lake,
        "1/persons.csv",
        "external_id,email,phone,date_of_birth,country,tags,accepts_email_marketing,updated_at\n\
         p1,a@ex.test,+4915123456789,1980-02-03,DE,\"vip,b\",yes,2025-01-01\n\
         p2,b@ex.test,,,AT,,no,2025-01-01\n",
    );
    let looks = "select external_id, email, phone, date_of_birth, country, tags, city, \
        accepts_email_marketing, updated_at, email_domain from people order by external_id";
    let before = lake.sql(looks);
    let fewer = "external_id,city\np1,Berlin\np2,\np3,Linz\n";
    let file = lake.write("2/persons.csv", fewer);
    let rehearsed = lake.json(&["ingest", "native", file.to_str().unwrap(), "--dry-run"]);
    assert_eq!(counts(&rehearsed, "persons"), [3, 2, 1, 0]);
    let output = lake.run(&["ingest", "native", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("persons.csv` lacks `accepts_email_marketing`, `country`"),
        "{said}"
    );
    let ingested: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts(&ingested, "persons"), [3, 2, 1, 0]);
    let mut expected = before.clone();
    expected[0]["city"] = json!("Berlin");
    let after = lake.sql(looks);
    assert_eq!(after[..2], expected[..]);
    assert_eq!(
        (&after[2]["city"], &after[2]["email"]),
        (&json!("Linz"), &Value::Null)
    );
    // The same again changes nothing, and a blank cell is a blank.
    assert_eq!(
        counts(&take(&lake, "2/persons.csv", fewer), "persons"),
        [3, 0, 3, 0]
    );
    take(&lake, "3/persons.csv", "external_id,country,email\np1,,\n");
    let now = &lake.sql(looks)[0];
    assert_eq!(
        (&now["country"], &now["email"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&now["phone"], &now["city"]),
        (&before[0]["phone"], &json!("Berlin"))
    );
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
}

#[test]
fn json_null_clears_and_absence_keeps() {
    let lake = OwnLake::new("absent_keys");
    take(
        &lake,
        "1/persons.csv",
        "external_id,email,country,loyalty_tier\np1,a@ex.test,DE,gold\np2,b@ex.test,AT,tin\n",
    );
    let run = take(
        &lake,
        "2/persons.json",
        r#"[{"external_id":"p1","country":null},{"external_id":"p2","loyalty_tier":"gold"},{"external_id":"p3","country":"CH"},{"external_id":"p3","loyalty_tier":"tin"}]"#,
    );
    assert_eq!(counts(&run, "persons"), [4, 3, 1, 0]);
    let rows = lake.sql("select email, country, loyalty_tier from people order by external_id");
    let expected = [
        json!({"email": "a@ex.test", "country": null, "loyalty_tier": "gold"}),
        json!({"email": "b@ex.test", "country": "AT", "loyalty_tier": "gold"}),
        json!({"email": null, "country": "CH", "loyalty_tier": "tin"}),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn posts_with_some_fields_keep_the_others() {
    let lake = OwnLake::new("absent_posts");
    let server = Server::start(&lake, "default");
    let post = |headers: &[(&str, &str)], body: Value| {
        let (path, kind) = ("/v1/ingest/native/persons", "application/x-ndjson");
        let answer = server.send_text("POST", path, kind, headers, &format!("{body}\n"));
        assert!(answer.status < 300, "{}", answer.json());
        answer
    };
    post(
        &[],
        json!({"external_id": "p1", "email": "a@ex.test", "accepts_sms_marketing": true}),
    );
    let answer = post(&[], json!({"external_id": "p1", "note": "calls back"}));
    assert_eq!(counts(&answer.json(), "persons"), [1, 1, 0, 0]);
    let answer = post(&[], json!({"external_id": "p1", "note": "calls back"}));
    assert_eq!(counts(&answer.json(), "persons"), [1, 0, 1, 0]);
    lake.json(&["settings", "journal_seconds", "1"]);
    for body in [
        json!({"external_id": "p1", "city": "Graz"}),
        json!({"external_id": "p1", "country": "AT"}),
        json!({"external_id": "p1", "city": "Linz"}),
    ] {
        post(&[("prefer", "respond-async")], body);
    }
    lake.wait_until_folded();
    let row = lake.sql("select email, note, city, country, accepts_sms_marketing from people");
    let expected = json!({"email": "a@ex.test", "note": "calls back", "city": "Linz",
        "country": "AT", "accepts_sms_marketing": true});
    assert_eq!(row, [expected]);
}

/// Two files with different columns give the same rows in one run and in two.
#[test]
fn files_of_one_run_complete_each_other() {
    let name =
        "external_id,display_name,country,updated_at\np1,Ada,DE,2025-03-01\np2,Bo,AT,2025-01-01\n";
    let town = "external_id,city,country,updated_at\np1,Ulm,CH,2025-02-01\np2,Graz,IT,2025-02-01\n";
    let looks = "select display_name, city, country, updated_at from people order by external_id";
    let expected = [
        json!({"display_name": "Ada", "city": "Ulm", "country": "DE", "updated_at": "2025-03-01T00:00:00Z"}),
        json!({"display_name": "Bo", "city": "Graz", "country": "IT", "updated_at": "2025-02-01T00:00:00Z"}),
    ];
    let at_once = OwnLake::new("absent_at_once");
    at_once.write("in/persons_1.csv", name);
    at_once.write("in/persons_2.csv", town);
    let run = at_once.json(&["ingest", "native", at_once.path("in").to_str().unwrap()]);
    assert_eq!(counts(&run, "persons"), [4, 2, 2, 0]);
    assert_eq!(at_once.sql(looks), expected);
    let in_turn = OwnLake::new("absent_in_turn");
    take(&in_turn, "2/persons.csv", town);
    take(&in_turn, "1/persons.csv", name);
    // Of p2 the older version came last, and says nothing that holds.
    assert_eq!(in_turn.sql(looks)[0], expected[0]);
    take(
        &in_turn,
        "3/persons.csv",
        "external_id,loyalty_tier\np1,gold\np2,tin\n",
    );
    take(&in_turn, "1/persons.csv", name);
    let tiers = in_turn.sql("select loyalty_tier from people order by external_id");
    assert_eq!(
        tiers,
        [
            json!({"loyalty_tier": "gold"}),
            json!({"loyalty_tier": "tin"})
        ]
    );
}

#[test]
fn facts_without_a_person_column_keep_their_person() {
    let lake = OwnLake::new("absent_person");
    take(&lake, "1/persons.csv", "external_id,email\np1,a@ex.test\n");
    take(
        &lake,
        "1/manual/persons.csv",
        "external_id,email\nx,nobody@ex.test\n",
    );
    take(
        &lake,
        "1/orders.csv",
        "external_id,person_external_id,placed_at,total,currency,status\n\
         o1,p1,2025-01-01,5,EUR,pending\no2,p9,2025-01-01,6,EUR,pending\n",
    );
    let whose = "select o.external_id, o.total, o.status, p.external_id as person from orders o \
        left join persons p on p.person_id = o.person_id order by o.external_id";
    let run = take(
        &lake,
        "2/orders.csv",
        "external_id,placed_at,status\no1,2025-01-01,paid\no2,2025-01-01,paid\n",
    );
    assert_eq!(counts(&run, "orders"), [2, 2, 0, 0]);
    let expected = |person: Value| {
        [
            json!({"external_id": "o1", "total": 5.0, "status": "paid", "person": "p1"}),
            json!({"external_id": "o2", "total": 6.0, "status": "paid", "person": person}),
        ]
    };
    let found: Vec<Value> = lake.sql(whose).into_iter().map(as_numbers).collect();
    assert_eq!(found, expected(Value::Null));
    // The person of the second comes later, and a record is still whom its address made it.
    take(&lake, "3/persons.csv", "external_id,city\np9,Wien\n");
    let found: Vec<Value> = lake.sql(whose).into_iter().map(as_numbers).collect();
    assert_eq!(found, expected(json!("p9")));
    let second = lake.write("4/persons.csv", "external_id,email\nm1,a@ex.test\n");
    lake.json(&["ingest", "manual", second.to_str().unwrap()]);
    let records =
        "select count(distinct person_id) as n from identities where external_id in ('p1', 'm1')";
    assert_eq!(lake.value(records), 1);
    take(&lake, "5/persons.csv", "external_id,city\np1,Wien\n");
    let third = lake.write("6/persons.csv", "external_id,city\nm1,Graz\n");
    lake.json(&["ingest", "manual", third.to_str().unwrap()]);
    assert_eq!(lake.value(records), 1);
    assert_eq!(lake.json(&["check"])["problems"], json!([]));
}

/// Decimals are printed as text or as numbers.
fn as_numbers(mut row: Value) -> Value {
    let total = &row["total"];
    let number = total.as_f64().or_else(|| total.as_str()?.parse().ok());
    row["total"] = json!(number.unwrap());
    row
}

/// Through aliases, common tables, `coalesce`, `case`, windows and joins.
#[test]
fn source_columns_of_an_output_are_found_through_subqueries() {
    let lake = OwnLake::new("absent_lineage");
    lake.write(
        "m/orders.sql",
        "-- table: orders\n-- source: o = orders*\n-- source: c? = channels*\n\
         -- optional: o.status, o.paid, o.a, o.b, o.net, o.who\n-- optional: c.id, c.channel\n\
         with x as (select s.*, coalesce(s.a, s.b) as both, s._file as f from o as s)\n\
         select x._file, x._line, x.id as external_id, x.who as person_external_id,\n\
         case x.status when 'P' then 'paid' else 'pending' end as status,\n\
         case when x.paid = 'y' then x.at end as paid_at,\n\
         sum(coalesce(try_cast(x.net as decimal(19, 4)), 0)) over (partition by x.id) as subtotal,\n\
         x.both as source_name, k.channel as campaign_id, 'EUR' as currency, x.at as placed_at\n\
         from x left join (select id, max(channel) as channel from c group by id) k on k.id = x.id",
    );
    lake.write(
        "1/orders.csv",
        "id,who,at,status,paid,net,a,b\n1,p1,2025-01-01,P,y,7,,web\n2,p2,2025-01-01,P,y,8,pos,\n",
    );
    lake.write("1/channels.csv", "id,channel\n1,mail\n2,ads\n");
    take_with(&lake, "1", "m");
    let looks = "select external_id, status, paid_at, subtotal, source_name, campaign_id, currency, \
        identity_id from orders order by external_id";
    let before = lake.sql(looks);
    assert_eq!(before[0]["campaign_id"], "mail");
    assert_eq!(before[1]["source_name"], "pos");
    lake.write("2/orders.csv", "id,at\n1,2025-01-01\n2,2025-01-01\n");
    let said = take_with(&lake, "2", "m");
    assert!(
        said.contains("lacks `a`, `b`, `net`, `paid`, `status`, `who`"),
        "{said}"
    );
    assert_eq!(lake.sql(looks), before);
    // One of two columns is there: the value is given. A join that finds nothing says nothing.
    lake.write(
        "3/orders.csv",
        "id,at,b\n1,2025-01-01,shop\n2,2025-01-01,\n",
    );
    lake.write("3/channels.csv", "id,channel\n1,post\n");
    take_with(&lake, "3", "m");
    let after = lake.sql(looks);
    let source = |row: usize| after[row]["source_name"].clone();
    assert_eq!((source(0), source(1)), (json!("shop"), Value::Null));
    assert_eq!(after[0]["campaign_id"], "post");
    assert_eq!(after[1]["campaign_id"], "ads");
    // A new row takes the computed values.
    lake.write("4/orders.csv", "id,at\n3,2025-01-01\n");
    take_with(&lake, "4", "m");
    assert_eq!(lake.sql(looks)[2]["status"], "pending");
}

#[test]
fn mapping_can_treat_absence_as_null() {
    let lake = OwnLake::new("absent_null");
    let mapping = |head: &str| {
        format!(
            "-- table: persons\n-- source: p = people*\n-- optional: p.city\n{head}select p.id as external_id, p.mail as email, p.city as city from p"
        )
    };
    lake.write("keeps/persons.sql", &mapping(""));
    lake.write("blanks/persons.sql", &mapping("-- absent: null\n"));
    lake.write("1/people.csv", "id,mail,city\n1,a@ex.test,Ulm\n");
    lake.write("2/people.csv", "id,mail\n1,a@ex.test\n");
    let city = "select city from people";
    take_with(&lake, "1", "keeps");
    take_with(&lake, "2", "keeps");
    assert_eq!(lake.value(city), "Ulm");
    take_with(&lake, "2", "blanks");
    assert_eq!(lake.value(city), Value::Null);
}

#[test]
fn partial_repeat_of_built_in_files_changes_nothing() {
    let lake = OwnLake::new("absent_parts");
    let files = [
        (
            "olist_customers_dataset.csv",
            "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state\nc1,u1,01000,alpha,SP\n",
        ),
        (
            "olist_orders_dataset.csv",
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date\no1,c1,delivered,2018-01-01 10:00:00,2018-01-01 11:00:00,,,\n",
        ),
        (
            "olist_order_items_dataset.csv",
            "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value\no1,1,p1,s1,2018-01-05 00:00:00,10.00,1.00\n",
        ),
        (
            "olist_products_dataset.csv",
            "product_id,product_category_name\np1,brinquedos\n",
        ),
        (
            "product_category_name_translation.csv",
            "product_category_name,product_category_name_english\nbrinquedos,toys\n",
        ),
    ];
    let take = |folder: &str, without: &[usize]| {
        for (place, (name, text)) in files.iter().enumerate() {
            if !without.contains(&place) {
                lake.write(&format!("{folder}/{name}"), text);
            }
        }
        let ingested = lake.json(&["ingest", "olist", lake.path(folder).to_str().unwrap()]);
        let tables = ingested["tables"].as_array().unwrap().iter();
        tables
            .map(|table| table["accepted"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert!(take("all", &[]) > 0);
    assert_eq!(take("no_products", &[3]), 0);
    assert_eq!(take("no_translation", &[4]), 0);
    assert_eq!(take("neither", &[3, 4]), 0);
    assert_eq!(take("customers", &[1, 2, 3, 4]), 0);
    assert_eq!(take("products", &[0, 1, 2, 4]), 0);
    assert_eq!(lake.value("select category from order_lines"), "toys");
    // Files that have only others' rows beside them.
    lake.write(
        "other/olist_orders_dataset.csv",
        &files[1].1.replace("o1,c1", "o2,c2"),
    );
    lake.write(
        "other/olist_customers_dataset.csv",
        &format!("{}c2,u2,02000,beta,RJ\n", files[0].1),
    );
    lake.write(
        "other/olist_order_items_dataset.csv",
        &files[2].1.replace("o1,1,p1", "o2,1,p2"),
    );
    lake.json(&["ingest", "olist", lake.path("other").to_str().unwrap()]);
    let known = lake.sql("select updated_at from persons where external_id = 'customer/u1'");
    assert_ne!(known[0]["updated_at"], Value::Null);
}

#[test]
fn quarantine_retry_keeps_blanks_and_columns() {
    let lake = OwnLake::new("absent_quarantine");
    let mapping = |kind: &str| {
        format!(
            "-- table: activities\n-- source: t = tasks*\n-- optional: t.channel\nselect t.id as external_id, t.who as person_external_id, {kind} as type, t.at as occurred_at, t.channel as channel, t.about as subject_id from t"
        )
    };
    lake.write("m/activities.sql", &mapping("t.type"));
    lake.write("1/tasks.csv", "id,who,type,at,channel,about\n1,p1,call,2025-01-01,phone,x\n2,p1,call,2025-01-01,phone,y\n");
    take_with(&lake, "1", "m");
    lake.write(
        "2/tasks.csv",
        "id,who,type,at,about\n1,p1,call,2025-01-01,x\n2,p1,,2025-01-01,\n3,p1,,2025-01-01,\n",
    );
    take_with(&lake, "2", "m");
    assert_eq!(lake.value("select count(*) as n from quarantine"), 2);
    lake.write("m/activities.sql", &mapping("coalesce(t.type, 'task')"));
    let mappings = lake.path("m");
    lake.json(&[
        "quarantine",
        "retry",
        "--mappings",
        mappings.to_str().unwrap(),
    ]);
    assert_eq!(lake.value("select count(*) as n from quarantine"), 0);
    let rows = lake
        .sql("select external_id, type, channel, subject_id from activities order by external_id");
    // Columns that the file lacked stay; blank cells are blank.
    let row = |id: &str, kind: &str, channel: Value, subject: Value| json!({"external_id": id, "type": kind, "channel": channel, "subject_id": subject});
    let expected = [
        row("1", "call", json!("phone"), json!("x")),
        row("2", "task", json!("phone"), Value::Null),
        row("3", "task", Value::Null, Value::Null),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn mappings_are_planned_before_reading() {
    let lake = OwnLake::new("absent_plans");
    let mapping = |table: &str, column: &str| {
        format!(
            "-- table: {table}\n-- source: t = tasks*\nselect t.id as external_id, t.who as person_external_id, 'x' as type, t.at as {column} from t"
        )
    };
    lake.write("m/activities.sql", &mapping("activities", "occurred_at"));
    lake.write("m/zz.sql", &mapping("activities", "nothing"));
    let rows: String = (0..1_000)
        .map(|id| format!("{id},p1,2025-01-01\n"))
        .collect();
    let file = lake.write("1/tasks.csv", &format!("id,who,at\n{rows}"));
    let mappings = lake.path("m");
    let run = [
        "ingest",
        "shop",
        file.to_str().unwrap(),
        "--mappings",
        mappings.to_str().unwrap(),
    ];
    let output = lake.run(&run);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("nothing"),
        "{said}"
    );
    assert!(!said.contains("reading"), "{said}");
    std::fs::remove_file(mappings.join("zz.sql")).unwrap();
    let said = take_with(&lake, "1", "m");
    assert!(
        said.contains(
            "none of the 1000 rows of `activities` that name a person name an existing one"
        ),
        "{said}"
    );
    lake.write(
        "m/persons.sql",
        "-- table: persons\n-- source: w = who*\nselect w.id as external_id from w",
    );
    lake.write("1/who.csv", "id\np1\n");
    let said = take_with(&lake, "1", "m");
    assert!(!said.contains("name a person"), "{said}");
}

#[test]
fn shop_and_crm_exports_with_fewer_columns_remove_nothing() {
    let lake = OwnLake::new("absent_built_in");
    let take = |provider: &str, folder: &str| {
        lake.json(&["ingest", provider, lake.path(folder).to_str().unwrap()])
    };
    lake.write(
        "1/orders.csv",
        "amazon-order-id,purchase-date,order-status,currency,item-price,item-tax,shipping-price,buyer-email,sku\n\
         A1,2025-01-01T00:00:00Z,Shipped,EUR,10.00,1.00,2.00,a@ex.test,s1\n",
    );
    lake.write(
        "2/orders.csv",
        "amazon-order-id,purchase-date,sku\nA1,2025-01-01T00:00:00Z,s1\n",
    );
    take("amazon", "1");
    let again = take("amazon", "2");
    assert_eq!(counts(&again, "orders"), [1, 0, 1, 0]);
    assert_eq!(counts(&again, "order_lines"), [1, 0, 1, 0]);
    let links = "deal_id,contact_id\nd1,c1\n";
    for (folder, deals) in [
        (
            "3",
            "deal_id,property_createdate,deal_pipeline_stage_id,property_hs_is_closed_won,property_closedate\nd1,2025-01-01,s9,true,2025-02-01\n",
        ),
        (
            "4",
            "deal_id,property_createdate,property_dealname\nd1,2025-01-01,Roof\n",
        ),
        (
            "5",
            "deal_id,property_createdate,deal_pipeline_stage_id\nd1,2025-01-01,closedlost\n",
        ),
    ] {
        lake.write(&format!("{folder}/deals.csv"), deals);
        lake.write(&format!("{folder}/deal_contacts.csv"), links);
    }
    let deal = |folder: &str| {
        take("hubspot", folder);
        let rows = lake.sql("select status, stage, name, closed_at from deals");
        rows[0].clone()
    };
    assert_eq!(deal("3")["status"], "won");
    let named = deal("4");
    assert_eq!(
        (&named["status"], &named["name"]),
        (&json!("won"), &json!("Roof"))
    );
    assert_ne!(named["closed_at"], Value::Null);
    assert_eq!(deal("5")["status"], "lost");
}
