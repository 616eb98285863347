//! The `score` commands.

use rollbook_app::Workspace;
use rollbook_app::scores::{self, Explanation, Method, ScoreModel};
use rollbook_model::Timestamp;
use serde_json::json;

use super::{as_of, now};
use crate::arguments::{Form, Score};
use crate::show::{Document, Shown, print};

/// Persons that a run shows.
const SHOWN: usize = 10;

pub(super) async fn run(workspace: &Workspace, what: Score, form: Form) -> anyhow::Result<()> {
    match what {
        Score::Train { kind, moment } => {
            let model =
                scores::train(workspace, kind, as_of(workspace, &moment).await?, now()).await?;
            print(&shown_model(&model)?, form)?;
            note_end(&model);
            if form == Form::Table {
                eprintln!("next: rollbook score run {kind}");
            }
        }
        Score::Run { kind, moment } => {
            let run = scores::run(
                workspace,
                kind,
                as_of(workspace, &moment).await?,
                now(),
                SHOWN,
            )
            .await?;
            let columns = ["person_id", "probability", "score"];
            let mut shown = Shown::list(&run.highest, &columns)?;
            shown.document = Document::of(&run)?;
            print(&shown, form)?;
            if form == Form::Table {
                eprintln!(
                    "{} persons scored; all of them: the table `scores`",
                    run.head.count
                );
            }
            note_rules(run.head.method, run.head.reason.as_deref());
        }
        Score::Explain {
            kind,
            person,
            moment,
        } => {
            let explanation =
                scores::explain(workspace, kind, person, as_of(workspace, &moment).await?).await?;
            print(&shown_explanation(&explanation)?, form)?;
            note_rules(explanation.method, None);
        }
    }
    Ok(())
}

fn shown_model(model: &ScoreModel) -> anyhow::Result<Shown> {
    let tested = &model.evaluation;
    let auc = tested.roc_auc.map_or_else(
        || "none: all of the test, or nobody, did it".to_owned(),
        |auc| format!("{auc:.4}"),
    );
    let days = model.kind.horizon();
    let share = tested.positives as f64 / tested.examples.max(1) as f64;
    let mut lines = vec![
        (
            "method",
            json!(model.method).as_str().unwrap_or_default().to_owned(),
        ),
        ("ROC AUC", auc),
        (
            "Brier score",
            tested.brier.map_or_else(
                || "none: nobody to test on".to_owned(),
                |brier| format!("{brier:.4}"),
            ),
        ),
        (
            "tested at",
            format!("{} (looking {days} ahead)", tested.cut_off),
        ),
        (
            "tested on",
            format!(
                "{} persons, {:.1} % of whom did it",
                tested.examples,
                share * 100.0
            ),
        ),
        (
            "learnt from",
            format!(
                "{} examples at {} moments, {} positive",
                model.examples,
                model.cut_offs.len(),
                model.positives
            ),
        ),
        ("as of", model.as_of.to_string()),
        ("snapshot", model.snapshot.to_string()),
    ];
    if let Some(end) = model.data_end {
        lines.push(("data end", day(end)));
    }
    if let Some(reason) = &model.reason {
        lines.push(("not learnt", reason.clone()));
    }
    Ok(Shown {
        document: Document::of(model)?,
        columns: vec!["of the model".to_owned(), String::new()],
        rows: lines
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect(),
    })
}

/// The strongest factors first, then the base and the sum.
fn shown_explanation(explanation: &Explanation) -> anyhow::Result<Shown> {
    let mut factors: Vec<_> = explanation
        .factors
        .iter()
        .filter(|one| one.points != 0.0)
        .collect();
    factors.sort_by(|a, b| b.points.abs().total_cmp(&a.points.abs()));
    let row = |meaning: &str, value: String, points: f64| {
        vec![meaning.to_owned(), value, format!("{points:+.3}")]
    };
    let mut rows: Vec<_> = factors
        .into_iter()
        .map(|one| row(one.meaning, format!("{:.2}", one.value), one.points))
        .collect();
    rows.push(row("base", String::new(), explanation.base));
    rows.push(row("score", String::new(), explanation.score));
    let probability = format!("{:.1} %", explanation.probability * 100.0);
    rows.push(vec!["probability".to_owned(), probability, String::new()]);
    Ok(Shown {
        document: Document::of(explanation)?,
        columns: ["factor", "value", "log-odds"].map(str::to_owned).to_vec(),
        rows,
    })
}

fn day(of: Timestamp) -> String {
    of.to_string().chars().take(10).collect()
}

/// Says where labels reach beyond the data.
fn note_end(model: &ScoreModel) {
    if let (Some(end), Some(days)) = (model.data_end, model.uncovered_days) {
        let (end, until) = (day(end), day(model.as_of));
        eprintln!(
            "warning: the data end on {end}, with the newest order or deal, {days} days before the labels do ({until}): \
             whoever bought since counts as not having bought; train with --as-of {end}"
        );
    }
}

fn note_rules(method: Method, reason: Option<&str>) {
    if method == Method::Rules {
        let reason = reason
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        eprintln!("note: by the written rules, not learnt{reason}");
    }
}
