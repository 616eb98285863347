//! Static lists, suppressions and scores follow persons who are merged, split or erased.

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::records::World;
use crate::support::server::Server;

const HEADER: &str =
    "external_id,email,phone,country,created_at,accepts_email_marketing,accepts_sms_marketing";

/// Three persons, each with an address; person 2 is on the list `staff` and on the suppression list.
fn three(name: &str) -> World {
    let mut world = World::new(name);
    world.take_in(
        "native",
        "persons",
        HEADER,
        &[
            "p1,a@example.com,,DE,2025-01-01,yes,",
            "p2,b@example.com,,DE,2025-01-02,yes,",
            "p3,c@example.com,,DE,2025-01-03,yes,",
        ],
    );
    let lake = &world.lake;
    let staff = lake.write("staff.txt", "2\n");
    lake.json(&[
        "segment",
        "put",
        "staff",
        "--members",
        staff.to_str().unwrap(),
    ]);
    let fixed = "accepts_email_marketing and person_id >= 2";
    lake.json(&["segment", "put", "fixed", "--static", "--criteria", fixed]);
    for (key, criteria) in [
        (
            "mailing",
            "accepts_email_marketing and not in_segment('staff')",
        ),
        ("everybody", "accepts_email_marketing"),
        (
            "chosen",
            "select person_id from segment_members where segment = 'staff'",
        ),
    ] {
        let channel = ["--channel", "email", "--criteria", criteria];
        lake.json(&[&["segment", "put", key][..], &channel].concat());
    }
    lake.json(&["suppression", "add", "2"]);
    lake.json(&["segment", "refresh"]);
    world
}

fn members(lake: &OwnLake, key: &str) -> Vec<u64> {
    ids(&lake.json(&["segment", "members", key]))
}

fn ids(all: &Value) -> Vec<u64> {
    let ids = all.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap()).collect()
}

fn deliverable(lake: &OwnLake, key: &str) -> Vec<u64> {
    ids(&lake.json(&["segment", "members", key, "--deliverable"]))
}

/// Members of the list, of the static segment, of the one that excludes the list, of the one that reads it in
/// SQL, and deliverable members; each through every command that lists them.
fn stands(lake: &OwnLake, staff: &[u64], fixed: &[u64], mailing: &[u64], mailed: &[u64]) {
    for (key, expected) in [
        ("staff", staff),
        ("fixed", fixed),
        ("mailing", mailing),
        ("chosen", staff),
    ] {
        assert_eq!(members(lake, key), expected, "{key}");
        let counted = lake.json(&["segment", "count", key]);
        assert_eq!(counted["count"], expected.len(), "{key}");
        let view = format!(
            "select person_id from segment_members where segment = '{key}' order by person_id"
        );
        let rows = lake.sql(&view);
        let rows: Vec<u64> = rows
            .iter()
            .map(|row| row["person_id"].as_u64().unwrap())
            .collect();
        assert_eq!(rows, expected, "{key}");
        let csv = lake
            .command(&["segment", "members", key, "--output", "csv"])
            .output()
            .unwrap();
        let lines = String::from_utf8(csv.stdout).unwrap();
        let lines: Vec<&str> = lines.lines().skip(1).collect();
        assert_eq!(lines.len(), expected.len(), "{key} {lines:?}");
    }
    let listed = lake.json(&["segment", "list"]);
    for (key, expected) in [("staff", staff), ("fixed", fixed)] {
        let row = listed
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["key"] == key);
        assert_eq!(row.unwrap()["count"], expected.len(), "{key}");
    }
    let preview = |criteria: &str| lake.json(&["segment", "preview", "--criteria", criteria]);
    let of_list = preview("in_segment('staff')");
    assert_eq!(ids(&of_list["sample"]), staff, "{of_list}");
    assert_eq!(deliverable(lake, "everybody"), mailed);
    // A full refresh changes no patched membership, and the ledger agrees.
    let full = lake.json(&["segment", "refresh", "--full"]);
    assert_eq!(
        full.as_array().unwrap().len(),
        listed.as_array().unwrap().len()
    );
    for done in full.as_array().unwrap() {
        assert_eq!(
            (&done["entered"], &done["left"]),
            (&json!(0), &json!(0)),
            "{done}"
        );
    }
    for (key, expected) in [("staff", staff), ("fixed", fixed), ("mailing", mailing)] {
        let changes = lake.json(&["segment", "changes", key]);
        assert_eq!(ids(&changes["entered"]), expected, "{changes}");
    }
}

#[test]
fn decisions_follow_merged_persons() {
    let world = three("decided_merge");
    let lake = &world.lake;
    stands(lake, &[2], &[2, 3], &[1, 3], &[1, 3]);
    // A list has no criteria that could depend on the time.
    let why = lake.json(&["segment", "explain", "mailing", "1"]);
    assert_eq!(why["is_member"], true, "{why}");
    assert_eq!(why["turns"], "time alone changes nothing", "{why}");
    let pinned = lake.json(&["segment", "count", "staff"])["snapshot"].to_string();
    let merged = world.identity(&["merge", "1", "2"]);
    stands(lake, &[1], &[1, 3], &[3], &[3]);
    assert_eq!(
        lake.json(&["suppression", "list"])[0]["persons"],
        json!([1])
    );
    // As it was computed then, by the ids of then.
    let then = ["segment", "members", "staff", "--snapshot", &pinned];
    assert_eq!(ids(&lake.json(&then)), [2]);
    // A list of ids that are out of use is one of those who have them now.
    let again = lake.write("again.txt", "2\n3\n");
    let again = [
        "segment",
        "put",
        "again",
        "--members",
        again.to_str().unwrap(),
    ];
    assert_eq!(lake.json(&again)["unknown"], 0);
    assert_eq!(members(lake, "again"), [1, 3]);
    world.identity(&["undo", merged["entry"].as_str().unwrap()]);
    stands(lake, &[2], &[2, 3], &[1, 3], &[1, 3]);
    assert_eq!(members(lake, "again"), [2, 3]);
    // Whichever id names them, it is taken away.
    world.identity(&["merge", "1", "2"]);
    assert_eq!(lake.json(&["suppression", "remove", "1"])["removed"], 1);
    assert_eq!(deliverable(lake, "everybody"), [1, 3]);
    let reasons = "select segment, change, reason from segment_changes \
                   where person_id = 1 and segment = 'staff' order by at";
    let reasons = lake.sql(reasons);
    let reasons: Vec<_> = reasons.iter().map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons, [Some("merge"), Some("unmerge"), Some("merge")]);
}

#[test]
fn split_keeps_lists_by_id_and_suppresses_both_parts() {
    let mut world = three("decided_split");
    world.take_in(
        "other",
        "persons",
        HEADER,
        &["q2,b@example.com,,DE,2025-02-01,yes,"],
    );
    // Both records of 2 are there when a second list is made of them.
    let lake = &world.lake;
    lake.json(&["suppression", "remove", "2"]);
    lake.json(&["suppression", "add", "2"]);
    let record = world.record("other", "q2");
    let split = world.identity(&["split", &record]);
    let new = world.person("other", "q2").unsigned_abs();
    assert!(new > 3, "{new}");
    stands(lake, &[2], &[2, 3], &[1, 3, new], &[1, 3]);
    world.identity(&["undo", split["entry"].as_str().unwrap()]);
    stands(lake, &[2], &[2, 3], &[1, 3], &[1, 3]);
    // Of whom was merged wrongly and is split again nobody knows who wanted no mail.
    world.identity(&["merge", "1", "2"]);
    stands(lake, &[1], &[1, 3], &[3], &[3]);
    world.identity(&["split", &world.record("native", "p1")]);
    assert_eq!(deliverable(lake, "everybody"), [3]);
}

#[test]
fn lists_follow_a_corrected_address() {
    let mut world = three("decided_ingest");
    let row = |email: &str| format!("p2,{email},,DE,2025-01-02,yes,");
    let mut correct = |email: &str| {
        world.take_in("native", "persons", HEADER, &[&row(email)]);
    };
    correct("a@example.com");
    correct("c@example.com");
    let lake = &world.lake;
    stands(lake, &[3], &[3], &[1], &[1]);
    world.take_in("native", "persons", HEADER, &[&row("d@example.com")]);
    // Of two who were one the first record keeps the id; what was decided goes with its own record.
    let [second, third] = ["p2", "p3"].map(|id| world.person("native", id).unsigned_abs());
    assert_ne!(second, third);
    assert_eq!(members(&world.lake, "staff"), [second]);
    assert_eq!(members(&world.lake, "mailing"), [1, third]);
    assert_eq!(deliverable(&world.lake, "everybody"), [1, third]);
}

#[test]
fn erased_person_leaves_every_list() {
    let world = three("decided_erased");
    let lake = &world.lake;
    let server = Server::start(lake, "default");
    let first = server
        .get("/v1/segments/fixed/members?limit=1&fields=country,email")
        .json();
    let next = first["next_page_token"].as_str().unwrap();
    world.identity(&["merge", "1", "2"]);
    lake.json(&["person", "erase", "3"]);
    stands(lake, &[1], &[1], &[], &[]);
    let whole = server.get("/v1/segments/fixed/members?stream=true&format=ndjson");
    assert_eq!(whole.body, b"{\"person_id\":1}\n");
    // Pages go on as they began; of whom is erased there is nothing but the id.
    let page = server.get(&format!(
        "/v1/segments/fixed/members?limit=1&fields=country,email&page_token={next}"
    ));
    let page = page.json();
    assert_eq!((&page["members"], &page["count"]), (&json!([3]), &json!(2)));
    let nothing = json!([{"person_id": 3, "country": null, "email": null}]);
    assert_eq!(page["persons"], nothing);
    // Whom somebody erased became is nobody either.
    lake.json(&["person", "erase", "1"]);
    stands(lake, &[], &[], &[], &[]);
    assert_eq!(lake.json(&["suppression", "list"])[0]["persons"], json!([]));
}

#[test]
fn undone_run_removes_its_persons_from_lists() {
    let mut world = three("decided_undo");
    let done = world.take_in(
        "native",
        "persons",
        HEADER,
        &[
            "p4,d@example.com,,DE,2025-01-04,yes,",
            "p2,a@example.com,,DE,2025-01-02,yes,",
        ],
    );
    let lake = &world.lake;
    let new = world.person("native", "p4").unsigned_abs();
    let file = lake.write("both.txt", &format!("2\n{new}\n"));
    lake.json(&[
        "segment",
        "put",
        "both",
        "--members",
        file.to_str().unwrap(),
    ]);
    assert_eq!(members(lake, "both"), [1, new]);
    lake.json(&["ingest", "undo", done["batch"].as_str().unwrap()]);
    assert_eq!(members(lake, "both"), [2]);
    stands(lake, &[2], &[2, 3], &[1, 3], &[1, 3]);
}

#[test]
fn scores_follow_merged_persons() {
    let world = three("decided_scores");
    let lake = &world.lake;
    lake.json(&["score", "train", "lead"]);
    lake.json(&["score", "run", "lead"]);
    let strangers =
        "select count(*) from scores where person_id not in (select person_id from people)";
    let server = Server::start(lake, "default");
    let scored = |path: &str| {
        let page = server.get(path).json();
        let ids = page["scores"].as_array().unwrap().iter();
        let mut ids: Vec<u64> = ids.map(|one| one["person_id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        (ids, page)
    };
    let (all, _) = scored("/v1/scores/lead");
    assert_eq!(all, [1, 2, 3]);
    let (begun, page) = scored("/v1/scores/lead?limit=1");
    let next = page["next_page_token"].as_str().unwrap().to_owned();
    let merged = world.identity(&["merge", "1", "2"]);
    assert_eq!(lake.value(strangers), 0);
    let (now, page) = scored("/v1/scores/lead");
    assert_eq!((now, &page["count"]), (vec![1, 3], &json!(2)));
    // A pull that began before goes on with the ids of then.
    let (mut pulled, _) = scored(&format!("/v1/scores/lead?page_token={next}"));
    pulled.extend(begun);
    pulled.sort_unstable();
    assert_eq!(pulled, [1, 2, 3]);
    lake.json(&["person", "erase", "3"]);
    assert_eq!(lake.value(strangers), 0);
    assert_eq!(scored("/v1/scores/lead").0, [1]);
    world.identity(&["undo", merged["entry"].as_str().unwrap()]);
    assert_eq!(scored("/v1/scores/lead").0, [1, 2]);
    // An erased person is not scored either, though their orders stay.
    lake.json(&["score", "run", "lead"]);
    assert_eq!(scored("/v1/scores/lead").0, [1, 2]);
}

#[test]
fn suppression_matches_every_spelling_of_an_address() {
    let mut world = World::new("decided_forms");
    world.take_in(
        "native",
        "persons",
        HEADER,
        &[
            "p1,,+49 151 23456789,DE,2025-01-01,,yes",
            "p2,,0151 23456780,DE,2025-01-01,,yes",
            "p3,,0049 151 23456781,DE,2025-01-01,,yes",
            "p4,bob@bücher.example,,DE,2025-01-01,yes,",
            "p5,ann@example.com,,DE,2025-01-01,yes,",
            "p6,Cy@Example.com,0664 4857391,AT,2025-01-01,yes,yes",
            "p7,,0664 4857391,DE,2025-01-01,,yes",
        ],
    );
    let lake = &world.lake;
    for (key, channel) in [("sms", "sms"), ("mail", "email")] {
        let criteria = format!("accepts_{channel}_marketing");
        let more = ["--channel", channel, "--criteria", &criteria];
        lake.json(&[&["segment", "put", key][..], &more].concat());
    }
    lake.json(&["segment", "refresh"]);
    assert_eq!(deliverable(lake, "sms"), [1, 2, 3, 6, 7]);
    assert_eq!(deliverable(lake, "mail"), [4, 5, 6]);
    for (written, sms, mail) in [
        ("+49 (151) 2345-6789", &[2, 3, 6, 7][..], &[4, 5, 6][..]),
        ("+4915123456780", &[3, 6, 7], &[4, 5, 6]),
        ("tel:+4915123456781", &[6, 7], &[4, 5, 6]),
        // The number of an Austrian, not the same digits of a German. It is closed for mails too.
        ("+43\u{a0}664\u{a0}4857391", &[7], &[4, 5]),
        ("bob@xn--bcher-kva.example", &[7], &[5]),
        (" ANN@EXAMPLE.COM ", &[7], &[]),
    ] {
        assert_eq!(lake.json(&["suppression", "add", written])["added"], 1);
        assert_eq!(deliverable(lake, "sms"), sms, "{written}");
        assert_eq!(deliverable(lake, "mail"), mail, "{written}");
    }
    // Nothing is there twice, and another form takes it away.
    for (added, removed) in [
        ("+49 151 234 567 80", "004915123456780"),
        ("bob@BÜCHER.example", "Bob@bücher.example"),
    ] {
        assert_eq!(
            lake.json(&["suppression", "add", added])["added"],
            0,
            "{added}"
        );
        let done = lake.json(&["suppression", "remove", added]);
        assert_eq!(done["removed"], 1, "{added}");
        assert_eq!(lake.json(&["suppression", "remove", removed])["removed"], 0);
    }
    let find = |how: &str, value: &str| {
        let found = lake.json(&["person", "find", how, value]);
        let found = found.as_array().unwrap().iter();
        found
            .map(|one| one["person_id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(find("--phone", "+4915123456780"), [2]);
    // Without a country it is looked for in all countries.
    assert_eq!(find("--phone", "0151/23456780"), [2]);
    // An Austrian and a German have a number of these digits.
    assert_eq!(find("--phone", "0664 4857391"), [6, 7]);
    assert_eq!(find("--email", "BOB@xn--bcher-kva.example"), [4]);
    let file = lake.write(
        "list.txt",
        "Bob@BÜCHER.example\nCY@example.com\nnobody@example.com\n",
    );
    let listing = lake.json(&[
        "segment",
        "put",
        "list",
        "--members",
        file.to_str().unwrap(),
    ]);
    assert_eq!(
        (&listing["count"], &listing["unknown"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(members(lake, "list"), [4, 6]);
}

#[test]
fn last_decision_on_two_records_holds() {
    let mut world = World::new("decided-last");
    world.take_in(
        "native",
        "persons",
        HEADER,
        &[
            "p1,,,DE,2025-01-01,,",
            "p2,,,DE,2025-01-02,,",
            "p3,b@example.com,,DE,2025-01-03,,",
            "p4,b@example.com,,DE,2025-01-04,,",
        ],
    );
    let lake = &world.lake;
    let persons = || {
        let rows = lake.json(&[
            "sql",
            "select external_id, person_id from identities order by 1",
        ]);
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["person_id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(persons(), [1, 2, 3, 3]);
    let decide = |arguments: &[&str]| {
        let followed = lake.json(&[&["identity"], arguments].concat());
        assert!(
            !followed["moved"].as_array().unwrap().is_empty(),
            "{followed}"
        );
        followed["entry"].as_str().unwrap().to_owned()
    };
    decide(&["merge", "1", "2"]);
    assert_eq!(persons(), [1, 1, 3, 3]);
    // Whichever of the two is split off, they are apart.
    let split = decide(&["split", "1"]);
    let apart = persons();
    assert_ne!(apart[0], apart[1]);
    decide(&["undo", &split]);
    assert_eq!(persons(), [1, 1, 3, 3]);
    decide(&["split", "2"]);
    assert_eq!(persons(), [1, 2, 3, 3]);
    decide(&["merge", "1", "2"]);
    assert_eq!(persons(), [1, 1, 3, 3]);
    // Of two persons that became one, the other records stay so when one is split off.
    decide(&["merge", "1", "3"]);
    assert_eq!(persons(), [1, 1, 1, 1]);
    decide(&["split", "3"]);
    let all = persons();
    assert_eq!([all[0], all[1], all[3]], [1, 1, 1]);
    assert_ne!(all[2], 1);
}
