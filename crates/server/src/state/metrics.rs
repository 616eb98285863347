//! Metrics for Prometheus: requests, durations, ingested rows, log, segments, cache.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rollbook_app::ingest::idempotency::Posted;
use rollbook_app::segments::SegmentHealth;
use rollbook_app::{CacheStats, texts_parsed};

/// Upper bounds of the duration histogram in seconds.
const BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// The metrics and their registry.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    pub(crate) in_flight: Gauge,
    pub(crate) ready: Gauge,
    rows: Family<RowLabels, Counter>,
    pub(crate) snapshot: Gauge<u64, AtomicU64>,
    wal_objects: Gauge<u64, AtomicU64>,
    wal_bytes: Gauge<u64, AtomicU64>,
    pub(crate) refused: Counter,
    segments: Family<SegmentStatus, Gauge>,
    failures: Family<SegmentLabel, Gauge>,
    cache_answers: Gauge<u64, AtomicU64>,
    cache_refreshes: Gauge<u64, AtomicU64>,
    cache_bytes: Gauge<u64, AtomicU64>,
    texts_parsed: Gauge<u64, AtomicU64>,
}

/// Label of the number of segments by freshness.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SegmentStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SegmentLabel {
    segment: String,
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
            snapshot: Gauge::default(),
            wal_objects: Gauge::default(),
            wal_bytes: Gauge::default(),
            refused: Counter::default(),
            segments: Family::default(),
            failures: Family::default(),
            cache_answers: Gauge::default(),
            cache_refreshes: Gauge::default(),
            cache_bytes: Gauge::default(),
            texts_parsed: Gauge::default(),
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
            "snapshot",
            "The newest snapshot that this process committed or read",
            metrics.snapshot.clone(),
        );
        registry.register(
            "journal_objects",
            "Objects in the journal (write-ahead log) that are in no snapshot yet",
            metrics.wal_objects.clone(),
        );
        registry.register_with_unit(
            "journal",
            "Size of the journal (write-ahead log) that is in no snapshot yet",
            Unit::Bytes,
            metrics.wal_bytes.clone(),
        );
        registry.register(
            "journal_refused",
            "Acknowledged requests that were rejected later",
            metrics.refused.clone(),
        );
        registry.register(
            "segments",
            "Segments by freshness",
            metrics.segments.clone(),
        );
        registry.register(
            "segment_failures",
            "Failures of segments since their last refresh",
            metrics.failures.clone(),
        );
        registry.register(
            "kept_answers",
            "Queries about criteria answered from the cache",
            metrics.cache_answers.clone(),
        );
        registry.register(
            "kept_renewals",
            "Incremental cache refreshes",
            metrics.cache_refreshes.clone(),
        );
        registry.register_with_unit(
            "kept",
            "Size of the cache for queries about criteria",
            Unit::Bytes,
            metrics.cache_bytes.clone(),
        );
        registry.register(
            "texts_parsed",
            "Criteria and queries parsed since the server started",
            metrics.texts_parsed.clone(),
        );
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

    /// Records the size of the log that is not folded yet.
    pub(crate) fn wal(&self, (objects, bytes): (u64, u64)) {
        self.wal_objects.set(objects);
        self.wal_bytes.set(bytes);
    }

    /// Records size and use of the cache.
    pub(crate) fn cache(&self, cache: CacheStats) {
        self.cache_answers.set(cache.answers);
        self.cache_refreshes.set(cache.refreshes);
        self.cache_bytes.set(cache.bytes);
        self.texts_parsed.set(texts_parsed());
    }

    /// Records the freshness and failures of all segments.
    pub(crate) fn segments(&self, all: &[SegmentHealth]) {
        for status in ["fresh", "stale", "failed"] {
            let count = all.iter().filter(|one| one.status == status).count();
            let gauge = self.segments.get_or_create(&SegmentStatus { status });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.failures.clear();
        for one in all.iter().filter(|one| one.failures > 0) {
            let segment = one.segment.to_string();
            let gauge = self.failures.get_or_create(&SegmentLabel { segment });
            gauge.set(one.failures.into());
        }
    }

    /// Records the rows of a request, unless it is a repetition.
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
                    .get_or_create(&RowLabels { table, outcome })
                    .inc_by(rows);
            }
        }
    }

    /// All metrics in the OpenMetrics text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory does not fail");
        text
    }
}
