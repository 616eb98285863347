//! Families at one address, different birthdays, and values that sources write in several ways.

use serde_json::{Value, json};

use crate::support::records::World;

const MEMBERS: &str = "external_id,first_name,last_name,display_name,email,phone,date_of_birth,address_line1,city,region,postal_code,country,created_at,updated_at";

fn orders(world: &mut World, provider: &str, of: &[(&str, u32)]) {
    let row = |(person, total): &(&str, u32)| {
        format!("o-{person},{person},paid,EUR,{total},2024-02-01,2024-02-01")
    };
    let rows: Vec<String> = of.iter().map(row).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let header = "external_id,person_external_id,status,currency,total,placed_at,paid_at";
    world.take_in(provider, "orders", header, &rows);
}

/// The reviews, each as its record, its rules and the records of its candidates.
fn reviews(world: &World) -> Vec<(String, Vec<(String, String)>)> {
    let list = world.identity(&["review", "list"]);
    let of_person = |id: &Value| {
        let sql = format!(
            "select string_agg(external_id, ' ' order by external_id) from identities where person_id = {id}"
        );
        world.lake.value(&sql).as_str().unwrap().to_owned()
    };
    let candidates = |review: &Value| {
        let all = review["candidates"].as_array().unwrap().iter();
        let mut all: Vec<(String, String)> = all
            .map(|one| {
                (
                    one["rule"].as_str().unwrap().to_owned(),
                    of_person(&one["person_id"]),
                )
            })
            .collect();
        all.sort_unstable();
        all
    };
    let mut all: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|review| {
            (
                review["external_id"].as_str().unwrap().to_owned(),
                candidates(review),
            )
        })
        .collect();
    all.sort_unstable();
    all
}

fn pair(rule: &str, other: &str) -> Vec<(String, String)> {
    vec![(rule.to_owned(), other.to_owned())]
}

#[test]
fn family_at_one_address_stays_several_persons() {
    let rows = [
        "c1,John,Smith,,john@example.com,+14155552671,1950-03-01,12 Main Street,Boston,MA,02134,US,2024-01-01,2024-01-01",
        "c2,Mary,Smith,,mary@example.com,+14155552672,1982-07-09,12 Main St.,Boston,MA,02134,US,2024-01-02,2024-01-02",
        // The first name makes it the same person, with another address of mail.
        "c3,JOHN A.,Smith,,jsmith@work.example,,,12 Main St,Boston,Massachusetts,2134,United States,2024-01-03,2024-01-03",
        "c4,,Smith,Mary Smith,,,,12 main st,Boston,MA,02134,USA,2024-01-04,2024-01-04",
        // At another address; and of another family.
        "c5,John,Smith,,js@other.example,,,14 Main St,Boston,MA,02134,US,2024-01-05,2024-01-05",
        "c6,John,Lee,,lee@other.example,,,12 Main St,Boston,MA,02134,US,2024-01-06,2024-01-06",
    ];
    let expected = [
        "native:c1 native:c3",
        "native:c2 native:c4",
        "native:c5",
        "native:c6",
    ];
    let forwards: Vec<Vec<&str>> = rows.iter().map(|row| vec![*row]).collect();
    let backwards: Vec<Vec<&str>> = rows.iter().rev().map(|row| vec![*row]).collect();
    for (at, runs) in [vec![rows.to_vec()], forwards, backwards]
        .into_iter()
        .enumerate()
    {
        let mut world = World::new(&format!("family-{at}"));
        for run in runs {
            world.take_in("native", "persons", MEMBERS, &run);
        }
        assert_eq!(world.persons_of(), expected, "{at}");
        assert_eq!(reviews(&world), []);
    }
}

#[test]
fn record_of_an_unclear_family_member_is_ambiguous() {
    let mut world = World::new("open");
    world.take_in(
        "shopify",
        "persons",
        MEMBERS,
        &[
            "john,John,Smith,,,,,12 Main Street,Boston,MA,02134,US,2024-01-01,2024-01-01",
            "mary,Mary,Smith,,,,,12 Main Street,Boston,MA,02134,US,2024-01-02,2024-01-02",
        ],
    );
    world.take_in(
        "hubspot",
        "persons",
        MEMBERS,
        &[
            "none,,Smith,,,,,12 Main St,Boston,MA,02134,US,2024-02-01,2024-02-01",
            "j,J.,Smith,,,,,12 Main St,Boston,MA,02134,US,2024-02-02,2024-02-02",
            "both,John & Mary,Smith,,,,,12 Main St,Boston,MA,02134,US,2024-02-03,2024-02-03",
            // By her address of mail she is somebody, whatever the family has.
            "ann,Ann,Smith,,ann@example.com,,,12 Main St,Boston,MA,02134,US,2024-02-04,2024-02-04",
            "mail,,Smith,,ann@example.com,,,12 Main St,Boston,MA,02134,US,2024-02-05,2024-02-05",
        ],
    );
    let alone = [
        "hubspot:ann hubspot:mail",
        "hubspot:both",
        "hubspot:j",
        "hubspot:none",
        "shopify:john",
        "shopify:mary",
    ];
    assert_eq!(world.persons_of(), alone);
    orders(&mut world, "hubspot", &[("none", 10), ("j", 20)]);
    orders(&mut world, "shopify", &[("john", 100)]);
    let spent = |world: &World, provider: &str, id: &str| {
        let person = world.person(provider, id);
        let sql = format!("select total_spent from people where person_id = {person}");
        world.lake.value(&sql)
    };
    assert_eq!(spent(&world, "hubspot", "none"), "10.0000");
    let with = |others: &[&str]| -> Vec<(String, String)> {
        others
            .iter()
            .map(|other| ("address".to_owned(), (*other).to_owned()))
            .collect()
    };
    let expected = [
        ("ann".to_owned(), with(&["both", "none"])),
        ("both".to_owned(), with(&["j", "john", "mary", "none"])),
        ("j".to_owned(), with(&["john", "none"])),
        ("none".to_owned(), with(&["john", "mary"])),
    ];
    let mut found = reviews(&world);
    // Ann is the later one of her pairs.
    assert_eq!(found, expected);
    let stats = world.identity(&["stats"]);
    assert_eq!(
        (&stats["ambiguous"], &stats["suggested"]),
        (&json!(0), &json!(4))
    );
    // J. is John: one person, with what both bought, and it can be taken back.
    let (j, john) = (
        world.record("hubspot", "j"),
        world.person("shopify", "john"),
    );
    let shown = world.identity(&["review", "show", &j]);
    assert_eq!(shown["person_id"], world.person("hubspot", "j"));
    assert_eq!(shown["record"]["first_name"], "J.");
    let decided = world.identity(&["review", "decide", &j, "--same", &john.to_string()]);
    assert_eq!(world.person("hubspot", "j"), john);
    assert_eq!(spent(&world, "hubspot", "j"), "120.0000");
    assert!(!reviews(&world).iter().any(|(record, _)| record == "j"));
    world.identity(&["undo", decided["entry"].as_str().unwrap()]);
    assert_eq!(world.persons_of(), alone);
    assert_eq!(reviews(&world), expected);
    // Nobody of them: that is remembered, also when the record comes again.
    let none = world.record("hubspot", "none");
    world.identity(&["review", "decide", &none, "--different"]);
    found = reviews(&world);
    assert!(
        !found.iter().any(|(record, _)| record == "none"),
        "{found:?}"
    );
    world.take_in(
        "hubspot",
        "persons",
        MEMBERS,
        &["none,,Smith,,,,,12 Main St,Boston,MA,02134,US,2024-02-01,2024-03-01"],
    );
    assert_eq!(reviews(&world), found);
    // Once it has a name, nothing is open.
    world.take_in(
        "hubspot",
        "persons",
        MEMBERS,
        &["both,Mary,Smith,,,,,12 Main St,Boston,MA,02134,US,2024-02-03,2024-03-01"],
    );
    assert_eq!(
        world.person("hubspot", "both"),
        world.person("shopify", "mary")
    );
}

#[test]
fn different_birthdays_are_suggested_but_never_linked() {
    let mut world = World::new("born");
    world.take_in(
        "shopify",
        "persons",
        MEMBERS,
        &[
            "father,John,Smith,,smith@example.com,+14155552671,1950-03-01,12 Main Street,Boston,MA,02134,US,2024-01-01,2024-01-01",
            "ann,Ann,Lee,,,+14155552680,1970-01-01,,,,,US,2024-01-03,2024-01-03",
            "cy,Cy,Day,,cy@example.com,,1970-01-01,,,,,US,2024-01-04,2024-01-04",
        ],
    );
    world.take_in(
        "hubspot",
        "persons",
        MEMBERS,
        &[
            "son,John,Smith,,smith@example.com,,1980-05-05,12 Main St,Boston,MA,02134,US,2024-02-01,2024-02-01",
            "eve,Eve,Lee,,,(415) 555-2680,1990-01-01,,,,,US,2024-02-02,2024-02-02",
            "cyrus,Cyrus,Day,,CY@example.com,,1970-01-01,,,,,US,2024-02-03,2024-02-03",
        ],
    );
    let apart = [
        "hubspot:cyrus shopify:cy",
        "hubspot:eve",
        "hubspot:son",
        "shopify:ann",
        "shopify:father",
    ];
    assert_eq!(world.persons_of(), apart);
    let both = |other: &str| -> Vec<(String, String)> {
        ["address", "email"]
            .map(|rule| (rule.to_owned(), other.to_owned()))
            .to_vec()
    };
    let expected = [
        ("eve".to_owned(), pair("phone", "ann")),
        ("son".to_owned(), both("father")),
    ];
    assert_eq!(reviews(&world), expected);
    // The son again is the son's; who does not say when they were born may be either.
    world.take_in(
        "klaviyo",
        "persons",
        MEMBERS,
        &[
            "again,John,Smith,,smith@example.com,,1980-05-05,,,,,US,2024-03-01,2024-03-01",
            "either,,,,smith@example.com,,,,,,,US,2024-03-02,2024-03-02",
        ],
    );
    assert_eq!(
        world.person("klaviyo", "again"),
        world.person("hubspot", "son")
    );
    assert_eq!(world.person("klaviyo", "either"), 0);
    // One of the dates was wrong.
    let (eve, ann) = (
        world.record("hubspot", "eve"),
        world.person("shopify", "ann"),
    );
    world.identity(&["review", "decide", &eve, "--same", &ann.to_string()]);
    assert_eq!(world.person("hubspot", "eve"), ann);
}

#[test]
fn countries_phones_and_ids_are_normalised() {
    let mut world = World::new("written");
    let told = |world: &World, name: &str, header: &str, rows: &[&str]| {
        let text = format!("{header}\n{}\n", rows.join("\n"));
        let file = world.lake.write(name, &text);
        let queries = concat!(env!("CARGO_MANIFEST_DIR"), "/../queries/mappings/native");
        let file = file.to_str().unwrap().to_owned();
        let done = world
            .lake
            .run(&["ingest", "crm", &file, "--mappings", queries]);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stderr).unwrap()
    };
    let said = told(
        &world,
        "crm/persons.csv",
        MEMBERS,
        &[
            "1001.0,Hana,Null,,,0151 23456780,,Lange Str. 5,München,Bayern,80331,Deutschland,2024-01-01,2024-01-01",
            "1002.0,Ann,Lee,,,,,12 Main Street,Boston,Massachusetts,02134,U.S.A.,2024-01-01,2024-01-01",
            "1003.0,Max,Nil,,,081 128 7048,,,Windhoek,,,NA,2024-01-01,2024-01-01",
            "1004,Frodo,Beutlin,,,,,,Hobbingen,Auenland,,Mittelerde,2024-01-01,2024-01-01",
            "1005,Eva,Ott,,,664123456.0,,,,,,Austria,2024-01-01,2024-01-01",
            "1006,Ida,Ott,,,4.155552E+9,,,,,,US,2024-01-01,2024-01-01",
        ],
    );
    assert!(
        said.contains("`persons`.`country` has unknown countries in 1 rows (`Mittelerde`)"),
        "{said}"
    );
    assert!(
        said.contains("`persons`.`external_id` has ids that became floats in 3 rows"),
        "{said}"
    );
    let places = world
        .lake
        .sql("select external_id, country, region from persons order by external_id");
    let place = |id: &str, country: &str, region: Value| json!({"external_id": id, "country": country, "region": region});
    assert_eq!(
        places,
        [
            place("1001", "DE", json!("BY")),
            place("1002", "US", json!("MA")),
            place("1003", "NA", Value::Null),
            place("1004", "Mittelerde", json!("Auenland")),
            place("1005", "AT", Value::Null),
            place("1006", "US", Value::Null),
        ]
    );
    world.take_in(
        "shopify",
        "persons",
        MEMBERS,
        &[
            "de,Hana,Null,,,,,Lange Str 5,MÜNCHEN,Bavaria,80331,Germany,2024-02-01,2024-02-01",
            "us,Ann,Lee,,,,,12 Main St.,Boston,MA,2134,US,2024-02-01,2024-02-01",
            "na,,,,,+264811287048,,,,,,,2024-02-01,2024-02-01",
            "at,,,,,+43 664 1234560,,,,,,,2024-02-01,2024-02-01",
            "at2,,,,,+43 664 123456,,,,,,,2024-02-01,2024-02-01",
            "lost,,,,,4.155552E+9,,,,,,US,2024-02-01,2024-02-01",
        ],
    );
    let same = [
        "crm:1001 shopify:de",
        "crm:1002 shopify:us",
        "crm:1003 shopify:na",
        "crm:1005 shopify:at2",
    ];
    let persons = world.persons_of();
    for one in same {
        assert!(
            persons.iter().any(|person| person == one),
            "{one}: {persons:?}"
        );
    }
    assert_eq!(persons.len(), 8, "{persons:?}");
    // An order of either form of an id is the same person's.
    let said = told(
        &world,
        "crm/orders.csv",
        "external_id,person_external_id,status,currency,total,placed_at",
        &[
            "1,1001.0,paid,EUR,10,2024-03-01",
            "2,1001,paid,EUR,20,2024-03-01",
        ],
    );
    assert!(
        said.contains("`person_external_id` has ids that became floats"),
        "{said}"
    );
    let count = "select count(*) from orders where person_id <> 0";
    assert_eq!(world.lake.value(count), 2);
}
