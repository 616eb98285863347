//! The profile of a person, suggestions of probable duplicates, and persons who may return after
//! erasure.

use serde_json::{Value, json};

use crate::support::own_lake::column;
use crate::support::records::World;

#[test]
fn profile_merges_all_providers() {
    let mut world = World::new("profile");
    let header = "external_id,email,first_name,last_name,country,accepts_email_marketing,gdpr_consent,lifecycle_stage,created_at,updated_at";
    world.take_in(
        "shopify",
        "persons",
        header,
        &[
            "s1,ann@example.com,Ann,Lee,US,true,true,evangelist,2024-01-01,2024-01-01",
            "s2,,Vi,Sit,US,,,,2024-01-01,2024-01-01",
        ],
    );
    world.take_in(
        "hubspot",
        "persons",
        header,
        &[
            "h1,Ann@example.com,Annie,Lee,US,false,,,2024-02-01,2024-02-01",
            "h2,leo@example.com,Leo,Ray,US,,,,2024-02-01,2024-02-01",
            "h3,kim@example.com,Kim,Day,US,,,,2024-02-01,2024-02-01",
        ],
    );
    world.take_in(
        "shopify",
        "orders",
        "external_id,person_external_id,status,currency,total,placed_at,paid_at",
        &["o1,s1,paid,EUR,10.00,2024-02-01,2024-02-03"],
    );
    world.take_in(
        "hubspot",
        "deals",
        "external_id,person_external_id,status,name,value,currency,created_at",
        &[
            "d1,h1,open,Big,500,EUR,2024-03-01",
            "d2,h2,open,Small,50,EUR,2024-03-01",
        ],
    );
    world.take_in(
        "hubspot",
        "tickets",
        "external_id,person_external_id,status,category,opened_at",
        &["t1,h1,solved,shipping,2024-03-05"],
    );
    world.take_in(
        "klaviyo",
        "campaigns",
        "external_id,name,channel",
        &["c1,Spring,email"],
    );
    world.take_in(
        "klaviyo",
        "persons",
        header,
        &["k1,ann@example.com,Ann,Lee,US,,,,2024-02-01,2024-02-01"],
    );
    world.take_in(
        "klaviyo",
        "activities",
        "external_id,person_external_id,type,campaign_id,occurred_at",
        &[
            "a1,k1,email_opened,c1,2024-04-01",
            "a2,k1,email_clicked,c1,2024-04-02",
        ],
    );
    let ann = world.person("shopify", "s1").to_string();
    let shown = world.lake.json(&["person", "show", &ann]);
    assert_eq!(
        column(&shown["records"], "provider"),
        ["hubspot", "klaviyo", "shopify"]
    );
    assert_eq!(column(&shown["deals"], "name"), ["Big"]);
    assert_eq!(column(&shown["tickets"], "category"), ["shipping"]);
    let campaign = &shown["campaigns"][0];
    assert_eq!(
        (&campaign["name"], &campaign["activities"]),
        (&json!("Spring"), &json!(2))
    );
    // The shop is surer than the CRM.
    assert_eq!(shown["consent"]["accepts_email_marketing"], true);
    assert_eq!(shown["roles"]["lifecycle_stage"], "evangelist");
    let stages = world.lake.sql(
        "select r.lifecycle_stage as stage, r.is_lead as lead from roles r \
         join persons p on p.person_id = r.person_id order by p.last_name",
    );
    let expected = json!([
        {"stage": "contact", "lead": false},
        {"stage": "evangelist", "lead": true},
        {"stage": "lead", "lead": true},
        {"stage": "visitor", "lead": false},
    ]);
    assert_eq!(Value::from(stages), expected);
    // Before the order was paid she was none.
    let before = "select lifecycle_stage from roles where person_id = ".to_owned() + &ann;
    let rows = world.lake.json(&["sql", &before, "--as-of", "2024-02-02"]);
    assert_eq!(rows[0]["lifecycle_stage"], "contact");
}

#[test]
fn probable_duplicates_are_suggested_until_decided() {
    let mut world = World::new("suggested");
    let header = "external_id,email,first_name,last_name,date_of_birth,address_line1,city,postal_code,country,created_at,updated_at";
    let towns = ["Boston", "Miami", "Denver", "Austin", "Salem"];
    let name = |at: usize| {
        let letter = |at: usize| char::from(b'a' + (at % 26) as u8);
        format!("{}{}{}son", letter(at), letter(at * 7 + 3), letter(at / 26))
    };
    let person = |at: usize, id: &str, email: &str, first: &str| {
        format!(
            "{id},{email},{first},{},19{:02}-03-{:02},{} Oak Street,{},{:05},US,2024-01-01,2024-01-01",
            name(at),
            40 + at % 50,
            1 + at % 28,
            at + 1,
            towns[at % 5],
            10_000 + at,
        )
    };
    let shop: Vec<String> = (0..200)
        .map(|at| {
            person(
                at,
                &format!("s{at}"),
                &format!("p{at}@shop.example"),
                &name(at * 3 + 1),
            )
        })
        .collect();
    let shop: Vec<&str> = shop.iter().map(String::as_str).collect();
    world.take_in("shopify", "persons", header, &shop);
    // The same humans under other addresses, with a typo in the street's number or not.
    let crm: Vec<String> = (0..40)
        .map(|at| {
            let row = person(
                at,
                &format!("h{at}"),
                &format!("x{at}@work.example"),
                &name(at * 3 + 1),
            );
            row.replace(" Oak Street", "0 Oak Street")
        })
        .collect();
    let crm: Vec<&str> = crm.iter().map(String::as_str).collect();
    world.take_in("hubspot", "persons", header, &crm);
    let persons = "select count(*) from people";
    assert_eq!(world.lake.value(persons), 240);
    let suggested = world.identity(&["suggest", "--at-least", "0.9"]);
    let found = suggested.as_array().unwrap();
    assert!(found.len() >= 36 && found.len() <= 40, "{}", found.len());
    for pair in found {
        let names = [&pair["a"], &pair["b"]].map(|person| {
            let sql = format!("select last_name from people where person_id = {person}");
            world.lake.value(&sql)
        });
        assert_eq!(names[0], names[1], "{pair}");
    }
    // Suggestions link nothing. Decide one pair as different persons, and another as the same.
    assert_eq!(world.lake.value(persons), 240);
    let [first, second] = [0, 1].map(|at| [&found[at]["a"], &found[at]["b"]].map(Value::to_string));
    world.identity(&["different", &first[0], &first[1]]);
    world.identity(&["merge", &second[0], &second[1]]);
    assert_eq!(world.lake.value(persons), 239);
    let left = world.identity(&["suggest", "--at-least", "0.9"]);
    let left = left.as_array().unwrap();
    assert_eq!(left.len(), found.len() - 2);
}

#[test]
fn erased_person_returns_only_by_readmission() {
    let mut world = World::new("readmitted");
    let row = "s1,ann@example.com,,Ann,Lee,,,,US,2024-01-01,2024-01-01";
    world.persons("shopify", &[row]);
    let ann = world.person("shopify", "s1").to_string();
    world.lake.json(&["person", "erase", &ann]);
    let people = "select count(*) from people";
    world.persons("shopify", &[row]);
    assert_eq!(world.lake.value(people), 0);
    // Her address alone does not do: the shop's record is known too.
    let by_email = ["person", "readmit", "--email", "Ann@example.com"];
    assert_eq!(world.lake.json(&by_email)["names"], 1);
    assert_eq!(world.lake.json(&by_email)["names"], 0);
    world.persons("shopify", &[row]);
    assert_eq!(world.lake.value(people), 0);
    let by_record = ["person", "readmit", "--external", "shopify:s1"];
    assert_eq!(world.lake.json(&by_record)["names"], 1);
    world.persons("shopify", &[row]);
    assert_eq!(world.lake.value(people), 1);
    // She is somebody new: nothing of before is known to be hers.
    assert_ne!(world.person("shopify", "s1").to_string(), ann);
    let email = "select email from people";
    assert_eq!(world.lake.value(email), "ann@example.com");
}
