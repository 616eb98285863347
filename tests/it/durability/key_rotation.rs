//! Concurrent and killed key rotations: every personal value still opens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollbook_tests::times;
use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::writes::Writes;

/// Number of rounds of concurrent rotations; `ROLLBOOK_TEST_ROTATIONS` sets more.
const ROUNDS: u64 = 3;
/// Maximum number of files that rotations write between two kills.
const WRITES: usize = 4;

/// Lakes that share one master key, each with a person.
struct Lakes {
    folder: OwnLake,
    lakes: Vec<PathBuf>,
}

impl Lakes {
    fn new(name: &str, count: usize) -> Self {
        let folder = OwnLake::new(name);
        let file = folder.write(
            "persons.csv",
            "external_id,email\np1,ann@example.com\np2,bob@example.com\n",
        );
        let lakes = (0..count).map(|at| folder.path(&format!("lake-{at}")));
        let lakes = Self {
            lakes: lakes.collect(),
            folder,
        };
        for lake in &lakes.lakes {
            lakes.run(lake, &["ingest", "native", file.to_str().unwrap()]);
        }
        lakes
    }

    fn command(&self, lake: &Path, arguments: &[&str]) -> Command {
        let mut command = rollbook_tests::rollbook();
        command.arg("--lake").arg(lake).args(["--output", "json"]);
        command.args(arguments);
        command.env(
            "ROLLBOOK_MASTER_KEY_FILE",
            self.folder.path("keys/master.key"),
        );
        command.env_remove("ROLLBOOK_MASTER_KEY");
        command.env_remove("ROLLBOOK_MASTER_KEY_COMMAND");
        command
    }

    fn run(&self, lake: &Path, arguments: &[&str]) -> Value {
        let output = self.command(lake, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn rotate(&self, lake: &Path) -> Child {
        let mut command = self.command(lake, &["keys", "rotate"]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn must_open(&self, when: &str) {
        for lake in &self.lakes {
            let rows = self.run(lake, &["sql", "select email from persons order by email"]);
            let all = json!([{"email": "ann@example.com"}, {"email": "bob@example.com"}]);
            assert_eq!(rows, all, "{when}: {}", lake.display());
        }
    }

    fn keys(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path("keys/master.key")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn concurrent_key_rotations_lose_nothing() {
    for (name, processes, count) in [
        ("keys_two", 2, 1),
        ("keys_three", 3, 1),
        ("keys_two_lakes", 2, 2),
        ("keys_three_lakes", 3, 2),
    ] {
        let lakes = Lakes::new(name, count);
        for round in 1..=times("ROLLBOOK_TEST_ROTATIONS", ROUNDS) {
            let before = lakes.keys().len();
            let running = (0..processes).map(|at| lakes.rotate(&lakes.lakes[at % count]));
            for one in running.collect::<Vec<_>>() {
                let ended = one.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&ended.stderr);
                assert!(ended.status.success(), "{name}, round {round}: {said}");
            }
            assert_eq!(lakes.keys().len(), before + processes);
            lakes.must_open(&format!("{name}, round {round}"));
        }
        for lake in &lakes.lakes {
            assert_eq!(lakes.run(lake, &["check"])["problems"], json!([]));
        }
    }
}

#[test]
fn killed_key_rotations_lose_nothing() {
    let lakes = Lakes::new("keys_killed", 2);
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let mut interrupted = 0;
    for round in 1..=3 * times("ROLLBOOK_TEST_ROTATIONS", ROUNDS) {
        let running = (0..3).map(|at| lakes.rotate(&lakes.lakes[at % 2]));
        let mut writes = Writes::since_now(&lakes.folder.path(""));
        let mut count = 0;
        for mut one in running.collect::<Vec<_>>() {
            count += dice.random_range(0..WRITES);
            interrupted += u64::from(writes.reach_and_kill(count, &mut one));
        }
        lakes.must_open(&format!("round {round}"));
    }
    println!("{interrupted} rotations were killed while they ran");
    assert!(
        interrupted > 0,
        "every rotation had ended before it was killed"
    );
    for lake in &lakes.lakes {
        lakes.run(lake, &["keys", "rotate"]);
        lakes.run(lake, &["vacuum"]);
        assert_eq!(lakes.run(lake, &["check"])["problems"], json!([]));
    }
    lakes.must_open("after all");
    // The first line alone opens everything now.
    fs::write(lakes.folder.path("keys/master.key"), &lakes.keys()[0]).unwrap();
    let last = lakes.lakes.last().unwrap();
    assert_eq!(
        lakes.run(last, &["sql", "select count(email) as n from persons"]),
        json!([{"n": 2}])
    );
}

#[test]
fn keys_of_older_programs_open_and_rotate() {
    let lakes = Lakes::new("keys_older", 1);
    let vault = lakes.lakes[0].join("default/_vault");
    let manifests = vault.join("_keys/manifests");
    let manifest = fs::read_dir(&manifests)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    // As they put them: the tenant's key in an object of its own.
    let mut text: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let tenant = text.as_object_mut().unwrap().remove("tenant").unwrap();
    fs::write(&manifest, text.to_string()).unwrap();
    let apart = vault.join("tenant.key");
    assert!(!apart.exists());
    fs::write(&apart, json!({ "keys": [tenant] }).to_string()).unwrap();
    lakes.must_open("apart");
    let backup = lakes.folder.path("backup");
    lakes.run(&lakes.lakes[0], &["backup", backup.to_str().unwrap()]);
    lakes.run(&lakes.lakes[0], &["keys", "rotate"]);
    assert!(!apart.exists());
    lakes.must_open("rotated");
    let rows = lakes.run(&backup, &["sql", "select count(email) as n from persons"]);
    assert_eq!(rows, json!([{"n": 2}]));
}
