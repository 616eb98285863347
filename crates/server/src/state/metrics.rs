//! Metrics for Prometheus: requests, durations, errors, ingested rows, log, and the current state.

pub(crate) mod current;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rollbook_app::ingest::idempotency::Posted;

use current::CurrentState;

/// Upper bounds of the duration histogram in seconds.
const BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// Codes that are there from the beginning: an alert on the increase of a counter misses its first value.
const ALERTED_CODES: [&str; 6] = [
    "busy",
    "disk_full",
    "internal",
    "lake_unavailable",
    "read_only_disk",
    "unauthenticated",
];

/// The metrics and their registry.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    pub(crate) in_flight: Gauge,
    pub(crate) ready: Gauge,
    rows: Family<RowLabels, Counter>,
    pub(crate) refused: Counter,
    errors: Family<ErrorLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

/// Label of answered errors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    code: String,
}

/// Labels of ingested rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RowLabels {
    table: String,
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("rollbook");
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
            ready: Gauge::default(),
            rows: Family::default(),
            refused: Counter::default(),
            errors: Family::default(),
            registry: Registry::default(),
        };
        registry.register(
            "http_requests",
            "Answered requests",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time until the answer began",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered",
            metrics.in_flight.clone(),
        );
        registry.register(
            "ready",
            "1 if the lake could be read and written and the master key was there at the last check",
            metrics.ready.clone(),
        );
        registry.register(
            "ingested_rows",
            "Ingested rows by table and outcome",
            metrics.rows.clone(),
        );
        registry.register(
            "journal_refused",
            "Acknowledged requests that were rejected later",
            metrics.refused.clone(),
        );
        registry.register("errors", "Answered errors by code", metrics.errors.clone());
        for code in ALERTED_CODES.map(str::to_owned) {
            drop(metrics.errors.get_or_create(&ErrorLabel { code }));
        }
        Self {
            registry,
            ..metrics
        }
    }

    /// Records an answer. `route` is the route pattern: paths may hold personal values.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        let request = RequestLabels {
            method: method.clone(),
            route: route.clone(),
            status,
        };
        self.requests.get_or_create(&request).inc();
        self.durations
            .get_or_create(&RouteLabels { method, route })
            .observe(took.as_secs_f64());
    }

    /// Records an answered error. Codes are few: they come from the code of this program.
    pub(crate) fn failed(&self, code: &str) {
        let code = code.to_owned();
        self.errors.get_or_create(&ErrorLabel { code }).inc();
    }

    /// Records the rows of a request.
    pub(crate) fn posted(&self, posted: &Posted) {
        for counts in &posted.ingested.tables {
            for (outcome, rows) in [
                ("accepted", counts.accepted),
                ("unchanged", counts.unchanged),
                ("quarantined", counts.quarantined),
            ] {
                let table = counts.table.clone();
                self.rows
                    .get_or_create(&RowLabels { table, outcome })
                    .inc_by(rows);
            }
        }
    }

    /// All metrics in the OpenMetrics text format, with those of the current state.
    pub(crate) fn text(&self, current: &CurrentState) -> String {
        let mut text = String::new();
        let encoded = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode(&mut text, current.registry()));
        encoded.expect("writing to memory does not fail");
        text
    }
}
