//! Records of several providers are linked to persons: links, ambiguous records, decisions and
//! their undo, and what follows for facts and segments.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::records::{PERSONS, World, with_a_bridge};

#[test]
fn exact_values_link_records_and_ambiguous_records_wait() {
    let mut world = with_a_bridge("linked");
    let expected = [
        "hubspot:h1 shopify:s1",
        "hubspot:h3 shopify:s3",
        "shopify:s2",
    ];
    assert_eq!(world.persons_of(), expected);
    let waiting = world.identity(&["review", "list"]);
    assert_eq!(waiting[0]["external_id"], "h2");
    let (ann, bob) = (world.person("shopify", "s1"), world.person("shopify", "s2"));
    let candidates = json!([
        {"rule": "email", "person_id": ann}, {"rule": "phone", "person_id": bob},
    ]);
    assert_eq!(waiting[0]["candidates"], candidates);
    // One row each, of the surest record that has a value.
    let ann_now = world.lake.sql(&format!(
        "select first_name, email, phone, order_count from people where person_id = {ann}"
    ));
    let expected = json!({
        "first_name": "Ann", "email": "ann@example.com", "phone": "(415) 555-2671", "order_count": 1,
    });
    assert_eq!(ann_now, [expected]);
    assert_eq!(world.lake.value("select count(*) from people"), 3);
    // Taken back, what was linked by it is apart again.
    let linked = world.persons_of();
    let moved = "q1,ann@example.com,+4930123456,Ann,Ray,,,,US,2024-04-01,2024-04-01";
    let done = world.persons("qbo", &[moved]);
    assert_eq!(done["records"]["moved"], 2, "{done}");
    let spent = |person| format!("select total_spent from people where person_id = {person}");
    assert_eq!(world.lake.value(&spent(ann)), "30.0000");
    world
        .lake
        .json(&["ingest", "undo", done["batch"].as_str().unwrap()]);
    assert_eq!(world.persons_of(), linked);
    assert_eq!(world.lake.value(&spent(ann)), "10.0000");
    assert_eq!(world.lake.value(&spent(bob)), "20.0000");
    // The same again changes nothing.
    let again = world.persons(
        "hubspot",
        &["h1,ann@example.com,(415) 555-2671,Annie,Lee,,,,US,2024-03-01,2024-03-01"],
    );
    assert_eq!(again["tables"][0]["unchanged"], 1);
    assert_eq!(again["records"], Value::Null);
    for (by, value) in [
        ("--email", "Ann@Example.com"),
        ("--phone", "+1 415 555 2671"),
        ("--external", "shopify:s1"),
    ] {
        let found = world.lake.json(&["person", "find", by, value]);
        assert_eq!(found, json!([{"person_id": ann}]), "{by}");
    }
    let shown = world.lake.json(&["person", "show", &ann.to_string()]);
    assert_eq!(shown["records"].as_array().unwrap().len(), 2);
    let events = world.lake.json(&["person", "timeline", &ann.to_string()]);
    let types = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].clone());
    assert_eq!(types.collect::<Vec<_>>(), ["identity", "order"]);
    let all = world.lake.json(&["person", "export", &ann.to_string()]);
    assert_eq!(all["rows"]["persons"].as_array().unwrap().len(), 2);
    assert_eq!(all["rows"]["orders"][0]["external_id"], "o1");
    let stats = world.identity(&["stats"]);
    assert_eq!(
        (&stats["records"], &stats["persons"]),
        (&json!(6), &json!(3))
    );
}

#[test]
fn facts_follow_decisions_and_their_undo() {
    let world = with_a_bridge("decided");
    let spent = || {
        world
            .lake
            .sql("select person_id, order_count, total_spent from people order by person_id")
    };
    let log = |entry: &Value| entry["entry"].as_str().unwrap().to_owned();
    world
        .lake
        .json(&["segment", "put", "big", "--criteria", "total_spent >= 50"]);
    world.lake.json(&["segment", "refresh"]);
    let before = spent();
    let (ann, bob) = (world.person("shopify", "s1"), world.person("shopify", "s2"));
    let cy = world.person("shopify", "s3");
    let (ann_text, cy_text) = (ann.to_string(), cy.to_string());
    let planned = world.identity(&["merge", &ann_text, &cy_text, "--dry-run"]);
    assert_eq!(planned["moved"].as_array().unwrap().len(), 2, "{planned}");
    assert_eq!(spent(), before);
    let merged = world.identity(&["merge", &ann_text, &cy_text, "--by", "kim"]);
    assert_eq!(merged["moved"], planned["moved"]);
    let both = json!({"person_id": ann, "order_count": 2, "total_spent": "50.0000"});
    assert!(spent().contains(&both), "{:?}", spent());
    let files = |table: &str| world.lake.value(&format!("select count(*) from {table}"));
    assert_eq!(files("orders"), 3);
    // Its segment follows, and says why; the old id says where it went.
    let members = "select person_id from segment_members where segment = 'big'";
    assert_eq!(world.lake.sql(members), [json!({"person_id": ann})]);
    let why = "select reason from segment_changes where segment = 'big' and person_id = ";
    assert_eq!(world.lake.value(&format!("{why}{ann}")), "merge");
    let gone = world.lake.run(&["identity", "merge", &cy_text, &ann_text]);
    assert_eq!(gone.status.code(), Some(1));
    world.identity(&["undo", &log(&merged)]);
    assert_eq!(spent(), before);
    assert_eq!(world.lake.sql(members), Vec::<Value>::new());
    let last = format!("{why}{ann} order by at desc");
    assert_eq!(world.lake.sql(&last)[0]["reason"], "unmerge");
    // The bridge is Bob's.
    let (h2, bob_text) = (world.record("hubspot", "h2"), bob.to_string());
    let decided = world.identity(&["review", "decide", &h2, "--same", &bob_text]);
    assert_eq!(world.person("hubspot", "h2"), bob);
    assert_eq!(world.identity(&["review", "list"]), json!([]));
    world.identity(&["undo", &log(&decided)]);
    assert_eq!(world.person("hubspot", "h2"), 0);
    // Or of neither, and that is remembered.
    world.identity(&["review", "decide", &h2, "--different"]);
    let own = world.person("hubspot", "h2");
    assert!(own > cy, "{own}");
    // A record that does not belong is split off, and comes back under its old name.
    let h1 = world.record("hubspot", "h1");
    let split = world.identity(&["split", &h1]);
    assert_ne!(world.person("hubspot", "h1"), ann);
    world.identity(&["undo", &log(&split)]);
    assert_eq!(world.person("hubspot", "h1"), ann);
    assert_eq!(world.person("hubspot", "h2"), own);
    for (arguments, says) in [
        (vec!["merge", "1", "1"], "with themselves"),
        (vec!["merge", "1", "999"], "no person 999"),
        (vec!["split", &h2], "the only one"),
        (vec!["split", "999"], "no record 999"),
        (vec!["undo", "nothing"], "no decision `nothing`"),
        (
            vec!["review", "decide", &h1, "--different"],
            "has no open review",
        ),
    ] {
        let all: Vec<&str> = std::iter::once("identity").chain(arguments).collect();
        let refused = world.lake.run(&all);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn late_record_links_as_if_it_had_come_first() {
    let rows = [
        (
            "shopify",
            "s1,ann@example.com,,Ann,Lee,,,,US,2024-01-01,2024-01-01",
        ),
        (
            "shopify",
            "s2,,+4930123456,Bob,Ray,,,,DE,2024-01-02,2024-01-02",
        ),
        (
            "hubspot",
            "h1,ann@example.com,+4930123456,Ann,Lee,,,,US,2024-03-01,2024-03-01",
        ),
        (
            "qbo",
            "q1,ann@example.com,+4930123456,Ann,Ray,,,,US,2024-04-01,2024-04-01",
        ),
        ("klaviyo", "k1,,+4930123456,B,R,,,,DE,2024-05-01,2024-05-01"),
    ];
    let mut outcomes = Vec::new();
    for (at, order) in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]]
        .iter()
        .enumerate()
    {
        let mut world = World::new(&format!("late-{at}"));
        for row in order {
            let (provider, row) = rows[*row];
            world.persons(provider, &[row]);
        }
        outcomes.push((
            world.persons_of(),
            world
                .identity(&["review", "list"])
                .as_array()
                .unwrap()
                .len(),
        ));
    }
    // The books know of somebody with both: then all are one.
    let all = "hubspot:h1 klaviyo:k1 qbo:q1 shopify:s1 shopify:s2".to_owned();
    assert_eq!(outcomes[0], (vec![all], 0));
    assert_eq!(outcomes[1], outcomes[0]);
    assert_eq!(outcomes[2], outcomes[0]);
}

#[test]
fn values_shared_by_many_link_nobody() {
    let mut world = World::new("shared");
    let rows = [
        "1,test@test.com,0000000000,A,A,,,,US,2024-01-01,2024-01-01",
        "2,TEST@test.com,000-000-0000,B,B,,,,US,2024-01-01,2024-01-01",
        "3,noreply@shop.example,,C,C,,,,US,2024-01-01,2024-01-01",
        "4,noreply@shop.example,,D,D,,,,US,2024-01-01,2024-01-01",
        "5,n/a,null,E,E,,,,US,2024-01-01,2024-01-01",
        "6,n/a,null,F,F,,,,US,2024-01-01,2024-01-01",
        "7,,+7 702 555 0123,G,G,,,,US,2024-01-01,2024-01-01",
        "8,,702-555-0123,H,H,,,,US,2024-01-01,2024-01-01",
    ];
    world.persons("shopify", &rows);
    assert_eq!(world.persons_of().len(), rows.len());
    // A family's address is one person's until too many have it.
    let names = |from: usize, to: usize| -> Vec<String> {
        let name = |at: usize| char::from(b'a' + at as u8).to_string();
        let row = |at| {
            format!(
                "f{at},front@desk.example,,{0}{0},Desk,,,,US,2024-01-01,2024-01-01",
                name(at)
            )
        };
        (from..to).map(row).collect()
    };
    let few = names(0, 20);
    world.persons(
        "hubspot",
        &few.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(world.persons_of().len(), rows.len() + 1);
    let more = names(20, 22);
    world.persons(
        "hubspot",
        &more.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(world.persons_of().len(), rows.len() + 22);
}

#[test]
fn repeated_rows_leave_reviews_waiting() {
    let mut world = with_a_bridge("waiting");
    let again = |world: &mut World, updated: &str| {
        let row = format!("h2,ann@example.com,+49 30 123456,Annie,Lee,,,,US,2024-03-02,{updated}");
        world.persons("hubspot", &[&row]);
        assert_eq!(world.person("hubspot", "h2"), 0, "{updated}");
        assert_eq!(
            world
                .identity(&["review", "list"])
                .as_array()
                .unwrap()
                .len(),
            1
        );
    };
    // As it was, an older version that holds nothing, and a newer one.
    again(&mut world, "2024-03-02");
    again(&mut world, "2024-01-01");
    again(&mut world, "2024-04-01");
    let waits = world
        .lake
        .value("select count(*) from identity_log where action = 'ambiguous'");
    assert_eq!(waits, 1);
}

#[test]
fn buyer_named_by_orders_is_linked_when_the_person_arrives() {
    // Orders name buyers by e-mail; who they are comes with a mapping that changes nobody known.
    let mut world = World::new("orders-first");
    world.take_in(
        "shopify",
        "orders",
        "external_id,person_email,status,currency,total,placed_at",
        &["o1,ann@example.com,paid,EUR,10.00,2024-02-01"],
    );
    world.persons(
        "hubspot",
        &["h1,ann@example.com,,Ann,Lee,,,,US,2024-03-01,2024-03-01"],
    );
    let header = "Name,Email,Financial Status,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price";
    let row = "#1,ann@example.com,paid,10.00,2024-02-01 10:00:00 +0000,1,Tea,10.00";
    let file = world
        .lake
        .write("shop/orders_export.csv", &format!("{header}\n{row}\n"));
    world
        .lake
        .json(&["ingest", "shopify", file.to_str().unwrap()]);
    let persons = world
        .lake
        .sql("select count(*) as n from people where email = 'ann@example.com'");
    assert_eq!(persons, [json!({"n": 1})]);
    assert_eq!(
        world
            .lake
            .value("select count(distinct person_id) from identities"),
        1
    );
}

#[test]
fn concurrent_runs_link_like_sequential_runs() {
    let mut world = World::new("at-once");
    world.persons(
        "manual",
        &["m1,first@example.com,,First,One,,,,US,2024-01-01,2024-01-01"],
    );
    let queries = concat!(env!("CARGO_MANIFEST_DIR"), "/../queries/mappings/native");
    for round in 0..3 {
        let runs = ["shopify", "hubspot"].map(|provider| {
            let row = |at: i32| {
                let id = round * 100 + at;
                format!(
                    "{provider}{id},p{id}@example.com,,N{id},N,,,,US,2024-01-01,2024-01-0{}",
                    round + 1
                )
            };
            let rows: Vec<String> = (0..40).map(row).collect();
            let name = format!("{provider}-{round}/persons.csv");
            let file = world
                .lake
                .write(&name, &format!("{PERSONS}\n{}\n", rows.join("\n")));
            let file = file.to_str().unwrap();
            let mut command =
                world
                    .lake
                    .command(&["ingest", provider, file, "--mappings", queries]);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        for mut run in runs {
            assert!(run.wait().unwrap().success());
        }
        let both = (round + 1) * 40;
        let linked = "select count(*) from (select person_id from identities \
                      group by 1 having count(*) = 2)";
        assert_eq!(world.lake.value(linked), both, "round {round}");
    }
    assert_eq!(world.lake.value("select count(*) from people"), 121);
}
