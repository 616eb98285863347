//! The names of the values that a snapshot holds, and the objects that each value refers to.
//!
//! Besides its tables a snapshot holds small values by name: settings, segments, memberships. Some of
//! them refer to immutable objects of the tenant's folder by path. Garbage collection, checks, backups
//! and commits ask the name which objects its value refers to.
//!
//! Lakes outlive programs: a newer program may have written a name that this one does not know, or a
//! new field in a value. So any path in a value of an unknown name, and any path in a value that refers
//! to objects at all, counts as a reference. A program that lets one of the other values refer to an
//! object must give the value a new name.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// The name of the value that exists while every refund and order line refers to an order that the
/// lake has.
pub const ORDERS_COMPLETE: &str = "orders/complete";
/// The name of the value that refers to the [`IdentityRemap`](crate::IdentityRemap).
pub const IDENTITY_REMAP: &str = "identity/moves";
/// The name of the value that refers to the [`PersonRedirects`](crate::PersonRedirects).
pub const PERSON_REDIRECTS: &str = "identity/gone";
/// The name of the value that exists as soon as two records have been linked to one person.
pub const LINKED: &str = "identity/linked";

const SETTINGS: &str = "settings";
const TRAITS: &str = "traits";
const SUPPRESSIONS: &str = "suppressions";
const LEDGER: &str = "ledger";
const DECISIONS: &str = "identity/decisions";
const ERASED: &str = "identity/erased";
const RETENTION_RULES: &str = "retention/rules";
const LEGAL_HOLDS: &str = "retention/holds";
const REMOVALS: &str = "retention/removed";
const RECEIPTS: &str = "retention/receipts";

const SEGMENT: &str = "segment";
const MEMBERS: &str = "members";
const STATUS: &str = "status";
const ENDED: &str = "ended";
const MODEL: &str = "model";
const SCORES: &str = "scores";
const SYNC: &str = "sync";
const COLUMNS: &str = "columns";
const WATERMARK: &str = "watermark";

/// A folder of immutable objects in the tenant's folder, to which values refer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectFolder {
    /// Segments, traits, suppressions and cursors of synchronisations.
    Definitions,
    /// The identity remap, the person redirects, decisions and erased values.
    Identity,
    /// Pages of entries into segments and exits from them, with their bitmaps.
    Ledger,
    /// Bitmaps of the members of segments.
    Members,
    /// Models that compute scores.
    Models,
    /// Scores of persons.
    Scores,
    /// Reports of retention runs, and receipts of the requests of persons.
    Retention,
}

impl ObjectFolder {
    /// The folder of a name in the tenant's folder; `None` where no value of this version refers to
    /// its objects.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "_definitions" => Self::Definitions,
            "_identity" => Self::Identity,
            "_ledger" => Self::Ledger,
            "_members" => Self::Members,
            "_models" => Self::Models,
            "_scores" => Self::Scores,
            "_retention" => Self::Retention,
            _ => return None,
        })
    }
}

/// The name of a value that a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueName<'a> {
    /// The tenant's settings.
    Settings,
    /// The custom traits.
    Traits,
    /// The suppression list.
    Suppressions,
    /// The pages of the membership ledger.
    Ledger,
    /// What people decided about links between records.
    Decisions,
    /// Hashes of the values of erased persons.
    Erased,
    /// How long rows and personal values are kept, by rule.
    RetentionRules,
    /// The persons under legal hold.
    LegalHolds,
    /// The last retention run that removed something, and the reports of all.
    Removals,
    /// The receipts of the requests of persons.
    Receipts,
    /// The records whose rows lie with another person than the one they belong to.
    IdentityRemap,
    /// The persons who have no records any more.
    PersonRedirects,
    /// Whether two records have been linked to one person.
    Linked,
    /// Whether every refund and order line refers to an order that the lake has.
    OrdersComplete,
    /// The definition of a segment, by its key.
    Segment(&'a str),
    /// The members of a segment, by its key.
    Members(&'a str),
    /// Why the last refresh of a segment failed, by its key.
    Status(&'a str),
    /// The last revision of a deleted segment, by its key.
    Ended(&'a str),
    /// The model of a kind of score.
    Model(&'a str),
    /// The scores of a kind.
    Scores(&'a str),
    /// The files that a synchronisation has read, by its provider.
    Sync(&'a str),
    /// The columns of a provider's last files.
    Columns(&'a str),
    /// When a provider's rows were ingested last.
    Watermark(&'a str),
    /// A name that this version does not know.
    Unknown(&'a str),
}

impl<'a> ValueName<'a> {
    /// The name that a snapshot holds as `text`. Every text is a name.
    pub fn parse(text: &'a str) -> Self {
        match text {
            SETTINGS => Self::Settings,
            TRAITS => Self::Traits,
            SUPPRESSIONS => Self::Suppressions,
            LEDGER => Self::Ledger,
            DECISIONS => Self::Decisions,
            ERASED => Self::Erased,
            RETENTION_RULES => Self::RetentionRules,
            LEGAL_HOLDS => Self::LegalHolds,
            REMOVALS => Self::Removals,
            RECEIPTS => Self::Receipts,
            IDENTITY_REMAP => Self::IdentityRemap,
            PERSON_REDIRECTS => Self::PersonRedirects,
            LINKED => Self::Linked,
            ORDERS_COMPLETE => Self::OrdersComplete,
            _ => Self::with_key(text).unwrap_or(Self::Unknown(text)),
        }
    }

    /// The name that `text` is, of those with a key: `kind/key`.
    fn with_key(text: &'a str) -> Option<Self> {
        let (kind, key) = text.split_once('/')?;
        Some(match kind {
            SEGMENT => Self::Segment(key),
            MEMBERS => Self::Members(key),
            STATUS => Self::Status(key),
            ENDED => Self::Ended(key),
            MODEL => Self::Model(key),
            SCORES => Self::Scores(key),
            SYNC => Self::Sync(key),
            COLUMNS => Self::Columns(key),
            WATERMARK => Self::Watermark(key),
            _ => return None,
        })
    }

    /// The folders of the objects that a value of this name refers to: none where the value refers
    /// to no object, `None` where this version does not know.
    fn folders(self) -> Option<&'static [ObjectFolder]> {
        Some(match self {
            Self::Traits | Self::Suppressions | Self::Segment(_) | Self::Sync(_) => {
                &[ObjectFolder::Definitions]
            }
            Self::Decisions
            | Self::Erased
            | Self::IdentityRemap
            | Self::PersonRedirects
            | Self::LegalHolds => &[ObjectFolder::Identity],
            Self::Removals | Self::Receipts => &[ObjectFolder::Retention],
            Self::Ledger => &[ObjectFolder::Ledger],
            // Members and scores also name the person redirects that their ids are current as of.
            Self::Members(_) => &[ObjectFolder::Members, ObjectFolder::Identity],
            Self::Scores(_) => &[ObjectFolder::Scores, ObjectFolder::Identity],
            Self::Model(_) => &[ObjectFolder::Models],
            Self::Settings
            | Self::RetentionRules
            | Self::Linked
            | Self::OrdersComplete
            | Self::Status(_)
            | Self::Ended(_)
            | Self::Columns(_)
            | Self::Watermark(_) => &[],
            Self::Unknown(_) => return None,
        })
    }

    /// The objects that a value of this name refers to, relative to the tenant's folder.
    pub(crate) fn objects(self, value: &Value) -> BTreeSet<String> {
        let mut objects = BTreeSet::new();
        if self.folders().is_none_or(|folders| !folders.is_empty()) {
            add_paths(value, &mut objects);
        }
        objects
    }
}

impl fmt::Display for ValueName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, key) = match self {
            Self::Settings => return f.write_str(SETTINGS),
            Self::Traits => return f.write_str(TRAITS),
            Self::Suppressions => return f.write_str(SUPPRESSIONS),
            Self::Ledger => return f.write_str(LEDGER),
            Self::Decisions => return f.write_str(DECISIONS),
            Self::Erased => return f.write_str(ERASED),
            Self::RetentionRules => return f.write_str(RETENTION_RULES),
            Self::LegalHolds => return f.write_str(LEGAL_HOLDS),
            Self::Removals => return f.write_str(REMOVALS),
            Self::Receipts => return f.write_str(RECEIPTS),
            Self::IdentityRemap => return f.write_str(IDENTITY_REMAP),
            Self::PersonRedirects => return f.write_str(PERSON_REDIRECTS),
            Self::Linked => return f.write_str(LINKED),
            Self::OrdersComplete => return f.write_str(ORDERS_COMPLETE),
            Self::Unknown(name) => return f.write_str(name),
            Self::Segment(key) => (SEGMENT, key),
            Self::Members(key) => (MEMBERS, key),
            Self::Status(key) => (STATUS, key),
            Self::Ended(key) => (ENDED, key),
            Self::Model(kind) => (MODEL, kind),
            Self::Scores(kind) => (SCORES, kind),
            Self::Sync(provider) => (SYNC, provider),
            Self::Columns(provider) => (COLUMNS, provider),
            Self::Watermark(provider) => (WATERMARK, provider),
        };
        write!(f, "{kind}/{key}")
    }
}

/// Adds the texts of a value that have the form of an object's path: `_folder/…`.
fn add_paths(value: &Value, objects: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.starts_with('_') && text.contains('/') => {
            objects.insert(text.clone());
        }
        Value::Array(all) => all.iter().for_each(|one| add_paths(one, objects)),
        Value::Object(all) => all.values().for_each(|one| add_paths(one, objects)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ObjectFolder, ValueName};

    /// A value of each kind as the other crates write it, and how many objects it refers to.
    fn examples() -> Vec<(ValueName<'static>, &'static str, Value, usize)> {
        let set = json!({"path": "_members/7-2.roaring", "bytes": [0, 9]});
        let members = json!({
            "segment": "vip", "count": 2, "settings": {"timezone": "UTC"},
            "path": "_members/7-1.roaring", "bytes": [0, 9],
            "decided": set, "gone": "_identity/gone-1.json",
        });
        let page = json!({"path": "_ledger/7-1.json", "sets": ["_ledger/7-1.roaring"], "level": 0});
        let scores = json!({"path": "_scores/churn-7.parquet", "gone": "_identity/gone-1.json"});
        let definition = json!({"path": "_definitions/segment/vip/1.json", "revision": 1});
        vec![
            (
                ValueName::Settings,
                "settings",
                json!({"sender": "_a/b"}),
                0,
            ),
            (
                ValueName::Traits,
                "traits",
                json!({"path": "_definitions/traits-1.json"}),
                1,
            ),
            (
                ValueName::Suppressions,
                "suppressions",
                json!({"path": "_definitions/s-1.json"}),
                1,
            ),
            (ValueName::Ledger, "ledger", json!([page]), 2),
            (
                ValueName::Decisions,
                "identity/decisions",
                json!("_identity/decisions-1.json"),
                1,
            ),
            (
                ValueName::Erased,
                "identity/erased",
                json!("_identity/erased-1.json"),
                1,
            ),
            (
                ValueName::IdentityRemap,
                "identity/moves",
                json!("_identity/moves-1.json"),
                1,
            ),
            (
                ValueName::PersonRedirects,
                "identity/gone",
                json!("_identity/gone-1.json"),
                1,
            ),
            (
                ValueName::RetentionRules,
                "retention/rules",
                json!({"activities": 730}),
                0,
            ),
            (
                ValueName::LegalHolds,
                "retention/holds",
                json!("_identity/holds-1.json"),
                1,
            ),
            (
                ValueName::Removals,
                "retention/removed",
                json!({"snapshot": 7, "reports": ["_retention/report-1.json"]}),
                1,
            ),
            (
                ValueName::Receipts,
                "retention/receipts",
                json!(["_retention/receipt-1.json"]),
                1,
            ),
            (ValueName::Linked, "identity/linked", json!(true), 0),
            (ValueName::OrdersComplete, "orders/complete", json!(true), 0),
            (ValueName::Segment("vip"), "segment/vip", definition, 1),
            (ValueName::Members("vip"), "members/vip", members, 3),
            (
                ValueName::Status("vip"),
                "status/vip",
                json!({"error": "_x/y is no column"}),
                0,
            ),
            (ValueName::Ended("vip"), "ended/vip", json!(3), 0),
            (
                ValueName::Model("churn"),
                "model/churn",
                json!({"path": "_models/churn/1.json"}),
                1,
            ),
            (ValueName::Scores("churn"), "scores/churn", scores, 2),
            (
                ValueName::Sync("shop"),
                "sync/shop",
                json!("_definitions/sync-1.json"),
                1,
            ),
            (
                ValueName::Columns("shop"),
                "columns/shop",
                json!({"orders": {"_a/b": true}}),
                0,
            ),
            (
                ValueName::Watermark("shop"),
                "watermark/shop",
                json!("2026-01-01T00:00:00Z"),
                0,
            ),
            (
                ValueName::Unknown("journey/vip"),
                "journey/vip",
                json!({"at": ["_journeys/1"]}),
                1,
            ),
        ]
    }

    #[test]
    fn names_print_as_the_text_they_were_parsed_from() {
        for (name, text, ..) in examples() {
            assert_eq!(ValueName::parse(text), name);
            assert_eq!(name.to_string(), text);
        }
        for text in [
            "",
            "segment",
            "segment/",
            "settings/",
            "Ledger",
            "a/b/c",
            "members/a/b",
        ] {
            assert_eq!(ValueName::parse(text).to_string(), text);
        }
    }

    #[test]
    fn values_refer_to_objects_of_the_declared_folders() {
        for (name, text, value, count) in examples() {
            let objects = name.objects(&value);
            assert_eq!(objects.len(), count, "{text}: {objects:?}");
            for object in objects {
                let (folder, _) = object.split_once('/').unwrap();
                let folder = ObjectFolder::named(folder);
                let declared = name.folders();
                assert_eq!(folder.is_some(), declared.is_some(), "{text}: {object}");
                assert!(
                    declared.is_none_or(|all| all.iter().any(|one| Some(*one) == folder)),
                    "{text}: {object}"
                );
            }
        }
    }

    #[test]
    fn a_path_in_a_field_of_a_newer_program_is_a_reference() {
        let value = json!({"path": "_members/1", "preview": {"at": "_previews/1"}});
        let objects = ValueName::Members("vip").objects(&value);
        assert!(objects.contains("_previews/1") && objects.contains("_members/1"));
    }
}
