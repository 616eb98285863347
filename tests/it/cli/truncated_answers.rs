//! Truncated answers are reported as such: no part of an answer is mistaken for the whole.

use std::process::Output;

use crate::support::own_lake::OwnLake;

fn run(lake: &OwnLake, form: &str, arguments: &[&str]) -> Output {
    let mut command = rollbook_tests::rollbook();
    command.arg("--lake").arg(lake.path("lake"));
    command.args(["--output", form]).args(arguments);
    command.output().unwrap()
}

/// The number of lines of the answer, the exit status, and standard error.
fn told(output: &Output) -> (usize, Option<i32>, String) {
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (lines, output.status.code(), said)
}

#[test]
fn truncated_machine_readable_output_fails() {
    let lake = OwnLake::new("cut_answers");
    let persons: String = (0..101).map(|n| format!("p{n},never\n")).collect();
    let persons = format!("external_id,created_at\n{persons}");
    let good: String = (0..101).map(|n| format!("p{n}\n")).collect();
    for (folder, content) in [("bad", persons), ("good", format!("external_id\n{good}"))] {
        let file = lake.write(&format!("{folder}/persons.csv"), &content);
        lake.json(&["ingest", "native", file.to_str().unwrap()]);
    }
    let pairs = "select a.person_id from people a cross join people b";
    for form in ["csv", "json"] {
        let (_, status, said) = told(&run(&lake, form, &["sql", pairs]));
        assert_eq!(status, Some(1), "{form}: {said}");
        assert!(
            said.contains("only the first 10000 rows") && said.contains("--limit"),
            "{said}"
        );
        let (_, status, said) = told(&run(&lake, form, &["sql", pairs, "--limit", "10201"]));
        assert_eq!((status, said.as_str()), (Some(0), ""), "{form}");
    }
    let csv = |limit: &str| told(&run(&lake, "csv", &["sql", pairs, "--limit", limit]));
    assert_eq!(csv("20000").0, 1 + 10_201);
    assert_eq!((csv("10200").0, csv("10200").1), (1 + 10_200, Some(1)));
    assert_eq!((csv("0").0, csv("0").1), (1, Some(1)));
    let table = told(&run(&lake, "table", &["sql", pairs, "--limit", "5"]));
    assert_eq!(table.1, Some(0));
    assert!(table.2.contains("only the first 5 rows"), "{}", table.2);

    let (lines, status, said) = told(&run(&lake, "csv", &["quarantine", "--limit", "100"]));
    assert_eq!((lines, status), (1 + 100, Some(1)), "{said}");
    assert!(said.contains("--limit"), "{said}");
    let (lines, status, said) = told(&run(&lake, "csv", &["quarantine"]));
    assert_eq!((lines, status, said.as_str()), (1 + 101, Some(0), ""));
}

#[test]
fn person_export_holds_all_data_on_a_person() {
    let lake = OwnLake::new("cut_exports");
    let seen: String = (0..10_050)
        .map(|n| format!("a{n},p1,seen,2025-01-01T00:00:00Z\n"))
        .collect();
    let seen = format!("external_id,person_external_id,type,occurred_at\n{seen}");
    lake.write("data/activities.csv", &seen);
    let persons = lake.write("data/persons.csv", "external_id\np1\n");
    let folder = persons.parent().unwrap().to_str().unwrap().to_owned();
    lake.json(&["ingest", "native", &folder]);
    let exported = lake.json(&["person", "export", "1"]);
    let rows = exported["rows"]["activities"].as_array().unwrap();
    assert_eq!(rows.len(), 10_050);
}
