//! What the conversations under `it/` share: the program itself, and the real data where it is.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The program, freshly built with what this test run was built with.
///
/// # Panics
/// Where cargo cannot build it.
pub fn rollbook() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PROGRAM.get_or_init(build));
    for variable in ["ROLLBOOK_LAKE", "ROLLBOOK_TENANT"] {
        command.env_remove(variable);
    }
    command
}

/// `cargo test` builds the tests of a binary, not always the binary. All members are chosen, as
/// in `cargo run`, so that the dependencies keep their features and are not built again.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bin", "rollbook"]);
    command.current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."));
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/<profile>/deps");
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "the program does not build");
    profile.join("rollbook")
}

/// The folder of real data, or `None` with the reason printed.
pub fn test_data() -> Option<PathBuf> {
    match std::env::var_os("ROLLBOOK_TEST_DATA") {
        Some(folder) => std::path::absolute(folder).ok(),
        None => {
            println!("skipped: ROLLBOOK_TEST_DATA does not name the folder of real data");
            None
        }
    }
}
