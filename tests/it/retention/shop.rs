//! A shop whose lake is used in this process, so that a test chooses the time.

use rollbook_app::identity::Decider;
use rollbook_app::ingest::{Ingest, Ingested, ingest};
use rollbook_app::retention::{RetentionReport, run, set};
use rollbook_app::segments::{self, Draft};
use rollbook_app::{AppError, Workspace};
use rollbook_ingest::Progress;
use rollbook_model::Timestamp;
use rollbook_model::config::Limits;
use rollbook_segments::membership::{current, persons};
use serde_json::Value;

use crate::support::own_lake::OwnLake;
use crate::support::personal_values::opened;

pub(super) const PERSONS: &str =
    "external_id,email,first_name,last_name,data_retention_date,created_at,updated_at";
pub(super) const ACTIVITIES: &str = "external_id,person_external_id,type,occurred_at,properties";
pub(super) const ORDERS: &str = "external_id,person_external_id,status,currency,total,placed_at";
pub(super) const REFUNDS: &str =
    "external_id,person_external_id,order_id,amount,currency,refunded_at";

pub(super) struct Shop {
    pub(super) lake: OwnLake,
    pub(super) workspace: Workspace,
    runs: u32,
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn decider(at: &str, dry_run: bool) -> Decider {
    Decider {
        by: "kim".to_owned(),
        at: time(at),
        dry_run,
    }
}

impl Shop {
    pub(super) fn new(name: &str) -> Self {
        let lake = OwnLake::new(name);
        let location = lake.path("lake").to_str().unwrap().to_owned();
        let workspace = Workspace::new(location, "default".parse().unwrap(), Limits::default());
        Self {
            lake,
            workspace,
            runs: 0,
        }
    }

    /// Ingests rows of several tables at a time.
    pub(super) async fn take(&mut self, at: &str, tables: &[(&str, &str, &[&str])]) -> Ingested {
        self.runs += 1;
        let folder = format!("in-{}", self.runs);
        for (table, columns, rows) in tables {
            let text = format!("{columns}\n{}\n", rows.join("\n"));
            self.lake.write(&format!("{folder}/{table}.csv"), &text);
        }
        let what = Ingest {
            provider: "native".parse().unwrap(),
            paths: vec![self.lake.path(&folder)],
            standard_input: None,
            mappings: None,
            dry_run: false,
            batch: format!("batch-{}", self.runs).parse().unwrap(),
            at: time(at),
        };
        let done = ingest(&self.workspace, what, &Progress::silent()).await;
        done.unwrap()
    }

    pub(super) async fn set(&self, rule: &str, days: u32) {
        let rules = set(&self.workspace, rule, Some(days), time("2026-01-01")).await;
        assert!(rules.unwrap().iter().any(|one| one.rule == rule));
    }

    /// Runs retention; what a dry run says before is what the run does.
    pub(super) async fn run(&self, at: &str) -> RetentionReport {
        let before = self.all_files();
        let said = run(&self.workspace, &decider(at, true)).await.unwrap();
        assert_eq!(self.all_files(), before, "a dry run changes nothing");
        let done = run(&self.workspace, &decider(at, false)).await.unwrap();
        let mut expected = done.clone();
        (expected.snapshot, expected.finished) = (None, false);
        assert_eq!(said, expected);
        assert!(done.finished);
        done
    }

    pub(super) async fn try_run(&self, at: &str) -> Result<RetentionReport, AppError> {
        run(&self.workspace, &decider(at, false)).await
    }

    fn all_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.lake.path("lake/default")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push(path.to_str().unwrap().to_owned()),
                }
            }
        }
        // Handles take and return leases.
        files.retain(|path| !path.contains("/_leases/"));
        files.sort();
        files
    }

    pub(super) async fn put(&self, key: &str, criteria: &str, at: &str) {
        let draft = Draft::new(key.parse().unwrap(), criteria.to_owned());
        let done = segments::put(&self.workspace, &draft, time(at)).await;
        done.unwrap();
    }

    /// Refreshes all segments; returns how many persons entered or left.
    pub(super) async fn refresh(&self, as_of: &str, is_full: bool) -> u64 {
        let done = segments::refresh(&self.workspace, &[], time(as_of), time(as_of), is_full).await;
        let done = done.unwrap().into_iter().map(|one| {
            let done = one.result.unwrap();
            done.entered + done.left
        });
        done.sum()
    }

    pub(super) async fn members(&self, key: &str) -> Vec<u64> {
        let lake = opened(&self.lake.path("lake")).await;
        let state = lake.head().await.unwrap();
        let refreshed = current(&state, &key.parse().unwrap()).unwrap().unwrap();
        persons(&lake, &refreshed).await.unwrap().iter().collect()
    }

    pub(super) fn person(&self, id: &str) -> i64 {
        let query = format!("select person_id from identities where external_id = '{id}'");
        self.lake.value(&query).as_i64().unwrap()
    }

    pub(super) fn value(&self, query: &str) -> Value {
        self.lake.value(query)
    }

    /// Nothing is missing or damaged.
    pub(super) fn check(&self) {
        let checked = self.lake.json(&["check"]);
        assert_eq!(checked["problems"], serde_json::json!([]), "{checked}");
    }
}
