//! The network: encrypted connections, servers that other machines can reach, proxies, limits of calls.

mod exposure;
mod limits;
mod proxies;
mod tls;

use std::process::Command;

use crate::support::own_lake::OwnLake;
use crate::support::tls::{CERTIFICATE, KEY, TestCertificate};

/// A command that serves a lake on a free port of this machine.
fn serve(lake: &OwnLake, options: &[&str]) -> Command {
    lake.command(&[&["serve", "--listen", "127.0.0.1:0"], options].concat())
}

/// A command that serves a lake encrypted, with a certificate that is written beside it.
fn serve_encrypted(lake: &OwnLake, certificate: &TestCertificate, listen: &str) -> Command {
    certificate.write(lake);
    serve_with_files(lake, listen)
}

/// The same with the files that are there.
fn serve_with_files(lake: &OwnLake, listen: &str) -> Command {
    let mut command = lake.command(&["serve", "--listen", listen]);
    command.arg("--tls-cert").arg(lake.path(CERTIFICATE));
    command.arg("--tls-key").arg(lake.path(KEY));
    command
}

/// A new key of the lake.
fn token(lake: &OwnLake) -> String {
    let key = lake.json(&["api-key", "create", "--name", "a test", "--role", "admin"]);
    key["token"].as_str().unwrap().to_owned()
}
