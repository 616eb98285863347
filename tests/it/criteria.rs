//! Random criteria on real data equal what plain SQL on the tables and sets say.
//!
//! Each atom is asked twice: as criteria, and as a query on the raw tables for those for whom it
//! is true, and for those for whom it is unknown. Nested conditions are put together by the logic
//! of three values on sets, so that nothing of how criteria are evaluated is used on that side.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringTreemap;
use rollbook_app::segments::{self, Draft, How};
use rollbook_app::{Place, data};
use rollbook_model::Timestamp;
use rollbook_model::config::Limits;
use rollbook_tests::{test_data, times};

use crate::own_lake::OwnLake;

/// Criteria in a test run; `ROLLBOOK_TEST_CRITERIA` asks for more.
const CRITERIA: u64 = 100;

/// An atom: as criteria, and as queries for whom it is true and unknown, with `{now}`.
struct Atom {
    criteria: String,
    is_true: String,
    is_unknown: Option<String>,
}

/// Who is there, for whom a condition is true, and for whom it is unknown.
#[derive(Clone)]
struct Truth {
    yes: RoaringTreemap,
    unknown: RoaringTreemap,
}

enum Node {
    Atom(usize),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
}

impl Node {
    fn random(dice: &mut ChaCha8Rng, atoms: usize, depth: u32) -> Self {
        let below = |dice: &mut ChaCha8Rng| Box::new(Self::random(dice, atoms, depth - 1));
        match dice.random_range(0..if depth == 0 { 2 } else { 8 }) {
            0..2 => Self::Atom(dice.random_range(0..atoms)),
            2 => Self::Not(below(dice)),
            3..6 => Self::And(below(dice), below(dice)),
            _ => Self::Or(below(dice), below(dice)),
        }
    }

    fn text(&self, atoms: &[Atom]) -> String {
        match self {
            Self::Atom(at) => format!("({})", atoms[*at].criteria),
            Self::Not(one) => format!("not {}", one.text(atoms)),
            Self::And(one, other) => format!("({} and {})", one.text(atoms), other.text(atoms)),
            Self::Or(one, other) => format!("({} or {})", one.text(atoms), other.text(atoms)),
        }
    }

    fn truth(&self, known: &[Truth], all: &RoaringTreemap) -> Truth {
        match self {
            Self::Atom(at) => known[*at].clone(),
            Self::Not(one) => {
                let one = one.truth(known, all);
                let yes = &(all - &one.yes) - &one.unknown;
                let unknown = one.unknown;
                Truth { yes, unknown }
            }
            Self::And(one, other) => {
                let (one, other) = (one.truth(known, all), other.truth(known, all));
                let yes = &one.yes & &other.yes;
                let not_false = &(&one.yes | &one.unknown) & &(&other.yes | &other.unknown);
                let unknown = &not_false - &yes;
                Truth { yes, unknown }
            }
            Self::Or(one, other) => {
                let (one, other) = (one.truth(known, all), other.truth(known, all));
                let yes = &one.yes | &other.yes;
                let unknown = &(&one.unknown | &other.unknown) - &yes;
                Truth { yes, unknown }
            }
        }
    }
}

const REVENUE: &str = "status in ('paid', 'partially_paid', 'fulfilled', 'completed', \
                       'partially_refunded', 'refunded')";

fn atoms() -> Vec<Atom> {
    let mut atoms = Vec::new();
    let mut add = |criteria: String, is_true: String, is_unknown: Option<&str>| {
        atoms.push(Atom {
            criteria,
            is_true,
            is_unknown: is_unknown.map(str::to_owned),
        });
    };
    let without_orders = "select person_id from persons where person_id not in (select person_id \
                          from orders where placed_at <= {now})";
    for days in [30, 90, 200] {
        let since = format!("{{now}} - interval '{days} days'");
        let within = format!("within => interval '{days} days'");
        add(
            format!("ordered({within})"),
            format!(
                "select person_id from orders where placed_at > {since} and placed_at <= {{now}}"
            ),
            None,
        );
        add(
            format!("did('first_contact', {within})"),
            format!(
                "select person_id from activities where type = 'first_contact' and occurred_at > \
                 {since} and occurred_at <= {{now}}"
            ),
            None,
        );
        add(
            format!("spent({within}) >= 120.50"),
            format!(
                "select person_id from orders where {REVENUE} and coalesce(paid_at, placed_at) > \
                 {since} and coalesce(paid_at, placed_at) <= {{now}} and placed_at <= {{now}} \
                 group by person_id having sum(total) >= 120.50"
            ),
            None,
        );
        add(
            format!("last_order_at < now() - interval '{days} days'"),
            format!(
                "select person_id from orders where placed_at <= {{now}} group by person_id having \
                 max(placed_at) < {since}"
            ),
            Some(without_orders),
        );
        add(
            format!("did('deal_won', {within})"),
            format!(
                "select person_id from deals where status = 'won' and coalesce(closed_at, \
                 created_at) > {since} and coalesce(closed_at, created_at) <= {{now}}"
            ),
            None,
        );
        add(
            format!("bought(category => 'bed_bath_table', {within})"),
            format!(
                "select o.person_id from order_lines l join orders o on o.provider = l.provider and \
                 o.external_id = l.order_id where l.category = 'bed_bath_table' and o.{REVENUE} and \
                 coalesce(o.paid_at, o.placed_at) > {since} and coalesce(o.paid_at, o.placed_at) <= \
                 {{now}} and o.placed_at <= {{now}}"
            ),
            None,
        );
    }
    add(
        "total_spent > 200".to_owned(),
        format!(
            "select person_id from orders where {REVENUE} and coalesce(paid_at, placed_at) <= {{now}} \
             and placed_at <= {{now}} group by person_id having sum(total) > 200"
        ),
        None,
    );
    add(
        "times('order_placed') between 2 and 3".to_owned(),
        "select person_id from orders where placed_at <= {now} group by person_id having count(*) \
         in (2, 3)"
            .to_owned(),
        None,
    );
    add(
        "first_time('order_placed') >= '2018-01-01'".to_owned(),
        "select person_id from orders where placed_at <= {now} group by person_id having \
         min(placed_at) >= timestamp '2018-01-01'"
            .to_owned(),
        Some(without_orders),
    );
    add(
        "sequence('order_placed', 'order_placed', within => interval '60 days')".to_owned(),
        "select a.person_id from orders a join orders b on a.person_id = b.person_id where \
         a.placed_at < b.placed_at and b.placed_at <= a.placed_at + interval '60 days' and \
         b.placed_at <= {now}"
            .to_owned(),
        None,
    );
    let unknown_region = "select person_id from persons where region is null";
    for region in ["SP", "RJ", "MG"] {
        add(
            format!("region = '{region}'"),
            format!("select person_id from persons where region = '{region}'"),
            Some(unknown_region),
        );
    }
    add(
        "region not in ('SP', 'PR')".to_owned(),
        "select person_id from persons where region <> 'SP' and region <> 'PR'".to_owned(),
        Some(unknown_region),
    );
    add(
        "has_deal(status => 'won', where => 'created_at < ''2018-03-01''')".to_owned(),
        "select person_id from deals where status = 'won' and (closed_at is null or closed_at <= \
         {now}) and created_at < timestamp '2018-03-01' and created_at <= {now}"
            .to_owned(),
        None,
    );
    add(
        "ordered(from => '2018-01-01', until => '2018-02-01')".to_owned(),
        "select person_id from orders where placed_at >= timestamp '2018-01-01' and placed_at < \
         timestamp '2018-02-01' and placed_at <= {now}"
            .to_owned(),
        None,
    );
    add(
        "ordered(where => 'status = ''cancelled''')".to_owned(),
        "select person_id from orders where status = 'cancelled' and placed_at <= {now}".to_owned(),
        None,
    );
    atoms
}

async fn persons(place: &Place, sql: &str, as_of: Timestamp) -> RoaringTreemap {
    let far: Timestamp = "2030-01-01".parse().unwrap();
    let sql = sql.replace("{now}", &format!("timestamp '{as_of}'"));
    // Seen from far ahead, so that nothing is hidden and the query alone says what is past.
    let each_once = format!("select distinct person_id from ({sql})");
    let answer = data::sql(place, &each_once, far, None).await;
    let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut persons = RoaringTreemap::new();
    for batch in &answer.batches {
        use arrow::array::AsArray;
        let ids = batch
            .column(0)
            .as_primitive::<arrow::datatypes::Int64Type>();
        persons.extend(ids.iter().flatten().filter_map(|id| u64::try_from(id).ok()));
    }
    persons.remove(0);
    persons
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_criteria_on_olist_are_what_plain_sql_says() {
    let Some(folder) = test_data() else {
        return;
    };
    let folder = folder.join("olist");
    let lake = OwnLake::new("criteria");
    lake.json(&["ingest", "olist", folder.to_str().unwrap()]);
    let location = lake.path("lake").to_str().unwrap().to_owned();
    let limits = Limits {
        rows: 1_000_000,
        ..Limits::default()
    };
    let place = Place::new(location, "default".parse().unwrap(), limits);
    let atoms = atoms();
    let mut dice = ChaCha8Rng::seed_from_u64(5);
    let mut nodes = BTreeMap::new();
    let mut now: Timestamp = "2026-01-01".parse().unwrap();
    for at in 0..times("ROLLBOOK_TEST_CRITERIA", CRITERIA) {
        let key: rollbook_model::SegmentKey = format!("c{at}").parse().unwrap();
        nodes.insert(key, Node::random(&mut dice, atoms.len(), 3));
    }
    let code = lake.path("code");
    std::fs::create_dir_all(&code).unwrap();
    for (key, node) in &nodes {
        std::fs::write(code.join(format!("{key}.sql")), node.text(&atoms)).unwrap();
    }
    lake.json(&["segment", "apply", code.to_str().unwrap()]);
    let mut patched = 0;
    for as_of in [
        "2017-11-20",
        "2017-11-21",
        "2018-02-01",
        "2018-02-03T12:00:00Z",
        "2018-09-01",
    ] {
        let as_of: Timestamp = as_of.parse().unwrap();
        let everybody = persons(&place, "select person_id from persons", as_of).await;
        let mut known = Vec::new();
        for atom in &atoms {
            let yes = persons(&place, &atom.is_true, as_of).await;
            let unknown = match &atom.is_unknown {
                Some(sql) => persons(&place, sql, as_of).await,
                None => RoaringTreemap::new(),
            };
            known.push(Truth { yes, unknown });
        }
        // A definition is edited each time.
        let key = nodes
            .keys()
            .collect::<Vec<_>>()
            .choose(&mut dice)
            .unwrap()
            .to_string();
        let node = Node::random(&mut dice, atoms.len(), 3);
        now = Timestamp::from_micros(now.micros() + 1_000_000);
        let draft = Draft::new(key.parse().unwrap(), node.text(&atoms));
        segments::put(&place, &draft, now).await.unwrap();
        nodes.insert(key.parse().unwrap(), node);
        let done = segments::refresh(&place, &[], as_of, now, false)
            .await
            .unwrap();
        for outcome in done {
            let key = outcome.segment;
            let done = outcome
                .result
                .unwrap_or_else(|error| panic!("{key}: {error}"));
            patched += usize::from(matches!(done.how, How::Patched(_)));
            let members = segments::members(&place, &key, None).await.unwrap().1;
            let expected = nodes[&key].truth(&known, &everybody).yes;
            let expected: Vec<u64> = (&expected & &everybody).iter().collect();
            let text = nodes[&key].text(&atoms);
            assert_eq!(members.len(), expected.len(), "{key} at {as_of}: {text}");
            assert_eq!(members, expected, "{key} at {as_of}: {text}");
        }
    }
    assert!(patched > 0, "nothing was patched");
}
