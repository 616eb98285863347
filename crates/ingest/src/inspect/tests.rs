//! Profiles of whole files, and drafts that run.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use datafusion::catalog::MemTable;
use rollbook_model::config::Limits;
use rollbook_read::{Reader, SourceFile, discover};

use super::{ColumnKind, InspectError, Profile, draft_mapping, inspect};
use crate::mapping::mappings;

struct Given {
    _folder: tempfile::TempDir,
    file: SourceFile,
}

fn given(name: &str, content: &str) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let file = discover(&[path]).unwrap().remove(0);
    Given {
        _folder: folder,
        file,
    }
}

/// The draft of a file, and the rows that it yields.
///
/// The draft must be a mapping that ingest finds, and whose statement runs over the file.
async fn draft_of(file: &SourceFile, profile: &Profile) -> (String, RecordBatch) {
    let draft = draft_mapping(profile, &file.name());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("draft.sql"), &draft).unwrap();
    let mapping = mappings(&"shop".parse().unwrap(), Some(folder.path()))
        .unwrap()
        .remove(0);
    let driving = mapping.driving();
    assert!(
        driving.pattern.matches(&file.name()),
        "{} in\n{draft}",
        driving.pattern
    );

    let mut reader = Reader::open(file, 1_000).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch(&mut Vec::new()).unwrap() {
        batches.push(batch);
    }
    let context = rollbook_engine::mapping_session(Limits::default(), None).unwrap();
    let table = MemTable::try_new(reader.schema(), vec![batches]).unwrap();
    context
        .register_table(driving.name.as_str(), Arc::new(table))
        .unwrap();
    let plan = rollbook_engine::plan_select(&context, &mapping.sql, |_| {}).await;
    let plan = plan.unwrap_or_else(|error| panic!("{error}\n{draft}"));
    for field in plan.schema().fields() {
        let special = field.name().starts_with("person_");
        assert!(
            special || mapping.table.column(field.name()).is_some(),
            "{}",
            field.name()
        );
    }
    let schema = Arc::new(plan.schema().as_arrow().clone());
    let rows = context
        .execute_logical_plan(plan)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let rows = concat_batches(&schema, &rows).unwrap();
    assert_eq!(rows.num_rows(), profile.rows, "{draft}");
    (draft, rows)
}

#[test]
fn profile_finds_kinds_formats_and_keys() {
    let given = given(
        "orders.csv",
        "day,zip,when,total,ok,id,none\n\
         03/04/2024,01067,2024-05-01 10:00:00,1.5,yes,a,\n\
         12/03/2024,98101,2024-05-02 10:00:00,\"1,002\",no,b,\n\
         ,98101,2024-05-02 10:00:00,20,no,cé,\n",
    );
    let profile = inspect(&given.file, 1_000).unwrap();
    let kinds: Vec<_> = profile.columns.iter().map(|column| column.kind).collect();
    let expected = [
        ColumnKind::Date,
        ColumnKind::Integer,
        ColumnKind::Time,
        ColumnKind::Decimal,
        ColumnKind::Boolean,
        ColumnKind::Text,
        ColumnKind::Blank,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(profile.keys, ["id"]);
    let [day, zip, when, total, _, id, none] = &profile.columns[..] else {
        panic!()
    };
    assert!(day.day_or_month && !when.day_or_month);
    assert_eq!((day.blank, day.distinct, none.blank), (33.3, 2, 100.0));
    assert_eq!(day.formats, ["%d/%m/%Y"]);
    // By the calendar; by letter 03/04/2024 would be first.
    assert_eq!(day.min.as_deref(), Some("12/03/2024"));
    assert!(zip.leading_zeros && zip.note.as_ref().unwrap().contains("keep it as text"));
    assert_eq!(
        (total.min.as_deref(), total.max.as_deref()),
        (Some("1.5"), Some("1,002"))
    );
    assert_eq!((id.shortest, id.longest), (Some(1), Some(2)));
    assert_eq!(id.examples, ["a", "b", "cé"]);
}

#[tokio::test]
async fn draft_declares_personal_properties() {
    let given = given(
        "events.ndjson",
        "{\"id\":\"a\",\"event_type\":\"form\",\"timestamp\":\"2026-01-05T10:00:00Z\",\"payload\":{\"email\":\"ann@example.com\",\"page\":\"/x\"}}\n\
         {\"id\":\"b\",\"event_type\":\"form\",\"timestamp\":\"2026-01-05T10:00:00Z\",\"payload\":{\"call, at\":\"+49 151 23456780\"}}\n",
    );
    let profile = inspect(&given.file, 1_000).unwrap();
    let payload = &profile.columns[3];
    assert_eq!(payload.personal, ["email", "call, at"]);
    assert!(
        payload
            .note
            .as_ref()
            .unwrap()
            .contains("identifies persons")
    );
    let (draft, _) = draft_of(&given.file, &profile).await;
    let line = "-- personal: email, \"call, at\"\n";
    assert!(draft.contains(line), "{draft}");
    assert!(draft.contains("\"payload\" as properties"), "{draft}");
}

#[test]
fn partial_profile_says_so() {
    let given = given("a.csv", "id\n1\n2\n3\n");
    for (max_rows, rows, complete) in [(0, 1, false), (2, 2, false), (3, 3, true), (9, 3, true)] {
        let profile = inspect(&given.file, max_rows).unwrap();
        assert_eq!(
            (profile.rows, profile.complete),
            (rows, complete),
            "{max_rows}"
        );
    }
}

#[test]
fn refused_rows_are_counted_and_no_rows_are_an_error() {
    let ragged = given("a.csv", "id,b\n1,2\n3,4,5,6\n5,6\n");
    let profile = inspect(&ragged.file, 10).unwrap();
    assert_eq!((profile.rows, profile.refused), (2, 1));
    assert!(
        profile.reasons[0].starts_with("line 3: "),
        "{:?}",
        profile.reasons
    );
    let empty = given("a.csv", "id,b\n");
    assert!(matches!(
        inspect(&empty.file, 10),
        Err(InspectError::NoRows { .. })
    ));
}

#[tokio::test]
async fn draft_runs_with_unusual_names() {
    for (name, content) in [
        ("a|b*.csv", "order,From,a\"\"b,*\n1,2,3,4\n1,2,3,4\n"),
        (
            "orders.csv",
            "\"id\",\"two\nlines\",Created at,Group\n1,a,13/04/2024 10:00,x\n2,b,14/04/2024 11:00,y\n",
        ),
        (
            "x.csv",
            "Email,First Name,created\na@example.com,A,13.04.2024\nb@example.org,B,14.04.2024\n",
        ),
    ] {
        let given = given(name, content);
        let profile = inspect(&given.file, 10).unwrap();
        draft_of(&given.file, &profile).await;
    }
}

#[tokio::test]
async fn other_time_formats_are_converted_to_iso_8601() {
    for (given_times, expected) in [
        (
            ["13/04/2024 10:00", "14/04/2024 11:00"],
            ["2024-04-13 10:00", "2024-04-14 11:00"],
        ),
        (
            ["4/13/2024 9:05", "12/1/2024 11:00"],
            ["2024-04-13 09:05", "2024-12-01 11:00"],
        ),
        (["13.4.2024", "01.05.2024"], ["2024-04-13", "2024-05-01"]),
        (
            ["2024/04/13 10:00:01", "2024/04/14 10:00:02"],
            ["2024-04-13 10:00:01", "2024-04-14 10:00:02"],
        ),
        (["20240413", "20240414"], ["2024-04-13", "2024-04-14"]),
        (["13-04-2024", "14-04-2024"], ["2024-04-13", "2024-04-14"]),
        // What ingest reads as it is, and what a pattern cannot put in order, stay.
        (
            ["2024-04-13T10:00:00Z", "2024-04-14T10:00:00Z"],
            ["2024-04-13T10:00:00Z", "2024-04-14T10:00:00Z"],
        ),
        (["1 Feb 2024", "2 Feb 2024"], ["1 Feb 2024", "2 Feb 2024"]),
    ] {
        let [first, second] = given_times;
        let given = given(
            "orders.csv",
            &format!("id,created at\n1,{first}\n2,{second}\n"),
        );
        let (draft, rows) = draft_of(&given.file, &inspect(&given.file, 10).unwrap()).await;
        let placed: Vec<_> = rows
            .column_by_name("placed_at")
            .unwrap()
            .as_string::<i32>()
            .iter()
            .flatten()
            .collect();
        assert_eq!(placed, expected, "{draft}");
    }
}

#[tokio::test]
async fn value_beyond_the_sample_does_not_fail_the_draft() {
    let given = given(
        "orders.csv",
        "id,created at\n1,13/04/2024\n2,14/04/2024\n3,soon\n",
    );
    let mut profile = inspect(&given.file, 2).unwrap();
    assert!(!profile.complete);
    profile.rows = 3;
    let (_, rows) = draft_of(&given.file, &profile).await;
    let placed = rows.column_by_name("placed_at").unwrap().as_string::<i32>();
    assert_eq!((placed.value(0), placed.value(2)), ("2024-04-13", "soon"));
}

/// What a column of a draft's rows holds.
fn texts(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = rows.column_by_name(column).unwrap();
    let texts = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
    let texts = texts.as_string::<i32>().iter();
    texts.map(|text| text.map(str::to_owned)).collect()
}

#[tokio::test]
async fn planned_closing_days_do_not_close_deals() {
    let flags = "Id,Name,StageName,Amount,Probability,CloseDate,IsClosed,IsWon\n\
        1,a,Closed Won,10,100,2024-04-13,true,true\n\
        2,b,Closed Lost,10,0,2024-04-14,true,false\n\
        3,c,Prospecting,10,10%,2024-04-15,false,false\n";
    let stages = "Deal ID,Deal Name,Deal Stage,Close Date\n\
        1,a,Closed Won,2024-04-13\n2,b,Closed Lost,2024-04-14\n3,c,Offer,2024-04-15\n";
    let statuses = "id,status,close_date\n1,Won,2024-04-13\n2,lost,2024-04-14\n3,open,2024-04-15\n";
    for (name, content) in [
        ("Opportunity.csv", flags),
        ("deals.csv", stages),
        ("deals.csv", statuses),
    ] {
        let given = given(name, content);
        let (draft, rows) = draft_of(&given.file, &inspect(&given.file, 10).unwrap()).await;
        assert!(draft.contains("-- table: deals\n"), "{draft}");
        let status = texts(&rows, "status");
        let status: Vec<_> = status.iter().flatten().map(|s| s.to_lowercase()).collect();
        assert_eq!(status, ["won", "lost", "open"], "{draft}");
        let days = [Some("2024-04-13"), Some("2024-04-14"), None];
        assert_eq!(
            texts(&rows, "closed_at"),
            days.map(|day| day.map(str::to_owned)),
            "{draft}"
        );
        let expected = texts(&rows, "expected_close_date");
        assert_eq!(expected[2].as_deref(), Some("2024-04-15"), "{draft}");
        if content == flags {
            let chances = [Some("1.0"), Some("0.0"), Some("0.1")];
            let chances = chances.map(|chance| chance.map(str::to_owned));
            assert_eq!(texts(&rows, "probability"), chances, "{draft}");
        }
    }
    // Nothing tells which of these are closed.
    let given = given("deals.csv", "id,close_date\n1,2024-04-13\n2,2024-04-14\n");
    let (draft, rows) = draft_of(&given.file, &inspect(&given.file, 10).unwrap()).await;
    assert!(rows.column_by_name("closed_at").is_none(), "{draft}");
    assert_eq!(texts(&rows, "expected_close_date").len(), 2);
}

#[tokio::test]
async fn key_of_a_single_row_is_found_by_name() {
    let given = given("one.csv", "id,email,name\nX1,a@example.com,A\n");
    let profile = inspect(&given.file, 10).unwrap();
    assert_eq!(profile.keys, ["id"]);
    let (draft, _) = draft_of(&given.file, &profile).await;
    assert!(draft.contains("\"id\" as external_id"), "{draft}");
    assert!(draft.contains("the file has one row"), "{draft}");
}

#[tokio::test]
async fn partial_draft_says_so() {
    let given = given("orders.csv", "id,total\n1,5\n2,6\n3,7\n");
    let part = draft_mapping(&inspect(&given.file, 2).unwrap(), "orders.csv");
    assert!(part.contains("-- From the first 2 rows"), "{part}");
    let (whole, _) = draft_of(&given.file, &inspect(&given.file, 9).unwrap()).await;
    assert!(!whole.contains("-- From the first"), "{whole}");
}

#[tokio::test]
async fn mixed_number_styles_are_converted_to_one() {
    let words = given("orders.csv", "id;total\n1;12,50\n2;n/a\n3;1.234\n");
    let draft = draft_mapping(&inspect(&words.file, 10).unwrap(), "orders.csv");
    assert!(draft.contains("-- numbers: 1.234,56\n"), "{draft}");
    let given = given(
        "orders.csv",
        "id;total;subtotal;tax\n1;12,50;12.50;1.234\n2;1.234,50;7;2.345\n",
    );
    let profile = inspect(&given.file, 10).unwrap();
    let kinds: Vec<_> = profile.columns.iter().map(|column| column.kind).collect();
    assert_eq!(kinds[1..], [ColumnKind::Decimal; 3]);
    assert_eq!(profile.columns[1].max.as_deref(), Some("1.234,50"));
    let (draft, rows) = draft_of(&given.file, &profile).await;
    assert!(draft.contains("-- numbers: 1.234,56\n"), "{draft}");
    // What only has a point gets a comma, and what can be both is left to the header.
    assert_eq!(texts(&rows, "subtotal")[0].as_deref(), Some("12,50"));
    assert_eq!(texts(&rows, "tax")[0].as_deref(), Some("1.234"));
}
