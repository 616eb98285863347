//! The rights that each use case needs: the one table of this crate. A use case without an entry is refused.

use crate::AppError;
use crate::access::bounds::Bounds;
use crate::access::rights::{Right, Rights};

/// What a use case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UseCaseNeeds {
    /// Any caller: it returns nothing that a right is for, or what it is part of was checked.
    Anybody,
    /// One of these rights: several for parts of several others.
    OneOf(&'static [Right]),
    /// All rights: it is for the local administrator, on the command line.
    Local,
}

use UseCaseNeeds::{Anybody, Local, OneOf};

const READ: UseCaseNeeds = OneOf(&[Right::Read]);
const MEMBERS: UseCaseNeeds = OneOf(&[Right::Members]);
const EXPORT: UseCaseNeeds = OneOf(&[Right::Export]);
const SEGMENTS_WRITE: UseCaseNeeds = OneOf(&[Right::SegmentsWrite]);
/// Segments are computed on request, and when they are saved.
const REFRESH: UseCaseNeeds = OneOf(&[Right::Refresh, Right::SegmentsWrite]);
const SQL: UseCaseNeeds = OneOf(&[Right::Sql]);
const INGEST: UseCaseNeeds = OneOf(&[Right::Ingest]);
const IDENTITY: UseCaseNeeds = OneOf(&[Right::Identity]);
const METRICS: UseCaseNeeds = OneOf(&[Right::Metrics]);
const PII: UseCaseNeeds = OneOf(&[Right::Pii]);
const ERASE: UseCaseNeeds = OneOf(&[Right::Erase]);

/// It answers within the bounds of a key.
const WITHIN: bool = true;
/// It refuses callers whose key is bound.
const BEYOND: bool = false;

/// Every public function of this crate that works for a caller: module and name, what it needs, and whether bound keys
/// may use it.
const USE_CASES: [(&str, UseCaseNeeds, bool); 120] = [
    ("attribution::run", READ, BEYOND),
    ("data::settings::moment", Anybody, WITHIN),
    ("data::settings::set", Local, BEYOND),
    ("data::settings::settings", Local, BEYOND),
    ("data::snapshots::newest_snapshot", Anybody, BEYOND),
    ("data::snapshots::snapshots", Local, BEYOND),
    ("data::snapshots::watermarks", METRICS, BEYOND),
    ("data::sql::answer", SQL, BEYOND),
    ("data::sql::explain", SQL, BEYOND),
    ("data::sql::sql", SQL, BEYOND),
    ("data::tables::table_sizes", READ, BEYOND),
    ("demo::demo", Local, BEYOND),
    ("identity::decisions::block", Local, BEYOND),
    ("identity::decisions::blocked", IDENTITY, BEYOND),
    ("identity::decisions::decide", IDENTITY, BEYOND),
    ("identity::decisions::decisions", Local, BEYOND),
    ("identity::decisions::erase", ERASE, BEYOND),
    ("identity::decisions::readmit", Local, BEYOND),
    ("identity::decisions::unblock", Local, BEYOND),
    ("identity::lookup::find", MEMBERS, BEYOND),
    ("identity::lookup::merged_into", Anybody, WITHIN),
    ("identity::reviews::review", IDENTITY, BEYOND),
    ("identity::reviews::reviews", IDENTITY, BEYOND),
    ("identity::stats::stats", READ, BEYOND),
    ("identity::suggestions::suggested", Local, BEYOND),
    ("ingest::idempotency::answered", INGEST, BEYOND),
    ("ingest::idempotency::post", INGEST, BEYOND),
    ("ingest::idempotency::post_all", INGEST, BEYOND),
    ("ingest::idempotency::release", INGEST, BEYOND),
    ("ingest::ingest", Local, BEYOND),
    ("ingest::quarantine", Local, BEYOND),
    ("ingest::quarantined_providers", Local, BEYOND),
    ("ingest::retry", Local, BEYOND),
    ("ingest::sync::sync", Local, BEYOND),
    ("ingest::undo", Local, BEYOND),
    ("ingest::wal::append", INGEST, BEYOND),
    ("ingest::wal::appended", INGEST, BEYOND),
    ("ingest::wal::drop_rejected", Local, BEYOND),
    ("ingest::wal::fold", INGEST, BEYOND),
    ("ingest::wal::fold_policy", INGEST, BEYOND),
    ("ingest::wal::retry", Local, BEYOND),
    ("ingest::wal::status", Local, BEYOND),
    ("maintenance::backup", Local, BEYOND),
    ("maintenance::check", Local, BEYOND),
    ("maintenance::compaction::compact", Local, BEYOND),
    ("maintenance::compaction::compact_beside", INGEST, BEYOND),
    ("maintenance::forget_in_backup", Local, BEYOND),
    ("maintenance::keep", Local, BEYOND),
    ("maintenance::keys", Local, BEYOND),
    ("maintenance::named", Local, BEYOND),
    ("maintenance::release", Local, BEYOND),
    ("maintenance::restore", Local, BEYOND),
    ("maintenance::rotate_keys", Local, BEYOND),
    ("maintenance::vacuum", Local, BEYOND),
    ("persons::export::export", Local, BEYOND),
    ("persons::requests::receipts", Local, BEYOND),
    ("persons::requests::request_erasure", Local, BEYOND),
    ("persons::requests::request_export", Local, BEYOND),
    ("persons::requests::request_restriction", Local, BEYOND),
    ("persons::show", PII, WITHIN),
    ("persons::timeline::timeline", MEMBERS, WITHIN),
    ("readiness::check", Anybody, BEYOND),
    ("retention::holds::hold", Local, BEYOND),
    ("retention::holds::holds", Local, BEYOND),
    ("retention::holds::release", Local, BEYOND),
    ("retention::rules::rules", Local, BEYOND),
    ("retention::rules::set", Local, BEYOND),
    ("retention::run::reports", Local, BEYOND),
    ("retention::run::run", Local, BEYOND),
    ("scores::explain", Local, BEYOND),
    ("scores::run", Local, BEYOND),
    ("scores::scores_page", MEMBERS, BEYOND),
    ("scores::train", Local, BEYOND),
    ("secrets::delete", Local, BEYOND),
    ("secrets::get", Local, BEYOND),
    ("secrets::list", Local, BEYOND),
    ("secrets::put", Local, BEYOND),
    ("segments::changes::changes", MEMBERS, WITHIN),
    ("segments::changes::history", READ, WITHIN),
    ("segments::cost::bounded_segments", REFRESH, BEYOND),
    ("segments::cost::have_bounded_cost", Anybody, BEYOND),
    ("segments::cost::saved_has_bounded_cost", Anybody, BEYOND),
    ("segments::definitions::create", SEGMENTS_WRITE, BEYOND),
    ("segments::definitions::delete", SEGMENTS_WRITE, BEYOND),
    ("segments::definitions::put", SEGMENTS_WRITE, BEYOND),
    ("segments::explain::calendar", READ, BEYOND),
    ("segments::explain::explain", MEMBERS, BEYOND),
    ("segments::explain::fit", MEMBERS, BEYOND),
    ("segments::explain::near_miss", MEMBERS, BEYOND),
    ("segments::list_file::put_list", SEGMENTS_WRITE, BEYOND),
    ("segments::listing::freshness_at", READ, WITHIN),
    ("segments::listing::list", READ, WITHIN),
    ("segments::listing::saved", SEGMENTS_WRITE, BEYOND),
    ("segments::listing::show", READ, WITHIN),
    ("segments::members::count", READ, WITHIN),
    ("segments::members::members", MEMBERS, BEYOND),
    ("segments::members::members_page", MEMBERS, WITHIN),
    ("segments::members::selected_members", EXPORT, WITHIN),
    ("segments::person_columns::fields", MEMBERS, WITHIN),
    ("segments::preview::default_as_of", Anybody, BEYOND),
    ("segments::preview::impact", MEMBERS, BEYOND),
    ("segments::preview::matches", MEMBERS, BEYOND),
    ("segments::preview::preview", MEMBERS, BEYOND),
    ("segments::reach::reach", READ, WITHIN),
    ("segments::refresh::refresh", REFRESH, BEYOND),
    ("segments::refresh::refresh_one", REFRESH, BEYOND),
    ("segments::schedule::due", REFRESH, BEYOND),
    ("segments::schedule::health", METRICS, BEYOND),
    ("segments::schedule::record_memory_failure", REFRESH, BEYOND),
    ("segments::schedule::refresh_due", REFRESH, BEYOND),
    ("segments::set_operations::overlap", READ, WITHIN),
    ("segments::sql_folder::apply", SEGMENTS_WRITE, BEYOND),
    ("segments::sql_folder::export", READ, BEYOND),
    ("segments::sql_folder::plan", SEGMENTS_WRITE, BEYOND),
    ("suppressions::add", Local, BEYOND),
    ("suppressions::list", Local, BEYOND),
    ("suppressions::remove", Local, BEYOND),
    ("traits::apply", Local, BEYOND),
    ("traits::list", READ, BEYOND),
    ("traits::plan", Local, BEYOND),
];

/// Refuses a caller who may not do this.
///
/// # Errors
/// [`AppError::Forbidden`] names a right that is needed; [`AppError::BoundKey`].
pub(crate) fn require(
    use_case: &'static str,
    rights: Rights,
    bounds: Option<&Bounds>,
) -> Result<(), AppError> {
    let found = USE_CASES.iter().find(|(name, ..)| *name == use_case);
    let Some((_, needs, is_within)) = found else {
        tracing::error!(use_case, "no rights are defined for a use case");
        return Err(AppError::Forbidden { right: use_case });
    };
    let missing = match needs {
        Anybody => None,
        OneOf(some) if some.iter().any(|right| rights.has(*right)) => None,
        OneOf(some) => some.first().copied(),
        Local => rights.missing(&Right::ALL),
    };
    match missing {
        Some(right) => Err(AppError::Forbidden {
            right: right.name(),
        }),
        None if bounds.is_some() && !is_within => Err(AppError::BoundKey),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{USE_CASES, require};
    use crate::access::{Bounds, Right, Rights, Role};

    /// Returns no [`crate::AppError`], and nothing of the lake.
    const UNCHECKED: [&str; 1] = ["readiness::check"];

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let of = |path: PathBuf| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        };
        entries.flat_map(of).collect()
    }

    /// The public functions that work on a workspace, with the text of each from its name on.
    fn use_cases() -> Vec<(String, String)> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        for file in files(&sources) {
            let below = file.strip_prefix(&sources).unwrap().with_extension("");
            let module = below.to_str().unwrap().replace(['/', '\\'], "::");
            let text = fs::read_to_string(&file).unwrap();
            for kind in ["\npub async fn ", "\npub fn "] {
                for part in text.split(kind).skip(1) {
                    let part = part.split("\n}\n").next().unwrap();
                    let (head, body) = part.split_once("{\n").unwrap_or((part, ""));
                    if head.contains("workspace: &Workspace")
                        || head.contains("workspace: Workspace")
                    {
                        let end = head.find(['(', '<']).unwrap();
                        found.push((format!("{module}::{}", &head[..end]), body.to_owned()));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn every_use_case_is_in_the_table_and_checked_first() {
        let mut found = BTreeSet::new();
        for (name, body) in use_cases() {
            let check = format!("workspace.require(\"{name}\")");
            let first = body.lines().next().unwrap_or_default();
            assert!(
                first.contains(&check) || UNCHECKED.contains(&name.as_str()),
                "`{name}` does not begin with `{check}`"
            );
            assert!(found.insert(name));
        }
        let listed: BTreeSet<String> = USE_CASES
            .iter()
            .map(|(name, ..)| (*name).to_owned())
            .collect();
        assert_eq!(listed, found);
    }

    #[test]
    fn the_local_administrator_may_do_everything_and_nobody_else() {
        for (name, ..) in USE_CASES {
            assert!(require(name, Rights::ALL, None).is_ok(), "{name}");
        }
        let all_but_one = Rights::ALL.without(Right::Metrics);
        assert!(require("secrets::get", all_but_one, None).is_err());
        let viewer = Role::Viewer.rights();
        let refused = require("persons::show", viewer, None).unwrap_err();
        assert!(refused.to_string().contains("`pii`"));
        assert!(require("segments::listing::list", viewer, None).is_ok());
        assert!(require("data::secret_door", Rights::ALL, None).is_err());
    }

    #[test]
    fn bound_keys_have_neither_sql_nor_previews() {
        let bounds = Bounds {
            tags: vec!["crm".to_owned()],
            ..Bounds::default()
        };
        for name in [
            "data::sql::answer",
            "segments::preview::preview",
            "scores::scores_page",
        ] {
            let refused = require(name, Rights::ALL, Some(&bounds)).unwrap_err();
            assert_eq!(refused.code().0, "forbidden");
        }
        assert!(require("segments::members::count", Rights::ALL, Some(&bounds)).is_ok());
    }
}
