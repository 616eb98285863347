//! Chains hold what was recorded, and every change of them is found.

use std::fs;
use std::path::{Path, PathBuf};

use rollbook_lake::{LakeRoot, Store};
use rollbook_model::Timestamp;

use super::read::ActReader;
use super::record::decode;
use super::{Act, ActFilter, AuditLog, Caller, Verified, acts, verify};

const ACTS: u64 = 10_000;

fn clock() -> Timestamp {
    "2026-01-01".parse().unwrap()
}

fn root_of(folder: &Path) -> LakeRoot {
    let store = Store::at(folder.join("lake").to_str().unwrap()).unwrap();
    LakeRoot::with_key_file(store, &folder.join("key"))
}

fn act(number: u64) -> Act {
    let caller = Caller::Key(format!("abcdefghi{}", number % 10));
    let mut act = Act::done(clock(), caller, "GET /v1/segments/{key}/members".to_owned());
    act.tenant = Some("default".parse().unwrap());
    act.rows = Some(number);
    act
}

/// Records acts concurrently, in several groups, and seals them.
async fn record(root: &LakeRoot, count: u64) {
    let log = AuditLog::start(root.clone(), clock);
    for start in (0..count).step_by(500) {
        let group = (start..count.min(start + 500)).map(|number| log.record(act(number)));
        for stored in futures::future::join_all(group).await {
            stored.unwrap();
        }
    }
    log.stop().await;
}

async fn problems(root: &LakeRoot) -> Vec<String> {
    let findings = verify(root).await.unwrap().findings.into_iter();
    findings
        .map(|finding| format!("{}: {}", finding.place, finding.problem))
        .collect()
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("lake/_audit/chains"))
}

fn sealed(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("lake/_audit/seals"))
}

#[tokio::test]
async fn what_was_recorded_is_listed_and_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let verified = verify(&root).await.unwrap();
    assert_eq!(
        (verified.chains, verified.records, verified.last_seal),
        (0, 0, None)
    );
    record(&root, 700).await;
    record(&root, 3).await;
    let Verified {
        chains,
        records,
        sealed,
        seals,
        findings,
        ..
    } = verify(&root).await.unwrap();
    assert_eq!((chains, records, sealed, seals), (2, 703, 703, 4));
    assert_eq!(findings, []);
    let all = acts(root.store(), &ActFilter::default()).await.unwrap();
    let mut rows: Vec<u64> = all.iter().filter_map(|act| act.rows).collect();
    rows.sort_unstable();
    let mut expected: Vec<u64> = (0..700).chain(0..3).collect();
    expected.sort_unstable();
    assert_eq!(rows, expected);
    let of_one = ActFilter {
        who: Some("abcdefghi7".parse().unwrap()),
        ..ActFilter::default()
    };
    assert_eq!(acts(root.store(), &of_one).await.unwrap().len(), 70);
    let elsewhere = ActFilter {
        tenant: Some("other".parse().unwrap()),
        ..ActFilter::default()
    };
    assert_eq!(acts(root.store(), &elsewhere).await.unwrap(), []);
    let newest = ActFilter {
        limit: 5,
        since: Some(clock()),
        ..ActFilter::default()
    };
    assert_eq!(acts(root.store(), &newest).await.unwrap().len(), 5);
}

/// Three logs, one a month; each with an act of a key and in a tenant of its own, the latest recorded first.
async fn record_months(root: &LakeRoot) {
    for month in [3, 2, 1] {
        let log = AuditLog::start(root.clone(), clock);
        for number in 0..2 {
            let mut act = act(month);
            act.at = format!("2026-0{month}-1{number}").parse().unwrap();
            act.tenant = Some(format!("shop{month}").parse().unwrap());
            act.rows = Some(month * 10 + number);
            log.record(act).await.unwrap();
        }
        log.stop().await;
    }
}

async fn rows_of(root: &LakeRoot, filter: &ActFilter) -> Vec<u64> {
    let found = acts(root.store(), filter).await.unwrap();
    found.iter().filter_map(|act| act.rows).collect()
}

#[tokio::test]
async fn the_newest_acts_are_read_first_and_others_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    record_months(&root).await;
    let at = |text: &str| Some(text.parse().unwrap());
    let page = |limit, since, until| ActFilter {
        limit,
        since,
        until,
        ..ActFilter::default()
    };
    assert_eq!(
        rows_of(&root, &page(10, None, None)).await,
        [10, 11, 20, 21, 30, 31]
    );
    assert_eq!(rows_of(&root, &page(3, None, None)).await, [21, 30, 31]);
    assert_eq!(rows_of(&root, &page(0, None, None)).await, [0; 0]);
    let before = page(2, None, at("2026-03-11"));
    assert_eq!(rows_of(&root, &before).await, [21, 30]);
    // Objects without wanted acts are not read.
    let of_key = ActFilter {
        who: Some("abcdefghi2".parse().unwrap()),
        ..ActFilter::default()
    };
    let of_tenant = ActFilter {
        tenant: Some("shop1".parse().unwrap()),
        ..ActFilter::default()
    };
    for (filter, objects) in [
        (ActFilter::default(), 3),
        (page(9, at("2026-02-01"), None), 2),
        (page(9, at("2026-02-01"), at("2026-03-01")), 1),
        (of_key, 1),
        (of_tenant, 1),
    ] {
        let mut reader = ActReader::new(root.store().clone(), filter);
        let mut read = 0;
        while let Some(found) = reader.next(None).await.unwrap() {
            assert_eq!(found.len(), 2);
            read += 1;
        }
        assert_eq!(read, objects);
    }
    // A page that is full from the second object on needs no third one.
    let mut reader = ActReader::new(root.store().clone(), ActFilter::default());
    assert!(reader.next(None).await.unwrap().is_some());
    assert!(reader.next(at("2026-02-11")).await.unwrap().is_some());
    assert!(reader.next(at("2026-02-11")).await.unwrap().is_none());
}

#[tokio::test]
async fn names_that_hide_acts_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    record_months(&root).await;
    assert_eq!(problems(&root).await, Vec::<String>::new());
    let [one, other, _] = objects(folder.path()).try_into().unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let renamed = one.with_file_name(name(&other));
    fs::rename(&one, &renamed).unwrap();
    let found = problems(&root).await.join("\n");
    assert!(found.contains("its object hides it"), "{found}");
    // Without a summary nothing is left out.
    let plain = one.with_file_name("00000000000000000000-2.ndjson");
    fs::rename(&renamed, &plain).unwrap();
    assert_eq!(problems(&root).await, Vec::<String>::new());
    let all = rows_of(&root, &ActFilter::default()).await;
    assert_eq!(all, [10, 11, 20, 21, 30, 31]);
}

#[tokio::test]
async fn acts_are_read_once_while_they_are_folded() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let log = AuditLog::start(root.clone(), clock);
    let filter = ActFilter {
        limit: 10_000,
        ..ActFilter::default()
    };
    let writing = async {
        // Groups of one act, which are folded twice.
        for number in 0..600 {
            log.record(act(number)).await.unwrap();
        }
        log.stop().await;
    };
    let reading = async {
        let mut read = 0;
        while read < 600 {
            let mut rows = rows_of(&root, &filter).await;
            rows.sort_unstable();
            // Whatever was there when it was listed is read, once each.
            let expected: Vec<u64> = (0..rows.len() as u64).collect();
            assert_eq!(rows, expected);
            assert!(rows.len() >= read);
            read = rows.len();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn every_change_of_ten_thousand_acts_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    record(&root, ACTS).await;
    assert_eq!(problems(&root).await, Vec::<String>::new());
    let objects = objects(folder.path());
    let [object] = objects.as_slice() else {
        panic!("not folded: {objects:?}");
    };
    let bytes = fs::read(object).unwrap();
    // One byte, at places all over the chain.
    for at in (0..bytes.len())
        .step_by(bytes.len() / 25)
        .chain([bytes.len() - 2])
    {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(object, &changed).unwrap();
        assert!(!problems(&root).await.is_empty(), "byte {at}");
    }
    let lines: Vec<&str> = std::str::from_utf8(&bytes).unwrap().lines().collect();
    let written = |lines: &[&str]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(object, text).unwrap();
    };
    // A record cut out, two exchanged, one repeated, the tail cut off.
    for number in [0, 1, 5_000, 9_998] {
        let mut changed = lines.clone();
        changed.remove(number);
        written(&changed);
        assert!(!problems(&root).await.is_empty(), "without record {number}");
        let mut changed = lines.clone();
        changed.swap(number, number + 1);
        written(&changed);
        assert!(
            !problems(&root).await.is_empty(),
            "{number} and the next exchanged"
        );
        let mut changed = lines.clone();
        changed.insert(number, lines[number]);
        written(&changed);
        assert!(!problems(&root).await.is_empty(), "{number} repeated");
    }
    for left in [0, 1, 9_999] {
        written(&lines[..left]);
        let found = problems(&root).await.join("\n");
        assert!(found.contains(&format!("{left} records")), "{found}");
    }
    fs::remove_file(object).unwrap();
    let found = problems(&root).await.join("\n");
    assert!(found.contains("its tail was cut off"), "{found}");
    fs::write(object, &bytes).unwrap();
    assert_eq!(problems(&root).await, Vec::<String>::new());
}

#[tokio::test]
async fn rewritten_chains_do_not_match_their_seals() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    record(&root, 10).await;
    let chain = objects(folder.path()).remove(0);
    let name = chain
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    let bytes = fs::read_to_string(&chain).unwrap();
    // Whoever rewrites a whole chain gets every hash right, and lacks the master key for the seals.
    let mut previous = super::chain::hash_before_first(name);
    let mut rewritten = String::new();
    for line in bytes.lines() {
        let mut record = decode(line).unwrap().record;
        record.act.rows = record.act.rows.map(|rows| rows + 1);
        record.previous = previous;
        let (line, hash) = super::record::encode(&record).unwrap();
        rewritten += &line;
        rewritten += "\n";
        previous = hash;
    }
    fs::write(&chain, rewritten).unwrap();
    let found = problems(&root).await.join("\n");
    assert!(found.contains("not those that were sealed"), "{found}");
    fs::write(&chain, &bytes).unwrap();
    // A seal with another head, with or without the right digest elsewhere.
    let seals = sealed(folder.path());
    let last = seals.last().unwrap();
    let seal = fs::read_to_string(last).unwrap();
    fs::write(last, seal.replace("\"records\":10", "\"records\":9")).unwrap();
    let found = problems(&root).await.join("\n");
    assert!(
        found.contains("its authentication code is wrong"),
        "{found}"
    );
    fs::write(last, &seal).unwrap();
    // A seal taken out of the middle.
    record(&root, 1).await;
    fs::remove_file(last).unwrap();
    let found = problems(&root).await.join("\n");
    assert!(found.contains("1 seals before it are missing"), "{found}");
    fs::write(last, &seal).unwrap();
    assert_eq!(problems(&root).await, Vec::<String>::new());
    // A chain that no server wrote.
    let forged = folder.path().join("lake/_audit/chains/forged");
    fs::create_dir(&forged).unwrap();
    let act = super::record::Record {
        number: 0,
        act: act(0),
        previous: super::chain::hash_before_first("forged"),
    };
    let (line, _) = super::record::encode(&act).unwrap();
    fs::write(forged.join("00000000000000000000-1.ndjson"), line + "\n").unwrap();
    let found = problems(&root).await;
    assert_eq!(found, ["forged: no seal names it: no server wrote it"]);
}

/// Writes a file of master keys that only its owner may read.
fn write_keys(path: &Path, keys: &str) {
    fs::write(path, keys).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[tokio::test]
async fn seals_of_a_master_key_that_is_not_at_hand_are_named() {
    let folder = tempfile::tempdir().unwrap();
    record(&root_of(folder.path()), 5).await;
    let key = folder.path().join("key");
    let (old, new) = (fs::read_to_string(&key).unwrap(), "ab".repeat(32));
    // Later seals under another key vouch for nothing: whoever made the earlier ones may have invented their key.
    write_keys(&key, &new);
    for _ in 0..2 {
        let found = problems(&root_of(folder.path())).await.join("\n");
        assert!(found.contains("is not at hand"), "{found}");
        record(&root_of(folder.path()), 5).await;
    }
    write_keys(&key, &format!("{new}\n{old}"));
    assert_eq!(
        problems(&root_of(folder.path())).await,
        Vec::<String>::new()
    );
    let first = sealed(folder.path()).remove(0);
    let text = fs::read_to_string(&first).unwrap();
    fs::write(&first, text.replace("\"records\":0", "\"records\":1")).unwrap();
    let found = problems(&root_of(folder.path())).await.join("\n");
    assert!(
        found.contains("its authentication code is wrong"),
        "{found}"
    );
}

#[tokio::test]
async fn overlapping_objects_hide_and_forge_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    record(&root, 20).await;
    let object = objects(folder.path()).remove(0);
    let text = fs::read_to_string(&object).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // In the place of a record that was read already stands one that claims to be the last of all.
    let mut forged = decode(lines[9]).unwrap().record;
    forged.number = 19;
    let (forged, _) = super::record::encode(&forged).unwrap();
    let written = |first: usize, lines: &[&str]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let name = format!("{first:020}-{}.ndjson", lines.len());
        fs::write(object.with_file_name(name), text).unwrap();
    };
    fs::remove_file(&object).unwrap();
    written(0, &lines[..10]);
    let mut rest = vec![forged.as_str()];
    rest.extend(&lines[10..]);
    written(9, &rest);
    let found = problems(&root).await.join("\n");
    assert!(
        found.contains("not the record that the object before has"),
        "{found}"
    );
    let all = acts(root.store(), &ActFilter::default()).await.unwrap();
    let rows: Vec<u64> = all.iter().filter_map(|act| act.rows).collect();
    assert_eq!(rows, (0..20).collect::<Vec<u64>>());
    // A name that no server gives.
    let huge = object.with_file_name(format!("{:020}-{}.ndjson", 1, u64::MAX));
    fs::write(huge, "").unwrap();
    problems(&root).await;
}

#[tokio::test]
async fn acts_wait_until_a_chain_can_be_begun() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let audit = folder.path().join("lake/_audit");
    fs::create_dir_all(audit.parent().unwrap()).unwrap();
    fs::write(&audit, "no folder").unwrap();
    let log = AuditLog::start(root.clone(), clock);
    assert!(log.ready().await.is_err());
    assert!(log.record(act(1)).await.is_err());
    fs::remove_file(&audit).unwrap();
    log.ready().await.unwrap();
    log.record(act(2)).await.unwrap();
    log.stop().await;
    let all = acts(root.store(), &ActFilter::default()).await.unwrap();
    let rows: Vec<u64> = all.iter().filter_map(|act| act.rows).collect();
    assert_eq!(rows, [1, 2]);
}

#[tokio::test]
async fn acts_wait_while_the_store_refuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let log = AuditLog::start(root.clone(), clock);
    log.record(act(1)).await.unwrap();
    // A file where the folder of the chain was.
    let chain = objects(folder.path())
        .pop()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    let aside = folder.path().join("aside");
    fs::rename(&chain, &aside).unwrap();
    fs::write(&chain, "").unwrap();
    let refused = log.record(act(2)).await.unwrap_err();
    assert_eq!(refused.code().0, "audit_unavailable");
    fs::remove_file(&chain).unwrap();
    fs::rename(&aside, &chain).unwrap();
    log.record(act(3)).await.unwrap();
    log.stop().await;
    assert_eq!(problems(&root).await, Vec::<String>::new());
    let all = acts(root.store(), &ActFilter::default()).await.unwrap();
    let mut rows: Vec<u64> = all.iter().filter_map(|act| act.rows).collect();
    rows.sort_unstable();
    assert_eq!(rows, [1, 2, 3]);
}

#[tokio::test]
async fn logs_of_several_processes_seal_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let logs = (0..8).map(|_| record(&root, 20));
    futures::future::join_all(logs).await;
    let verified = verify(&root).await.unwrap();
    assert_eq!(
        (verified.chains, verified.records, verified.sealed),
        (8, 160, 160)
    );
    assert_eq!(verified.findings, []);
}
