//! Sessions over tables that a test writes row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use rollbook_model::config::Limits;
use rollbook_model::tables::table;
use serde_json::{Value, json};

use crate::{
    Answer, CustomTrait, EngineError, PersonQuery, Rows, Session, SessionOptions, TableSource,
    VaultSource,
};

impl Session {
    /// The persons who meet a condition that names no segment.
    pub(crate) async fn people_where(&self, criteria: &str) -> Result<Rows, EngineError> {
        let condition = self.condition(criteria)?;
        self.people_where_with(&condition, BTreeMap::new()).await
    }

    /// The persons that a query gives.
    pub(crate) async fn people_of(&self, sql: &str) -> Result<Rows, EngineError> {
        let query = PersonQuery::parse(sql, self.limits())?;
        self.select_person_ids(&query).await
    }
}

impl Rows {
    /// The distinct ids of the first column, sorted, without nulls.
    pub(crate) async fn person_ids(mut self) -> Result<Vec<i64>, EngineError> {
        let mut ids = BTreeSet::new();
        while let Some(batch) = self.next_batch().await? {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten());
        }
        Ok(ids.into_iter().collect())
    }
}

/// The tables of a test's tenant. Leading columns that a row omits are filled in.
pub(crate) struct Fixture {
    pub(crate) as_of: &'static str,
    pub(crate) currency: Option<&'static str>,
    pub(crate) zone: Tz,
    pub(crate) limits: Limits,
    tables: BTreeMap<&'static str, Vec<Value>>,
    vaults: BTreeMap<&'static str, Vec<Value>>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            as_of: "2024-06-30T12:00:00Z",
            currency: Some("EUR"),
            zone: Tz::UTC,
            limits: Limits::default(),
            tables: BTreeMap::new(),
            vaults: BTreeMap::new(),
        }
    }

    /// With the persons 0 (nobody), 1, 2 and 3.
    pub(crate) fn with_persons() -> Self {
        Self::new()
            .row("persons", json!({ "person_id": 0, "country": "DE" }))
            .row(
                "persons",
                json!({ "person_id": 1, "country": "DE", "tags": ["vip"] }),
            )
            .row("persons", json!({ "person_id": 2, "country": "US" }))
            .row("persons", json!({ "person_id": 3 }))
            .vault_row(
                "persons",
                json!({ "identity_id": 1, "email": "ada@example.com" }),
            )
            .vault_row(
                "persons",
                json!({ "identity_id": 2, "email": "bob@example.com" }),
            )
    }

    pub(crate) fn row(mut self, name: &'static str, mut row: Value) -> Self {
        let rows = self.tables.entry(name).or_default();
        let columns = row.as_object_mut().unwrap();
        let person = columns
            .get("person_id")
            .cloned()
            .unwrap_or_else(|| json!(1));
        for (column, value) in [
            ("person_id", person.clone()),
            ("identity_id", person),
            ("provider", json!("shop")),
            ("external_id", json!(format!("{name}/{}", rows.len() + 1))),
        ] {
            columns.entry(column).or_insert(value);
        }
        rows.push(row);
        self
    }

    pub(crate) fn vault_row(mut self, name: &'static str, row: Value) -> Self {
        self.vaults.entry(name).or_default().push(row);
        self
    }

    pub(crate) async fn session(self) -> Session {
        self.session_with(Vec::new(), true).await
    }

    /// With custom traits, and with or without the right to read personal columns.
    pub(crate) async fn session_with(self, traits: Vec<CustomTrait>, personal: bool) -> Session {
        let session = Session::new(SessionOptions {
            as_of: self.as_of.parse().unwrap(),
            currency: self.currency.map(str::to_owned),
            zone: self.zone,
            fx_days: 7,
            limits: self.limits,
            spill_dir: None,
            personal,
            rules: Vec::new(),
        })
        .unwrap()
        .with_traits(traits);
        for (name, rows) in &self.tables {
            let def = table(name).unwrap();
            let stored = provider(def.stored_schema(), rows);
            let vault = self.vaults.get(name).map(|rows| VaultSource {
                rows: provider(def.vault_schema(), rows),
                decryptor: None,
            });
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
}

/// The result of a query, one line for each row, values separated by `|`.
pub(crate) async fn lines(session: &Session, sql: &str) -> Vec<String> {
    let answer = session
        .query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    text(&answer)
}

pub(crate) fn text(answer: &Answer) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let mut lines = Vec::new();
    for batch in &answer.batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            lines.push(values.join("|"));
        }
    }
    lines
}

fn provider(schema: SchemaRef, rows: &[Value]) -> Arc<dyn TableProvider> {
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema))
        .build_decoder()
        .unwrap();
    decoder.serialize(rows).unwrap();
    let batches = decoder.flush().unwrap().into_iter().collect();
    Arc::new(MemTable::try_new(schema, vec![batches]).unwrap())
}
