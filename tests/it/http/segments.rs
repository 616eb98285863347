//! Counts, checksums, changes, lists and failures of segments, as programs and marketers see them.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::own_lake::OwnLake;
use crate::support::polling::found;
use crate::support::server::Server;

const AS_OF: &str = "2025-06-15T00:00:00Z";

fn lake(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    let data = lake.path("data");
    let data = data.to_str().unwrap();
    lake.json(&["generate", "--persons", "200", "--out", data]);
    lake.json(&["ingest", "native", data]);
    lake
}

fn put(lake: &OwnLake, key: &str, criteria: &str, more: &[&str]) -> Value {
    let command = ["segment", "put", key, "--criteria", criteria];
    lake.json(&[command.as_slice(), more].concat())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn counts_and_pages_agree_with_checksums() {
    let lake = lake("http_counts");
    put(
        &lake,
        "germans",
        "country = 'DE'",
        &["--channel", "email", "--holdout", "20"],
    );
    put(&lake, "buyers", "order_count > 0", &[]);
    lake.json(&["segment", "refresh", "--as-of", AS_OF]);
    let server = Server::start(&lake, "default");

    let count = server.get("/v1/segments/germans/count").json();
    assert_eq!(count["status"], "fresh");
    assert!(count["watermarks"]["native"].is_string(), "{count}");
    let page = server.get("/v1/segments/germans/members?limit=1000");
    let members: Vec<u64> = page.json()["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(number)
        .collect();
    assert_eq!(members.len() as u64, number(&count["count"]));
    let bytes: Vec<u8> = members.iter().flat_map(|id| id.to_le_bytes()).collect();
    assert_eq!(count["checksum"], format!("{:x}", Sha256::digest(bytes)));

    // The same page again is known by its tag, another is not.
    let tag = page.header("etag");
    let known = |path: &str| {
        let url = format!("http://{}{path}", server.address);
        let request = ureq::get(url).header("if-none-match", &tag);
        let request = request.config().http_status_as_error(false).build();
        request.call().unwrap().status().as_u16()
    };
    assert_eq!(known("/v1/segments/germans/members?limit=1000"), 304);
    assert_eq!(known("/v1/segments/germans/members?limit=1"), 200);
    assert_eq!(known("/v1/segments/buyers/members?limit=1000"), 200);

    // Columns beside the ids; addresses as the hashes that ad platforms ask for.
    let path = "/v1/segments/germans/members?limit=5&fields=country,email";
    let plain = server.get(path).json()["persons"].clone();
    let hashed = server.get(&format!("{path}&hash=sha256")).json()["persons"].clone();
    let [plain, hashed] = [&plain, &hashed].map(|page| page.as_array().unwrap());
    assert_eq!((plain.len(), hashed.len()), (5, 5));
    for (plain, hashed) in plain.iter().zip(hashed) {
        assert_eq!(plain["country"], "DE");
        let email = plain["email"]
            .as_str()
            .map(|email| email.trim().to_lowercase());
        let expected = email.map(|email| format!("{:x}", Sha256::digest(email)));
        assert_eq!(hashed["email"].as_str().map(str::to_owned), expected);
    }
    let unknown = server.get("/v1/segments/germans/members?fields=contry");
    assert_eq!(
        (unknown.status, unknown.json()["code"].clone()),
        (422, json!("unknown_column"))
    );

    // Put together from bitmaps, and held against the reach.
    let both = server
        .get("/v1/segments/germans/members?and=buyers&limit=1000")
        .json();
    let overlap = server
        .get("/v1/segments/overlap?keys=germans,buyers")
        .json();
    assert_eq!(both["count"], overlap["pairs"][0]["both"]);
    let not = server
        .get("/v1/segments/germans/members?not=buyers&limit=1")
        .json();
    assert_eq!(not["count"], overlap["pairs"][0]["only_a"]);
    let reach = server.get("/v1/segments/germans/reach").json();
    let steps = [
        "matched",
        "addressed",
        "consented",
        "not_suppressed",
        "not_held_out",
    ];
    let steps: Vec<u64> = steps.iter().map(|step| number(&reach[step])).collect();
    assert!(
        steps.is_sorted_by(|before, after| before >= after),
        "{reach}"
    );
    assert!(steps[3] > steps[4], "nobody is held out: {reach}");
    let deliverable = server
        .get("/v1/segments/germans/members?deliverable=true&limit=1000")
        .json();
    assert_eq!(deliverable["count"], reach["deliverable"]);
    let first = deliverable["members"][0].to_string();
    lake.json(&["suppression", "add", &first, "--channel", "email"]);
    let fewer = server.get("/v1/segments/germans/reach").json();
    assert_eq!(
        number(&fewer["deliverable"]) + 1,
        number(&reach["deliverable"])
    );
    let sms = server.get("/v1/segments/germans/reach?channel=sms").json();
    assert_eq!(sms["consented"], sms["not_suppressed"]);

    // A pull of a part lies in an object of its own; without it the token has expired.
    let sampled = server
        .get("/v1/segments/germans/members?sample=50&limit=1")
        .json();
    let token = sampled["next_page_token"].as_str().unwrap();
    let path = format!("/v1/segments/germans/members?sample=50&limit=1&page_token={token}");
    assert_eq!(server.get(&path).status, 200);
    let folder = lake.path("lake/default/_members");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("pull-")
        {
            fs::remove_file(path).unwrap();
        }
    }
    let expired = server.get(&path);
    assert_eq!(
        (expired.status, expired.json()["code"].clone()),
        (410, json!("expired_page_token"))
    );
    for (path, status) in [
        ("/v1/segments/germans/members?page_token=00ff", 400),
        ("/v1/segments/germans/changes?since=tuesday", 400),
        ("/v1/segments/germans/calendar?days=0", 400),
        ("/v1/segments/germans/members?sample=200", 400),
        ("/v1/segments/germans/explain/none", 400),
        ("/v1/segments/nobody/count", 404),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
}

#[test]
fn segments_follow_data_and_report_failures() {
    let lake = lake("http_follow");
    put(
        &lake,
        "viewers",
        "did('page_viewed', within => interval '1 day')",
        &[],
    );
    put(&lake, "named", "country = 'DE'", &[]);
    put(&lake, "dependent", "in_segment('named')", &[]);
    put(&lake, "still", "country = 'DE'", &["--refresh", "manual"]);
    lake.json(&["segment", "refresh"]);
    let server = Server::start(&lake, "default");
    assert_eq!(server.get("/v1/segments/viewers/count").json()["count"], 0);

    // One new row: who follows the data is computed anew, who does not is stale.
    let now = lake.value("select now() as now");
    let now = now.as_str().unwrap();
    let row = format!("external_id,person_external_id,type,occurred_at\nN1,P7,page_viewed,{now}\n");
    let answer = server.send_text(
        "POST",
        "/v1/ingest/native/activities",
        "text/csv",
        &[],
        &row,
    );
    assert_eq!(answer.status, 200);
    let count = found("nobody entered by the new row", || {
        let count = server.get("/v1/segments/viewers/count").json();
        if count["count"] == 1 {
            Ok(count)
        } else {
            Err(count)
        }
    });
    assert_eq!(count["status"], "fresh");
    let still = server.get("/v1/segments/still/count").json();
    assert_eq!(
        (still["status"].as_str(), still["reason"].as_str()),
        (Some("stale"), Some("there is newer data"))
    );
    let since = number(&count["snapshot"]) - 1;
    let changes = server
        .get(&format!("/v1/segments/viewers/changes?since={since}"))
        .json();
    assert_eq!(changes["entered"].as_array().unwrap().len(), 1);
    assert_eq!(changes["changes"][0]["reason"], "new_data");
    let in_sql = "select count(*) as n from segment_changes where segment = 'viewers' and change = \
                  'entered' and reason = 'new_data'";
    assert_eq!(lake.value(in_sql), 1);
    let person = changes["entered"][0].to_string();
    let shown = server
        .get(&format!("/v1/persons/{person}?history=true"))
        .json();
    let history = shown["segment_changes"].as_array().unwrap();
    assert!(
        history
            .iter()
            .any(|one| one["segment"] == "viewers" && one["change"] == "entered")
    );

    // A segment that is named goes: who names it keeps its members, and says why it is stale.
    let before = server.get("/v1/segments/dependent/count").json();
    assert_eq!(server.delete("/v1/segments/named").status, 204);
    let failed = server.send("POST", "/v1/segments/dependent/refresh", &json!({}));
    assert_eq!(
        (failed.status, failed.json()["code"].clone()),
        (422, json!("unknown_segment_named"))
    );
    let after = server.get("/v1/segments/dependent/count").json();
    assert_eq!(after["checksum"], before["checksum"]);
    assert_eq!(after["status"], "stale");
    assert_eq!(after["reason"], "there is no segment `named`");
    let figures = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(
        figures.contains("rollbook_segment_failures{tenant=\"default\",segment=\"dependent\"} 1"),
        "{figures}"
    );
    assert!(
        figures.contains("rollbook_segments{tenant=\"default\",status=\"stale\"} 2"),
        "{figures}"
    );
    put(&lake, "named", "country = 'FR'", &[]);
    assert_eq!(
        server
            .send("POST", "/v1/segments/dependent/refresh", &json!({}))
            .status,
        200
    );
    assert_eq!(
        server.get("/v1/segments/dependent/count").json()["status"],
        "fresh"
    );
}

#[test]
fn static_lists_survive_every_change() {
    let lake = lake("http_lists");
    let email =
        lake.value("select email from people where email is not null order by person_id limit 1");
    let email = email.as_str().unwrap().to_uppercase();
    let file = lake.write(
        "list.csv",
        &format!("email\n{email}\n7\nnobody@nowhere.example\n99999\n7\n"),
    );
    let listed = lake.json(&[
        "segment",
        "put",
        "list",
        "--members",
        file.to_str().unwrap(),
    ]);
    assert_eq!(
        (number(&listed["count"]), number(&listed["unknown"])),
        (2, 2)
    );
    assert_eq!(listed["unknown_lines"], json!([4, 5]));
    let frozen = put(&lake, "frozen", "order_count > 0", &["--static"]);
    assert_eq!(frozen["refresh"], "static");
    put(
        &lake,
        "follows",
        "in_segment('list') and not in_segment('frozen')",
        &[],
    );
    let count = |key: &str| number(&lake.json(&["segment", "count", key])["count"]);
    let before = (count("list"), count("frozen"));
    assert!(before.1 > 0);
    let order = "external_id,person_external_id,status,currency,total,placed_at\n\
                 N1,P190,paid,EUR,5.00,2025-01-01\nN2,P191,paid,EUR,5.00,2025-01-01\n";
    let file = lake.write("orders.csv", order);
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
    lake.json(&["segment", "refresh", "--full"]);
    assert_eq!((count("list"), count("frozen")), before);
    let why = lake.json(&["segment", "explain", "list", "7"]);
    assert_eq!(
        (&why["is_member"], &why["why"]["kind"]),
        (&json!(true), &json!("list"))
    );
    // The same text again computes nothing anew; another does.
    put(&lake, "frozen", "order_count > 0", &["--static"]);
    assert_eq!(count("frozen"), before.1);
    put(&lake, "frozen", "order_count >= 0", &["--static"]);
    assert_eq!(count("frozen"), 200);

    // As code: what is exported is what is there, and an edit is planned before it is made.
    let folder = lake.path("code");
    let folder = folder.to_str().unwrap();
    assert_eq!(lake.json(&["segment", "export", folder])["written"], 2);
    assert_eq!(
        lake.json(&["segment", "apply", folder, "--check"]),
        json!([])
    );
    fs::write(format!("{folder}/follows.sql"), "country = 'DE'\n").unwrap();
    fs::write(
        format!("{folder}/fresh.sql"),
        "-- tags: a, b\ncountry = 'FR'\n",
    )
    .unwrap();
    fs::remove_file(format!("{folder}/frozen.sql")).unwrap();
    let check = lake.run(&["segment", "apply", folder, "--check"]);
    assert_eq!(check.status.code(), Some(1));
    let plan: Value = serde_json::from_slice(&check.stdout).unwrap();
    let actions = plan.as_array().unwrap().iter();
    let actions: Vec<_> = actions
        .map(|line| (line["segment"].clone(), line["action"].clone()))
        .collect();
    let expected = [
        ("follows", "changed"),
        ("fresh", "new"),
        ("frozen", "removed"),
    ];
    assert_eq!(
        actions,
        expected.map(|(key, action)| (json!(key), json!(action)))
    );
    assert_eq!(lake.json(&["segment", "apply", folder]), plan);
    assert_eq!(
        lake.json(&["segment", "apply", folder, "--check"]),
        json!([])
    );
    assert_eq!(
        lake.json(&["segment", "show", "fresh"])["tags"],
        json!(["a", "b"])
    );
    fs::write(format!("{folder}/fresh.sql"), "contry = 'FR'\n").unwrap();
    let wrong = lake.run(&["segment", "apply", folder]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        said.contains("segment `fresh`") && said.contains("did you mean `country`?"),
        "{said}"
    );
}

#[test]
fn absurd_criteria_get_a_clear_error() {
    let lake = OwnLake::new("http_absurd");
    let file = lake.write("persons.csv", "external_id,country\nP1,DE\n");
    lake.json(&["ingest", "native", file.to_str().unwrap()]);
    let server = Server::start(&lake, "default");
    let long = format!("country = '{}'", "x".repeat(100_000));
    let many = ["true"; 10_000].join(" or ");
    let deep = format!("{}true", "not ".repeat(20_000));
    for (criteria, said) in [
        (long, "the limit is 100000"),
        (many, "too many operators"),
        (deep, "too many operators"),
    ] {
        for (method, path) in [("POST", "preview"), ("POST", "a/impact"), ("PUT", "a")] {
            server.send("PUT", "/v1/segments/a", &json!({ "criteria": "true" }));
            let path = format!("/v1/segments/{path}");
            let answer = server.send(method, &path, &json!({ "criteria": criteria }));
            let detail = answer.json()["detail"].to_string();
            assert_eq!(answer.status, 422, "{path}: {detail}");
            assert!(detail.contains(said), "{path}: {detail}");
        }
    }
    // Tables without rows are nobody's.
    let nobody = "spent() > 0 or has_ticket() or did('page_viewed') or in_segment('b')";
    server.send(
        "PUT",
        "/v1/segments/b",
        &json!({ "criteria": "open_deal_count > 0" }),
    );
    let answer = server.send(
        "POST",
        "/v1/segments/preview",
        &json!({ "criteria": nobody }),
    );
    assert_eq!(answer.json()["count"], 0);
}
