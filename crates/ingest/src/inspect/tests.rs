use std::path::PathBuf;

use super::{Kind, draft_mapping, inspect};
use crate::read::discover;

fn profile_of(content: &str) -> super::Profile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.csv");
    std::fs::write(&path, content).unwrap();
    inspect(&discover(&[path]).unwrap()[0], 1_000).unwrap()
}

#[test]
fn kinds_formats_and_keys() {
    let profile = profile_of(
        "id,zip,when,day,total,ok\na,01067,2024-05-01 10:00:00,03/04/2024,1.5,yes\nb,98101,2024-05-02 10:00:00,05/06/2024,2,no\n",
    );
    let kinds: Vec<_> = profile.columns.iter().map(|column| column.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Text,
            Kind::Integer,
            Kind::Time,
            Kind::Date,
            Kind::Decimal,
            Kind::Boolean
        ]
    );
    assert_eq!(profile.keys[0], "id");
    assert!(
        profile.columns[1]
            .note
            .as_ref()
            .unwrap()
            .contains("keep it as text")
    );
    assert!(
        profile.columns[3]
            .note
            .as_ref()
            .unwrap()
            .contains("either way round")
    );
}

#[test]
fn a_draft_names_the_key_the_times_and_what_is_open() {
    let Some(data) = std::env::var_os("ROLLBOOK_TEST_DATA").map(PathBuf::from) else {
        println!("skipped: ROLLBOOK_TEST_DATA is not set");
        return;
    };
    let path = data.join("olist/orders_8k/olist_orders_dataset.csv");
    let profile = inspect(&discover(&[path]).unwrap()[0], 100_000).unwrap();
    assert_eq!((profile.rows, profile.complete), (8_000, true));
    let draft = draft_mapping(&profile, "olist_orders_dataset.csv");
    for line in [
        "-- table: orders",
        "order_id as external_id",
        "order_purchase_timestamp as placed_at",
        "order_status as status",
        "customer_id as person_external_id",
        "-- order_estimated_delivery_date",
    ] {
        assert!(draft.contains(line), "{line} is not in\n{draft}");
    }
}
