//! The `score` commands.

use rollbook_app::Workspace;
use rollbook_app::scores::{self, Explanation, Method, ScoreModel};
use rollbook_model::Timestamp;
use serde_json::json;

use crate::arguments::{OutputFormat, Score};
use crate::commands::clock::{as_of, now};
use crate::output::show::{Document, Shown, print};

/// Number of persons that a run prints.
const MAX_PRINTED: usize = 10;

pub(super) async fn run(
    workspace: &Workspace,
    arguments: Score,
    format: OutputFormat,
) -> anyhow::Result<()> {
    match arguments {
        Score::Train { kind, moment } => {
            let model =
                scores::train(workspace, kind, as_of(workspace, &moment).await?, now()).await?;
            print(&shown_model(&model)?, format)?;
            note_end(&model);
            if format == OutputFormat::Table {
                eprintln!("next: rollbook score run {kind}");
            }
        }
        Score::Run { kind, moment } => {
            let run = scores::run(
                workspace,
                kind,
                as_of(workspace, &moment).await?,
                now(),
                MAX_PRINTED,
            )
            .await?;
            let columns = ["person_id", "probability", "score"];
            let mut shown = Shown::list(&run.highest, &columns)?;
            shown.document = Document::of(&run)?;
            print(&shown, format)?;
            if format == OutputFormat::Table {
                eprintln!(
                    "{} persons scored; the table `scores` has all of them",
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
            print(&shown_explanation(&explanation)?, format)?;
            note_rules(explanation.method, None);
        }
    }
    Ok(())
}

fn shown_model(model: &ScoreModel) -> anyhow::Result<Shown> {
    let test = &model.evaluation;
    let auc = test.roc_auc.map_or_else(
        || "none: all labels of the test are equal".to_owned(),
        |auc| format!("{auc:.4}"),
    );
    let days = model.kind.horizon();
    let share = test.positives as f64 / test.examples.max(1) as f64;
    let mut lines = vec![
        (
            "method",
            json!(model.method).as_str().unwrap_or_default().to_owned(),
        ),
        ("ROC AUC", auc),
        (
            "Brier score",
            test.brier.map_or_else(
                || "none: no candidates to test on".to_owned(),
                |brier| format!("{brier:.4}"),
            ),
        ),
        (
            "tested at",
            format!("{} (predicting {days} ahead)", test.cut_off),
        ),
        (
            "tested on",
            format!("{} persons, {:.1} % positive", test.examples, share * 100.0),
        ),
        (
            "trained on",
            format!(
                "{} examples at {} cut-offs, {} positive",
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
        columns: vec!["model".to_owned(), String::new()],
        rows: lines
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect(),
    })
}

/// The strongest factors first, then the intercept and the sum.
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

/// Warns if the label window extends beyond the data.
fn note_end(model: &ScoreModel) {
    if let (Some(end), Some(days)) = (model.data_end, model.uncovered_days) {
        let (end, until) = (day(end), day(model.as_of));
        eprintln!(
            "warning: the newest order or deal is from {end}, {days} days before the end of the label window ({until}): \
             later purchases are not in the data and count as not made; train with --as-of {end}"
        );
    }
}

fn note_rules(method: Method, reason: Option<&str>) {
    if method == Method::Rules {
        let reason = reason
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        eprintln!("note: the weights are fixed, not learnt{reason}");
    }
}
