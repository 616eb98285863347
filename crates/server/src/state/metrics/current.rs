//! Metrics of the current state, determined when they are asked for: segments, providers, queues, memory, cache.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rollbook_app::segments::SegmentHealth;
use rollbook_app::{CacheStats, texts_parsed};
use rollbook_model::memory::{MemoryBudget, MemoryUse};
use rollbook_model::{SnapshotNumber, TenantName, Timestamp};

use crate::workers::memory::MemoryUsage;

/// Segments and providers that have a label of their own, at most; those with the largest values do.
const MAX_LABELS: usize = 100;

/// A whole number that is determined when it is asked for.
type Number = Gauge<u64, AtomicU64>;
/// The same with a fraction.
type Fraction = Gauge<f64, AtomicU64>;

/// The metrics of the current state, for one answer: of the server, and of the tenants of the caller.
#[derive(Default)]
pub(crate) struct CurrentState {
    registry: Registry,
    snapshots: Family<TenantLabel, Number>,
    wal_objects: Family<TenantLabel, Number>,
    wal_bytes: Family<TenantLabel, Number>,
    segments: Family<StatusLabel, Number>,
    failures: Family<SegmentLabel, Number>,
    lags: Family<SegmentLabel, Fraction>,
    longest_lags: Family<TenantLabel, Fraction>,
    provider_ages: Family<ProviderLabel, Fraction>,
    queues: Family<QueueLabel, Number>,
    memory: Family<ProcessLabel, Number>,
    memory_limit: Number,
    reserved: Family<UseLabel, Number>,
    pool: Number,
    workers: Family<WorkerLabel, Number>,
    cache_answers: Number,
    cache_refreshes: Number,
    cache_bytes: Number,
    texts_parsed: Number,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabel {
    tenant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    tenant: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SegmentLabel {
    tenant: String,
    segment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    tenant: String,
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProcessLabel {
    process: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UseLabel {
    usage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabel {
    state: &'static str,
}

impl CurrentState {
    /// These metrics, registered.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("rollbook");
        let own = Self::registered(&mut registry);
        Self { registry, ..own }
    }

    fn registered(registry: &mut Registry) -> Self {
        let own = Self::default();
        registry.register(
            "snapshot",
            "The newest snapshot that this process committed or read",
            own.snapshots.clone(),
        );
        registry.register(
            "journal_objects",
            "Objects in the journal (write-ahead log) that are in no snapshot yet",
            own.wal_objects.clone(),
        );
        registry.register_with_unit(
            "journal",
            "Size of the journal (write-ahead log) that is in no snapshot yet",
            Unit::Bytes,
            own.wal_bytes.clone(),
        );
        registry.register("segments", "Segments by freshness", own.segments.clone());
        registry.register(
            "segment_failures",
            "Failures of a segment since its last refresh; at most 100 segments, those with the most failures",
            own.failures.clone(),
        );
        registry.register_with_unit(
            "segment_lag",
            "Time since a scheduled segment was last up to date, 0 while it is fresh; at most 100 segments, those with the longest time",
            Unit::Seconds,
            own.lags.clone(),
        );
        registry.register_with_unit(
            "segment_longest_lag",
            "The longest time since a scheduled segment was last up to date",
            Unit::Seconds,
            own.longest_lags.clone(),
        );
        registry.register_with_unit(
            "provider_age",
            "Time since rows of a provider were ingested last; at most 100 providers, those with the longest time",
            Unit::Seconds,
            own.provider_ages.clone(),
        );
        registry.register(
            "queue_length",
            "What waits: posts for a commit, entries for the journal, requests for a processor or for a worker",
            own.queues.clone(),
        );
        registry.register_with_unit(
            "resident_memory",
            "Resident memory of the server and of its workers together",
            Unit::Bytes,
            own.memory.clone(),
        );
        registry.register_with_unit(
            "memory_limit",
            "Memory that the server and its workers may use together",
            Unit::Bytes,
            own.memory_limit.clone(),
        );
        registry.register_with_unit(
            "memory_reserved",
            "Memory that parts of the server have reserved: queries, caches, and answers that are being sent",
            Unit::Bytes,
            own.reserved.clone(),
        );
        registry.register_with_unit(
            "memory_pool",
            "Memory that parts of the server can reserve in total, beside what workers use",
            Unit::Bytes,
            own.pool.clone(),
        );
        registry.register("workers", "Worker processes by state", own.workers.clone());
        registry.register(
            "kept_answers",
            "Queries about criteria answered from the cache",
            own.cache_answers.clone(),
        );
        registry.register(
            "kept_renewals",
            "Incremental cache refreshes",
            own.cache_refreshes.clone(),
        );
        registry.register_with_unit(
            "kept",
            "Size of the cache for queries about criteria",
            Unit::Bytes,
            own.cache_bytes.clone(),
        );
        registry.register(
            "texts_parsed",
            "Criteria and queries parsed since the server started",
            own.texts_parsed.clone(),
        );
        own
    }

    /// What was recorded.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Records the newest snapshot of a tenant, and the size of its log that is not folded yet.
    pub(crate) fn data(&self, tenant: &TenantName, snapshot: SnapshotNumber, wal: (u64, u64)) {
        let tenant = tenant.to_string();
        let label = TenantLabel { tenant };
        self.snapshots.get_or_create(&label).set(snapshot.0);
        self.wal_objects.get_or_create(&label).set(wal.0);
        self.wal_bytes.get_or_create(&label).set(wal.1);
    }

    /// Records size and use of the caches: the sum over the tenants.
    pub(crate) fn cache(&self, cache: CacheStats) {
        self.cache_answers.inc_by(cache.answers);
        self.cache_refreshes.inc_by(cache.refreshes);
        self.cache_bytes.inc_by(cache.bytes);
        self.texts_parsed.set(texts_parsed());
    }

    /// Records the freshness, lags and failures of all segments of a tenant.
    pub(crate) fn segments(&self, tenant: &TenantName, all: &[SegmentHealth]) {
        let tenant = tenant.to_string();
        for status in ["fresh", "stale", "failed"] {
            let count = all.iter().filter(|one| one.status == status).count();
            let label = StatusLabel {
                tenant: tenant.clone(),
                status,
            };
            self.segments.get_or_create(&label).set(count as u64);
        }
        let label = |one: &SegmentHealth| SegmentLabel {
            tenant: tenant.clone(),
            segment: one.segment.to_string(),
        };
        let failing = all.iter().filter(|one| one.failures > 0);
        for one in largest(failing, |one| one.failures) {
            let gauge = self.failures.get_or_create(&label(one));
            gauge.set(one.failures.into());
        }
        let lagging = all.iter().filter(|one| one.lag.is_some());
        let lagging = largest(lagging, |one| one.lag);
        let seconds = |one: &SegmentHealth| one.lag.unwrap_or_default().as_secs_f64();
        let longest = lagging.first().map_or(0.0, |one| seconds(one));
        let of_tenant = TenantLabel {
            tenant: tenant.clone(),
        };
        self.longest_lags.get_or_create(&of_tenant).set(longest);
        for one in lagging {
            self.lags.get_or_create(&label(one)).set(seconds(one));
        }
    }

    /// Records when rows of each provider of a tenant were ingested last.
    pub(crate) fn providers(
        &self,
        tenant: &TenantName,
        watermarks: &BTreeMap<String, Timestamp>,
        now: Timestamp,
    ) {
        let age = |at: &Timestamp| now.micros().saturating_sub(at.micros()).max(0);
        let oldest = largest(watermarks.iter(), |one| age(one.1));
        for (provider, at) in oldest {
            let label = ProviderLabel {
                tenant: tenant.to_string(),
                provider: provider.clone(),
            };
            let gauge = self.provider_ages.get_or_create(&label);
            gauge.set(age(at) as f64 / 1e6);
        }
    }

    /// Records what parts of the server have reserved.
    pub(crate) fn reserved(&self, shared: MemoryBudget) {
        self.pool.set(shared.room() as u64);
        for usage in MemoryUse::ALL {
            let bytes = shared.reserved_for(usage) as u64;
            let usage = usage.name();
            self.reserved.get_or_create(&UseLabel { usage }).set(bytes);
        }
    }

    /// Records how many wait in each queue, and the memory of the processes.
    pub(crate) fn load(&self, queues: &[(&'static str, usize)], memory: Option<MemoryUsage>) {
        for &(queue, length) in queues {
            let gauge = self.queues.get_or_create(&QueueLabel { queue });
            gauge.set(length as u64);
        }
        let Some(memory) = memory else { return };
        self.memory_limit.set(memory.limit);
        for (process, bytes) in [("server", memory.server), ("workers", memory.workers)] {
            self.memory
                .get_or_create(&ProcessLabel { process })
                .set(bytes);
        }
        for (state, count) in [("active", memory.active), ("idle", memory.idle)] {
            let gauge = self.workers.get_or_create(&WorkerLabel { state });
            gauge.set(count as u64);
        }
    }
}

/// The first [`MAX_LABELS`] by value, largest first; of equal ones those that come first.
fn largest<T, V: Ord>(all: impl Iterator<Item = T>, value: impl Fn(&T) -> V) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_by_key(|one| std::cmp::Reverse(value(one)));
    all.truncate(MAX_LABELS);
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;
    use rollbook_app::segments::SegmentHealth;
    use rollbook_model::{TenantName, Timestamp};

    use super::{CurrentState, MAX_LABELS};

    #[test]
    fn labels_are_bounded_to_those_that_matter() {
        let health = |at: u32| SegmentHealth {
            segment: format!("s{at}").parse().unwrap(),
            status: "stale",
            failures: at,
            lag: Some(Duration::from_millis(u64::from(at) * 1500)),
        };
        let mut all: Vec<_> = (0..1000).map(health).collect();
        let last = &mut all[999];
        (last.lag, last.failures) = (None, 0);
        let watermarks = (0..1000).map(|at| (format!("p{at}"), Timestamp::from_micros(at)));
        let tenant: TenantName = "shop".parse().unwrap();
        let metrics = CurrentState::new();
        metrics.segments(&tenant, &all);
        metrics.providers(
            &tenant,
            &watermarks.collect(),
            Timestamp::from_micros(1_000_000),
        );
        let mut text = String::new();
        encode(&mut text, metrics.registry()).unwrap();
        for (name, first, absent) in [
            ("segment_lag_seconds{", "\"s998\"} 1497", "\"s999\""),
            ("segment_failures{", "\"s998\"} 998", "\"s999\""),
            ("provider_age_seconds{", "\"p0\"} 1", "\"p999\""),
        ] {
            let name = format!("rollbook_{name}tenant=\"shop\",");
            let lines: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with(&name))
                .collect();
            assert_eq!(lines.len(), MAX_LABELS, "{name}");
            assert!(lines.iter().any(|line| line.contains(first)), "{lines:?}");
            assert!(!lines.iter().any(|line| line.contains(absent)));
        }
        for line in [
            "rollbook_segment_longest_lag_seconds{tenant=\"shop\"} 1497",
            "rollbook_segments{tenant=\"shop\",status=\"stale\"} 1000",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
