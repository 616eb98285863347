//! Figures about the server for Prometheus: requests, times, rows taken in.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rollbook_app::idempotency::Posted;
use rollbook_app::segments::Health;
use rollbook_app::{CacheStats, texts_parsed};

/// Seconds.
const BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// The figures and their registry.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    times: Family<Route, Histogram>,
    pub(crate) in_flight: Gauge,
    rows: Family<Rows, Counter>,
    pub(crate) snapshot: Gauge<u64, AtomicU64>,
    journal_objects: Gauge<u64, AtomicU64>,
    journal_bytes: Gauge<u64, AtomicU64>,
    pub(crate) refused: Counter,
    segments: Family<Segments, Gauge>,
    failures: Family<OfSegment, Gauge>,
    kept_answers: Gauge<u64, AtomicU64>,
    kept_renewals: Gauge<u64, AtomicU64>,
    kept_bytes: Gauge<u64, AtomicU64>,
    texts_parsed: Gauge<u64, AtomicU64>,
}

/// How many segments stand so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Segments {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSegment {
    segment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

/// Rows of posts by what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rows {
    table: String,
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("rollbook");
        let metrics = Self {
            requests: Family::default(),
            times: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
            rows: Family::default(),
            snapshot: Gauge::default(),
            journal_objects: Gauge::default(),
            journal_bytes: Gauge::default(),
            refused: Counter::default(),
            segments: Family::default(),
            failures: Family::default(),
            kept_answers: Gauge::default(),
            kept_renewals: Gauge::default(),
            kept_bytes: Gauge::default(),
            texts_parsed: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register(
            "http_requests",
            "Requests answered",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time until the answer began",
            Unit::Seconds,
            metrics.times.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered",
            metrics.in_flight.clone(),
        );
        registry.register(
            "ingested_rows",
            "Rows of posts by table and what became of them",
            metrics.rows.clone(),
        );
        registry.register(
            "snapshot",
            "The newest snapshot that this process committed or read",
            metrics.snapshot.clone(),
        );
        registry.register(
            "journal_objects",
            "Objects of the journal that are in no snapshot yet",
            metrics.journal_objects.clone(),
        );
        registry.register_with_unit(
            "journal",
            "What is in the journal and in no snapshot yet",
            Unit::Bytes,
            metrics.journal_bytes.clone(),
        );
        registry.register(
            "journal_refused",
            "Acknowledged requests whose rows could not be taken in",
            metrics.refused.clone(),
        );
        registry.register(
            "segments",
            "Segments by whether they are up to date",
            metrics.segments.clone(),
        );
        registry.register(
            "segment_failures",
            "How often segments failed since they were last computed",
            metrics.failures.clone(),
        );
        registry.register(
            "kept_answers",
            "Questions about criteria that were answered from memory",
            metrics.kept_answers.clone(),
        );
        registry.register(
            "kept_renewals",
            "How often what is kept went on to newer data, of which only what changed was read",
            metrics.kept_renewals.clone(),
        );
        registry.register_with_unit(
            "kept",
            "What is kept in memory for questions about criteria",
            Unit::Bytes,
            metrics.kept_bytes.clone(),
        );
        registry.register(
            "texts_parsed",
            "Criteria and queries that were parsed since the server began",
            metrics.texts_parsed.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }

    /// Notes an answer. `route` is the pattern, never the path, which may name somebody.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        let request = Request {
            method: method.clone(),
            route: route.clone(),
            status,
        };
        self.requests.get_or_create(&request).inc();
        self.times
            .get_or_create(&Route { method, route })
            .observe(took.as_secs_f64());
    }

    /// Notes how far the journal is ahead of the snapshots.
    pub(crate) fn journal(&self, (objects, bytes): (u64, u64)) {
        self.journal_objects.set(objects);
        self.journal_bytes.set(bytes);
    }

    /// Notes what is kept in memory for questions about criteria, and how many it answered.
    pub(crate) fn kept(&self, kept: CacheStats) {
        self.kept_answers.set(kept.answers);
        self.kept_renewals.set(kept.renewals);
        self.kept_bytes.set(kept.bytes);
        self.texts_parsed.set(texts_parsed());
    }

    /// Notes how segments stand.
    pub(crate) fn segments(&self, all: &[Health]) {
        for status in ["fresh", "stale", "failed"] {
            let count = all.iter().filter(|one| one.status == status).count();
            let gauge = self.segments.get_or_create(&Segments { status });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.failures.clear();
        for one in all.iter().filter(|one| one.failures > 0) {
            let segment = one.segment.to_string();
            let gauge = self.failures.get_or_create(&OfSegment { segment });
            gauge.set(one.failures.into());
        }
    }

    /// Notes what became of a request's rows, the first time.
    pub(crate) fn posted(&self, posted: &Posted) {
        if posted.repeated {
            return;
        }
        self.snapshot.set(posted.ingested.snapshot.0);
        for counts in &posted.ingested.tables {
            for (outcome, rows) in [
                ("accepted", counts.accepted),
                ("unchanged", counts.unchanged),
                ("quarantined", counts.quarantined),
            ] {
                let table = counts.table.clone();
                self.rows
                    .get_or_create(&Rows { table, outcome })
                    .inc_by(rows);
            }
        }
    }

    /// All figures in the text format of OpenMetrics.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory does not fail");
        text
    }
}
