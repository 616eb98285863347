//! Checks that the program starts. Because this test is in the package of the binary, `cargo test` also
//! builds the program, which the package `tests` runs.

use std::process::Command;

#[test]
fn program_prints_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_rollbook"))
        .arg("--version")
        .output();
    let output = output.expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.trim(), concat!("rollbook ", env!("CARGO_PKG_VERSION")));
}
