//! The metrics of a server, and the files in `docs/operations` that use them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;
use crate::support::polling::found;
use crate::support::server::Server;

/// The samples of a metric: the labels of each.
type Samples = BTreeMap<String, Vec<BTreeMap<String, String>>>;

fn text_of(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn metrics_of(server: &Server) -> String {
    String::from_utf8(server.get("/metrics").body).unwrap()
}

/// The samples of the OpenMetrics format, by name.
fn samples(text: &str) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        samples
            .entry(name.to_owned())
            .or_default()
            .push(matchers(labels).into_iter().collect());
    }
    samples
}

/// The labels and values of `name="value", other=~"pattern"`, whatever the operators.
fn matchers(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((label, after)) = rest.split_once('"') {
        let (value, after) = after.split_once('"').unwrap();
        let label = label.trim_start_matches([',', ' ']);
        let label = label.trim_end_matches(['=', '~', '!', ' ']);
        found.push((label.to_owned(), value.to_owned()));
        rest = after;
    }
    found
}

/// The value of a sample with these labels.
fn value(server: &Server, series: &str) -> Option<f64> {
    let text = metrics_of(server);
    let mut lines = text.lines();
    let line = lines.find(|line| line.starts_with(&format!("{series} ")))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// A server that has done a little of everything.
fn busy_server(name: &str) -> (OwnLake, Server) {
    let lake = OwnLake::new(name);
    let server = Server::start(&lake, "default");
    let post = |source: &str, headers: &[(&str, &str)], rows: &str| {
        let path = format!("/v1/ingest/native/{source}");
        server.send_text("POST", &path, "text/csv", headers, rows)
    };
    assert_eq!(
        post("persons", &[], "external_id,country\na,DE\nb,FR\n").status,
        200
    );
    let orders = "external_id,person_external_id,total,placed_at\no1,a,much,2025-01-01\n";
    assert_eq!(post("orders", &[], orders).status, 200);
    let later = [("prefer", "respond-async")];
    assert_eq!(
        post("persons", &later, "external_id,country\nc,DE\n").status,
        202
    );
    for (key, criteria) in [("germans", "country = 'DE'"), ("french", "country = 'FR'")] {
        let new = json!({"key": key, "criteria": criteria});
        assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
    }
    assert_eq!(
        server
            .send("POST", "/v1/segments/refresh", &json!({}))
            .status,
        200
    );
    let sql = json!({"query": "select zzz from people"});
    assert_eq!(server.send("POST", "/v1/sql", &sql).status, 422);
    assert_eq!(server.get("/v1/segments/none").status, 404);
    assert_eq!(server.get("/v1/none").status, 404);
    assert_eq!(server.get("/readyz").status, 200);
    (lake, server)
}

#[test]
fn metrics_show_errors_queues_memory_and_lags() {
    let (lake, server) = busy_server("http_metrics");
    for (series, expected) in [
        // Answered by a worker.
        ("rollbook_errors_total{code=\"unknown_column\"}", 1.0),
        ("rollbook_errors_total{code=\"unknown_segment\"}", 1.0),
        ("rollbook_errors_total{code=\"unknown_route\"}", 1.0),
        ("rollbook_errors_total{code=\"unauthenticated\"}", 0.0),
        ("rollbook_queue_length{queue=\"commit\"}", 0.0),
        ("rollbook_queue_length{queue=\"journal\"}", 0.0),
        ("rollbook_queue_length{queue=\"compute\"}", 0.0),
        ("rollbook_queue_length{queue=\"worker\"}", 0.0),
        ("rollbook_ready", 1.0),
    ] {
        assert_eq!(value(&server, series), Some(expected), "{series}");
    }
    for path in ["/v1/segments/none", "/v1/none"] {
        let answer = server.get(path);
        assert_eq!(answer.header("x-rollbook-code"), "", "it is internal");
    }
    let sql = json!({"query": "select zzz from people"});
    let answer = server.send("POST", "/v1/sql", &sql);
    assert_eq!(answer.header("x-rollbook-code"), "");
    let of = |series: &str| value(&server, series).unwrap_or_else(|| panic!("{series}"));
    let (resident, limit) = (
        of("rollbook_resident_memory_bytes{process=\"server\"}"),
        of("rollbook_memory_limit_bytes"),
    );
    assert!(resident > 1e6 && resident < limit, "{resident} of {limit}");
    assert!(of("rollbook_provider_age_seconds{tenant=\"default\",provider=\"native\"}") < 120.0);
    // Segments that are refreshed after an ingest become fresh again by themselves.
    lake.wait_until_folded();
    found("segments are not fresh", || {
        let lag = of("rollbook_segment_longest_lag_seconds{tenant=\"default\"}");
        (lag == 0.0).then_some(()).ok_or(lag)
    });
    assert_eq!(
        of("rollbook_segment_lag_seconds{tenant=\"default\",segment=\"germans\"}"),
        0.0
    );
    assert_eq!(
        of("rollbook_segments{tenant=\"default\",status=\"fresh\"}"),
        2.0
    );
    // One that is refreshed by hand lags behind nothing; one that is due once a day does.
    for (key, refresh) in [("by-hand", "manual"), ("daily", "1 day")] {
        let new = json!({"key": key, "criteria": "true", "refresh": refresh});
        assert_eq!(server.send("POST", "/v1/segments", &new).status, 201);
        let path = format!("/v1/segments/{key}/refresh");
        assert_eq!(server.send("POST", &path, &json!({})).status, 200);
    }
    let path = "/v1/ingest/native/persons";
    let posted = server.send_text("POST", path, "text/csv", &[], "external_id\nd\n");
    assert_eq!(posted.status, 200);
    let lag = of("rollbook_segment_lag_seconds{tenant=\"default\",segment=\"daily\"}");
    assert!(lag > 0.0 && lag < 120.0, "{lag}");
    let by_hand = value(
        &server,
        "rollbook_segment_lag_seconds{tenant=\"default\",segment=\"by-hand\"}",
    );
    assert_eq!(by_hand, None);
    assert!(server.stop());
    drop(lake);
}

/// Every metric name in a text, with the labels that are matched and their values.
fn used(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("rollbook_") {
        let rest = &text[at..];
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        let after = &rest[end..];
        let inside = after.strip_prefix('{');
        let inside = inside.and_then(|inside| inside.split('}').next());
        let labels = matchers(inside.unwrap_or_default());
        found.push((rest[..end].to_owned(), labels));
    }
    found
}

/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["instance", "job"];

/// What of an expression a server does not have.
fn unknown(expr: &str, samples: &Samples) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, labels) in used(expr) {
        let Some(series) = samples.get(&name) else {
            unknown.push(name);
            continue;
        };
        for (label, pattern) in labels {
            let own = label.trim().to_owned();
            if ADDED.contains(&own.as_str()) {
                continue;
            }
            if !series.iter().any(|one| one.contains_key(&own)) {
                unknown.push(format!("{name}{{{own}}}"));
            }
            // Values of few: of others the server may have had none yet.
            let fixed = ["code", "outcome", "queue", "route", "status"].contains(&own.as_str());
            for value in pattern
                .split('|')
                .filter(|value| fixed && !value.contains('.'))
            {
                if !series
                    .iter()
                    .any(|one| one.get(&own).is_some_and(|found| found == value))
                {
                    unknown.push(format!("{name}{{{own}=\"{value}\"}}"));
                }
            }
        }
    }
    // Labels that results are grouped by, and that texts show.
    let all: BTreeSet<&str> = used(expr)
        .iter()
        .filter_map(|(name, _)| samples.get(name))
        .flatten()
        .flat_map(|one| one.keys())
        .map(String::as_str)
        .collect::<BTreeSet<_>>();
    for (_, after) in expr
        .match_indices(" by (")
        .map(|(at, by)| expr.split_at(at + by.len()))
    {
        for label in after.split(')').next().unwrap().split(',').map(str::trim) {
            if !ADDED.contains(&label) && label != "le" && !all.contains(label) {
                unknown.push(format!("by ({label})"));
            }
        }
    }
    unknown
}

/// Whether brackets and quotes of an expression are closed.
fn is_balanced(expr: &str) -> bool {
    let mut open = Vec::new();
    let mut is_quoted = false;
    for c in expr.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' => {
                let expected = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop() != Some(expected) {
                    return false;
                }
            }
            _ => {}
        }
    }
    open.is_empty() && !is_quoted
}

#[test]
fn unknown_metrics_labels_and_values_are_found() {
    let samples = samples(
        "# TYPE rollbook_errors counter\nrollbook_errors_total{code=\"busy\",a=\"b\"} 1\nrollbook_ready 1\n",
    );
    for (expr, expected) in [
        ("rollbook_ready == 0", vec![]),
        ("rollbook_raedy == 0", vec!["rollbook_raedy"]),
        (
            "sum by (code, instance) (rollbook_errors_total{code=~\"busy\"})",
            vec![],
        ),
        (
            "sum by (status) (rollbook_errors_total)",
            vec!["by (status)"],
        ),
        (
            "rollbook_errors_total{kode=\"x\"}",
            vec!["rollbook_errors_total{kode}"],
        ),
        (
            "rollbook_errors_total{instance=\"i\", code=~\"busy|free\"}",
            vec!["rollbook_errors_total{code=\"free\"}"],
        ),
        (
            "rollbook_errors_total{code!=\"free\"}",
            vec!["rollbook_errors_total{code=\"free\"}"],
        ),
    ] {
        assert_eq!(unknown(expr, &samples), expected, "{expr}");
    }
    assert!(is_balanced("sum(rate(a{b=\")\"}[5m]))"));
    assert!(!is_balanced("sum(rate(a[5m])") && !is_balanced("a{b=\"c}") && !is_balanced("(]"));
}

#[test]
fn rules_and_dashboard_use_metrics_of_the_server() {
    let (_lake, server) = busy_server("http_operations");
    // Answers of every class are there once 5xx were counted.
    let metrics = metrics_of(&server);
    let mut samples = samples(&metrics);
    // A family without series has its description only.
    for line in metrics.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let end = if kind == "counter" { "_total" } else { "" };
        samples.entry(format!("{name}{end}")).or_default();
    }
    // Nothing of the server failed, so this one has no series: its label is that of the lag.
    let lags = samples["rollbook_segment_lag_seconds"].clone();
    samples.insert("rollbook_segment_failures".to_owned(), lags);

    let dashboard: Value = serde_json::from_str(&text_of("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut cells, mut exprs) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(
                    x < 24 && cells.insert((x, y)),
                    "{} covers another",
                    panel["title"]
                );
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            exprs.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    for variable in ["datasource", "instance"] {
        assert!(
            variables.iter().any(|one| one["name"] == variable),
            "{variable}"
        );
    }
    let of_panels = exprs.len();
    let alerts = text_of("alerts.yml");
    // A folded text has its lines below each other.
    exprs.push(alerts.split_whitespace().collect::<Vec<_>>().join(" "));
    for expr in &exprs {
        assert_eq!(unknown(expr, &samples), Vec::<String>::new(), "{expr}");
    }
    for expr in &exprs[..of_panels] {
        assert!(is_balanced(expr), "{expr}");
    }

    // The page describes each metric and each alert, and no others.
    let page = text_of("../OPERATIONS.md");
    let listed = |begin: &str, end: &str| -> BTreeSet<String> {
        let section = page.split(begin).nth(1).unwrap().split(end).next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.map(|row| row.split('|').nth(1).unwrap().trim());
        let names = cells
            .flat_map(|cell| cell.split(", "))
            .map(|name| name.trim_matches('`'));
        names.map(str::to_owned).collect()
    };
    let base = |name: &str| {
        let name = name.strip_prefix("rollbook_").unwrap();
        let ends = ["_bucket", "_count", "_sum"];
        let end = ends.iter().find_map(|end| name.strip_suffix(end));
        end.unwrap_or(name).to_owned()
    };
    let real: BTreeSet<String> = samples.keys().map(|name| base(name)).collect();
    assert_eq!(listed("## Metrics", "## Alerts"), real);
    let named = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    assert_eq!(listed("## Alerts", "\n## "), named);
    assert!(server.stop());
}

/// Reads the rules as YAML, and prints them as JSON.
const RULES: &str = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";

#[test]
#[cfg_attr(not(has_python), ignore = "needs a Python: set ROLLBOOK_TEST_PYTHON")]
fn alert_rules_are_complete() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations");
    let mut python = Command::new(rollbook_tests::python());
    let output = python
        .args(["-c", RULES])
        .arg(folder.join("alerts.yml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let groups = document["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let mut names = BTreeSet::new();
    for rule in rules {
        let known = ["alert", "expr", "for", "labels", "annotations"];
        for key in rule.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "{rule}");
        }
        assert!(names.insert(rule["alert"].as_str().unwrap()), "{rule}");
        let expr = rule["expr"].as_str().unwrap();
        assert!(
            is_balanced(expr) && expr.contains(['<', '>', '=']),
            "{expr}"
        );
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{rule}");
        let summary = rule["annotations"]["summary"].as_str().unwrap();
        // Labels that the text shows are labels of the result.
        for (_, label) in summary
            .match_indices("$labels.")
            .map(|(at, of)| summary.split_at(at + of.len()))
        {
            let label: String = label
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let is_grouped = expr.contains(" by (")
                && !expr.contains(&format!("({label}"))
                && !expr.contains(&format!("{label},"));
            assert!(!is_grouped, "{summary} shows `{label}`, which {expr} loses");
        }
        if let Some(time) = rule["for"].as_str() {
            assert!(
                time.ends_with('m') && time[..time.len() - 1].parse::<u32>().is_ok(),
                "{rule}"
            );
        }
    }
    assert!(names.len() > 10);
}

/// Neither runs as root, and both have one place to write to.
#[test]
fn unit_and_image_have_few_rights() {
    let unit = text_of("rollbook.service");
    for line in [
        "User=rollbook",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "StateDirectory=rollbook",
        "UMask=0077",
    ] {
        assert!(unit.lines().any(|one| one == line), "{line}");
    }
    let image = text_of("Containerfile");
    let users = image.lines().filter_map(|line| line.strip_prefix("USER "));
    assert_eq!(users.collect::<Vec<_>>(), ["10001:10001"]);
    assert!(image.contains("--read-only") && image.contains("--cap-drop ALL"));
    // Both name variables and commands that the program has.
    for text in [&unit, &image] {
        for name in ["ROLLBOOK_LAKE", "ROLLBOOK_MASTER_KEY_COMMAND", "TMPDIR"] {
            assert!(text.contains(&format!("{name}=")), "{name}");
        }
    }
    let arguments = ["serve", "--listen", "127.0.0.1:8080", "--help"];
    let help = rollbook_tests::rollbook().args(arguments).output().unwrap();
    assert!(help.status.success());
    assert!(unit.contains("rollbook serve --listen 127.0.0.1:8080\n"));
}
