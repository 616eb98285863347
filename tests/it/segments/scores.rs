//! Scores through the program: trained, run, explained; later facts change no score.

use serde_json::{Value, json};

use crate::support::own_lake::OwnLake;

const AS_OF: &str = "2025-10-01T00:00:00Z";

fn business(name: &str) -> OwnLake {
    let lake = OwnLake::new(name);
    let input = lake.path("input");
    let input = input.to_str().unwrap();
    lake.json(&[
        "generate",
        "--persons",
        "3000",
        "--seed",
        "11",
        "--out",
        input,
    ]);
    lake.json(&["ingest", "native", input]);
    lake
}

fn scores(lake: &OwnLake, kind: &str) -> Vec<Value> {
    let limit = ["--limit", "100000"];
    let query = format!(
        "select person_id, score, probability from scores where kind = '{kind}' order by person_id"
    );
    let rows = lake.json(&["sql", &query, limit[0], limit[1]]);
    rows.as_array().unwrap().clone()
}

#[test]
fn factors_sum_to_the_score_and_training_is_deterministic() {
    let lake = business("scores_explained");
    for kind in ["lead", "churn"] {
        let model = lake.json(&["score", "train", kind, "--as-of", AS_OF]);
        assert_eq!(model["method"], "logistic", "{model}");
        let auc = model["evaluation"]["roc_auc"].as_f64().unwrap();
        assert!((0.6..1.0).contains(&auc), "{kind} {auc}");
        assert_eq!(
            lake.json(&["score", "train", kind, "--as-of", AS_OF]),
            model
        );
        let run = lake.json(&["score", "run", kind, "--as-of", AS_OF]);
        let all = scores(&lake, kind);
        assert_eq!(run["count"], all.len());
        let best = &run["highest"][0];
        let person = best["person_id"].to_string();
        let explained = lake.json(&["score", "explain", kind, &person, "--as-of", AS_OF]);
        let base = explained["base"].as_f64().unwrap();
        let factors = explained["factors"].as_array().unwrap();
        let sum = factors
            .iter()
            .fold(base, |sum, one| sum + one["points"].as_f64().unwrap());
        assert_eq!(
            sum.to_bits(),
            explained["score"].as_f64().unwrap().to_bits()
        );
        assert_eq!(explained["score"], best["score"]);
        assert!(!factors.is_empty(), "{explained}");
        assert!(
            factors.iter().all(|one| one["meaning"] != ""),
            "{factors:?}"
        );
    }
    let refused = lake.run(&["score", "explain", "lead", "999999", "--as-of", AS_OF]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("had not bought anything"));
    let typo = lake.run(&["score", "train", "leads"]);
    assert_eq!(typo.status.code(), Some(2));
}

#[test]
fn facts_after_as_of_change_no_score() {
    let lake = business("scores_law");
    for kind in ["lead", "churn"] {
        lake.json(&["score", "train", kind, "--as-of", AS_OF]);
        lake.json(&["score", "run", kind, "--as-of", AS_OF]);
    }
    let before = [scores(&lake, "lead"), scores(&lake, "churn")];
    // Later rows, and later changes of rows that were there: cancelled, refunded, closed, answered.
    let order = &lake.sql("select * from orders where person_id <> 0 and status = 'paid' and paid_at < '2025-09-01' order by external_id limit 1")[0];
    let person = lake.sql(&format!(
        "select external_id from persons where person_id = {}",
        order["person_id"]
    ));
    let person = person[0]["external_id"].as_str().unwrap();
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    lake.write("later/orders.csv", &format!(
        "external_id,person_external_id,status,currency,total,placed_at,paid_at,cancelled_at\n{},{person},cancelled,{},{},{},{},2025-10-05T00:00:00Z\nnew-1,{person},paid,EUR,999,2025-10-02T00:00:00Z,2025-10-02T00:00:00Z,\n",
        text("external_id"), text("currency"), text("total"), text("placed_at"), text("paid_at")));
    lake.write("later/refunds.csv", &format!("external_id,person_external_id,order_id,amount,currency,refunded_at\nr-new,{person},{},5,EUR,2025-10-06T00:00:00Z\n", text("external_id")));
    let leads = before[0]
        .iter()
        .take(50)
        .map(|row| row["person_id"].to_string())
        .collect::<Vec<_>>()
        .join(",");
    let leads = lake.sql(&format!(
        "select external_id from persons where person_id in ({leads})"
    ));
    let mut acts = "external_id,person_external_id,type,channel,occurred_at\n".to_owned();
    let mut wins =
        "external_id,person_external_id,status,value,currency,created_at,closed_at\n".to_owned();
    let mut asks = "external_id,person_external_id,status,opened_at\n".to_owned();
    for row in &leads {
        let id = row["external_id"].as_str().unwrap();
        acts += &format!("act-{id},{id},page_viewed,referral,2025-10-01T00:00:01Z\n");
        wins += &format!("win-{id},{id},won,100,EUR,2025-09-01T00:00:00Z,2025-10-03T00:00:00Z\n");
        asks += &format!("ask-{id},{id},open,2025-10-04T00:00:00Z\n");
    }
    lake.write("later/activities.csv", &acts);
    lake.write("later/deals.csv", &wins);
    lake.write("later/tickets.csv", &asks);
    let later = lake.json(&["ingest", "native", lake.path("later").to_str().unwrap()]);
    assert_eq!(later["tables"].as_array().unwrap().len(), 5, "{later}");
    assert!(
        later["tables"]
            .as_array()
            .unwrap()
            .iter()
            .all(|table| table["quarantined"] == 0),
        "{later}"
    );
    for kind in ["lead", "churn"] {
        lake.json(&["score", "train", kind, "--as-of", AS_OF]);
        lake.json(&["score", "run", kind, "--as-of", AS_OF]);
    }
    assert!(
        before == [scores(&lake, "lead"), scores(&lake, "churn")],
        "something of the future moved a score"
    );
    // The same rows do move them once their time has come.
    lake.json(&["score", "run", "lead", "--as-of", "2025-10-10T00:00:00Z"]);
    assert!(before[0] != scores(&lake, "lead"));
}

#[test]
fn too_few_examples_are_reported() {
    let lake = OwnLake::new("scores_rules");
    let persons = lake.write(
        "persons.csv",
        "external_id,created_at\na,2025-09-20\nb,2025-09-25\n",
    );
    lake.json(&["ingest", "native", persons.to_str().unwrap()]);
    let early = lake.run(&["score", "run", "lead"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&early.stderr).contains("score train lead"));
    let model = lake.json(&["score", "train", "lead", "--as-of", AS_OF]);
    assert_eq!(model["method"], "rules");
    assert!(model["reason"].as_str().unwrap().contains("at least 50"));
    let run = lake.json(&["score", "run", "lead", "--as-of", AS_OF]);
    assert_eq!(
        (&run["count"], &run["method"]),
        (&json!(2), &json!("rules"))
    );
}

#[test]
fn currency_does_not_change_the_worth_of_a_purchase() {
    let lake = OwnLake::new("scores_currencies");
    let mut persons = "external_id,created_at\n".to_owned();
    let mut orders =
        "external_id,person_external_id,status,currency,total,placed_at,paid_at\n".to_owned();
    for (person, currency, totals) in [
        ("euro", "EUR", ["10.00", "30.00"]),
        ("yen", "JPY", ["1600.00", "4800.00"]),
        ("none", "CHF", ["10.00", "30.00"]),
    ] {
        persons += &format!("{person},2024-01-01\n");
        for (day, total) in [("2024-03-01", totals[0]), ("2024-04-01", totals[1])] {
            orders += &format!("{person}{day},{person},paid,{currency},{total},{day},{day}\n");
        }
    }
    // One purchase without a rate leaves the value of the others as it is.
    persons += "mixed,2024-01-01\n";
    orders += "m1,mixed,paid,EUR,20.00,2024-03-01,2024-03-01\n";
    orders += "m2,mixed,paid,CHF,9000.00,2024-04-01,2024-04-01\n";
    lake.write("in/persons.csv", &persons);
    lake.write("in/orders.csv", &orders);
    let rates = "day,currency,rate\n2024-03-01,JPY,0.00625\n2024-04-01,JPY,0.00625\n";
    lake.write("in/fx_rates.csv", rates);
    lake.json(&["settings", "currency", "EUR"]);
    lake.json(&["ingest", "native", lake.path("in").to_str().unwrap()]);
    lake.json(&["score", "train", "churn", "--as-of", "2024-05-01"]);
    let basket = |who: &str| {
        let found = lake.json(&["person", "find", "--external", &format!("native:{who}")]);
        let person = found[0]["person_id"].to_string();
        let why = lake.json(&[
            "score",
            "explain",
            "churn",
            &person,
            "--as-of",
            "2024-05-01",
        ]);
        let factors = why["factors"].as_array().unwrap();
        let basket = factors.iter().find(|one| one["feature"] == "basket");
        basket.unwrap()["value"].as_f64().unwrap()
    };
    assert_eq!(basket("euro"), 21_f64.ln());
    assert_eq!(basket("yen"), basket("euro"));
    assert_eq!(basket("mixed"), basket("euro"));
    assert_eq!(basket("none"), 0.0);
}

#[test]
fn persons_without_dates_are_scored() {
    let lake = OwnLake::new("scores_undated");
    lake.write(
        "in/persons.csv",
        "external_id,created_at\na,\nb,\nc,\nd,2024-05-01\ne,\n",
    );
    lake.write(
        "in/activities.csv",
        "external_id,person_external_id,type,channel,occurred_at\n\
         a1,a,page_viewed,email,2024-05-28T00:00:00Z\n\
         c1,c,page_viewed,email,2024-07-01T00:00:00Z\n",
    );
    lake.write(
        "in/orders.csv",
        "external_id,person_external_id,status,currency,total,placed_at,paid_at\n\
         o1,e,paid,EUR,1.00,2024-05-01,2024-05-01\n",
    );
    lake.json(&["ingest", "native", lake.path("in").to_str().unwrap()]);
    let trained = lake.json(&["score", "train", "lead", "--as-of", "2024-06-01"]);
    // At the moment of the test nobody was known but `d`.
    assert_eq!(trained["evaluation"]["examples"], 1, "{trained}");
    let of = |as_of: &str| {
        lake.json(&["score", "run", "lead", "--as-of", as_of]);
        let sql = "select i.external_id as who, s.score from scores s \
                   join identities i using (person_id) order by 1";
        let rows = lake.sql(sql);
        let who = rows
            .iter()
            .map(|row| row["who"].as_str().unwrap().to_owned());
        who.collect::<Vec<_>>()
    };
    // `e` has bought. Of `c` there is a fact, but later than what is looked at.
    assert_eq!(of("2024-06-01"), ["a", "b", "c", "d"]);
    assert_eq!(of("2024-08-01"), ["a", "b", "c", "d"]);
    let age = |who: &str, as_of: &str| {
        let found = lake.json(&["person", "find", "--external", &format!("native:{who}")]);
        let person = found[0]["person_id"].to_string();
        let why = lake.json(&["score", "explain", "lead", &person, "--as-of", as_of]);
        let factors = why["factors"].as_array().unwrap().clone();
        let ages = factors.into_iter().filter(|one| one["value"] == 1.0);
        let ages = ages.map(|one| one["feature"].as_str().unwrap().to_owned());
        ages.filter(|name| name.starts_with("age"))
            .collect::<Vec<_>>()
    };
    assert_eq!(age("a", "2024-06-01"), ["age_to_14_days"]);
    assert_eq!(age("b", "2024-06-01"), [""; 0]);
}

#[test]
fn labels_beyond_the_data_and_empty_tests_are_reported() {
    let lake = OwnLake::new("scores_end");
    lake.write("in/persons.csv", "external_id,created_at\na,2024-01-01\n");
    lake.write(
        "in/orders.csv",
        "external_id,person_external_id,status,currency,total,placed_at,paid_at\n\
         o1,a,paid,EUR,1.00,2024-05-28T10:00:00Z,2024-05-31T10:00:00Z\n",
    );
    lake.json(&["ingest", "native", lake.path("in").to_str().unwrap()]);
    for (as_of, days) in [
        ("2024-06-01", None),
        ("2024-06-20", Some(19)),
        ("2024-09-10", Some(101)),
    ] {
        let trained = lake.run(&["score", "train", "churn", "--as-of", as_of]);
        let told = String::from_utf8_lossy(&trained.stderr).into_owned();
        let model: Value = serde_json::from_slice(&trained.stdout).unwrap();
        assert_eq!(model["data_end"], "2024-05-31T10:00:00Z");
        assert_eq!(model["uncovered_days"].as_i64(), days, "{as_of}");
        let says = told.contains("the newest order or deal is from 2024-05-31");
        assert_eq!(says, days.is_some(), "{as_of} {told}");
        // Nobody had bought by then.
        let tested = &model["evaluation"];
        let is_nobody = tested["examples"] == 0;
        assert_eq!(tested["brier"].is_null(), is_nobody, "{tested}");
        assert_eq!(is_nobody, days != Some(101), "{tested}");
    }
}
