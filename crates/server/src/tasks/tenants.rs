//! Tasks for each tenant: folding its write-ahead log, and refreshing its segments. Each tenant has its own, so that
//! none waits for another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollbook_app::AppError;
use rollbook_model::TenantName;
use tokio::task::AbortHandle;

use super::{refreshes, wal};
use crate::state::Server;

/// Time between two looks at which tenants there are.
const INTERVAL: Duration = Duration::from_secs(2);

/// The running tasks of a tenant. They end when this is dropped.
struct Running([AbortHandle; 2]);

impl Drop for Running {
    fn drop(&mut self) {
        // Entries left in the log are durable, and the next server folds them.
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Runs the tasks of all tenants that are served, without end.
pub(crate) async fn keep_tenants(server: Server) {
    let mut running: BTreeMap<TenantName, Running> = BTreeMap::new();
    loop {
        match served(&server).await {
            Ok(served) => {
                running.retain(|tenant, _| {
                    let is_served = served.contains(tenant);
                    if !is_served {
                        forget(&server, tenant);
                    }
                    is_served
                });
                for tenant in served {
                    if !running.contains_key(&tenant)
                        && let Ok(of_tenant) = server.of_tenant(&tenant)
                    {
                        running.insert(tenant, start(&of_tenant));
                    }
                }
            }
            // Those that run go on.
            Err(error) => {
                let error = error.without_values();
                tracing::warn!(%error, "the tenants cannot be listed");
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn start(server: &Server) -> Running {
    let folding = tokio::spawn(wal::keep_folding(server.clone()));
    let refreshing = tokio::spawn(refreshes::keep_refreshing(server.clone()));
    Running([folding.abort_handle(), refreshing.abort_handle()])
}

/// Forgets a tenant that is no longer served, with its caches and keys.
fn forget(server: &Server, tenant: &TenantName) {
    tracing::info!(%tenant, "a tenant is no longer served");
    server.tenants().forget(tenant);
    if let Some(workers) = server.workers() {
        workers.end_idle_of(tenant);
    }
}

/// The tenants that are served: without keys one alone, else all of the lake and those that were asked for.
async fn served(server: &Server) -> Result<BTreeSet<TenantName>, AppError> {
    let mut names = BTreeSet::from([server.default_tenant().clone()]);
    if server.needs_key().await {
        names.extend(server.tenants().names());
        let listed = server.tenants().served.tenants().list().await?;
        names.extend(listed.into_iter().map(|one| one.tenant));
    }
    let mut served = BTreeSet::new();
    for tenant in names {
        match server.tenants().served.find(&tenant).await {
            Ok(_) => {
                served.insert(tenant);
            }
            Err(AppError::TenantSuspended | AppError::UnknownTenant { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(served)
}
