//! Which of the things that tests need are there: a test that lacks one is reported as ignored.

use std::process::Command;

fn main() {
    for (variable, cfg) in [
        ("ROLLBOOK_TEST_DATA", "has_data"),
        ("ROLLBOOK_TEST_PYTHON", "has_python"),
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
        let is_set = std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        tell(cfg, is_set);
    }
    let mounts = Command::new("unshare").args(["-rm", "true"]).output();
    tell(
        "has_namespaces",
        mounts.is_ok_and(|ended| ended.status.success()),
    );
}

fn tell(cfg: &str, is_so: bool) {
    println!("cargo::rustc-check-cfg=cfg({cfg})");
    if is_so {
        println!("cargo::rustc-cfg={cfg}");
    }
}
