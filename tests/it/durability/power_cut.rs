//! Power cuts lose any data that was not synced to disk. A run is recorded once; then the disk is rebuilt
//! as a power cut at each moment could leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollbook_app::maintenance::{Extent, compact_lake};
use rollbook_ingest::{IngestError, Progress, Report, Request};
use rollbook_lake::storage::disk::{Disk, SyncedDisk};
use rollbook_lake::vault::Vault;
use rollbook_lake::{Lake, Retention, Store};
use rollbook_model::config::Limits;
use rollbook_model::{SnapshotNumber, Timestamp, tables};
use rollbook_read::discover;
use rollbook_tests::times;

/// Number of power cuts; `ROLLBOOK_TEST_CUTS` sets more.
const CUTS: u64 = 15;

/// An operation on a disk. Files are identified by inode, since names change.
#[derive(Debug, Clone)]
enum Event {
    Synced {
        inode: u64,
        content: Arc<Vec<u8>>,
    },
    Named {
        inode: u64,
        to: PathBuf,
    },
    Removed {
        path: PathBuf,
    },
    Folder {
        folder: PathBuf,
    },
    FolderSynced {
        folder: PathBuf,
    },
    /// The snapshot that was the newest after the work acknowledged so far.
    Acknowledged {
        snapshot: u64,
    },
}

/// The disk of the machine, with its operations recorded.
#[derive(Debug, Default)]
struct Watched {
    events: Mutex<Vec<Event>>,
}

impl Watched {
    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl Disk for Watched {
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        SyncedDisk.sync_file(file, path)?;
        let (inode, content) = (file.metadata()?.ino(), Arc::new(fs::read(path)?));
        self.note(Event::Synced { inode, content });
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        SyncedDisk.sync_folder(folder)?;
        let folder = folder.to_owned();
        self.note(Event::FolderSynced { folder });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        SyncedDisk.link(from, to)?;
        let (inode, to) = (fs::metadata(to)?.ino(), to.to_owned());
        self.note(Event::Named { inode, to });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SyncedDisk.rename(from, to)?;
        let (inode, to) = (fs::metadata(to)?.ino(), to.to_owned());
        self.note(Event::Named { inode, to });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SyncedDisk.remove(path)?;
        let path = path.to_owned();
        self.note(Event::Removed { path });
        Ok(())
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        SyncedDisk.make_folder(folder)?;
        let folder = folder.to_owned();
        self.note(Event::Folder { folder });
        Ok(())
    }
}

/// A change of a folder that may not be durable yet.
#[derive(Debug, Clone)]
enum Change {
    Name(PathBuf, u64),
    Remove(PathBuf),
    Folder(PathBuf),
}

/// The durable state of a disk, and changes that it may have lost.
#[derive(Debug, Default)]
struct Kept {
    contents: BTreeMap<u64, Arc<Vec<u8>>>,
    names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    unsure: BTreeMap<PathBuf, Vec<Change>>,
    acknowledged: u64,
}

impl Kept {
    fn take(&mut self, event: &Event) {
        let parent = |path: &Path| path.parent().unwrap().to_owned();
        match event.clone() {
            Event::Synced { inode, content } => drop(self.contents.insert(inode, content)),
            Event::Named { inode, to } => {
                let changes = self.unsure.entry(parent(&to)).or_default();
                changes.push(Change::Name(to, inode));
            }
            Event::Removed { path } => {
                let changes = self.unsure.entry(parent(&path)).or_default();
                changes.push(Change::Remove(path));
            }
            Event::Folder { folder } => {
                let changes = self.unsure.entry(parent(&folder)).or_default();
                changes.push(Change::Folder(folder));
            }
            Event::FolderSynced { folder } => {
                for change in self.unsure.remove(&folder).unwrap_or_default() {
                    self.apply(change);
                }
            }
            Event::Acknowledged { snapshot } => self.acknowledged = snapshot,
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Name(path, inode) => drop(self.names.insert(path, inode)),
            Change::Remove(path) => drop(self.names.remove(&path)),
            Change::Folder(folder) => drop(self.folders.insert(folder)),
        }
    }

    /// Rebuilds the disk after the cut in the folder `to`: each unsynced change exists or does not, and a
    /// file with unsynced content is empty.
    fn rebuild(mut self, from: &Path, to: &Path, random: &mut ChaCha8Rng) {
        for change in std::mem::take(&mut self.unsure).into_values().flatten() {
            if random.random_bool(0.5) {
                self.apply(change);
            }
        }
        let is_reached = |path: &Path| {
            let above = path.ancestors().skip(1).take_while(|above| *above != from);
            above.into_iter().all(|above| self.folders.contains(above))
        };
        for folder in self.folders.iter().filter(|folder| is_reached(folder)) {
            fs::create_dir_all(to.join(folder.strip_prefix(from).unwrap())).unwrap();
        }
        for (path, inode) in self.names.iter().filter(|(path, _)| is_reached(path)) {
            let content = self.contents.get(inode).map_or(&[][..], |content| content);
            fs::write(to.join(path.strip_prefix(from).unwrap()), content).unwrap();
        }
    }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + second * 1_000_000)
}

pub(crate) async fn ingest(lake: &Lake, file: &Path, run: i64) -> Result<Report, IngestError> {
    let request = Request {
        provider: "native".parse().unwrap(),
        mappings: None,
        files: discover(&[file.to_owned()]).unwrap(),
        batch: format!("20260101-{run:06x}").parse().unwrap(),
        at: at(run),
        limits: Limits::default(),
        dry_run: false,
        requests: Vec::new(),
        unanswered: SnapshotNumber::default(),
    };
    rollbook_ingest::ingest(lake, request, &Progress::silent()).await
}

/// Removes everything that no snapshot names, however new, since no other process is running.
pub(crate) async fn collect(lake: &Lake) {
    let how = Retention {
        snapshots: Duration::ZERO,
        garbage: Duration::ZERO,
        dry_run: false,
    };
    let far = Timestamp::from_micros(4_000_000_000_000_000);
    lake.vacuum(how, far).await.unwrap();
}

/// Files to ingest one after another: new persons and facts, changes of them, bad rows.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for round in 0..4 {
        let write = |name: &str, header: &str, row: &dyn Fn(i32) -> String| {
            let path = folder.join(round.to_string());
            fs::create_dir_all(&path).unwrap();
            let rows: Vec<String> = (0..20).map(row).collect();
            fs::write(path.join(name), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        };
        write(
            "persons.csv",
            "external_id,display_name,email,country",
            &|n| {
                let id = n + round * 10;
                format!("P{id},Name {id} {round},p{id}@example.com,DE")
            },
        );
        write(
            "orders.csv",
            "external_id,person_external_id,status,currency,total,placed_at",
            &|n| {
                let (id, person) = (n + round * 10, n + round * 10 - 5);
                let total = if n == 3 {
                    "much".to_owned()
                } else {
                    format!("{}.50", id + round)
                };
                format!(
                    "O{id},P{person},paid,EUR,{total},2025-01-{:02}T00:00:00Z",
                    n + 1
                )
            },
        );
        files.push(folder.join(round.to_string()));
    }
    files
}

/// The number of rows of every table and vault, whatever the numbers of the snapshots.
pub(crate) async fn content(lake: &Lake) -> BTreeMap<String, u64> {
    let state = lake.head().await.unwrap();
    let rows = state.tables.iter();
    let mut content: BTreeMap<String, u64> = rows
        .map(|(name, table)| (name.clone(), table.rows()))
        .collect();
    for def in tables::TABLES.iter().filter(|def| def.has_personal()) {
        let batches = Vault::new(lake, def).batches().await.unwrap();
        let rows: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
        content.insert(format!("vault of {}", def.name), rows as u64);
    }
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commits_survive_a_power_cut() {
    let cuts = times("ROLLBOOK_TEST_CUTS", CUTS);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lake");
    fs::create_dir(&root).unwrap();
    let files = sources(&folder.path().join("sources"));
    let disk = Arc::new(Watched::default());
    let watched: Arc<dyn Disk> = disk.clone();
    let store = Store::local(&root, watched).unwrap();
    let lake = Lake::on(store, "default".parse().unwrap()).await.unwrap();
    for (run, file) in (1..).zip(&files) {
        let report = ingest(&lake, file, run).await.unwrap();
        let snapshot = report.snapshot.0;
        disk.note(Event::Acknowledged { snapshot });
        if run % 2 == 0 {
            let (limits, turn) = (Limits::default(), tokio::sync::Mutex::new(()));
            let done = compact_lake(&lake, limits, Extent::All, at(run), &turn)
                .await
                .unwrap();
            let snapshot = done.last().map_or(snapshot, |last| last.snapshot.0);
            disk.note(Event::Acknowledged { snapshot });
            collect(&lake).await;
        }
    }
    assert!(lake.check().await.unwrap().problems.is_empty());
    let expected = content(&lake).await;
    let events = disk.events.lock().unwrap().clone();
    println!("{} events, {cuts} cuts", events.len());

    let mut random = ChaCha8Rng::seed_from_u64(17);
    for cut in 0..cuts {
        let moment = random.random_range(0..=events.len());
        let mut kept = Kept::default();
        events[..moment].iter().for_each(|event| kept.take(event));
        let acknowledged = kept.acknowledged;
        let after = tempfile::tempdir().unwrap();
        kept.rebuild(&root, after.path(), &mut random);
        // Nobody who wrote is alive: after some minutes their leases would count for nothing.
        fs::remove_dir_all(after.path().join("default/_leases")).ok();
        let location = after.path().to_str().unwrap();
        let lake = Lake::open_or_new(location, "default".parse().unwrap());
        let lake = lake.await.unwrap();
        let head = lake.head().await.unwrap();
        assert!(
            head.number.0 >= acknowledged,
            "cut {cut} at {moment}: {acknowledged} was acknowledged, {} is found",
            head.number
        );
        let checked = lake.check().await.unwrap();
        assert_eq!(checked.problems, [], "cut {cut} at {moment}");
        for (run, file) in (100..).zip(&files) {
            ingest(&lake, file, run).await.unwrap();
        }
        // The writer is done with it.
        drop(lake);
        let lake = Lake::open(location, "default".parse().unwrap());
        let lake = lake.await.unwrap();
        collect(&lake).await;
        assert_eq!(content(&lake).await, expected, "cut {cut} at {moment}");
        assert_eq!(
            lake.check().await.unwrap().problems,
            [],
            "cut {cut} at {moment}"
        );
    }
}
