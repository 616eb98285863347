//! Helpers that the tests in `it/` share: the program itself, and real data if it is available. A test
//! whose data is missing is reported as ignored.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The program that `cargo test` built beside this test.
///
/// # Panics
/// Where it is missing or older than the sources: a test of an old program would prove nothing.
pub fn rollbook() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PROGRAM.get_or_init(program));
    for variable in ["ROLLBOOK_LAKE", "ROLLBOOK_TENANT", "ROLLBOOK_MEMORY_MIB"] {
        command.env_remove(variable);
    }
    command
}

/// The number of repetitions of a long test: from a variable, else `short`.
pub fn times(variable: &str, short: u64) -> u64 {
    let asked = std::env::var(variable).ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(short)
}

fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/<profile>/deps");
    let program = profile.join("rollbook");
    let built = program.metadata().and_then(|meta| meta.modified()).ok();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let newest = [root.join("crates"), root.join("queries")]
        .iter()
        .filter_map(|f| newest(f))
        .max();
    assert!(
        built >= newest,
        "{} is missing or older than the sources: `cargo test` builds it, or `cargo build`",
        program.display()
    );
    program
}

/// The time of the last change of a source file below a folder, except tests of the crates.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_string_lossy().into_owned();
        let is_source = name.ends_with(".rs") || name.ends_with(".sql");
        match path.is_dir() {
            true if name == "tests" => None,
            true => newest(&path),
            false if is_source && name != "tests.rs" => entry.metadata().ok()?.modified().ok(),
            false => None,
        }
    });
    times.max()
}

/// The folder of real data. Tests that need it are ignored where there is none.
///
/// # Panics
/// There was one when the tests were built, and is none now.
pub fn test_data() -> PathBuf {
    let folder = std::env::var_os("ROLLBOOK_TEST_DATA").expect("ROLLBOOK_TEST_DATA is set");
    std::path::absolute(folder).expect("it is a folder")
}

/// A Python with the packages of `tests/peers`. Tests that need it are ignored where there is none.
///
/// # Panics
/// There was one when the tests were built, and is none now.
pub fn python() -> OsString {
    std::env::var_os("ROLLBOOK_TEST_PYTHON").expect("ROLLBOOK_TEST_PYTHON is set")
}
