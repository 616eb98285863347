//! Running one SQL query.

use rollbook_engine::{Answer, EngineError, Parameters, Session};
use rollbook_lake::{Lake, State};
use rollbook_model::{SnapshotNumber, Timestamp};

use crate::access::Right;
use crate::{AppError, Workspace};

/// The table of acts, which no session has but those of SQL by callers with the right.
const AUDIT: &str = "audit";

/// Attempts to read before a missing file of the vault is reported.
const ATTEMPTS: u32 = 10;

/// The physical plan of a query, one operator per line.
///
/// # Errors
/// There is no lake or no such snapshot; the SQL is invalid.
pub async fn explain(
    workspace: &Workspace,
    query: &str,
    as_of: Timestamp,
    snapshot: Option<SnapshotNumber>,
) -> Result<String, AppError> {
    workspace.require("data::sql::explain")?;
    let lake = workspace.lake().await?;
    let state = workspace.state(&lake, snapshot).await?;
    let session = session_of_sql(workspace, &lake, &state, as_of).await?;
    Ok(session.explain(query).await?)
}

/// Runs one read-only query, and returns at most `workspace.limits.rows` rows.
///
/// # Errors
/// There is no lake or no such snapshot; the SQL is invalid; the query exceeds its memory, disk or time
/// limit; it reads a personal column and the caller may not.
pub async fn sql(
    workspace: &Workspace,
    query: &str,
    as_of: Timestamp,
    snapshot: Option<SnapshotNumber>,
) -> Result<Answer, AppError> {
    workspace.require("data::sql::sql")?;
    Ok(answer(workspace, query, as_of, snapshot).await?.0)
}

/// Runs one read-only query, and also returns the snapshot that it read.
///
/// # Errors
/// Those of [`sql`].
pub async fn answer(
    workspace: &Workspace,
    query: &str,
    as_of: Timestamp,
    snapshot: Option<SnapshotNumber>,
) -> Result<(Answer, SnapshotNumber), AppError> {
    workspace.require("data::sql::answer")?;
    let lake = workspace.lake().await?;
    let state = workspace.state(&lake, snapshot).await?;
    for attempt in 1.. {
        let session = session_of_sql(workspace, &lake, &state, as_of).await?;
        match session.query(query).await {
            // An erasure meanwhile rewrote a file of the vault that other persons share.
            Err(error) if attempt < ATTEMPTS && is_missing_vault_file(&error) => {}
            answered => return Ok((answered?, state.data)),
        }
    }
    unreachable!("the last attempt returns")
}

/// A session for a caller's own SQL. Who may read the audit has it as a table; for others there is none.
async fn session_of_sql(
    workspace: &Workspace,
    lake: &Lake,
    state: &State,
    as_of: Timestamp,
) -> Result<Session, AppError> {
    let session = workspace.session(lake, state, as_of).await?;
    if workspace.rights.has(Right::Audit) && workspace.rights.has(Right::Sql) {
        session.add_view(AUDIT, workspace.audit_table(as_of)?)?;
    }
    Ok(session)
}

/// Whether a file of personal values was deleted before it was read.
fn is_missing_vault_file(error: &EngineError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        let text = one.to_string();
        if text.contains("/_vault/") && text.contains("not found") {
            return true;
        }
        cause = one.source();
    }
    false
}

/// Runs a built-in query with parameters on the newest data.
pub(crate) async fn own_query(
    workspace: &Workspace,
    query: &str,
    parameters: Parameters<'_>,
    as_of: Timestamp,
) -> Result<Answer, AppError> {
    let lake = workspace.lake().await?;
    let session = workspace.session(&lake, &lake.head().await?, as_of).await?;
    Ok(session.query_with(query, parameters).await?)
}
