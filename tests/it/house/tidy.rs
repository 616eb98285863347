//! House rules: crates depend only on lower floors, files are short and begin with their purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollbook_model::TableDef;
use rollbook_model::tables::TABLES;
use serde_json::Value;

/// The floor of every crate, and the dependencies that only it may use. `docs/ARCHITECTURE.md` has the same
/// table.
const FLOORS: [(&str, u8, &[&str]); 14] = [
    (
        "rollbook-cli",
        5,
        &[
            "clap",
            "clap_complete",
            "indicatif",
            "anyhow",
            "comfy-table",
        ],
    ),
    (
        "rollbook-server",
        4,
        &[
            "axum",
            "tower",
            "tower-http",
            "utoipa",
            "utoipa-axum",
            "prometheus-client",
            "governor",
            "tokio-rustls",
            "ipnet",
        ],
    ),
    ("rollbook-app", 3, &["jsonwebtoken", "reqwest"]),
    ("rollbook-ingest", 2, &[]),
    ("rollbook-segments", 2, &[]),
    ("rollbook-attribution", 2, &[]),
    (
        "rollbook-scoring",
        2,
        &["linfa", "linfa-logistic", "ndarray"],
    ),
    ("rollbook-generate", 2, &[]),
    ("rollbook-engine", 1, &[]),
    (
        "rollbook-read",
        1,
        &["csv-core", "encoding_rs", "chardetng"],
    ),
    (
        "rollbook-identity",
        1,
        &["phonenumber", "idna", "unicode-normalization"],
    ),
    ("rollbook-lake", 1, &["aes-gcm-siv"]),
    ("rollbook-model", 0, &[]),
    ("rollbook-queries", 0, &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The members of the workspace, from the manifests.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// The direct dependencies of each member of the workspace.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    packages()
        .iter()
        .map(|package| {
            let needs = package["dependencies"].as_array().unwrap().iter().map(name);
            (name(package), needs.collect())
        })
        .collect()
}

#[test]
fn crates_depend_on_lower_floors_only() {
    let dependencies = dependencies();
    for (package, needs) in &dependencies {
        let Some((_, floor, _)) = FLOORS.iter().find(|(name, ..)| name == package) else {
            assert!(
                ["rollbook-tests", "rollbook-benches"].contains(&package.as_str()),
                "`{package}` stands on no floor"
            );
            continue;
        };
        for need in needs.iter().filter(|need| need.starts_with("rollbook-")) {
            let below = FLOORS
                .iter()
                .find(|(name, ..)| name == need)
                .map(|(_, floor, _)| floor);
            assert!(
                below.is_some_and(|below| below < floor),
                "`{package}` reaches up to `{need}`"
            );
        }
        for (owner, _, alone) in FLOORS {
            for only in alone
                .iter()
                .filter(|only| needs.iter().any(|need| need == *only))
            {
                assert_eq!(owner, package, "only `{owner}` may touch `{only}`");
            }
        }
        let sessions = ["rollbook-engine", "rollbook-ingest", "rollbook-segments"];
        if needs.iter().any(|need| need == "datafusion") {
            assert!(
                sessions.contains(&package.as_str()),
                "`{package}` touches datafusion"
            );
        }
    }
    for (package, ..) in FLOORS {
        assert!(
            dependencies.contains_key(package),
            "`{package}` is not there"
        );
    }
}

#[test]
fn there_is_one_program_for_cargo_run() {
    let packages = packages();
    let targets = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap());
    let programs: Vec<&str> = targets
        .filter(|target| target["kind"] == serde_json::json!(["bin"]))
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(programs, ["rollbook"]);
}

/// Name, version and features of every dependency, as cargo resolves them for a command.
fn resolved(choice: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p}|{f}",
        ])
        .args(choice)
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let mut resolved = BTreeMap::<String, BTreeSet<String>>::new();
    for (package, features) in tree.lines().filter_map(|line| line.split_once('|')) {
        // Build scripts may have other features of a dependency than the program.
        let features = features.trim_end_matches("(*)").trim().to_owned();
        resolved
            .entry(package.to_owned())
            .or_default()
            .insert(features);
    }
    resolved
}

/// If only a test enables a feature of a low-level crate, `cargo test` builds half of the dependencies a
/// second time.
#[test]
fn the_demo_and_the_tests_share_one_build_of_the_dependencies() {
    let of_demo = resolved(&["--package", "rollbook-cli", "--edges", "normal,build"]);
    let of_tests = resolved(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(of_demo.len() > 300, "{} packages", of_demo.len());
    for (package, features) in &of_demo {
        let tested = of_tests.get(package);
        assert!(
            tested.is_some_and(|tested| tested.is_superset(features)),
            "{package} has {features:?} in the program and {tested:?} in the tests"
        );
    }
}

#[test]
fn sessions_are_made_in_engine_alone() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let makes = [
            "SessionContext::new",
            "SessionStateBuilder::new",
            "SessionConfig::new",
        ];
        if makes.iter().any(|call| text.contains(call)) {
            let path = file.to_string_lossy();
            let own = path.contains("crates/engine") || path.contains("tests/it");
            assert!(own, "{path} makes a session");
        }
    }
}

#[test]
fn files_are_short_and_begin_with_their_purpose() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", file.display());
        let below = file.strip_prefix(root()).unwrap();
        let is_test = below.components().any(|part| part.as_os_str() == "tests")
            || file.file_name().is_some_and(|name| name == "tests.rs");
        let opens = text.starts_with("//! ");
        assert!(
            opens || is_test,
            "{} does not say why it exists",
            file.display()
        );
        for name in ["util", "utils", "common", "core", "helpers", "types", "mod"] {
            assert_ne!(file.file_stem().unwrap(), name, "{}", file.display());
        }
    }
}

#[test]
fn tables_document_equals_the_definitions() {
    let path = root().join("docs/TABLES.md");
    let expected = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/TABLES.md is out of date: UPDATE_DOCS=1 cargo test --test it tidy"
    );
}

fn document() -> String {
    let mut text = String::from(
        "# The canonical tables\n\nWritten from the definitions in `crates/model/src/tables/`. Times are UTC microseconds, decimals have four places.\nPersonal columns (marked `*`) are not in the tables' files: they are encrypted in the vault, in their latest state only.\n",
    );
    for table in TABLES {
        text.push_str(&section(table));
    }
    text
}

fn section(table: &TableDef) -> String {
    let mut text = format!("\n## {}\n\nA row is {}.\n\n", table.name, table.meaning);
    text.push_str("| column | type | | unit | meaning |\n|---|---|---|---|---|\n");
    for column in table.all_columns() {
        let star = if column.personal { "\\*" } else { "" };
        let required = if column.nullable { "" } else { "required" };
        let (name, ty) = (column.name, column.ty.name());
        let (unit, meaning) = (column.unit, column.meaning);
        text.push_str(&format!(
            "| {name}{star} | {ty} | {required} | {unit} | {meaning} |\n"
        ));
    }
    text
}

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in [
        "crates",
        "queries/src",
        "tests/it",
        "tests/src",
        "benches/src",
    ] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "the sources are not where they should be");
    found
}
