//! Personal values are encrypted while a person is known, and deleted once the person is erased.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use rollbook_app::Workspace;
use rollbook_app::access::{Right, Rights};
use rollbook_app::data::sql;
use rollbook_app::identity::blocked;
use rollbook_app::persons::{TimelineQuery, show, timeline};
use rollbook_lake::vault::Vault;
use rollbook_lake::{Entry, EntryHeader};
use rollbook_model::config::Limits;
use rollbook_model::{SnapshotNumber, Timestamp, tables};
use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, column};
use crate::support::personal_values::{forms, holds, opened, texts};
use crate::support::records::{PERSONS, World, with_a_bridge};

const SECRETS: [&str; 4] = [
    "ann@example.com",
    "ANN@example.com",
    "(415) 555-2671",
    "Annie",
];

/// A lake with Ann in every place that can hold personal values: records, quarantine, criteria, waiting and
/// rejected requests.
async fn with_ann_everywhere(name: &str) -> World {
    let world = with_a_bridge(name);
    let criteria = "total_spent > 0 or email = 'ANN@example.com'";
    let put = ["segment", "put", "payers", "--criteria", criteria];
    world.lake.json(&put);
    world.lake.json(&["segment", "refresh"]);
    let wrong = world.lake.write(
        "wrong/persons.csv",
        &format!("{PERSONS}\nx9,ann@example.com,,Ann,Lee,,,,US,not a time,2024-01-01\n"),
    );
    let wrong = wrong.to_str().unwrap();
    world.lake.json(&["ingest", "native", wrong]);
    let lake = opened(&world.lake.path("lake")).await;
    let address = forms("ann@example.com");
    let lines = address
        .iter()
        .map(|form| format!("{{\"email\": \"{form}\"}}\n"));
    let lines: Vec<String> = lines
        .chain(["{\"email\": \"bob@example.com\"}\n".to_owned()])
        .collect();
    let entry = |id: &str| Entry {
        header: EntryHeader {
            id: id.to_owned(),
            after: SnapshotNumber(1),
            metadata: json!({}),
        },
        body: lines.concat().into_bytes(),
    };
    lake.append(&[entry("waits")], 1).await.unwrap();
    let why = "no such column".to_owned();
    lake.refuse(&entry("refused"), why).await.unwrap();
    world
}

/// The places where one of these values can be read with the key.
async fn found(world: &World, secrets: &[String]) -> Vec<String> {
    let mut places: Vec<String> = texts(&world.lake.path("lake"))
        .await
        .into_iter()
        .filter(|(_, text)| secrets.iter().any(|secret| text.contains(secret)))
        .map(|(workspace, _)| workspace)
        .collect();
    places.dedup();
    places
}

fn tokens(world: &World, person: i64) -> Vec<String> {
    let sql = format!(
        "select email_token from identities where person_id = {person} and email_token is not null"
    );
    let rows = world.lake.sql(&sql);
    let tokens = rows.iter().map(|row| row["email_token"].as_str().unwrap());
    tokens.map(str::to_owned).collect()
}

#[tokio::test]
async fn erased_person_leaves_no_value_and_stays_erased() {
    let mut world = with_ann_everywhere("erased").await;
    let (ann, bob) = (world.person("shopify", "s1"), world.person("shopify", "s2"));
    let tokens = tokens(&world, ann);
    assert!(!tokens.is_empty());
    let secrets = SECRETS.map(str::to_owned);
    let secrets: Vec<String> = secrets.into_iter().chain(tokens).collect();
    let secrets: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    // The record that waits has her address too: it is somebody else's until somebody decides.
    let waits = world.record("hubspot", "h2");
    world.identity(&["review", "decide", &waits, "--same", &ann.to_string()]);
    let before = found(&world, &secrets).await;
    for workspace in [
        "vault of persons",
        "vault of identities",
        "vault of quarantine",
        "_definitions",
        "entry waits",
        "entry refused",
    ] {
        assert!(
            before.iter().any(|one| one == workspace),
            "{workspace}: {before:?}"
        );
    }
    let forgotten = world
        .lake
        .json(&["person", "erase", &ann.to_string(), "--by", "kim"]);
    assert_eq!(forgotten["records"], 3, "{forgotten}");
    assert!(forgotten["texts"].as_u64() >= Some(3), "{forgotten}");
    let nowhere = async |world: &World| {
        let after = found(world, &secrets).await;
        assert_eq!(after, Vec::<String>::new());
        let lake = world.lake.path("lake");
        let plain = secrets.iter().filter(|secret| holds(&lake, secret));
        assert_eq!(plain.collect::<Vec<_>>(), Vec::<&String>::new());
    };
    nowhere(&world).await;
    // Her orders stay without a name; nobody else lost anything.
    assert_eq!(world.lake.value("select sum(total) from orders"), "70.0000");
    let hers = format!("select count(*) from people where person_id = {ann}");
    assert_eq!(world.lake.value(&hers), 0);
    let phone = format!("select phone from people where person_id = {bob}");
    assert_eq!(world.lake.value(&phone), "+4930123456");
    let others = texts(&world.lake.path("lake")).await;
    let of_bob = others
        .iter()
        .filter(|(_, text)| text.contains("bob@example.com"));
    assert_eq!(of_bob.count(), 2);
    let why =
        format!("select reason from segment_changes where person_id = {ann} order by at desc");
    assert_eq!(world.lake.sql(&why)[0]["reason"], "erasure");
    // Sent again, by whomever, she is not there; others are.
    let rows = [
        "s1,,,Ann,Lee,,,,US,2024-01-01,2025-01-01",
        "s9,Ann@Example.com,,Ann,Lee,,,,US,2024-01-01,2025-01-01",
        "s4,dan@example.com,,Dan,Fox,,,,US,2024-01-01,2025-01-01",
    ];
    let again = world.persons("shopify", &rows);
    assert_eq!(again["tables"][0]["accepted"], 1, "{again}");
    nowhere(&world).await;
    let dan = "select count(*) from people where first_name = 'Dan'";
    assert_eq!(world.lake.value(dan), 1);
    let check = world.lake.run(&["check"]);
    assert!(check.status.success());
    let twice = world.lake.run(&["person", "erase", "999"]);
    assert_eq!(twice.status.code(), Some(1));
}

#[tokio::test]
async fn old_copy_of_the_vault_does_not_open_without_keys() {
    let world = with_ann_everywhere("shredded").await;
    let (lake, copy) = (world.lake.path("lake"), world.lake.path("copy"));
    let ann = world.person("shopify", "s1");
    let waits = world.record("hubspot", "h2");
    world.identity(&["review", "decide", &waits, "--same", &ann.to_string()]);
    copy_all(&lake, &copy);
    world.lake.json(&["person", "erase", &ann.to_string()]);
    // Somebody kept the files of the vault; the keys are those that are left.
    let keys = Path::new("default/_vault/_keys");
    fs::remove_dir_all(copy.join(keys)).unwrap();
    copy_all(&lake.join(keys), &copy.join(keys));
    let old = opened(&copy).await;
    let mut names = Vec::new();
    for batch in Vault::new(&old, tables::PERSONS).batches().await.unwrap() {
        let batch = batch.unwrap();
        let emails = batch["email"].as_string::<i32>();
        names.extend(emails.iter().flatten().map(str::to_owned));
    }
    assert_eq!(names, ["cy@example.com"]);
}

#[tokio::test]
async fn backup_forgets_persons_erased_since() {
    let world = with_ann_everywhere("forgetting").await;
    let backup = world.lake.path("backup");
    let backup = backup.to_str().unwrap();
    let ann = world.person("shopify", "s1");
    let waits = world.record("hubspot", "h2");
    world.identity(&["review", "decide", &waits, "--same", &ann.to_string()]);
    world.lake.json(&["backup", backup]);
    let emails = || {
        let mut command = rollbook_tests::rollbook();
        command.args(["--lake", backup, "--output", "json", "sql"]);
        command.arg("select email from persons where email is not null order by email");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let emails = rows
            .iter()
            .map(|row| row["email"].as_str().unwrap().to_owned());
        emails.collect::<Vec<_>>()
    };
    let before = emails();
    world.lake.json(&["person", "erase", &ann.to_string()]);
    world.lake.json(&["keys", "rotate"]);
    assert_eq!(emails(), before, "a copy knows nothing of what came later");
    let forgotten = world.lake.json(&["backup", "forget", backup]);
    assert!(forgotten["forgotten"].as_u64().unwrap() > 0, "{forgotten}");
    let after = emails();
    let others = before.iter().filter(|email| !email.starts_with("ann"));
    assert_eq!(after, others.cloned().collect::<Vec<_>>());
    assert!(after.len() < before.len() && !after.is_empty());
    let again = world.lake.json(&["backup", "forget", backup]);
    assert_eq!(again["forgotten"], 0);
    // A folder that is no copy of this lake keeps its keys.
    let stranger = OwnLake::new("forgetting-stranger");
    let persons = stranger.write("persons.csv", "external_id,email\nx,eve@example.com\n");
    stranger.json(&["ingest", "native", persons.to_str().unwrap()]);
    let theirs = stranger.path("lake");
    let refused = world
        .lake
        .run(&["backup", "forget", theirs.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("not a backup of"), "{said}");
    let kept = stranger.json(&["sql", "select email from persons"]);
    assert_eq!(kept[0]["email"], "eve@example.com");
}

#[tokio::test]
async fn personal_values_need_the_master_key() {
    let world = with_ann_everywhere("sealed").await;
    let (lake, copy) = (world.lake.path("lake"), world.lake.path("copy"));
    let tokens = tokens(&world, world.person("shopify", "s1"));
    let known = ["bob@example.com", "+4930123456", "Lee"].map(str::to_owned);
    for secret in SECRETS
        .map(str::to_owned)
        .iter()
        .chain(&known)
        .chain(&tokens)
    {
        assert!(!holds(&lake, secret), "{secret}");
    }
    copy_all(&lake, &copy);
    let elsewhere = |arguments: &[&str]| {
        let mut command = rollbook_tests::rollbook();
        command.arg("--lake").arg(&copy).args(arguments);
        let key = world.lake.path("no-such.key");
        command.env("ROLLBOOK_MASTER_KEY_FILE", key);
        command.env_remove("ROLLBOOK_MASTER_KEY");
        command.output().unwrap()
    };
    let figures = elsewhere(&["sql", "select sum(total) as total from orders"]);
    assert!(figures.status.success(), "figures take no key");
    for refused in [
        &["sql", "select email from people"][..],
        &["person", "show", "1"],
        &["person", "find", "--email", "ann@example.com"],
        &["keys", "show"],
    ] {
        let output = elsewhere(refused);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{refused:?}: {said}");
        assert!(said.contains("no master key"), "{refused:?}: {said}");
    }
    // No command made a key beside the one that is missing.
    assert!(!world.lake.path("no-such.key").exists());
}

#[test]
fn erasure_keeps_shared_and_similar_values() {
    let mut world = World::new("erased-beside-others");
    world.persons(
        "shopify",
        &[
            "s1,ann@example.com,123456,Ann,Lee,,,,US,2024-01-01,2024-01-01",
            "s2,joann@example.com,,Jo,Ann,,,,US,2024-01-01,2024-01-01",
            "s3,front@hotel.example,,Ann,Lee,,,,US,2024-01-02,2024-01-02",
            "s4,front@hotel.example,,Bob,Ray,,,,US,2024-01-02,2024-01-02",
        ],
    );
    // Hers alone, and one that she shares.
    for value in ["ann@example.com", "front@hotel.example"] {
        world.identity(&["blocked", "add", value]);
    }
    let [ann, desk] = ["s1", "s3"].map(|id| world.person("shopify", id).to_string());
    world.identity(&["merge", &ann, &desk]);
    let criteria = "email in ('joann@example.com', 'jo.ann@example.com', 'ann@example.com.au', \
                    'front@hotel.example') or order_count > 123456";
    let put = ["segment", "put", "others", "--criteria", criteria];
    world.lake.json(&put);
    let forgotten = world.lake.json(&["person", "erase", &ann]);
    assert_eq!(forgotten["records"], 2, "{forgotten}");
    let shown = world.lake.json(&["segment", "show", "others"]);
    assert_eq!(shown["criteria"], put[4]);
    assert_eq!(
        column(&world.identity(&["blocked"]), "value"),
        ["[erased]", "front@hotel.example"]
    );
    // The one that is shared still joins nobody.
    let rows = ["s5,front@hotel.example,,Cy,Day,,,,US,2024-01-03,2024-01-03"];
    world.persons("shopify", &rows);
    assert_eq!(world.lake.value("select count(*) from people"), 3);
    assert_ne!(world.person("shopify", "s4"), world.person("shopify", "s5"));
}

#[test]
fn dry_run_makes_no_key() {
    let world = with_a_bridge("rehearsal");
    let all = |world: &World| {
        let lake = world.lake.path("lake");
        let mut found: Vec<_> = files(&lake);
        found.sort();
        found
    };
    let before = all(&world);
    let rows = [
        "s1,ann@example.com,,Ann,Leeds,,,,US,2024-01-01,2025-01-01",
        "s7,new@example.com,,New,One,,,,US,2024-01-01,2025-01-01",
    ];
    let rows = format!("{PERSONS}\n{}\n", rows.join("\n"));
    let file = world.lake.write("again/persons.csv", &rows);
    let queries = concat!(env!("CARGO_MANIFEST_DIR"), "/../queries/mappings/native");
    let file = file.to_str().unwrap();
    let ingest = [
        "ingest",
        "shopify",
        file,
        "--mappings",
        queries,
        "--dry-run",
    ];
    let told = world.lake.json(&ingest);
    assert_eq!(told["tables"][0]["accepted"], 2, "{told}");
    assert_eq!(all(&world), before);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let entries = entries.map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

#[tokio::test]
async fn missing_permission_is_named() {
    let world = with_a_bridge("no-pii");
    let workspace = world.lake.path("lake").to_str().unwrap().to_owned();
    let mut workspace = Workspace::new(workspace, "default".parse().unwrap(), Limits::default());
    let as_of: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let figures = "select count(*), sum(total_spent) from people where country = 'US'";
    let personal = "select p.person_id, p.email from people p";
    assert!(sql(&workspace, personal, as_of, None).await.is_ok());
    workspace.rights = Rights::ALL.without(Right::Pii);
    assert!(sql(&workspace, figures, as_of, None).await.is_ok());
    for (query, column) in [
        (personal, "`email` of `persons`"),
        (
            "select 1 from people where lower(last_name) = 'lee'",
            "`last_name` of `persons`",
        ),
        ("select * from identities", "_token` of `identities`"),
        ("select record from quarantine", "`record` of `quarantine`"),
    ] {
        let refused = sql(&workspace, query, as_of, None).await.unwrap_err();
        assert_eq!(refused.code().0, "needs_pii", "{query}: {refused}");
        assert!(refused.to_string().contains(column), "{query}: {refused}");
        assert!(refused.to_string().contains("the right `pii`"), "{refused}");
    }
    assert!(show(&workspace, 1, as_of, false).await.is_err());
    assert_eq!(blocked(&workspace).await.unwrap_err().code().0, "needs_pii");
    assert!(
        timeline(&workspace, 1, &TimelineQuery::default(), as_of)
            .await
            .is_ok()
    );
}

#[test]
fn key_rotation_rewrites_no_value() {
    let world = World::new("rotated");
    let key = world.lake.path("own.key");
    let other = world.lake.path("other");
    let run = |lake: &Path, arguments: &[&str]| -> Value {
        let mut command = rollbook_tests::rollbook();
        command.arg("--lake").arg(lake).args(["--output", "json"]);
        let command = command.args(arguments);
        command.env("ROLLBOOK_MASTER_KEY_FILE", &key);
        command.env_remove("ROLLBOOK_MASTER_KEY");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let file = world.lake.write(
        "own/persons.csv",
        &format!("{PERSONS}\np1,eve@example.com,,Eve,Fox,,,,US,2024-01-01,2024-01-01\n"),
    );
    run(&other, &["ingest", "native", file.to_str().unwrap()]);
    let values = other.join("default/_vault/persons");
    let names = || {
        let found = fs::read_dir(&values).unwrap();
        let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (before, first) = (names(), fs::read_to_string(&key).unwrap());
    let shown = run(&other, &["keys", "show"]);
    let rotated = run(&other, &["keys", "rotate"]);
    assert_eq!(rotated["masters"], 2);
    assert_ne!(rotated["master"], shown["master"]);
    assert_eq!(names(), before);
    let emails = "select email from people";
    let eve = json!([{"email": "eve@example.com"}]);
    assert_eq!(run(&other, &["sql", emails]), eve);
    // The older key is of no use to this lake any more; what comes goes under the new one.
    let second = fs::read_to_string(&key).unwrap();
    fs::write(&key, second.lines().next().unwrap()).unwrap();
    assert_eq!(run(&other, &["sql", emails]), eve);
    run(&other, &["ingest", "native", file.to_str().unwrap()]);
    run(&other, &["keys", "rotate"]);
    assert_eq!(run(&other, &["sql", emails]), eve);
    fs::write(&key, first).unwrap();
    let mut command = rollbook_tests::rollbook();
    command.arg("--lake").arg(&other).args(["sql", emails]);
    command.env("ROLLBOOK_MASTER_KEY_FILE", &key);
    command.env_remove("ROLLBOOK_MASTER_KEY");
    assert_eq!(command.output().unwrap().status.code(), Some(1));
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        match path.is_dir() {
            true => copy_all(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}
