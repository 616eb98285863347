//! An erased person does not come back through later rows or an undo.

use serde_json::Value;

use super::personal_properties::{ACTIVITIES, Shop, form, hers};
use crate::support::own_lake::counts;

const HIS: &str = r#"{"email":"bob@example.com"}"#;

#[tokio::test]
async fn undo_does_not_restore_erased_persons() {
    let shop = Shop::new("taken_back_after_an_erasure");
    let open = ACTIVITIES.replace("-- personal: email, \"Phone, home\"\n", "");
    assert_ne!(open, ACTIVITIES);
    shop.0.write("mappings/activities.sql", &open);
    let rows = hers() + &form("b1", "p2", HIS);
    shop.take("activities.ndjson", &rows);
    // From now on they are sealed; and a row is new.
    shop.0.write("mappings/activities.sql", ACTIVITIES);
    let more = rows + &form("a9", "p1", r#"{"email":"ann@example.com"}"#);
    let sealed = shop.take("activities.ndjson", &more);
    assert_eq!(counts(&sealed, "activities"), [4, 4, 0, 0]);
    let erased = shop.0.json(&["person", "erase", "1"]);
    assert_eq!(erased["records"], 1);

    let batch = sealed["batch"].as_str().unwrap();
    shop.0.json(&["ingest", "undo", batch]);
    // His is as it was before; of hers nothing is.
    assert_eq!(shop.properties("b1")[0], HIS);
    for (activity, left) in [
        ("a1", r#"{"page":"/x","price":1.10}"#),
        ("a2", r#"{"contact":{}}"#),
    ] {
        assert_eq!(shop.properties(activity), [Value::from(left), Value::Null]);
    }
    // All rows of the run go, whoever they belong to.
    let brought = "select count(*) from activities where external_id = 'a9'";
    assert_eq!(shop.0.value(brought), 0);
    assert_eq!(shop.sealed().await, Vec::<&str>::new());
    assert!(shop.0.run(&["check"]).status.success());
}

#[test]
fn run_with_an_erased_person_can_be_undone() {
    let shop = Shop::new("taken_back_whole");
    let brought = shop.take(
        "more/persons.csv",
        "id,name,email\np1,Anna,ann@example.com\np3,Cyd,cyd@example.com\n",
    );
    shop.0.json(&["person", "erase", "1"]);
    let batch = brought["batch"].as_str().unwrap();
    shop.0.json(&["ingest", "undo", batch]);
    assert_eq!(shop.0.value("select count(*) from people"), 1);
    let names = "select count(*) from persons where first_name in ('Ann', 'Anna', 'Cyd')";
    assert_eq!(shop.0.value(names), 0);
    assert!(shop.0.run(&["check"]).status.success());
}

#[tokio::test]
async fn facts_naming_an_erased_address_belong_to_nobody() {
    let shop = Shop::new("named_by_an_address");
    let by_email = ACTIVITIES.replace("person_external_id", "person_email");
    shop.0.write("mappings/activities.sql", &by_email);
    shop.0.json(&["person", "erase", "1"]);
    let rows = form(
        "a1",
        "Ann@Example.com ",
        r#"{"page":"/x","email":"ann@example.com"}"#,
    ) + &form("b1", "bob@example.com", HIS);
    let taken = shop.take("activities.ndjson", &rows);
    assert_eq!(counts(&taken, "activities"), [2, 2, 0, 0]);
    assert_eq!(
        shop.properties("a1"),
        [Value::from(r#"{"page":"/x"}"#), Value::Null]
    );
    assert_eq!(shop.properties("b1")[1], HIS);
    assert_eq!(shop.sealed().await, Vec::<&str>::new());
    let nobodys = "select count(*) from activities where external_id = 'a1' and identity_id = 0";
    assert_eq!(shop.0.value(nobodys), 1);
    // Readmitting them admits these values, too.
    shop.0
        .json(&["person", "readmit", "--email", "ANN@example.com"]);
    shop.take("activities.ndjson", &rows);
    assert!(
        shop.properties("a1")[1]
            .as_str()
            .is_some_and(|form| form.contains("ann@"))
    );
}

#[test]
fn refused_rows_naming_an_erased_person_are_removed() {
    let shop = Shop::new("refused_by_id");
    let wrong = (form("w1", "p1", r#"{"page":"/of-ann"}"#)
        + &form("w2", "p2", r#"{"page":"/of-bob"}"#))
        .replace("2026-01-05T10:00:00Z", "not a time");
    let taken = shop.take("activities.ndjson", &wrong);
    assert_eq!(counts(&taken, "activities"), [2, 0, 0, 2]);
    let record = "select string_agg(record, ' ') from quarantine";
    assert!(shop.0.value(record).as_str().unwrap().contains("/of-ann"));
    shop.0.json(&["person", "erase", "1"]);
    let left = shop.0.value(record);
    let left = left.as_str().unwrap();
    assert!(
        left.contains("/of-bob") && !left.contains("/of-ann"),
        "{left}"
    );
}
