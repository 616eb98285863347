//! The `link` command and its library on plain files, against files whose true links are known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rollbook_app::identity::AmbiguityPolicy;
use rollbook_identity::files::{Link, Map, Table, link, suggested};
use rollbook_tests::{rollbook, test_data};

/// Pairs of ids, the smaller one first.
type Pairs = BTreeSet<(String, String)>;

const FEBRL: &str = include_str!("../../../benches/febrl.toml");

fn febrl(number: u8) -> PathBuf {
    test_data().join(format!("febrl/dataset{number}.csv"))
}

fn table(path: &PathBuf, map: &Map) -> Table {
    Table::read("febrl", fs::File::open(path).unwrap(), map).unwrap()
}

/// `rec-223-dup-0` belongs to person 223.
fn person_of(id: &str) -> String {
    id.split('-').nth(1).unwrap().to_owned()
}

fn pairs<'a>(groups: impl Iterator<Item = &'a Vec<String>>) -> Pairs {
    let mut pairs = Pairs::new();
    for group in groups {
        for (at, a) in group.iter().enumerate() {
            pairs.extend(group[at + 1..].iter().map(|b| ordered(a, b)));
        }
    }
    pairs
}

fn ordered(a: &str, b: &str) -> (String, String) {
    (a.min(b).to_owned(), a.max(b).to_owned())
}

fn linked(links: &[Link]) -> Pairs {
    let mut groups: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for link in links {
        if let Some(person) = link.person {
            groups.entry(person).or_default().push(link.id.clone());
        }
    }
    pairs(groups.values())
}

fn truth(links: &[Link]) -> Pairs {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for link in links {
        groups
            .entry(person_of(&link.id))
            .or_default()
            .push(link.id.clone());
    }
    pairs(groups.values())
}

/// Precision and recall of pairs.
fn measures(found: &Pairs, truth: &Pairs) -> (f64, f64) {
    let right = found.intersection(truth).count() as f64;
    (right / found.len() as f64, right / truth.len() as f64)
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn febrl_links_reach_expected_precision_and_recall() {
    let map: Map = FEBRL.parse().unwrap();
    for number in 1..=3 {
        let path = febrl(number);
        let tables = [table(&path, &map)];
        let review = link(&tables, &map, AmbiguityPolicy::Review);
        let merged = link(&tables, &map, AmbiguityPolicy::Merge);
        let truth = truth(&merged);
        let of = |links: &[Link]| measures(&linked(links), &truth);
        let ((precise, recalled), (precise_merged, recalled_merged)) = (of(&review), of(&merged));
        assert!(precise >= 0.999 && precise_merged >= 0.999, "{number}");
        assert!(recalled >= 0.9, "{number}: {recalled} with review");
        assert!(
            recalled_merged >= 0.94,
            "{number}: {recalled_merged} merged"
        );
        assert!(!merged.iter().any(|link| link.is_ambiguous));
        let mut all = linked(&merged);
        all.extend(
            suggested(&tables, 0.9)
                .iter()
                .map(|(a, b, _)| ordered(a, b)),
        );
        let (precision, recall) = measures(&all, &truth);
        let f1 = 2.0 * precision * recall / (precision + recall);
        assert!(f1 >= 0.99, "{number}: {f1}");
    }
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn order_of_rows_does_not_change_links() {
    let map: Map = FEBRL.parse().unwrap();
    let text = fs::read_to_string(febrl(3)).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let mut rows: Vec<&str> = rows.lines().collect();
    let table_of = |rows: &[&str]| {
        let text = format!("{header}\n{}\n", rows.join("\n"));
        Table::read("febrl", text.as_bytes(), &map).unwrap()
    };
    let by_id = |links: Vec<Link>| -> BTreeMap<String, Link> {
        links
            .into_iter()
            .map(|link| (link.id.clone(), link))
            .collect()
    };
    for bridges in [AmbiguityPolicy::Review, AmbiguityPolicy::Merge] {
        let expected = by_id(link(&[table_of(&rows)], &map, bridges));
        for seed in 0..20 {
            rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let shuffled = link(&[table_of(&rows)], &map, bridges);
            assert_eq!(by_id(shuffled), expected, "shuffle {seed}");
        }
    }
}

#[test]
#[cfg_attr(
    not(has_data),
    ignore = "ROLLBOOK_TEST_DATA names no folder of real data"
)]
fn exact_email_matches_are_precise_on_fake_1000() {
    let data = test_data();
    let map: Map = "[columns]\nid = 'unique_id'\nemail = 'email'\ngiven_name = 'first_name'\n\
                    surname = 'surname'\ndate_of_birth = 'dob'\n[[rule]]\nmatch = ['email']"
        .parse()
        .unwrap();
    let path = data.join("fake_1000/fake_1000.csv");
    let links = link(&[table(&path, &map)], &map, AmbiguityPolicy::Merge);
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in csv::Reader::from_path(&path).unwrap().records() {
        let row = row.unwrap();
        groups
            .entry(row[6].to_owned())
            .or_default()
            .push(row[0].to_owned());
    }
    let (precision, recall) = measures(&linked(&links), &pairs(groups.values()));
    assert!((precision - 1.0).abs() < 1e-9, "{precision}");
    // The share of true pairs that exact addresses alone can find.
    assert!((recall - 0.336).abs() < 0.001, "{recall}");
}

#[test]
fn link_command_reads_files_and_needs_no_lake() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let map = write(
        "map.toml",
        "[columns]\nid = 'id'\nemail = 'mail'\nphone = 'tel'\ngiven_name = 'name'\n\
         [[rule]]\nmatch = ['email']\n[[rule]]\nmatch = ['phone']\n",
    );
    let shop = write(
        "shop.csv",
        "id, mail ,tel,name\n1, Ann@Example.com ,,Ann\n2,,+4930123456,Bob\n3,test@test.com,,Cy\n",
    );
    let crm = write(
        "crm.csv",
        "id,mail,tel,name\n1,ann@example.com,+4930123456,Ann\n2,TEST@test.com,,Di\n3,,+49 30 123456,Bob\n",
    );
    let run = |more: &[&str]| {
        let mut command = rollbook();
        command
            .current_dir(folder.path())
            .args(["identity", "link", "shop.csv", "crm.csv"]);
        command
            .args(["--columns", "map.toml", "--output", "csv"])
            .args(more);
        command.output().unwrap()
    };
    let found = run(&[]);
    assert_eq!(
        String::from_utf8(found.stdout).unwrap(),
        "file,id,person_id,matched_by,ambiguous\n\
         shop.csv,1,2,,false\nshop.csv,2,3,,false\nshop.csv,3,1,,false\n\
         crm.csv,1,,,true\ncrm.csv,2,4,,false\ncrm.csv,3,3,phone,false\n"
    );
    let merged = run(&[
        "--bridges",
        "merge",
        "--suggest",
        "0.5",
        "--pairs",
        "pairs.csv",
    ]);
    assert!(
        String::from_utf8(merged.stdout)
            .unwrap()
            .contains("crm.csv,1,2,email,false")
    );
    let pairs = fs::read_to_string(folder.path().join("pairs.csv")).unwrap();
    assert!(pairs.starts_with("id_a,id_b,probability\n"), "{pairs}");
    assert!(!folder.path().join("rollbook-lake").exists());
    fs::write(&crm, "id,mail,tel\n1,a@b.example,,\n").unwrap();
    let refused = |path: &PathBuf, text: &str, says: &str| {
        fs::write(path, text).unwrap();
        let found = run(&[]);
        let error = String::from_utf8(found.stderr).unwrap();
        assert!(error.contains(says), "{error}");
        assert_eq!(found.status.code(), Some(1));
    };
    refused(
        &crm,
        "id,mail,tel,name\n1,,,\n1,,,\n",
        "the id `1` in two rows: line 2 and line 3",
    );
    refused(&crm, "id,mail,tel,name\n1,,\n", "crm.csv");
    refused(&crm, "id,email,tel,name\n", "has no column `mail`");
    refused(&shop, "", "shop.csv");
    fs::write(&shop, "id,mail,tel,name\n").unwrap();
    refused(
        &map,
        "[columns]\nid = 'id'\nmail = 'mail'\n",
        "there is no role `mail`",
    );
    refused(
        &map,
        "[columns]\nid = 'id'\n[[rule]]\nmatch = ['email']\n",
        "rule 1 matches on `email`",
    );
    refused(&map, "[columns\n", "map.toml");
}
