//! Second records are spelled differently, have no facts, and the ground truth links them.

use std::collections::{HashMap, HashSet};

use super::{Folder, generate, ids, options, read, run_with_all};
use crate::Options;

fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

#[test]
fn second_records_resolve_to_the_true_persons() {
    let folder = Folder::new("second-records");
    run_with_all(&folder.0, 3_000, 51);
    let persons = read(&folder.0, "persons");
    ids(&persons);
    let truth = read(&folder.0, "truth/identities");
    let key = |provider: &str, id: &str| format!("{provider} {id}");
    let human: HashMap<String, &str> = truth
        .iter()
        .map(|row| (key(&row["provider"], &row["external_id"]), &*row["human"]))
        .collect();
    assert_eq!(human.len(), persons.len());
    assert_eq!(human.values().collect::<HashSet<_>>().len(), 3_000);

    let (first, second): (Vec<_>, Vec<_>) =
        persons.iter().partition(|row| row["provider"] == "native");
    assert_eq!(first.len(), 3_000);
    // 8 % of 3,000 with a standard deviation of 15.
    assert!((180..300).contains(&second.len()), "{}", second.len());
    assert!(second.iter().all(|row| row["provider"] == "crm"));
    let of_human =
        |row: &HashMap<String, String>| human[&key(&row["provider"], &row["external_id"])];
    let first: HashMap<&str, _> = first.into_iter().map(|row| (of_human(row), row)).collect();
    let mut differs: HashMap<&str, usize> = HashMap::new();
    for row in &second {
        let original = first[of_human(row)];
        assert_eq!(row["country"], original["country"]);
        assert!(row["created_at"] >= original["created_at"]);
        let (ours, theirs) = (digits(&row["phone"]), digits(&original["phone"]));
        let national = |phone: &str| phone[phone.len().saturating_sub(7)..].to_owned();
        assert!(
            ours.is_empty() || national(&ours) == national(&theirs),
            "{row:?}"
        );
        let same_email = row["email"].to_lowercase() == original["email"];
        for (what, is_so) in [
            ("name", row["display_name"] != original["display_name"]),
            ("no e-mail", row["email"].is_empty()),
            ("capitals", same_email && row["email"] != original["email"]),
            ("plus", row["email"].contains('+')),
            ("another e-mail", !same_email && !row["email"].is_empty()),
            (
                "phone",
                !ours.is_empty() && row["phone"] != original["phone"],
            ),
            ("the same e-mail", row["email"] == original["email"]),
        ] {
            *differs.entry(what).or_default() += usize::from(is_so);
        }
    }
    for what in [
        "name",
        "no e-mail",
        "capitals",
        "plus",
        "another e-mail",
        "phone",
    ] {
        let share = (second.len() / 40)..(second.len() * 3 / 4);
        assert!(share.contains(&differs[what]), "{what}: {differs:?}");
    }
    assert!(differs["the same e-mail"] * 3 > second.len(), "{differs:?}");
    let emails: HashSet<String> = persons
        .iter()
        .filter(|row| !row["email"].is_empty())
        .map(|row| format!("{} {}", row["email"].to_lowercase(), of_human(row)))
        .collect();
    let addresses = emails.iter().map(|email| email.split_once(' ').unwrap().0);
    assert_eq!(
        addresses.collect::<HashSet<_>>().len(),
        emails.len(),
        "shared by two humans"
    );
}

#[test]
fn second_records_have_an_address_and_no_facts() {
    let folder = Folder::new("addresses");
    run_with_all(&folder.0, 2_000, 52);
    let persons = read(&folder.0, "persons");
    let provider: HashMap<&str, &str> = persons
        .iter()
        .map(|row| (&*row["external_id"], &*row["provider"]))
        .collect();
    for table in [
        "orders",
        "order_lines",
        "refunds",
        "activities",
        "deals",
        "tickets",
    ] {
        for row in read(&folder.0, table) {
            let person = &*row["person_external_id"];
            assert!(
                person.is_empty() || provider[person] == "native",
                "{table} {row:?}"
            );
        }
    }
    let addresses = read(&folder.0, "addresses");
    ids(&addresses);
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for row in &addresses {
        assert_eq!(row["entity_id"], row["person_external_id"]);
        assert_eq!(provider[&*row["entity_id"]], row["provider"], "{row:?}");
        let short = ["str.", "St", "R.", "C.", "V.", "Rd"];
        let is_short = short
            .iter()
            .any(|end| row["line1"].split(' ').any(|word| word.ends_with(end)));
        *lines
            .entry(if is_short { "short" } else { "full" })
            .or_default() += 1;
        *lines.entry(&row["provider"]).or_default() += 1;
    }
    assert!(lines["crm"] > 80 && lines["short"] > 15, "{lines:?}");
    assert!(
        lines["full"] > lines["crm"] && lines["native"] > 1_000,
        "{lines:?}"
    );
}

#[test]
fn every_person_can_have_a_second_record() {
    let folder = Folder::new("all-twice");
    generate(&Options {
        duplicates_per_mille: 1_000,
        ..options(&folder.0, 120, 53)
    })
    .unwrap();
    assert_eq!(read(&folder.0, "persons").len(), 240);
    let too_many = Options {
        duplicates_per_mille: 1_001,
        ..options(&folder.0, 120, 53)
    };
    assert!(generate(&too_many).is_err());
}
