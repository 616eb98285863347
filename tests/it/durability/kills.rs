//! A server with posts and queries, ingest, compaction and garbage collection on one lake, all killed with
//! `kill -9` at random moments, again and again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rand::{Rng, SeedableRng};
use rollbook_lake::{Lake, Retention};
use rollbook_model::Timestamp;
use rollbook_tests::times;
use serde_json::json;

use crate::support::own_lake::OwnLake;
use crate::support::polling::found;
use crate::support::server::{Answer, Server};

/// Number of kills; `ROLLBOOK_TEST_KILLS` sets more.
const KILLS: u64 = 2;
/// Rows that each poster writes repeatedly.
const KEYS: u64 = 4;
const POSTERS: usize = 3;
/// Maximum number of acknowledged posts before a kill.
const MOST_POSTS: u64 = 120;
/// The lake of the process that collects garbage.
const COLLECT: &str = "ROLLBOOK_TEST_COLLECT";

/// Versions of a row that is written repeatedly.
#[derive(Default)]
struct Versions {
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

impl Versions {
    fn next(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn acknowledge(&self, version: u64) {
        self.acknowledged.store(version, Ordering::SeqCst);
    }

    /// The version that must be found: the last acknowledged one, or one sent after it.
    fn fits(&self, found: u64) -> bool {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        (acknowledged..=self.sent.load(Ordering::SeqCst)).contains(&found)
    }
}

/// Processes that are restarted until all are killed.
#[derive(Default)]
struct Running {
    is_over: AtomicBool,
    children: Mutex<Vec<Child>>,
}

impl Running {
    /// Starts a process unless the test is over, and waits for it; returns whether it succeeded.
    fn run(&self, command: &mut Command) -> bool {
        let id = {
            let mut children = self.children.lock().unwrap();
            if self.is_over.load(Ordering::SeqCst) {
                return false;
            }
            let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
            children.push(command.spawn().unwrap());
            children.last().unwrap().id()
        };
        let child = found("a process does not end", || {
            let mut children = self.children.lock().unwrap();
            let at = children.iter().position(|child| child.id() == id).unwrap();
            match children[at].try_wait().unwrap() {
                Some(_) => Ok(children.swap_remove(at)),
                None => Err(format!("{command:?}")),
            }
        });
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        let is_over = self.is_over.load(Ordering::SeqCst);
        assert!(
            ended.status.success() || is_over,
            "{command:?} failed: {said}"
        );
        ended.status.success()
    }

    fn kill_all(&self) {
        let mut children = self.children.lock().unwrap();
        self.is_over.store(true, Ordering::SeqCst);
        for child in children.iter_mut() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn processes_killed_together_neither_lose_nor_double_rows() {
    let lake = OwnLake::new("killed_together");
    let batches = Arc::new(Versions::default());
    let posted: Arc<Vec<[Versions; KEYS as usize]>> =
        Arc::new((0..POSTERS).map(|_| Default::default()).collect());
    assert!(lake.run(&ingest(&lake, batches.next())).status.success());
    batches.acknowledge(1);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    for kill in 1..=times("ROLLBOOK_TEST_KILLS", KILLS) {
        // Files that the last kill left are old enough to be collected; new ones are not.
        age(&lake.path("lake"));
        let server = Server::start(&lake, "default");
        let running = Running::default();
        let more = random.random_range(1..MOST_POSTS);
        let acknowledged = || {
            let all = posted.iter().flatten();
            all.map(|versions| versions.acknowledged.load(Ordering::SeqCst))
                .sum::<u64>()
        };
        let enough = acknowledged() + more;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !running.is_over.load(Ordering::SeqCst) {
                    let batch = batches.next();
                    if running.run(&mut lake.command(&ingest(&lake, batch))) {
                        batches.acknowledge(batch);
                    }
                }
            });
            scope.spawn(|| while running.run(&mut lake.command(&["compact", "--all"])) {});
            scope.spawn(|| while running.run(&mut collector(&lake.path("lake"))) {});
            for (poster, keys) in posted.iter().enumerate() {
                let server = &server;
                scope.spawn(move || while post(server, poster, keys) {});
            }
            scope.spawn(|| while reads_whole_batches(&server) {});
            found("posts are not acknowledged", || match acknowledged() {
                posts if posts >= enough => Ok(()),
                posts => Err(posts),
            });
            running.kill_all();
            let id = server.process().to_string();
            let killed = Command::new("kill").args(["-KILL", &id]).status();
            assert!(killed.unwrap().success());
        });
        drop(server);
        verify(&lake, kill, &batches, &posted);
    }
    let sent = posted
        .iter()
        .flatten()
        .map(|v| v.sent.load(Ordering::SeqCst));
    let (sent, batches) = (sent.sum::<u64>(), batches.sent.load(Ordering::SeqCst));
    let snapshots = lake.json(&["snapshots"]);
    let newest = &snapshots.as_array().unwrap().last().unwrap()["snapshot"];
    println!("{sent} posts, {batches} batches, {newest} snapshots");
}

/// Rows in two tables that change together.
fn ingest(lake: &OwnLake, batch: u64) -> [String; 4] {
    let mut activities = "external_id,person_external_id,type,campaign_id,occurred_at\n".to_owned();
    let mut orders = "external_id,person_external_id,status,currency,total,placed_at\n".to_owned();
    for row in 0..30 {
        let _ = writeln!(
            activities,
            "F{row},P{row},seen,{batch},2025-01-01T00:00:00Z"
        );
        let _ = writeln!(
            orders,
            "F{row},P{row},paid,EUR,{batch},2025-01-01T00:00:00Z"
        );
    }
    let path = |name: &str, rows: &str| {
        let path = lake.write(&format!("batch/{name}.csv"), rows);
        path.to_str().unwrap().to_owned()
    };
    let files = [path("activities", &activities), path("orders", &orders)];
    let [activities, orders] = files;
    ["ingest".to_owned(), "native".to_owned(), activities, orders]
}

/// Posts the next version of each row, waiting for the commit or not; returns false once the server is gone.
fn post(server: &Server, poster: usize, keys: &[Versions; KEYS as usize]) -> bool {
    for (key, versions) in keys.iter().enumerate() {
        let version = versions.next();
        let row = json!({"external_id": format!("H{poster}-{key}"), "type": "seen",
            "person_external_id": format!("P{key}"), "campaign_id": version.to_string(),
            "occurred_at": "2025-02-01T00:00:00Z"});
        let is_async = !(version + key as u64).is_multiple_of(3);
        let headers = [("prefer", "respond-async")];
        let headers = if is_async { &headers[..] } else { &[] };
        let path = "/v1/ingest/native/activities";
        let kind = "application/x-ndjson";
        let Some(answer) = server.try_text("POST", path, kind, headers, &row.to_string()) else {
            return false;
        };
        let expected = if is_async { 202 } else { 200 };
        assert_eq!(answer.status, expected, "{}", complaint(server, &answer));
        versions.acknowledge(version);
    }
    true
}

/// Queries the batches whose rows exist; there must never be two.
fn reads_whole_batches(server: &Server) -> bool {
    let query = "select cast(campaign_id as bigint) as batch from activities where external_id like 'F%' union select cast(total as bigint) from orders";
    let body = json!({ "query": query }).to_string();
    let Some(answer) = server.try_text("POST", "/v1/sql", "application/json", &[], &body) else {
        return false;
    };
    assert_eq!(answer.status, 200, "{}", complaint(server, &answer));
    let rows = answer.json()["rows"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    true
}

/// An unexpected answer, with the log of the server.
fn complaint(server: &Server, answer: &Answer) -> String {
    let log = server.log();
    let errors = log.iter().filter(|line| !line.contains("\"INFO\""));
    let errors: Vec<&String> = errors.collect();
    format!("{}\n{errors:#?}", String::from_utf8_lossy(&answer.body))
}

fn verify(lake: &OwnLake, kill: u64, batches: &Versions, posted: &[[Versions; KEYS as usize]]) {
    let folded = lake.run(&["journal", "fold"]);
    let said = String::from_utf8_lossy(&folded.stderr);
    assert!(folded.status.success(), "kill {kill}: {said}");
    assert_eq!(lake.json(&["journal"])["objects"], 0);
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let rows = lake.sql("select external_id, campaign_id from activities order by 1");
    let mut found = BTreeSet::new();
    let mut batch = BTreeSet::new();
    for row in &rows {
        let (id, version) = (
            row["external_id"].as_str().unwrap(),
            number(&row["campaign_id"]),
        );
        assert!(
            found.insert(id.to_owned()),
            "kill {kill}: {id} is there twice"
        );
        match id.strip_prefix('H').and_then(|id| id.split_once('-')) {
            Some((poster, key)) => {
                let versions: &Versions =
                    &posted[poster.parse::<usize>().unwrap()][key.parse::<usize>().unwrap()];
                assert!(
                    versions.fits(version),
                    "kill {kill}: {id} has version {version}"
                );
            }
            None => drop(batch.insert(version)),
        }
    }
    for (poster, keys) in posted.iter().enumerate() {
        for (key, versions) in keys.iter().enumerate() {
            let is_there = found.contains(&format!("H{poster}-{key}"));
            let was_acknowledged = versions.acknowledged.load(Ordering::SeqCst) > 0;
            assert!(
                is_there || !was_acknowledged,
                "kill {kill}: H{poster}-{key} is lost"
            );
        }
    }
    let totals =
        lake.sql("select distinct cast(cast(total as bigint) as text) as total from orders");
    batch.extend(totals.iter().map(|row| number(&row["total"])));
    assert_eq!(batch.len(), 1, "kill {kill}: half a batch of {batch:?}");
    assert!(
        batches.fits(*batch.first().unwrap()),
        "kill {kill}: {batch:?}"
    );
    assert_eq!(lake.json(&["check"])["problems"], json!([]), "kill {kill}");
}

/// Sets the times of all files back by two days, as if the killed processes had been dead for that long.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => age(&path),
            false => File::open(&path).unwrap().set_modified(then).unwrap(),
        }
    }
}

/// A process that collects garbage once, as `vacuum` does, but expires snapshots after half a minute.
fn collector(lake: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "durability::kills::collector_process",
        "--ignored",
    ]);
    command.env(COLLECT, lake);
    command
}

#[test]
#[ignore = "is started by the test that kills it"]
fn collector_process() {
    let location = std::env::var(COLLECT).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lake = Lake::open(&location, "default".parse().unwrap())
            .await
            .unwrap();
        let how = Retention {
            snapshots: Duration::from_secs(30),
            garbage: Duration::from_secs(60 * 60),
            dry_run: false,
        };
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let now = Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap());
        lake.vacuum(how, now).await.unwrap();
    });
}
