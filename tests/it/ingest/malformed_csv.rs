//! A file with 338 rows each wrapped in one quoted field, read through a custom mapping: no row is lost or
//! misread.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::Int64Type;
use rollbook_read::{Reader, discover};
use serde_json::Value;

use crate::support::own_lake::{OwnLake, counts, text};

const MAPPING: &str = r#"-- about: leads of an online school
-- table: persons
-- source: leads = leads*
select
    l."Prospect ID" as external_id,
    true as is_lead,
    nullif(l."City", 'Select') as city,
    l."Lead Source" as source,
    l."Last Notable Activity" as lifecycle_stage,
    json_object(
        'specialization', nullif(l."Specialization", 'Select'),
        'lead_number', l."Lead Number",
        'converted', l."Converted",
        'time_on_site', l."Total Time Spent on Website"
    ) as custom
from leads l
"#;

const ROWS: u64 = 9_240;
const WRAPPED: usize = 338;

/// The output of the mapping for a lead: city, source, stage, and its custom fields.
type Lead = (String, String, String, BTreeMap<String, String>);

/// The leads in the repaired copy of the file, by id, and the id on each line.
fn repaired(path: &Path) -> (BTreeMap<String, Lead>, BTreeMap<u64, String>) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let mut leads = BTreeMap::new();
    let mut on_line = BTreeMap::new();
    for record in reader.records() {
        let record = record.unwrap();
        let cell = |name: &str| {
            let at = headers.iter().position(|header| header == name).unwrap();
            record[at].to_owned()
        };
        let answer = |name: &str| cell(name).replace("Select", "");
        let custom = [
            ("specialization", answer("Specialization")),
            ("lead_number", cell("Lead Number")),
            ("converted", cell("Converted")),
            ("time_on_site", cell("Total Time Spent on Website")),
        ];
        let custom = custom.into_iter().filter(|(_, value)| !value.is_empty());
        let lead = (
            answer("City"),
            cell("Lead Source"),
            cell("Last Notable Activity"),
            custom.map(|(key, value)| (key.to_owned(), value)).collect(),
        );
        on_line.insert(record.position().unwrap().line(), cell("Prospect ID"));
        leads.insert(cell("Prospect ID"), lead);
    }
    (leads, on_line)
}

/// The lines of the malformed file that are one quoted field.
fn wrapped_lines(path: &Path) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| line.starts_with('"'))
        .map(|(_, number)| number)
        .collect()
}

fn stored(row: &Value) -> (String, Lead) {
    let of = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    let custom = serde_json::from_str(text(row, "custom")).unwrap();
    (
        of("external_id"),
        (of("city"), of("source"), of("lifecycle_stage"), custom),
    )
}

/// A line number, and the cells of a row.
type Row = (i64, Vec<Option<String>>);

/// The columns of a file, and for each row its line and cells.
fn read(path: &Path) -> (Vec<String>, Vec<Row>) {
    let file = discover(&[path.to_owned()]).unwrap().remove(0);
    let mut reader = Reader::open(&file, 8192).unwrap();
    let columns = reader.columns().to_vec();
    let (mut rows, mut refused) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch(&mut refused).unwrap() {
        let cells = (0..columns.len()).map(|column| batch.column(column).as_string::<i32>());
        let cells: Vec<_> = cells.collect();
        let lines = batch.column(columns.len() + 1).as_primitive::<Int64Type>();
        rows.extend((0..batch.num_rows()).map(|row| {
            let cell = |texts: &&StringArray| {
                let is_there = texts.is_valid(row);
                is_there.then(|| texts.value(row).to_owned())
            };
            (lines.value(row), cells.iter().map(cell).collect())
        }));
    }
    assert!(refused.is_empty());
    (columns, rows)
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn wrapped_rows_are_read_like_those_of_the_repaired_file() {
    let folder = rollbook_tests::test_data().join("x_education");
    let (columns, rows) = read(&folder.join("leads_raw_malformed_338rows.csv"));
    let (repaired_columns, repaired_rows) = read(&folder.join("leads.csv"));
    assert_eq!(columns, repaired_columns);
    assert_eq!(rows.len() as u64, ROWS);
    assert_eq!(rows, repaired_rows);
    let lines = rows.iter().map(|(line, _)| line.unsigned_abs());
    assert!(lines.eq(2..ROWS + 2));
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn rows_of_a_malformed_file_are_neither_lost_nor_misread() {
    let data = rollbook_tests::test_data();
    let folder = data.join("x_education");
    let found = folder.join("leads_raw_malformed_338rows.csv");
    let (expected, on_line) = repaired(&folder.join("leads.csv"));
    let wrapped = wrapped_lines(&found);
    assert_eq!((expected.len() as u64, wrapped.len()), (ROWS, WRAPPED));

    let lake = OwnLake::new("malformed");
    let mappings = lake.write("mappings/persons.sql", MAPPING);
    let ingested = lake.json(&[
        "ingest".as_ref(),
        "school".as_ref(),
        found.as_os_str(),
        "--mappings".as_ref(),
        mappings.parent().unwrap().as_os_str(),
    ]);
    let [read, accepted, unchanged, quarantined] = counts(&ingested, "persons");
    assert_eq!((read, unchanged), (ROWS, 0));
    assert_eq!(accepted + quarantined, ROWS);
    assert!(
        quarantined <= WRAPPED as u64,
        "{quarantined} rows in quarantine"
    );

    let persons = lake.sql(
        "select external_id, city, source, lifecycle_stage, custom from persons \
         where provider = 'school'",
    );
    assert_eq!(persons.len() as u64, accepted);
    for row in &persons {
        let (id, lead) = stored(row);
        assert_eq!(Some(&lead), expected.get(&id), "{id}");
    }

    let set_aside = lake.sql("select line, record, reason from quarantine");
    assert_eq!(set_aside.len() as u64, quarantined);
    let mut missing: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
    for row in &persons {
        assert!(missing.remove(text(row, "external_id")), "{row} twice");
    }
    for row in &set_aside {
        let line = row["line"].as_u64().unwrap();
        assert!(wrapped.contains(&line), "line {line} is sound, yet: {row}");
        let id = on_line[&line].as_str();
        assert!(
            text(row, "record").contains(id),
            "line {line} does not hold {id}: {row}"
        );
        assert!(missing.remove(id), "{id} is taken in and set aside");
    }
    assert!(
        missing.is_empty(),
        "{} rows are lost: {missing:?}",
        missing.len()
    );
}
