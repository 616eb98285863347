//! Properties that a mapping declares personal are encrypted apart from the others, and erased with their
//! person.

use std::path::Path;

use serde_json::Value;

use crate::support::own_lake::{OwnLake, counts};
use crate::support::personal_values::{forms, holds, texts};
use crate::support::writes::Writes;

const PERSONS: &str = "-- table: persons\n-- source: p = persons*\n\
    select p.id as external_id, p.name as first_name, p.email from p";
pub(crate) const ACTIVITIES: &str = "-- table: activities\n-- source: a = activities*\n-- optional: a.form\n\
    -- personal: email, \"Phone, home\"\n\
    select a.id as external_id, a.who as person_external_id, a.kind as type, a.at as occurred_at, \
    a.form as properties from a";
/// The properties of Ann's forms.
const SECRETS: [&str; 3] = ["ann@example.com", "ann@work.example", "+1 415 555 2671"];

pub(crate) struct Shop(pub(crate) OwnLake);

impl Shop {
    pub(crate) fn new(name: &str) -> Self {
        let lake = OwnLake::new(name);
        lake.write("mappings/persons.sql", PERSONS);
        lake.write("mappings/activities.sql", ACTIVITIES);
        let shop = Self(lake);
        shop.take(
            "persons.csv",
            "id,name,email\np1,Ann,ann@example.com\np2,Bob,bob@example.com\n",
        );
        shop
    }

    pub(crate) fn take(&self, name: &str, content: &str) -> Value {
        let file = self.0.write(&format!("in/{name}"), content);
        let (file, mappings) = (file.to_str().unwrap(), self.0.path("mappings"));
        self.0.json(&[
            "ingest",
            "shop",
            file,
            "--mappings",
            mappings.to_str().unwrap(),
        ])
    }

    /// The two columns of an activity.
    pub(crate) fn properties(&self, activity: &str) -> [Value; 2] {
        let query = format!(
            "select properties, personal_properties from activities where external_id = '{activity}'"
        );
        let row = &self.0.sql(&query)[0];
        ["properties", "personal_properties"].map(|column| row[column].clone())
    }

    /// The personal values that can be decrypted with the key.
    pub(crate) async fn sealed(&self) -> Vec<&'static str> {
        let texts = texts(&self.0.path("lake")).await;
        let activities = texts
            .iter()
            .filter(|(place, _)| place == "vault of activities");
        let activities: Vec<&String> = activities.map(|(_, text)| text).collect();
        let is_there = |secret: &&str| activities.iter().any(|text| text.contains(*secret));
        SECRETS.into_iter().filter(is_there).collect()
    }
}

pub(crate) fn form(id: &str, who: &str, form: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"who\":\"{who}\",\"kind\":\"form_submitted\",\"at\":\"2026-01-05T10:00:00Z\",\"form\":{form}}}\n"
    )
}

fn in_the_open(lake: &Path) -> Vec<String> {
    let all = SECRETS.iter().flat_map(|secret| forms(secret));
    all.filter(|form| holds(lake, form)).collect()
}

pub(crate) fn hers() -> String {
    [
        form(
            "a1",
            "p1",
            r#"{"page":"/x","price":1.10,"email":"ann@example.com"}"#,
        ),
        form(
            "a2",
            "p1",
            r#"{"contact":{"EMAIL":"ann\u0040work.example","phone, home":"+1 415 555 2671"}}"#,
        ),
    ]
    .concat()
}

#[tokio::test]
async fn personal_properties_are_sealed_and_erased_with_their_person() {
    let shop = Shop::new("personal_properties");
    let his =
        form("b1", "p2", r#"{"email":"bob@example.com"}"#) + &form("b2", "p2", r#"{"page":"/y"}"#);
    let taken = shop.take("activities.ndjson", &(hers() + &his));
    assert_eq!(counts(&taken, "activities"), [4, 4, 0, 0]);
    let [open, personal] = shop.properties("a1");
    assert_eq!(open, r#"{"page":"/x","price":1.10}"#);
    assert_eq!(personal, r#"{"email":"ann@example.com"}"#);
    let [open, personal] = shop.properties("a2");
    assert_eq!(open, r#"{"contact":{}}"#);
    assert!(personal.as_str().unwrap().contains("+1 415 555 2671"));
    assert_eq!(
        shop.properties("b2"),
        [Value::from(r#"{"page":"/y"}"#), Value::Null]
    );
    let lake = shop.0.path("lake");
    assert_eq!(in_the_open(&lake), Vec::<String>::new());
    assert_eq!(shop.sealed().await, ["ann@example.com", "+1 415 555 2671"]);
    let again = shop.take("activities.ndjson", &(hers() + &his));
    assert_eq!(counts(&again, "activities"), [4, 0, 4, 0]);
    let exported = shop.0.json(&["person", "export", "1"]);
    assert!(exported.to_string().contains("+1 415 555 2671"));

    shop.0.json(&["person", "erase", "1"]);
    assert_eq!(in_the_open(&lake), Vec::<String>::new());
    assert_eq!(shop.sealed().await, Vec::<&str>::new());
    let [open, personal] = shop.properties("a1");
    assert_eq!(open, r#"{"page":"/x","price":1.10}"#);
    assert_eq!(personal, Value::Null);
    assert_eq!(shop.properties("b1")[1], r#"{"email":"bob@example.com"}"#);
    assert!(shop.0.run(&["check"]).status.success());
}

#[tokio::test]
async fn personal_properties_follow_updates_of_their_row() {
    let shop = Shop::new("personal_properties_follow");
    shop.take("activities.ndjson", &hers());
    // A file without forms says nothing of them, and what is said there holds.
    let moved =
        "{\"id\":\"a1\",\"who\":\"p1\",\"kind\":\"page_viewed\",\"at\":\"2026-01-05T10:00:00Z\"}\n";
    let taken = shop.take("activities.ndjson", moved);
    assert_eq!(counts(&taken, "activities"), [1, 1, 0, 0]);
    let [open, personal] = shop.properties("a1");
    assert_eq!(open, r#"{"page":"/x","price":1.10}"#);
    assert_eq!(personal, r#"{"email":"ann@example.com"}"#);
    // A form without an address has none, in the vault neither.
    let taken = shop.take("activities.ndjson", &form("a1", "p1", r#"{"page":"/x"}"#));
    assert_eq!(counts(&taken, "activities"), [1, 1, 0, 0]);
    assert_eq!(
        shop.properties("a1"),
        [Value::from(r#"{"page":"/x"}"#), Value::Null]
    );
    assert_eq!(shop.sealed().await, ["+1 415 555 2671"]);
    // The personal part alone is another one.
    let other = form("a1", "p1", r#"{"page":"/x","email":"ann@work.example"}"#);
    assert_eq!(
        counts(&shop.take("activities.ndjson", &other), "activities"),
        [1, 1, 0, 0]
    );
    assert_eq!(
        counts(&shop.take("activities.ndjson", &other), "activities"),
        [1, 0, 1, 0]
    );
    assert_eq!(shop.properties("a1")[1], r#"{"email":"ann@work.example"}"#);
}

#[test]
fn native_rows_move_addresses_to_personal_properties() {
    let lake = OwnLake::new("personal_properties_native");
    let file = lake.write(
        "activities.ndjson",
        "{\"external_id\":\"a\",\"person_email\":\"ann@example.com\",\"type\":\"x\",\"occurred_at\":\"2026-01-05\",\
         \"properties\":{\"email\":\"ann@example.com\",\"n\":1},\"personal_properties\":{\"ip\":\"::1\"}}\n\
         {\"external_id\":\"b\",\"type\":\"x\",\"occurred_at\":\"2026-01-05\",\"properties\":null}\n",
    );
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
    let rows =
        lake.sql("select properties, personal_properties from activities order by external_id");
    assert_eq!(rows[0]["properties"], r#"{"n":1}"#);
    assert_eq!(
        rows[0]["personal_properties"],
        r#"{"ip":"::1","email":"ann@example.com"}"#
    );
    assert_eq!(rows[1]["personal_properties"], Value::Null);
}

/// A folder with the persons again, and with new facts.
fn sent_again(shop: &Shop) -> std::path::PathBuf {
    let more: String = (0..3_000)
        .map(|at| form(&format!("m{at}"), "p2", r#"{"page":"/z"}"#))
        .collect();
    let rows = hers() + &form("a3", "p1", r#"{"email":"ann@work.example"}"#) + &more;
    shop.0.write(
        "again/persons.csv",
        "id,name,email\np1,Ann,ann@example.com\np2,Bob,bob@example.com\n",
    );
    shop.0.write("again/activities.ndjson", &rows);
    shop.0.path("again")
}

#[tokio::test]
async fn erased_person_stays_erased_when_facts_are_sent_again() {
    let shop = Shop::new("personal_properties_again");
    shop.take("activities.ndjson", &hers());
    shop.0.json(&["person", "erase", "1"]);
    let again = sent_again(&shop);
    let mappings = shop.0.path("mappings");
    let mappings = mappings.to_str().unwrap();
    shop.0.json(&[
        "ingest",
        "shop",
        again.to_str().unwrap(),
        "--mappings",
        mappings,
    ]);
    assert_eq!(shop.sealed().await, Vec::<&str>::new());
    assert_eq!(in_the_open(&shop.0.path("lake")), Vec::<String>::new());
    let query = "select count(*) from activities where personal_properties is not null";
    assert_eq!(shop.0.value(query), 0);
    let hers =
        "select count(*) from activities where external_id in ('a1', 'a2', 'a3') and person_id = 0";
    assert_eq!(shop.0.value(hers), 3);
    let records = "select count(*) from identities where external_id = 'p1'";
    assert_eq!(shop.0.value(records), 0);
}

#[tokio::test]
async fn person_erased_during_ingest_of_their_rows_is_erased() {
    // As soon as it runs, once it has a lease, and once it has written rows.
    for files in [0, 1, 3] {
        let shop = Shop::new(&format!("erased_meanwhile_{files}"));
        shop.take("activities.ndjson", &hers());
        let again = sent_again(&shop);
        let mappings = shop.0.path("mappings");
        let run = [
            "ingest",
            "shop",
            again.to_str().unwrap(),
            "--mappings",
            mappings.to_str().unwrap(),
        ];
        let mut writes = Writes::since_now(&shop.0.path("lake"));
        let mut running = shop.0.command(&run).spawn().unwrap();
        writes.reach(files, &mut running);
        shop.0.json(&["person", "erase", "1"]);
        assert!(running.wait().unwrap().success(), "after {files} files");
        assert_eq!(
            shop.sealed().await,
            Vec::<&str>::new(),
            "after {files} files"
        );
        let texts = texts(&shop.0.path("lake")).await;
        let found = texts.iter().filter(|(_, text)| text.contains("ann@"));
        assert_eq!(
            found.collect::<Vec<_>>(),
            Vec::<&(String, String)>::new(),
            "after {files} files"
        );
        assert_eq!(
            shop.0
                .value("select count(*) from people where first_name = 'Ann'"),
            0
        );
        assert_eq!(
            shop.0
                .value("select count(*) from activities where external_id like 'm%'"),
            3_000
        );
        assert!(shop.0.run(&["check"]).status.success());
    }
}
