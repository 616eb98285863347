//! Which of the things that tests need are there: a test that lacks one is told as ignored.

fn main() {
    for (variable, cfg) in [
        ("ROLLBOOK_TEST_DATA", "has_data"),
        ("ROLLBOOK_TEST_PYTHON", "has_python"),
    ] {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        println!("cargo::rerun-if-env-changed={variable}");
        if std::env::var_os(variable).is_some_and(|value| !value.is_empty()) {
            println!("cargo::rustc-cfg={cfg}");
        }
    }
}
