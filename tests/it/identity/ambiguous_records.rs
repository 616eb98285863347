//! Records as real sources send them: shared addresses, swapped and recycled values, deletions, pages in
//! any order, and a run that is killed.

use rand::{Rng, SeedableRng};
use rollbook_tests::times;
use serde_json::{Value, json};

use crate::support::own_lake::column;
use crate::support::records::World;
use crate::support::writes::Writes;

fn all(rows: &[String]) -> Vec<&str> {
    rows.iter().map(String::as_str).collect()
}

/// A person with this name, without e-mail and phone, at the address of a freight forwarder.
fn forwarded(at: usize, first: &str, last: &str) -> String {
    format!("f{at},,,{first},{last},2001 NW 70th Ave Ste 12,Miami,33122,US,2024-01-01,2024-01-01")
}

fn letters(at: usize) -> String {
    let letter = |at: usize| char::from(b'a' + (at % 26) as u8);
    format!("{}{}x", letter(at / 26), letter(at))
}

#[test]
fn address_of_a_freight_forwarder_links_nobody() {
    let mut world = World::new("forwarder");
    let rows: Vec<String> = (0..40)
        .map(|at| forwarded(at, "Kim", &letters(at)))
        .collect();
    world.persons("shopify", &all(&rows));
    assert_eq!(world.persons_of().len(), 40);
    // Some shops write the forwarder's own name where the family name goes.
    let mut world = World::new("forwarder-named");
    let rows: Vec<String> = (0..40)
        .map(|at| forwarded(at, &letters(at), "Shipwell"))
        .collect();
    world.persons("shopify", &all(&rows));
    assert_eq!(world.persons_of().len(), 40);
}

#[test]
fn swapped_addresses_wait_for_review() {
    let mut world = World::new("swapped");
    world.persons(
        "shopify",
        &[
            "s1,ann@example.com,(415) 555-2671,Ann,Lee,,,,US,2024-01-01,2024-01-01",
            "s2,bob@example.com,(415) 555-2672,Bob,Ray,,,,US,2024-01-01,2024-01-01",
        ],
    );
    // Each has the other's address and a phone of their own.
    let done = world.persons(
        "hubspot",
        &[
            "h1,bob@example.com,(415) 555-2671,Ann,Lee,,,,US,2024-02-01,2024-02-01",
            "h2,ann@example.com,(415) 555-2672,Bob,Ray,,,,US,2024-02-01,2024-02-01",
        ],
    );
    assert_eq!(done["records"]["ambiguous"], 2, "{done}");
    assert_eq!(world.persons_of(), ["shopify:s1", "shopify:s2"]);
}

#[test]
fn recycled_phone_waits_for_review() {
    let mut world = World::new("recycled");
    world.persons(
        "shopify",
        &["s1,ann@example.com,(415) 555-2671,Ann,Lee,,,,US,2020-01-01,2020-01-01"],
    );
    world.persons(
        "hubspot",
        &["h1,zoe@example.com,,Zoe,May,,,,US,2024-01-01,2024-01-01"],
    );
    // Years later the number is Zoe's, whose shop record has her address and that number.
    let done = world.persons(
        "klaviyo",
        &["k1,zoe@example.com,(415) 555-2671,Zoe,May,,,,US,2024-02-01,2024-02-01"],
    );
    assert_eq!(done["records"]["ambiguous"], 1, "{done}");
    let before = ["hubspot:h1", "shopify:s1"];
    assert_eq!(world.persons_of(), before);
    let (waits, zoe) = (world.record("klaviyo", "k1"), world.person("hubspot", "h1"));
    world.identity(&["review", "decide", &waits, "--same", &zoe.to_string()]);
    assert_eq!(world.persons_of(), ["hubspot:h1 klaviyo:k1", "shopify:s1"]);
}

#[test]
fn record_matching_three_persons_links_to_none() {
    let mut world = World::new("three");
    world.persons(
        "shopify",
        &[
            "s1,ann@example.com,,Ann,Lee,,,,US,2024-01-01,2024-01-01",
            "s2,,(415) 555-2672,Bob,Ray,,,,US,2024-01-01,2024-01-01",
            "s3,,,Cy,Day,12 Main Street,Boston,02134,US,2024-01-01,2024-01-01",
        ],
    );
    world.persons(
        "hubspot",
        &["h1,ann@example.com,(415) 555-2672,Cy,Day,12 Main St,Boston,2134,US,2024-02-01,2024-02-01"],
    );
    assert_eq!(world.persons_of().len(), 3);
    let waits = world.record("hubspot", "h1");
    let shown = world.identity(&["review", "show", &waits]);
    assert_eq!(shown["persons"].as_array().unwrap().len(), 3, "{shown}");
}

#[test]
fn guest_checkout_links_by_the_given_address() {
    let mut world = World::new("guests");
    let header = "external_id,person_email,status,currency,total,placed_at";
    world.take_in(
        "shopify",
        "orders",
        header,
        &[
            "o1,Ann@Example.com ,paid,EUR,10.00,2024-02-01",
            "o2,ann@example.com,paid,EUR,20.00,2024-02-02",
            "o3,,paid,EUR,40.00,2024-02-03",
        ],
    );
    world.persons(
        "hubspot",
        &["h1,ann@example.com,,Ann,Lee,,,,US,2024-03-01,2024-03-01"],
    );
    world.take_in(
        "shopify",
        "persons",
        "email,first_name,last_name,created_at,updated_at",
        &["ann@example.com,Ann,Lee,2024-03-02,2024-03-02"],
    );
    let spent = "select total_spent as spent, order_count as orders from people";
    let ann = json!([{"spent": "30.0000", "orders": 2}]);
    assert_eq!(Value::from(world.lake.sql(spent)), ann);
    let nobody = "select total from orders where person_id = 0";
    assert_eq!(world.lake.value(nobody), "40.0000");
}

#[test]
fn deleted_record_sent_again_keeps_its_person() {
    let mut world = World::new("deleted");
    world.persons(
        "shopify",
        &["s1,ann@example.com,,Ann,Lee,,,,US,2024-01-01,2024-01-01"],
    );
    let header = "external_id,email,first_name,last_name,created_at,updated_at,_deleted";
    let row = |day: u32, deleted: bool| {
        format!("h1,ann@example.com,Annie,Lee,2024-02-01,2024-02-0{day},{deleted}")
    };
    world.take_in("hubspot", "persons", header, &[&row(1, false)]);
    let (ann, record) = (world.person("hubspot", "h1"), world.record("hubspot", "h1"));
    assert_eq!(ann, world.person("shopify", "s1"));
    world.take_in("hubspot", "persons", header, &[&row(2, true)]);
    let rows = "select count(*) from people where person_id <> 0";
    assert_eq!(world.lake.value(rows), 1);
    world.take_in("hubspot", "persons", header, &[&row(3, false)]);
    assert_eq!(world.person("hubspot", "h1"), ann);
    assert_eq!(world.record("hubspot", "h1"), record);
    assert_eq!(world.persons_of(), ["hubspot:h1 shopify:s1"]);
}

#[test]
fn pages_in_any_order_give_the_same_persons() {
    let pages: [&[&str]; 3] = [
        &[
            "h1,old@example.com,,Ann,Lee,,,,US,2024-01-01,2024-01-01",
            "h2,bob@example.com,,Bob,Ray,,,,US,2024-01-01,2024-01-01",
        ],
        &[
            "h1,ann@example.com,,Ann,Lee,,,,US,2024-01-01,2024-02-01",
            "h3,cy@example.com,,Cy,Day,,,,US,2024-01-01,2024-02-01",
        ],
        &[
            "h2,robert@example.com,,Bob,Ray,,,,US,2024-01-01,2024-03-01",
            "h4,bob@example.com,,Bo,Ray,,,,US,2024-01-01,2024-03-01",
        ],
    ];
    let shop = [
        "s1,ann@example.com,,Ann,Lee,,,,US,2024-01-01,2024-01-01",
        "s2,bob@example.com,,Bob,Ray,,,,US,2024-01-01,2024-01-01",
        "s3,cy@example.com,,Cy,Day,,,,US,2024-01-01,2024-01-01",
    ];
    let mut outcomes = Vec::new();
    for (at, order) in [&[0, 1, 2][..], &[2, 1, 0], &[1, 2, 1, 0, 2, 0]]
        .into_iter()
        .enumerate()
    {
        let mut world = World::new(&format!("pages-{at}"));
        world.persons("shopify", &shop);
        for page in order {
            world.persons("hubspot", pages[*page]);
        }
        outcomes.push(world.persons_of());
    }
    let expected = [
        "hubspot:h1 shopify:s1",
        "hubspot:h2",
        "hubspot:h3 shopify:s3",
        "hubspot:h4 shopify:s2",
    ];
    for outcome in outcomes {
        assert_eq!(outcome, expected);
    }
}

#[test]
fn killed_run_links_like_an_uninterrupted_one() {
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(11);
    let mut world = World::new("killed-linking");
    let rows = |provider: &str, round: u64| -> Vec<String> {
        let row = |at: u64| {
            let who = round * 1000 + at;
            format!("{provider}{who},p{who}@example.com,,N{who},N,,,,US,2024-01-01,2024-01-01")
        };
        (0..60).map(row).collect()
    };
    for round in 0..times("ROLLBOOK_TEST_KILLS", 4) {
        let mut writes = Writes::since_now(&world.lake.path("lake"));
        world.persons("shopify", &all(&rows("s", round)));
        // A run of as many rows writes about as many files.
        let whole = writes.count();
        let file = world.lake.write(
            &format!("killed-{round}/persons.csv"),
            &format!(
                "{}\n{}\n",
                crate::support::records::PERSONS,
                rows("h", round).join("\n")
            ),
        );
        let queries = concat!(env!("CARGO_MANIFEST_DIR"), "/../queries/mappings/native");
        let file = file.to_str().unwrap();
        let ingest = ["ingest", "hubspot", file, "--mappings", queries];
        for _ in 0..3 {
            let mut command = world.lake.command(&ingest);
            command.stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::null());
            let mut run = command.spawn().unwrap();
            // It may have ended by then; that is a case too.
            let count = dice.random_range(0..whole + 2);
            Writes::since_now(&world.lake.path("lake")).reach_and_kill(count, &mut run);
        }
        world.lake.json(&ingest);
        let linked = "select count(*) from (select person_id from identities where person_id <> 0 \
                      group by 1 having count(*) = 2)";
        assert_eq!(world.lake.value(linked), (round + 1) * 60, "round {round}");
        let again = world.lake.json(&ingest);
        assert_eq!(again["tables"][0]["unchanged"], 60, "{again}");
        assert_eq!(world.lake.json(&["check"])["problems"], json!([]));
    }
}

#[test]
fn blocked_value_links_nobody_until_unblocked() {
    let mut world = World::new("blocked");
    let rows = [
        "s1,front@hotel.example,,Ann,Lee,,,,US,2024-01-01,2024-01-01",
        "s2,front@hotel.example,,Bob,Ray,,,,US,2024-01-02,2024-01-02",
        "s3,,(415) 555-2671,Cy,Day,,,,US,2024-01-02,2024-01-02",
    ];
    world.persons("shopify", &rows);
    let together = ["shopify:s1 shopify:s2", "shopify:s3"];
    assert_eq!(world.persons_of(), together);
    let block = ["blocked", "add", "Front@Hotel.example", "--by", "kim"];
    let rehearsed = world.identity(&[&block[..], &["--dry-run"]].concat());
    assert_eq!(rehearsed["moved"].as_array().unwrap().len(), 1);
    assert_eq!(world.persons_of(), together);
    world.identity(&block);
    assert_eq!(
        world.persons_of(),
        ["shopify:s1", "shopify:s2", "shopify:s3"]
    );
    let shown = world.identity(&["blocked"]);
    assert_eq!(column(&shown, "value"), ["front@hotel.example"]);
    // It holds for what comes later, and for others than e-mails.
    world.identity(&["blocked", "add", "+1 415 555 2671"]);
    world.persons(
        "hubspot",
        &["h1,front@hotel.example,(415) 555-2671,Dan,Fox,,,,US,2024-02-01,2024-02-01"],
    );
    assert_eq!(world.persons_of().len(), 4);
    world.identity(&["blocked", "remove", "front@hotel.example"]);
    assert_eq!(
        world.persons_of(),
        ["hubspot:h1 shopify:s1 shopify:s2", "shopify:s3"]
    );
    for refused in [
        ["identity", "blocked", "add", "nobody"],
        ["identity", "blocked", "add", "+14155552671"],
        ["identity", "blocked", "remove", "front@hotel.example"],
    ] {
        let output = world.lake.run(&refused);
        assert_eq!(output.status.code(), Some(1), "{refused:?}");
    }
}

#[test]
fn postponed_review_is_listed_last_and_can_be_decided() {
    let mut world = crate::support::records::with_a_bridge("later");
    world.persons(
        "hubspot",
        &["h9,cy@example.com,+49 30 123456,Cy,Ray,,,,US,2024-03-05,2024-03-05"],
    );
    let [first, second] = ["h2", "h9"].map(|id| world.record("hubspot", id));
    let listed = |world: &World| column(&world.identity(&["review", "list"]), "external_id");
    assert_eq!(listed(&world), ["h2", "h9"]);
    let before = world.persons_of();
    let put_off = world.identity(&["review", "decide", &first, "--later", "--by", "kim"]);
    assert_eq!(put_off["moved"], json!([]));
    assert_eq!(listed(&world), ["h9", "h2"]);
    assert_eq!(world.persons_of(), before);
    // Put off again is put off once; taken back it comes first again.
    let again = world.identity(&["review", "decide", &first, "--later"]);
    let decisions = world.identity(&["decisions"]);
    assert_eq!(column(&decisions, "verdict"), ["later"]);
    world.identity(&["undo", again["entry"].as_str().unwrap()]);
    assert_eq!(listed(&world), ["h2", "h9"]);
    world.identity(&["review", "decide", &second, "--later"]);
    world.identity(&["review", "decide", &second, "--different"]);
    assert_eq!(listed(&world), ["h2"]);
    assert_eq!(
        column(&world.identity(&["decisions"]), "verdict"),
        ["different"]
    );
}
