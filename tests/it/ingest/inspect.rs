//! Drafts of mappings for real files: what the profile says, and that ingest runs the draft.

use rollbook_ingest::inspect::{ColumnKind, Profile, draft_mapping, inspect};
use rollbook_read::{SourceFile, discover};
use rollbook_tests::test_data;

use crate::support::own_lake::OwnLake;

/// The draft for a file, after its rows were ingested with it.
fn draft_that_runs(lake: &str, file: &SourceFile, profile: &Profile) -> String {
    let draft = draft_mapping(profile, &file.name());
    let lake = OwnLake::new(lake);
    let mappings = lake.write("mappings/draft.sql", &draft);
    let (mappings, file) = (mappings.parent().unwrap(), file.path.as_os_str());
    let ingested = lake.json(&[
        "ingest".as_ref(),
        "shop".as_ref(),
        file,
        "--mappings".as_ref(),
        mappings.as_os_str(),
    ]);
    let table = &ingested["tables"][0];
    assert_eq!(table["read"], profile.rows, "{draft}");
    assert_eq!(table["accepted"], profile.rows, "{ingested}");
    draft
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn olist_orders_are_profiled_and_their_draft_runs() {
    let path = test_data().join("olist/orders_8k/olist_orders_dataset.csv");
    let file = discover(&[path]).unwrap().remove(0);
    let profile = inspect(&file, 100_000).unwrap();
    assert_eq!(
        (profile.rows, profile.complete, profile.refused),
        (8_000, true, 0)
    );
    assert_eq!(profile.keys, ["order_id", "customer_id"]);
    let status = profile
        .columns
        .iter()
        .find(|column| column.column == "order_status")
        .unwrap();
    assert_eq!(
        (status.kind, status.distinct, status.blank),
        (ColumnKind::Text, 6, 0.0)
    );
    let draft = draft_that_runs("inspected_orders", &file, &profile);
    for line in [
        "-- table: orders",
        "\"order_id\" as external_id",
        "\"order_purchase_timestamp\" as placed_at",
        "\"order_status\" as status",
        "\"order_approved_at\" as paid_at",
        "\"customer_id\" as person_external_id",
        "--   \"order_estimated_delivery_date\"",
    ] {
        assert!(draft.contains(line), "{line} is not in\n{draft}");
    }
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn leads_of_an_online_school_are_profiled_and_their_draft_runs() {
    let file = discover(&[test_data().join("x_education/leads.csv")])
        .unwrap()
        .remove(0);
    let profile = inspect(&file, 100_000).unwrap();
    assert_eq!((profile.rows, profile.complete), (9_240, true));
    assert_eq!(profile.keys, ["Prospect ID", "Lead Number"]);
    let column = |name: &str| profile.columns.iter().find(|c| c.column == name).unwrap();
    assert_eq!(column("Converted").kind, ColumnKind::Boolean);
    assert_eq!(column("Page Views Per Visit").kind, ColumnKind::Decimal);
    assert_eq!(
        column("Total Time Spent on Website").kind,
        ColumnKind::Integer
    );
    assert!(column("City").note.as_ref().unwrap().contains("`Select`"));
    let draft = draft_that_runs("inspected_leads", &file, &profile);
    for line in [
        "-- table: persons",
        "\"Prospect ID\" as external_id",
        "\"Lead Source\" as source",
        "\"City\" as city",
        "--   \"Converted\" (boolean)",
    ] {
        assert!(draft.contains(line), "{line} is not in\n{draft}");
    }
}
