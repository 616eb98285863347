//! Scores through the program: trained, run, explained; and nothing of the future moves them.

use serde_json::{Value, json};

use crate::own_lake::OwnLake;

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
fn factors_sum_to_the_score_and_the_same_data_give_the_same_model() {
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
fn what_is_dated_after_as_of_moves_nothing() {
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
fn too_little_to_learn_from_is_said() {
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
