//! An object store that fails at random, before or after an operation, during a listing, or late: nothing
//! acknowledged is lost or doubled.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollbook_app::maintenance::{Extent, compact_lake};
use rollbook_lake::{Lake, Store};
use rollbook_model::config::Limits;
use rollbook_tests::times;

use super::power_cut::{at, collect, content, ingest, sources};

/// Number of runs; `ROLLBOOK_TEST_FAULTS` sets more.
const RUNS: u64 = 10;
/// The probability that a call fails.
const FAULTS: f64 = 0.04;
/// The number of times that a late call yields to other tasks.
const LATER: usize = 100;

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    random: Mutex<ChaCha8Rng>,
    failing: AtomicBool,
    faults: AtomicU64,
}

/// The fault of one call.
enum Fate {
    Well,
    Late,
    FailsBefore,
    FailsAfter,
}

impl Faulty {
    fn fate(&self) -> Fate {
        let mut random = self.random.lock().unwrap();
        if !self.failing.load(Ordering::Relaxed) || !random.random_bool(FAULTS) {
            return Fate::Well;
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        match random.random_range(0..3) {
            0 => Fate::Late,
            1 => Fate::FailsBefore,
            _ => Fate::FailsAfter,
        }
    }

    /// Executes the call, or injects a fault.
    async fn befall<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.fate() {
            Fate::Well => call.await,
            Fate::Late => {
                for _ in 0..LATER {
                    tokio::task::yield_now().await;
                }
                call.await
            }
            Fate::FailsBefore => Err(failure("503 slow down")),
            Fate::FailsAfter => call.await.and_then(|_| Err(failure("timed out"))),
        }
    }
}

fn failure(message: &str) -> Error {
    Error::Generic {
        store: "faulty",
        source: message.to_owned().into(),
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.befall(self.inner.put_opts(location, payload, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.befall(self.inner.put_multipart_opts(location, options))
            .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.befall(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.fate() {
            Fate::FailsBefore => futures::stream::iter([Err(failure("503 slow down"))]).boxed(),
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        match self.fate() {
            // A listing that breaks off after its first page.
            Fate::FailsBefore | Fate::FailsAfter => {
                let torn = futures::stream::iter([Err(failure("connection reset"))]);
                listed.take(2).chain(torn).boxed()
            }
            _ => listed,
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.befall(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.befall(self.inner.copy_opts(from, to, options)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_store_neither_loses_nor_doubles_rows() {
    let runs = times("ROLLBOOK_TEST_FAULTS", RUNS);
    let folder = tempfile::tempdir().unwrap();
    let files = sources(folder.path());
    let whole = Store::on(Arc::new(InMemory::new()), "whole");
    let whole = Lake::on(whole, "default".parse().unwrap()).await.unwrap();
    for (run, file) in (1..).zip(&files) {
        ingest(&whole, file, run).await.unwrap();
    }
    let expected = content(&whole).await;
    let (mut faults, mut refused) = (0, 0);
    for seed in 0..runs {
        let faulty = Arc::new(Faulty {
            inner: InMemory::new(),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            failing: AtomicBool::new(true),
            faults: AtomicU64::new(0),
        });
        let object: Arc<dyn ObjectStore> = faulty.clone();
        let store = Store::on(object, "faulty");
        let mut acknowledged = 0;
        for (run, file) in (1..).zip(&files) {
            // A user runs a command that failed again, until it goes through.
            for attempt in 0.. {
                assert!(attempt < 50, "run {seed}: nothing goes through");
                let Ok(lake) = Lake::on(store.clone(), "default".parse().unwrap()).await else {
                    refused += 1;
                    continue;
                };
                match ingest(&lake, file, run * 100 + attempt).await {
                    Ok(report) => {
                        acknowledged = acknowledged.max(report.snapshot.0);
                        break;
                    }
                    Err(_) => refused += 1,
                }
            }
            if run % 2 == 0
                && let Ok(lake) = Lake::on(store.clone(), "default".parse().unwrap()).await
            {
                let (limits, turn) = (Limits::default(), tokio::sync::Mutex::new(()));
                let done = compact_lake(&lake, limits, Extent::All, at(run), &turn).await;
                refused += u64::from(done.is_err());
            }
        }
        faulty.failing.store(false, Ordering::Relaxed);
        faults += faulty.faults.load(Ordering::Relaxed);
        let lake = Lake::on(store, "default".parse().unwrap()).await.unwrap();
        assert!(
            lake.head().await.unwrap().number.0 >= acknowledged,
            "run {seed}"
        );
        // Leases of commands that failed count for nothing after some minutes.
        let leases = faulty.list(Some(&Path::from("default/_leases")));
        let leases = leases.map_ok(|object| object.location).boxed();
        let removed: Result<Vec<_>, _> = faulty.delete_stream(leases).try_collect().await;
        removed.unwrap();
        collect(&lake).await;
        assert_eq!(content(&lake).await, expected, "run {seed}");
        assert_eq!(lake.check().await.unwrap().problems, [], "run {seed}");
    }
    assert!(faults > runs, "{faults} faults in {runs} runs");
    println!("{runs} runs, {faults} faults, {refused} commands failed and were run again");
}
