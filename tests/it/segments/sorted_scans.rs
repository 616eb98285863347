//! Scans of clustered tables by person neither sort nor repartition, even if files overlap, and return
//! every row once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::Int64Type;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollbook_engine::{Session, SessionOptions, TableSource};
use rollbook_lake::maintenance::compact::{all, due};
use rollbook_lake::table::writer::TableWriter;
use rollbook_lake::{DataFile, Lake, LakeTable, RemoveUnusedOrdering, SplitPoints, TableState};
use rollbook_model::config::Limits;
use rollbook_model::{TableDef, Timestamp, tables};

type Row = (i64, i64, String);

/// Rows of persons up to `persons`, in order.
fn rows(random: &mut ChaCha8Rng, persons: i64, count: usize, run: usize) -> Vec<Row> {
    let row = |at| {
        let (person, time) = (
            random.random_range(0..persons),
            random.random_range(0..1_000_000),
        );
        (person, time, format!("{run}-{at}"))
    };
    let mut rows: Vec<Row> = (0..count).map(row).collect();
    rows.sort();
    rows
}

fn batch(def: &'static TableDef, rows: &[Row]) -> RecordBatch {
    let schema = def.stored_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "person_id" | "identity_id" => {
                Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())
            }
            "occurred_at" => {
                let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.1)).collect();
                Arc::new(times.with_timezone("UTC"))
            }
            "external_id" => Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.2))),
            "provider" => Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "test"))),
            "type" => Arc::new(StringArray::from_iter_values(
                rows.iter()
                    .map(|row| ["seen", "clicked"][usize::from(row.1 % 2 == 0)]),
            )),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

async fn write(lake: &Lake, def: &'static TableDef, rows: &[Row]) -> Vec<DataFile> {
    let mut writer = TableWriter::new(lake, def);
    for chunk in rows.chunks(10_000) {
        writer.write(&batch(def, chunk)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn session(
    lake: &Lake,
    tables: &[(&'static TableDef, &[DataFile])],
    memory: usize,
) -> Session {
    let options = SessionOptions {
        zone: rollbook_model::Settings::default().zone(),
        as_of: Timestamp::from_micros(2_000_000),
        currency: None,
        fx_days: 7,
        limits: Limits {
            memory,
            disk: 0,
            rows: 10_000_000,
            ..Limits::default()
        },
        spill_dir: None,
        personal: true,
        rules: vec![Arc::new(RemoveUnusedOrdering)],
    };
    let session = Session::new(options).unwrap();
    let files = tables.iter().flat_map(|(_, files)| files.iter());
    let cuts = Arc::new(SplitPoints::of(files));
    for &(def, files) in tables {
        let state = TableState {
            version: Some(0),
            files: files.to_vec(),
            described: None,
        };
        let stored = LakeTable::split_at(lake, def, &state, Arc::clone(&cuts));
        let stored = Arc::new(stored.with_text_views());
        let vault = None;
        session
            .add_table(TableSource {
                def,
                stored,
                vault,
                authority: None,
            })
            .unwrap();
    }
    session.finish().await.unwrap();
    session
}

const BY_PERSON: [&str; 3] = [
    "select person_id, count(*) as n from activities group by person_id",
    "select person_id, type, count(*) as n from activities group by person_id, type",
    "select person_id, row_number() over (partition by person_id order by occurred_at) as n from activities",
];

#[tokio::test(flavor = "multi_thread")]
async fn queries_by_person_stream_without_sorting() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().to_str().unwrap();
    let lake = Lake::open_or_new(location, "default".parse().unwrap());
    let lake = lake.await.unwrap();
    let def = tables::table("activities").unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let (mut files, mut expected) = (Vec::new(), BTreeMap::<i64, i64>::new());
    // A large load, and small ones that lie over it; one person has more rows than a row group.
    for (run, count) in [400_000, 20_000, 3_000, 300, 1].into_iter().enumerate() {
        let mut all = rows(&mut random, 5_000, count, run);
        if run == 0 {
            all.extend((0..300_000).map(|at| (2_500, at, format!("many-{at:06}"))));
            all.sort();
        }
        for (person, ..) in &all {
            *expected.entry(*person).or_default() += 1;
        }
        files.extend(write(&lake, def, &all).await);
    }
    files.shuffle(&mut random);
    let session = session(&lake, &[(def, &files)], Limits::default().memory).await;
    for query in BY_PERSON {
        let plan = session.explain(query).await.unwrap();
        assert!(!plan.contains("SortExec"), "{plan}");
        assert!(!plan.contains("Repartition"), "{plan}");
        // The run of one row reaches into one of the two ranges.
        assert!(plan.contains("runs_by_range=[4, 5]"), "{plan}");
        assert!(plan.contains("order="), "{plan}");
    }
    // Nobody waits for an order that nobody uses; who sees the rows sees them in order.
    let sums = "select max(occurred_at) as t, sum(person_id) as p from activities";
    let by_another = "select external_id, count(*) as n from activities group by external_id";
    for (query, is_ordered) in [
        (sums, false),
        (by_another, false),
        ("select person_id, occurred_at from activities", true),
        (
            "select * from activities order by person_id, occurred_at limit 5",
            true,
        ),
    ] {
        let plan = session.explain(query).await.unwrap();
        assert_eq!(plan.contains("order="), is_ordered, "{plan}");
    }
    let answer = session.query(BY_PERSON[0]).await.unwrap();
    let mut found = BTreeMap::new();
    for batch in &answer.batches {
        let persons = batch["person_id"].as_primitive::<Int64Type>();
        let counts = batch["n"].as_primitive::<Int64Type>();
        for (person, count) in persons.values().iter().zip(counts.values()) {
            assert_eq!(
                found.insert(*person, *count),
                None,
                "person {person} in two ranges"
            );
        }
    }
    assert_eq!(found, expected);
    // Every row once and in its place, also where neither person nor time is asked for.
    let whole = "select count(*) as n, count(distinct external_id) as ids from activities";
    let answer = session.query(whole).await.unwrap();
    let total: i64 = expected.values().sum();
    for name in ["n", "ids"] {
        assert_eq!(
            answer.batches[0][name].as_primitive::<Int64Type>().value(0),
            total
        );
    }
    let places = "select count(*) as n from (select occurred_at, lag(occurred_at) over (partition by person_id order by occurred_at) as before from activities) as ranked where before > occurred_at";
    let answer = session.query(places).await.unwrap();
    assert_eq!(
        answer.batches[0]["n"].as_primitive::<Int64Type>().value(0),
        0
    );

    let state = TableState {
        version: Some(0),
        files,
        described: None,
    };
    assert_eq!(all(&state).len(), state.files.len());
    assert!(
        due(&state).is_empty(),
        "small runs lie on a large one: they wait"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_conditions_stream_in_one_pass() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().to_str().unwrap();
    let lake = Lake::open_or_new(location, "default".parse().unwrap());
    let lake = lake.await.unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let (activities, persons) = (tables::table("activities").unwrap(), tables::PERSONS);
    let acts = rows(&mut random, 200_000, 300_000, 0);
    // Every third person is known; the others do things nobody asks about.
    let known: Vec<Row> = (1..200_000)
        .step_by(3)
        .map(|id| (id, 0, format!("p{id}")))
        .collect();
    let files = [
        write(&lake, activities, &acts).await,
        write(&lake, persons, &known).await,
    ];
    // Too little to sort or to hash what is asked about.
    let tables = [(activities, &files[0][..]), (persons, &files[1][..])];
    let session = session(&lake, &tables, 4 << 20).await;
    let conditions = [
        "did('seen', at_least => 2)",
        "not did('clicked')",
        "external_id like 'p1%'",
    ];
    let conditions = conditions.map(|text| session.condition(text).unwrap());
    let mut counts: BTreeMap<(i64, bool), u64> = BTreeMap::new();
    for (person, time, _) in &acts {
        *counts.entry((*person, time % 2 == 0)).or_default() += 1;
    }
    let count = |person, is_click| counts.get(&(person, is_click)).copied().unwrap_or(0);
    let mut rows = session
        .people_matching(conditions.into(), BTreeMap::new())
        .await
        .unwrap();
    let mut seen = 0;
    while let Some(batch) = rows.next_batch().await.unwrap() {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        for (at, person) in ids.values().iter().enumerate() {
            let met = |column: usize| batch.column(column).as_boolean().value(at);
            assert_eq!(met(1), count(*person, false) >= 2, "{person}");
            assert_eq!(met(2), count(*person, true) == 0, "{person}");
            assert_eq!(met(3), format!("p{person}").starts_with("p1"), "{person}");
            seen += 1;
        }
    }
    assert_eq!(seen, known.len());
}
