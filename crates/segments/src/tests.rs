//! Members over a session with three persons in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use roaring::RoaringTreemap;
use rollbook_engine::{Session, SessionOptions, TableSource};
use rollbook_lake::{Lake, State};
use rollbook_model::SnapshotNumber;
use rollbook_model::config::Limits;
use rollbook_model::tables::PERSONS;

use crate::clause_stats::clause_stats;
use crate::{
    Criteria, Definition, Draft, Evaluation, Refreshed, SegmentError, SegmentMembers, preview,
};

mod differential;

fn parsed(text: &str) -> Result<Criteria, SegmentError> {
    Criteria::parse(text, &Limits::default())
}

async fn evaluate(session: &Session, criteria: &Criteria) -> Result<RoaringTreemap, SegmentError> {
    Evaluation::new(session, &[]).of(criteria).await
}

/// Persons 0 (nobody), 1 in DE, 2 in US, 3 of an unknown country.
async fn session() -> Session {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2, 3]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
    let countries: ArrayRef = Arc::new(StringArray::from(vec![
        Some("DE"),
        Some("DE"),
        Some("US"),
        None,
    ]));
    let known = BTreeMap::from([
        ("person_id", &ids),
        ("identity_id", &ids),
        ("provider", &texts),
        ("external_id", &texts),
        ("country", &countries),
    ]);
    let schema = PERSONS.stored_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match known.get(field.name().as_str()) {
            Some(&values) => Arc::clone(values),
            None => new_null_array(field.data_type(), 4),
        });
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    let stored = Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap());
    let session = Session::new(SessionOptions {
        as_of: "2024-06-30".parse().unwrap(),
        currency: None,
        zone: chrono_tz::Tz::UTC,
        fx_days: 7,
        limits: Limits::default(),
        spill_dir: None,
        personal: true,
        rules: Vec::new(),
    })
    .unwrap();
    session
        .add_table(TableSource {
            def: PERSONS,
            stored,
            vault: None,
            authority: None,
        })
        .unwrap();
    session.finish().await.unwrap();
    session
}

async fn lines(session: &Session, sql: &str) -> Vec<String> {
    let answer = session
        .query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let options = FormatOptions::default();
    let mut lines = Vec::new();
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| {
                ArrayFormatter::try_new(column, &options)
                    .unwrap()
                    .value(row)
                    .to_string()
            });
            lines.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

#[tokio::test]
async fn members_are_known_persons_who_meet_the_criteria() {
    let session = session().await;
    for (text, expected) in [
        ("country = 'DE'", vec![1_u64]),
        ("country <> 'DE'", vec![2]),
        ("country is null or country = 'US'", vec![2, 3]),
        ("true", vec![1, 2, 3]),
        ("null", vec![]),
        ("select person_id from persons", vec![1, 2, 3]),
        (
            "-- a list\nselect * from (values (3), (-1), (0), (77), (null)) as t (person_id)",
            vec![3],
        ),
    ] {
        let criteria = parsed(text).unwrap();
        let members = evaluate(&session, &criteria).await.unwrap();
        assert_eq!(
            members,
            expected.iter().copied().collect::<RoaringTreemap>(),
            "{text}"
        );
        let preview = preview(&members, 2);
        assert_eq!(preview.count, members.len(), "{text}");
        assert_eq!(
            preview.sample,
            members.iter().take(2).collect::<Vec<_>>(),
            "{text}"
        );
    }
}

#[tokio::test]
async fn errors_have_positions_in_the_written_text() {
    let session = session().await;
    let criteria = parsed("country = 'DE'\n or contry = 'US'").unwrap();
    let error = evaluate(&session, &criteria).await.unwrap_err();
    let message =
        "unknown column `contry` in `people` at line 2, column 5; did you mean `country`?";
    assert_eq!(error.to_string(), message);
    assert_eq!(
        error.position().map(|place| (place.line, place.column)),
        Some((2, 5))
    );
    assert!(matches!(parsed(" \n "), Err(SegmentError::EmptyCriteria)));
    assert!(matches!(
        parsed("with t as (select 1) select 2"),
        Ok(Criteria::Select(_))
    ));
}

#[tokio::test]
async fn the_view_gives_a_row_for_each_member() {
    let session = session().await;
    let many: RoaringTreemap = (1..=20_000).chain([1 << 40]).collect();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let lake = Lake::open_or_new(place, "a".parse().unwrap())
        .await
        .unwrap();
    let sets = [
        RoaringTreemap::from_iter([2, 3]),
        many,
        RoaringTreemap::new(),
    ];
    let sets: Vec<_> = sets.iter().collect();
    let stored = lake.put_sets("_members/some", &sets).await.unwrap();
    let keys = ["first", "many", "nobody"].map(|key| key.parse().unwrap());
    let segments = keys
        .into_iter()
        .zip(stored)
        .map(|(segment, set)| Refreshed {
            segment,
            set,
            count: 0,
            snapshot: SnapshotNumber(0),
            revision: 1,
            as_of: session.as_of(),
            computed_at: session.as_of(),
            names: BTreeMap::new(),
            traits: BTreeMap::new(),
            settings: None,
            decided: None,
            gone: None,
        });
    let segments = SegmentMembers::new(&lake, &State::default(), segments.collect());
    session
        .add_view("segment_members", Arc::new(segments))
        .unwrap();
    let sql = "select segment, count(*), max(person_id) from segment_members group by 1 order by 1";
    assert_eq!(
        lines(&session, sql).await,
        ["first|2|3", "many|20001|1099511627776"]
    );
    for (filter, expected) in [
        ("segment = 'first'", "2"),
        ("segment in ('first', 'nobody')", "2"),
        ("segment like 'm%' and person_id > 19999", "2"),
        ("segment = 'none'", "0"),
        ("segment <> 'many' or person_id = 5", "3"),
    ] {
        let sql = format!("select count(*) from segment_members where {filter}");
        assert_eq!(lines(&session, &sql).await, [expected], "{filter}");
    }
    let sql = "select person_id from segment_members s where segment = 'first' order by 1 limit 1";
    assert_eq!(lines(&session, sql).await, ["2"]);
    let text = "person_id in (select person_id from segment_members where segment = 'first')";
    let members = evaluate(&session, &parsed(text).unwrap()).await.unwrap();
    assert_eq!(members.iter().collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn the_examples_of_the_docs_can_be_evaluated() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SEGMENTS.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, examples) = docs.split_once("## Examples").unwrap();
    let (_, examples) = examples.split_once("```sql\n").unwrap();
    let (examples, _) = examples.split_once("```").unwrap();
    let session = session().await;
    let of = |key: String, criteria: &str| {
        let draft = Draft::new(key.parse().unwrap(), criteria.to_owned());
        Definition::first(&draft, session.as_of())
    };
    let examples: Vec<&str> = examples.lines().collect();
    assert!(examples.len() >= 30);
    let numbered = examples.iter().enumerate();
    let mut definitions: Vec<_> = numbered
        .map(|(at, example)| of(format!("example-{at}"), example))
        .collect();
    let keys: Vec<_> = definitions.iter().map(|one| one.key.clone()).collect();
    definitions.push(of("employees".to_owned(), "country = 'US'"));
    let all = Evaluation::new(&session, &definitions)
        .segments(&keys)
        .await;
    for (example, members) in examples.iter().zip(all) {
        assert!(members.is_ok(), "{example}: {members:?}");
    }
}

#[tokio::test]
async fn errors_of_named_segments_are_reported() {
    let session = session().await;
    let definitions: Vec<_> = [
        ("a", "in_segment('b') or country = 'DE'"),
        ("b", "not in_segment('c')"),
        ("c", "in_segment('a')"),
        ("d", "in_segment('gone')"),
        ("e", "in_segment('d') and true"),
        ("f", "contry = 'DE'"),
        ("g", "in_segment('f')"),
        ("h", "not in_segment('i')"),
        ("i", "country = 'DE'"),
        ("j", "in_segment('j')"),
        ("k", "in_segment('a')"),
    ]
    .into_iter()
    .map(|(key, criteria)| {
        let draft = Draft::new(key.parse().unwrap(), criteria.to_owned());
        Definition::first(&draft, session.as_of())
    })
    .collect();
    let keys: Vec<_> = definitions.iter().map(|one| one.key.clone()).collect();
    let all = Evaluation::new(&session, &definitions)
        .segments(&keys)
        .await;
    let told: Vec<String> = all
        .into_iter()
        .map(|members| match members {
            Ok(members) => format!("{:?}", members.iter().collect::<Vec<_>>()),
            Err(error) => error.to_string(),
        })
        .collect();
    let circle = "segments name each other in a circle: `a` names `b` names `c` names `a`";
    assert_eq!(told[0], circle);
    assert!(
        told[1].contains("`b` names `c` names `a` names `b`"),
        "{}",
        told[1]
    );
    assert_eq!(told[3], "there is no segment `gone`");
    assert_eq!(
        told[4],
        "it names segment `d`, which has no members: there is no segment `gone`"
    );
    assert!(
        told[5].starts_with("unknown column `contry`"),
        "{}",
        told[5]
    );
    assert!(
        told[6].starts_with("it names segment `f`, which has no members"),
        "{}",
        told[6]
    );
    assert_eq!(told[7..9], ["[2, 3]", "[1]"]);
    assert!(told[9].ends_with("`j` names `j`"), "{}", told[9]);
    assert_eq!(told[10], circle);
}

#[tokio::test]
async fn criteria_that_cannot_be_planned_leave_the_others_their_members() {
    let session = session().await;
    let texts = [
        "country = 'DE'",
        "country = 'US'\n and contry = 'US'",
        "country is null",
        "country = 'US' or",
    ];
    let definitions = texts.iter().zip(["a", "b", "c", "d"]).map(|(text, key)| {
        let draft = Draft::new(key.parse().unwrap(), (*text).to_owned());
        Definition::first(&draft, session.as_of())
    });
    let definitions: Vec<_> = definitions.collect();
    let keys: Vec<_> = definitions.iter().map(|one| one.key.clone()).collect();
    let mut all = Evaluation::new(&session, &definitions)
        .segments(&keys)
        .await;
    let place = |error: SegmentError| error.position().map(|at| (at.line, at.column));
    assert_eq!(all.pop().unwrap().map_err(place), Err(Some((1, 18))));
    let found: Vec<_> = all
        .into_iter()
        .map(|members| members.map(|members| members.iter().collect::<Vec<_>>()))
        .map(|members| members.map_err(place))
        .collect();
    assert_eq!(found, [Ok(vec![1]), Err(Some((2, 6))), Ok(vec![3])]);
}

#[tokio::test]
async fn clauses_are_counted_and_their_errors_have_positions_in_the_whole_text() {
    let session = session().await;
    let mut evaluation = Evaluation::new(&session, &[]);
    let condition = session
        .condition("country is not null and (country = 'DE' or country = 'FR')")
        .unwrap();
    let stats = clause_stats(&session, &mut evaluation, &condition, 3).await;
    let stats = stats.unwrap();
    let of_clauses: Vec<_> = stats
        .clauses
        .iter()
        .map(|one| (one.text.as_str(), one.alone))
        .collect();
    assert_eq!(
        of_clauses,
        [
            ("country IS NOT NULL", 2),
            ("country = 'DE' or country = 'FR'", 1)
        ]
    );
    assert_eq!(stats.warnings, ["`FR` never occurs in `country`"]);
    let wrong = session
        .condition("country = 'DE'\n and contry = 'FR'")
        .unwrap();
    let failed = clause_stats(&session, &mut evaluation, &wrong, 3).await;
    let failed = failed.unwrap_err();
    let place = |error: &SegmentError| error.position().map(|at| (at.line, at.column));
    assert_eq!(place(&failed), Some((2, 6)));
    let whole = evaluation.of_whole(&wrong, failed).await.unwrap_err();
    assert_eq!(place(&whole), Some((2, 6)));
}
