//! Custom traits in use: applied, queried, changed, removed.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::own_lake::{OwnLake, column};
use crate::support::server::Server;

/// Spending above the mean of all who ordered, which depends on other persons' rows.
const VIP_SCORE: &str = "-- description: What somebody spent on an order, over the mean of all
-- default: 0

select person_id, avg(total) / (select avg(total) from orders) as score
from orders
group by person_id
";

struct World {
    lake: OwnLake,
}

impl World {
    /// Four persons; the first three ordered for 10, 20 and 60.
    fn new(name: &str) -> Self {
        let lake = OwnLake::new(name);
        let persons = "external_id,email,country,created_at\np1,ann@example.com,DE,2024-01-01\n\
                       p2,bob@example.com,DE,2024-01-01\np3,cid@example.com,AT,2024-01-01\n\
                       p4,dot@example.com,AT,2024-01-01\n";
        let world = Self { lake };
        world.ingest("persons", persons);
        world.orders("a", &[("p1", 10), ("p2", 20), ("p3", 60)]);
        world
    }

    fn ingest(&self, table: &str, rows: &str) {
        let file = self.lake.write(&format!("sources/{table}.csv"), rows);
        self.lake
            .json(&["ingest", "native", file.to_str().unwrap()]);
    }

    fn orders(&self, run: &str, orders: &[(&str, u32)]) {
        let mut rows =
            "external_id,person_external_id,status,currency,total,placed_at\n".to_owned();
        for (at, (person, total)) in orders.iter().enumerate() {
            rows += &format!("{run}{at},{person},paid,EUR,{total},2024-05-01\n");
        }
        self.ingest("orders", &rows);
    }

    fn write(&self, name: &str, text: &str) {
        self.lake.write(&format!("traits/{name}.sql"), text);
    }

    fn traits(&self, arguments: &[&str]) -> Output {
        let folder = self.lake.path("traits");
        let mut all = vec!["traits", "apply", folder.to_str().unwrap()];
        all.extend(arguments);
        self.lake.run(&all)
    }

    /// The plan of a successful `apply`.
    fn apply(&self) -> Value {
        let output = self.traits(&[]);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The error for a folder that cannot be applied; nothing of it is.
    fn refused(&self) -> String {
        let before = self.lake.json(&["traits", "list"]);
        let output = self.traits(&[]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(self.lake.json(&["traits", "list"]), before);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn members(&self, segment: &str) -> Value {
        self.lake.json(&["segment", "members", segment])
    }

    fn refreshed(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["segment", "refresh"];
        all.extend(arguments);
        self.lake.json(&all)
    }

    fn scores(&self, of: &str) -> Vec<Value> {
        let sql = format!("select {of} as score from people order by person_id");
        let rows = self.lake.sql(&sql);
        rows.into_iter().map(|row| row["score"].clone()).collect()
    }
}

#[test]
fn trait_is_applied_queried_changed_and_removed() {
    let world = World::new("traits");
    world.write("vip_score", VIP_SCORE);
    let check = world.traits(&["--check"]);
    assert_eq!(check.status.code(), Some(1));
    assert_eq!(world.lake.json(&["traits", "list"]), json!([]));
    let plan = world.apply();
    assert_eq!(
        plan,
        json!([{ "trait": "vip_score", "action": "new", "type": "decimal(35, 12)", "persons": 4,
            "segments": [] }])
    );
    assert_eq!(world.traits(&["--check"]).status.code(), Some(0));
    assert_eq!(world.apply(), json!([]));
    let rounded = "cast(round(vip_score * 100) as bigint)";
    assert_eq!(
        json!(world.scores(rounded)),
        json!([33, 67, 200, 0]),
        "10, 20 and 60 over 30, and the default"
    );
    let listed = world.lake.json(&["traits", "list"]);
    assert_eq!(column(&listed, "default"), ["0"]);
    let said = "What somebody spent on an order, over the mean of all";
    assert_eq!(column(&listed, "description"), [said]);
    assert_eq!(column(&listed, "problem"), [Value::Null]);

    // A segment on it, one that names that segment, and one that knows nothing of it.
    for (key, criteria) in [
        ("vips", "vip_score >= 1"),
        ("german-vips", "in_segment('vips') and country = 'DE'"),
        ("germans", "country = 'DE'"),
        ("asked", "select person_id from people where vip_score >= 1"),
    ] {
        world
            .lake
            .json(&["segment", "put", key, "--criteria", criteria]);
    }
    world.refreshed(&[]);
    assert_eq!(world.members("vips"), json!([3]));
    let listed = world.lake.json(&["traits", "list"]);
    assert_eq!(listed[0]["segments"], json!(["asked", "vips"]));

    // Cheap orders of person 3 make the mean of all smaller: person 2 comes in, though no row of
    // theirs was written.
    world.orders("b", &[("p3", 1), ("p3", 1), ("p3", 1), ("p3", 1)]);
    assert_eq!(world.members("vips"), json!([2]));
    let again = world.refreshed(&["vips", "german-vips", "germans"]);
    assert_eq!(column(&again, "evaluated"), ["all", "all", "0"].map(told));
    let full = world.refreshed(&["--full"]);
    assert_eq!(column(&full, "entered"), [0, 0, 0, 0].map(|n| json!(n)));
    assert_eq!(world.members("german-vips"), json!([2]));
    assert_eq!(world.members("asked"), json!([2]));

    // Why says what membership says, for each person alone.
    for person in 1..=4 {
        let explained = world
            .lake
            .json(&["segment", "explain", "vips", &person.to_string()]);
        assert_eq!(explained["is_member"], json!(person == 2), "{explained}");
        let value = explained["why"]["value"].as_str().unwrap();
        let value: f64 = value.parse().unwrap();
        let sql = format!("select vip_score from people where person_id = {person}");
        let score = world.lake.value(&sql);
        let score = score.as_f64().or_else(|| score.as_str()?.parse().ok());
        assert!((value - score.unwrap()).abs() < 1e-6, "{explained}");
        assert_eq!(explained["turns"], "it depends on other persons too");
    }

    // Pulls return the right values beside the ids.
    let server = Server::start(&world.lake, "default");
    let page = server.get("/v1/segments/vips/members?fields=vip_score");
    let score = page.json()["persons"][0]["vip_score"].to_string();
    assert!(score.trim_matches('"').starts_with("1.48"), "{score}");
    let listed = server.get("/v1/traits").json();
    assert_eq!(listed[0]["segments"], json!(["asked", "vips"]));
    let criteria = json!({ "criteria": "vip_score >= 1" });
    for _ in 0..3 {
        let preview = server
            .send("POST", "/v1/segments/preview", &criteria)
            .json();
        assert_eq!(preview["sample"], json!([2]));
    }
    drop(server);

    // A change is a new definition to the segments that name it, also through others.
    world.write(
        "vip_score",
        &VIP_SCORE.replace("avg(total) /", "sum(total) /"),
    );
    let check = world.traits(&["--check"]);
    assert_eq!(check.status.code(), Some(1));
    assert_eq!(world.members("vips"), json!([2]));
    let plan = world.apply();
    assert_eq!(plan[0]["action"], "changed");
    assert_eq!(plan[0]["segments"], json!(["asked", "vips"]));
    // 10, 20 and 64 over 94 by 7: those that follow the data are computed by the same command.
    assert_eq!(world.members("vips"), json!([2, 3]));
    assert_eq!(world.members("german-vips"), json!([2]));
    let changes = world.lake.json(&["segment", "changes", "vips"]);
    let last = changes["changes"].as_array().unwrap().last().unwrap();
    assert_eq!(last["reason"], "definition", "{changes}");
    // Another description computes nothing anew.
    let described = VIP_SCORE.replace("avg(total) /", "sum(total) /");
    world.write("vip_score", &described.replace("What somebody", "All"));
    let plan = world.apply();
    assert_eq!(
        (&plan[0]["action"], &plan[0]["segments"]),
        (&json!("changed"), &json!([]))
    );
    let listed = world.lake.json(&["segment", "list"]);
    assert_eq!(
        column(&listed, "status"),
        ["fresh"; 4].map(|one| json!(one))
    );

    // Traits that segments use stay.
    fs::remove_file(world.lake.path("traits/vip_score.sql")).unwrap();
    let message = world.refused();
    assert!(
        message.contains("trait `vip_score` cannot be removed: segments `asked`, `vips` use it"),
        "{message}"
    );
    for key in ["asked", "german-vips", "vips"] {
        world.lake.json(&["segment", "delete", key]);
    }
    assert_eq!(world.apply()[0]["action"], "removed");
    assert_eq!(world.lake.json(&["traits", "list"]), json!([]));
    let gone = world.lake.run(&["sql", "select vip_score from people"]);
    assert!(String::from_utf8_lossy(&gone.stderr).contains("unknown column `vip_score`"));
    assert_eq!(world.apply(), json!([]));
    assert_eq!(world.lake.json(&["check"])["problems"], json!([]));
}

fn told(evaluated: &str) -> Value {
    match evaluated.parse::<u64>() {
        Ok(persons) => json!(persons),
        Err(_) => json!(evaluated),
    }
}

#[test]
fn broken_trait_file_is_reported_and_nothing_is_saved() {
    let world = World::new("traits-wrong");
    let refused = |name: &str, text: &str, expected: &str| {
        world.write(name, text);
        let message = world.refused();
        let path = world.lake.path(&format!("traits/{name}.sql"));
        let path = path.to_str().unwrap();
        assert!(
            message.contains(&format!("{path}: {expected}")),
            "{message}"
        );
        fs::remove_file(path).unwrap();
    };
    world.write("fine", "select person_id, 1 as one from persons");
    refused(
        "vip_score",
        &VIP_SCORE.replace("avg(total) /", "avg(totl) /"),
        "unknown column `totl` in `orders` at line 4, column 23; did you mean `total`?",
    );
    refused(
        "vip_score",
        &VIP_SCORE.replace("default: 0", "default: none"),
        "`default` at line 2: `none` is not a literal of the trait's type, decimal(35, 12)",
    );
    refused(
        "vip_score",
        &VIP_SCORE.replace("default", "defualt"),
        "its header has the unknown field `defualt`; did you mean `default`?",
    );
    refused(
        "twice",
        "select orders.person_id, orders.total from orders, persons",
        "trait `twice` has more than one row for person",
    );
    refused(
        "double",
        "-- description: of itself\nselect person_id, total_spent * 2 as double from people",
        "a trait cannot query `people` at line 2, column 50",
    );
    refused(
        "country",
        "select person_id, 1 as one from persons",
        "`people` has a built-in column `country`",
    );
    refused(
        "true",
        "select person_id, 1 as one from persons",
        "`true` is an SQL keyword",
    );
    refused(
        "Vip-Score",
        "select person_id, 1 as one from persons",
        "its name is not a valid trait name",
    );
    refused(
        "by_chance",
        "select person_id, random() as chance from persons",
        "`random` at line 1, column 19 cannot be used in criteria and traits",
    );
    assert_eq!(world.apply()[0]["trait"], "fine");
}

#[test]
fn personal_trait_is_sealed_and_erased() {
    let world = World::new("traits-personal");
    let text = "select person_id, true as is_meant from persons where email = 'ann@example.com'";
    world.write("is_ann", &format!("-- default: false\n{text}\n"));
    world.write(
        "orders_so_far",
        "select person_id, count(*) from orders group by 1\n",
    );
    world.apply();
    assert_eq!(world.scores("is_ann"), [true, false, false, false]);
    let definitions = fs::read_dir(world.lake.path("lake/default/_definitions")).unwrap();
    let definitions: Vec<_> = definitions
        .map(|object| fs::read(object.unwrap().path()).unwrap())
        .collect();
    assert!(!definitions.is_empty());
    for definition in definitions {
        assert!(!String::from_utf8_lossy(&definition).contains("ann@example"));
    }

    // A backup is unchanged, and a collection removes nothing of it.
    let copy = world.lake.path("copy").to_str().unwrap().to_owned();
    world.lake.json(&["backup", &copy]);
    world.lake.json(&["vacuum"]);
    let listed = world.lake.json(&["traits", "list"]);
    let mut command = rollbook_tests::rollbook();
    command.args(["--output", "json", "--lake", &copy, "traits", "list"]);
    let copied: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(copied, listed);

    let forgotten = world.lake.json(&["person", "erase", "1"]);
    assert_eq!(forgotten["texts"], 1, "{forgotten}");
    let listed = world.lake.json(&["traits", "list"]).to_string();
    assert!(!listed.contains("ann@example"), "{listed}");
    assert!(listed.contains("orders_so_far"));
    assert_eq!(world.scores("is_ann"), [false, false, false]);
    // The file still names her: it differs from what there is now.
    assert_eq!(column(&world.apply(), "trait"), ["is_ann"]);
}

#[test]
fn duplicate_trait_rows_fail_only_their_queries() {
    let world = World::new("traits-later");
    let text = "select person_id, total as only_order from orders where person_id <> 0";
    world.write("only_order", text);
    world.apply();
    for (key, criteria) in [("big", "only_order > 15"), ("germans", "country = 'DE'")] {
        let put = ["segment", "put", key, "--criteria", criteria];
        world.lake.json(&put);
    }
    world.refreshed(&[]);
    assert_eq!(world.members("big"), json!([2, 3]));
    world.orders("b", &[("p3", 70)]);
    let refreshed = world.lake.run(&["segment", "refresh"]);
    assert_eq!(refreshed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refreshed.stderr).into_owned();
    let twice = "trait `only_order` has more than one row for person 3";
    assert!(said.contains(twice), "{said}");
    let listed = world.lake.json(&["segment", "list"]);
    assert_eq!(column(&listed, "status"), ["stale", "fresh"]);
    assert_eq!(world.members("big"), json!([2, 3]));
    let others = "select only_order from people where person_id = 2";
    assert!(world.lake.value(others).to_string().contains("20"));
    // Its text is mended, and the segment is computed by who asks for it.
    let mended = "select person_id, max(total) as only_order from orders group by person_id";
    world.write("only_order", mended);
    assert_eq!(world.apply()[0]["segments"], json!(["big"]));
    assert_eq!(column(&world.refreshed(&[]), "count"), [2, 2]);
}
