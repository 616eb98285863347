//! Every route and every role, against the tables of docs/SECURITY.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rollbook_app::access::{Bounds, Right, Role};

use super::{lake_with_persons, problem, token};
use crate::http::documented_examples::{ask, examples};
use crate::support::server::Server;

/// The column of keys that are bound to segments or columns.
const BOUND: &str = "bound key";

/// A row of a table: whether each role may, by the name of the role.
type Cells = BTreeMap<String, bool>;

/// The rows of the table below a heading, by the text of their first cell: the second cell and those of roles.
fn table(heading: &str) -> BTreeMap<String, (String, Cells)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SECURITY.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut lines = section.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let names = cells(lines.next().unwrap());
    let mut columns: Vec<&str> = Role::ALL.map(Role::name).to_vec();
    columns.push(BOUND);
    assert_eq!(names[2..], columns);
    let mut rows = BTreeMap::new();
    for line in lines.skip(1) {
        let row = cells(line);
        assert_eq!(row.len(), names.len(), "{line}");
        let may = |cell: &String| match cell.as_str() {
            "yes" => true,
            "no" => false,
            other => panic!("`{other}` in {line}"),
        };
        let may = names[2..].iter().cloned().zip(row[2..].iter().map(may));
        let row_of = (row[1].clone(), may.collect());
        assert!(rows.insert(row[0].clone(), row_of).is_none(), "{line}");
    }
    rows
}

#[test]
fn documented_roles_have_the_documented_rights() {
    let rows = table("Roles");
    assert_eq!(rows.len(), Right::ALL.len());
    for right in Right::ALL {
        let (meaning, may) = &rows[right.name()];
        assert!(!meaning.is_empty());
        for role in Role::ALL {
            assert_eq!(may[role.name()], role.rights().has(right), "{role} {right}");
        }
        assert_eq!(may[BOUND], Bounds::RIGHTS.has(right), "{right}");
    }
}

#[test]
fn every_route_answers_every_role_as_documented() {
    let lake = lake_with_persons("http_access_routes");
    let of_roles = Role::ALL.map(|role| (role, token(&lake, role.name(), &[])));
    // Keys with all rights but one.
    let of_lacking = Right::ALL.map(|lacking| {
        let others = Right::ALL.iter().filter(|right| **right != lacking);
        let others: Vec<&str> = others.map(|right| right.name()).collect();
        let role = if lacking == Right::Read {
            "operator"
        } else {
            "viewer"
        };
        let without = |role: Role| !role.rights().has(lacking);
        match without(role.parse().unwrap()) {
            true => Some((
                lacking,
                token(&lake, role, &["--rights", &others.join(",")]),
            )),
            false => None,
        }
    });
    let of_lacking: Vec<_> = of_lacking.into_iter().map(Option::unwrap).collect();
    // One with all rights that a bound key can have.
    let bound = token(&lake, "admin", &["--segments", "big-spenders,lapsed"]);
    let server = Server::start(&lake, "default");
    let mut rows = table("Routes");
    // The document does not describe itself.
    let (needs, _) = rows.remove("GET /openapi.json").unwrap();
    assert_eq!(needs, "no key");
    for token in [None, Some("wrong"), Some(of_roles[0].1.as_str())] {
        assert_eq!(server.ask(token, "GET", "/openapi.json", None).status, 200);
    }
    let document = server.get("/openapi.json").json();
    for example in examples(&document) {
        let route = format!("{} {}", example.method, example.route);
        let (needs, may) = rows
            .remove(&route)
            .unwrap_or_else(|| panic!("{route} is not in docs/SECURITY.md"));
        let is_open = needs == "no key";
        for token in [None, Some("wrong")] {
            let answer = ask(&server, token, &example);
            assert_eq!(answer.status == 401, !is_open, "{route}: {}", answer.status);
        }
        if !is_open {
            // Some routes are for everybody who proves who they are.
            let needed = needs.split(", ").filter(|name| *name != "any caller");
            let needed: Vec<Right> = needed.map(|name| name.parse().unwrap()).collect();
            for role in Role::ALL {
                let has_all = role.rights().missing(&needed).is_none();
                assert_eq!(may[role.name()], has_all, "{route}: {role}");
            }
            for (lacking, token) in of_lacking
                .iter()
                .filter(|(right, _)| needed.contains(right))
            {
                let (status, code, detail) = problem(&ask(&server, Some(token), &example));
                assert_eq!((status, code.as_str()), (403, "forbidden"), "{route}");
                assert!(
                    detail.contains(&format!("`{lacking}`")),
                    "{route}: {detail}"
                );
            }
        }
        let of_roles = of_roles.iter().map(|(role, token)| (role.name(), token));
        for (role, token) in of_roles.chain([(BOUND, &bound)]) {
            let answer = ask(&server, Some(token), &example);
            let what = format!("{route} as {role}: {}", answer.status);
            match may[role] {
                true => {
                    assert_ne!(answer.status, 401, "{what}");
                    let is_refused = answer.status == 403 && problem(&answer).1 == "forbidden";
                    assert!(!is_refused, "{what}");
                }
                false => {
                    assert_eq!(answer.status, 403, "{what}");
                    assert_eq!(problem(&answer).1, "forbidden", "{what}");
                }
            }
        }
    }
    assert!(rows.is_empty(), "docs/SECURITY.md has more: {rows:?}");
    assert!(server.stop());
}

#[test]
fn unknown_routes_and_methods_need_a_key_first() {
    let lake = lake_with_persons("http_access_unknown");
    let viewer = token(&lake, "viewer", &[]);
    let server = Server::start(&lake, "default");
    for path in ["/v1/secrets", "/v1/segments/a/b/c", "/"] {
        assert_eq!(server.ask(None, "GET", path, None).status, 401, "{path}");
        assert_eq!(
            server.ask(Some(&viewer), "GET", path, None).status,
            404,
            "{path}"
        );
    }
    assert_eq!(server.ask(None, "DELETE", "/v1/segments", None).status, 401);
    let answer = server.ask(Some(&viewer), "DELETE", "/v1/segments", None);
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    assert!(server.stop());
}

/// A handler that took the state itself would have all rights.
#[test]
fn handlers_take_the_rights_of_their_caller() {
    let routes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/server/src/routes");
    let mut folders = vec![routes];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("State("), "{}", path.display());
            assert!(!text.contains("Extension("), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 10, "{files}");
}
