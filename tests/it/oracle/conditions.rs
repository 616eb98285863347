//! Conditions and queries give the same answers as DuckDB on the same rows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::json::ReaderBuilder;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use rollbook_engine::{Answer, EngineError, Session, SessionOptions, TableSource};
use rollbook_model::config::Limits;
use rollbook_model::tables::table;
use serde_json::{Value, json};

mod literals;
mod subqueries;

/// The ids of the persons who meet a condition, in order.
async fn person_ids(session: &Session, condition: &str) -> Result<Vec<i64>, EngineError> {
    let condition = session.condition(condition)?;
    let mut rows = session
        .people_where_with(&condition, BTreeMap::new())
        .await?;
    let mut ids = BTreeSet::new();
    while let Some(batch) = rows.next_batch().await? {
        ids.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten());
    }
    Ok(ids.into_iter().collect())
}

const PERSONS: [(&str, &str, &str, &str); 9] = [
    ("DE", "ads", "true", "2024-06-29T12:00:00Z"),
    ("", "web", "", "2024-05-31T12:00:00Z"),
    ("AT", "mail", "false", "2024-05-31T11:59:59Z"),
    ("FR", "ads", "true", "2024-05-31T12:00:01Z"),
    ("DE", "", "", "2024-01-31T00:00:00Z"),
    ("", "", "false", "2023-06-30T12:00:00Z"),
    ("AT", "web", "true", "2023-06-30T12:00:01Z"),
    ("web", "AT", "false", "2020-02-29T00:00:00Z"),
    ("US", "phone", "", ""),
];

const ORDERS: [(i64, &str, &str, &str, &str); 14] = [
    (1, "web", "paid", "69.90", "2024-06-29T12:00:00Z"),
    (1, "", "paid", "17.99", "2024-05-31T12:00:00Z"),
    (1, "ads", "cancelled", "4.07", "2024-05-31T12:00:00.000001Z"),
    (2, "", "paid", "128.99", "2024-05-31T11:59:59.999999Z"),
    (2, "", "open", "69.91", "2024-04-01T00:00:00Z"),
    (3, "ads", "paid", "69.89", "2024-03-31T00:00:00Z"),
    (3, "mail", "paid", "0.10", "2024-02-29T00:00:00Z"),
    (4, "ads", "paid", "0.30", "2023-06-30T12:00:00Z"),
    (4, "web", "open", "", "2023-07-01T00:00:00Z"),
    (5, "DE", "paid", "1000000000.0001", "2023-06-30T11:00:00Z"),
    (5, "AT", "paid", "33.3333", "2020-02-29T00:00:00Z"),
    (7, "AT", "cancelled", "69.9001", "2024-06-30T11:59:59Z"),
    (7, "web", "paid", "0", "2024-02-29T00:00:00.5Z"),
    (0, "", "paid", "-4.07", "2024-06-01T00:00:00Z"),
];

/// A text, or null if it is empty.
fn or_null(text: &str) -> Value {
    match text {
        "" => Value::Null,
        text => json!(text),
    }
}

/// The current time of the session.
const NOW: &str = "2024-06-30T12:00:00Z";

async fn session() -> Session {
    let options = SessionOptions {
        as_of: NOW.parse().unwrap(),
        currency: Some("EUR".to_owned()),
        zone: "UTC".parse().unwrap(),
        fx_days: 7,
        limits: Limits::default(),
        spill_dir: None,
        personal: true,
        rules: Vec::new(),
    };
    let session = Session::new(options).unwrap();
    let mut persons = vec![row(0, "p0".to_owned(), json!({}))];
    for (at, (country, source, is_lead, created_at)) in (1..).zip(PERSONS) {
        let columns = json!({ "country": or_null(country), "source": or_null(source),
            "is_lead": is_lead.parse::<bool>().ok(), "created_at": or_null(created_at) });
        persons.push(row(at, format!("p{at}"), columns));
    }
    let mut orders = Vec::new();
    for (at, (person, source_name, status, total, placed_at)) in (1..).zip(ORDERS) {
        let columns = json!({ "currency": "EUR", "source_name": or_null(source_name),
            "status": status, "total": or_null(total), "placed_at": or_null(placed_at) });
        orders.push(row(person, format!("o{at}"), columns));
    }
    for (name, rows) in [("persons", persons), ("orders", orders)] {
        let def = table(name).unwrap();
        let schema = def.stored_schema();
        let mut decoder = ReaderBuilder::new(Arc::clone(&schema))
            .build_decoder()
            .unwrap();
        decoder.serialize(&rows).unwrap();
        let batches = decoder.flush().unwrap().into_iter().collect();
        let stored = Arc::new(MemTable::try_new(schema, vec![batches]).unwrap());
        let source = TableSource {
            def,
            stored,
            vault: None,
            authority: None,
        };
        session.add_table(source).unwrap();
    }
    session.finish().await.unwrap();
    session
}

fn row(person: i64, id: String, mut columns: Value) -> Value {
    columns["person_id"] = person.into();
    columns["identity_id"] = person.into();
    columns["provider"] = "shop".into();
    columns["external_id"] = id.into();
    columns
}

/// The rows of an answer, values separated by `|`.
fn text(answer: &Answer) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let mut lines = Vec::new();
    for batch in &answer.batches {
        let columns = batch.columns().iter();
        let columns: Vec<_> = columns
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            lines.push(values.join("|"));
        }
    }
    lines
}

/// The same rows for DuckDB.
fn prepared() -> Vec<String> {
    let value = |text: &str| match text {
        "" => "null".to_owned(),
        text => format!("'{text}'"),
    };
    let mut statements = vec![
        "create table people (person_id bigint, country text, source text, is_lead boolean, \
         created_at timestamptz)"
            .to_owned(),
        "create table orders (external_id text, person_id bigint, source_name text, status text, \
         total decimal(19, 4), placed_at timestamptz)"
            .to_owned(),
    ];
    for (at, (country, source, is_lead, created_at)) in (1..).zip(PERSONS) {
        let values = [country, source, is_lead, created_at].map(value).join(", ");
        statements.push(format!("insert into people values ({at}, {values})"));
    }
    for (at, (person, source_name, status, total, placed_at)) in (1..).zip(ORDERS) {
        let values = [source_name, status, total, placed_at]
            .map(value)
            .join(", ");
        statements.push(format!(
            "insert into orders values ('o{at}', {person}, {values})"
        ));
    }
    statements
}

/// The answer of DuckDB, or its error.
fn answers(queries: &[String]) -> Vec<Result<Vec<String>, String>> {
    assert!(!queries.is_empty());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/ask_duckdb.py");
    let mut running = Command::new(rollbook_tests::python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let now = format!("timestamptz '{NOW}'");
    let queries: Vec<_> = queries
        .iter()
        .map(|sql| sql.replace("now()", &now))
        .collect();
    let asked = json!({ "prepare": prepared(), "queries": queries }).to_string();
    let mut input = running.stdin.take().unwrap();
    input.write_all(asked.as_bytes()).unwrap();
    drop(input);
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let row = |row: &Value| row[0].as_str().unwrap_or("null").to_owned();
    let answer = |answer: Value| match answer {
        Value::String(error) => Err(error),
        rows => {
            let mut rows: Vec<_> = rows.as_array().unwrap().iter().map(row).collect();
            rows.sort();
            Ok(rows)
        }
    };
    assert_eq!(answers.len(), queries.len());
    answers.into_iter().map(answer).collect()
}

/// Compares the persons that meet conditions on `people` with DuckDB; returns the number of refused
/// conditions.
async fn hold_conditions(conditions: &[String]) -> usize {
    let query = |condition: &String| format!("select person_id from people where {condition}");
    let theirs = answers(&conditions.iter().map(query).collect::<Vec<_>>());
    let session = session().await;
    let (mut refused, mut equal, mut wrong) = (0, 0, Vec::new());
    for (condition, theirs) in conditions.iter().zip(theirs) {
        let ours = person_ids(&session, condition).await;
        let ours = ours.map(|ids| {
            let mut ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            ids.sort();
            ids
        });
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => equal += 1,
            (Err(EngineError::Internal { source }), _) => {
                wrong.push(format!("{condition}\n    failed: {source}"));
            }
            (Err(error), Ok(_)) => {
                println!("refused: {condition}\n    {error}");
                refused += 1;
            }
            // It has no such condition.
            (_, Err(error)) => println!("not in DuckDB: {condition}\n    {error}"),
            (Ok(ours), Ok(theirs)) => {
                wrong.push(format!(
                    "{condition}\n    here {ours:?}\n    there {theirs:?}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        equal * 4 > conditions.len() * 3,
        "only {equal} were compared"
    );
    refused
}

/// The values of the first column, from the program and from DuckDB.
async fn hold_queries(queries: &[&str]) {
    let asked: Vec<_> = queries.iter().map(|sql| (*sql).to_owned()).collect();
    let theirs = answers(&asked);
    let session = session().await;
    let (mut equal, mut wrong) = (0, Vec::new());
    for (sql, theirs) in queries.iter().zip(theirs) {
        let mut ours = match session.query(sql).await {
            Ok(answer) => text(&answer),
            Err(error) => vec![error.to_string()],
        };
        ours.sort();
        match theirs {
            Ok(theirs) if ours == theirs => equal += 1,
            // It has no such query; what is compared is that it runs here.
            Err(error) => println!("not in DuckDB: {sql}\n    {error}"),
            Ok(theirs) => wrong.push(format!("{sql}\n    here {ours:?}\n    there {theirs:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(equal * 2 > queries.len(), "only {equal} were compared");
}

/// Pseudo-random numbers with a fixed seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}
