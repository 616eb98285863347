//! Computing: permits, which tenants share, and threads that may block.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use rollbook_app::AppError;
use rollbook_app::access::Caller;

use super::Server;
use super::computations::Computation;
use crate::limits::{Claimant, Permit};
use crate::problem::{Problem, busy, memory_in_use};
use crate::workers::memory::MEASURE_INTERVAL;

impl Server {
    /// Runs CPU-bound work on a blocking thread once a compute permit is free, so that cheap requests are
    /// answered meanwhile.
    pub(crate) async fn compute<T, F, W>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> W + Send + 'static,
        W: Future<Output = Result<T, AppError>>,
    {
        let permit = self.compute_permit().await?;
        let computation = self.begin_computation().await?;
        // The permit is held until the work ends, even if the caller disconnects.
        self.run_blocking(move |server| async move {
            let result = work(server).await;
            drop((permit, computation));
            result
        })
        .await
    }

    /// A permit to compute. Tenants and callers get theirs in turns.
    ///
    /// # Errors
    /// 503 `busy` if none gets free within the time limit of answers.
    pub(crate) async fn compute_permit(&self) -> Result<Permit, Problem> {
        let _waiting = self.inner.computing.enter();
        let caller = match self.grant().caller() {
            Caller::Local => Arc::from(""),
            Caller::Key(prefix) => Arc::from(prefix.to_string()),
            Caller::Subject(subject) => Arc::from(subject),
        };
        let who = Claimant {
            tenant: self.tenant().clone(),
            caller,
            max: self.permits_of_tenant(),
        };
        let permit = self.inner.compute_queue.acquire(who);
        let waiting = tokio::time::timeout(self.limits().answer_time, permit);
        waiting.await.map_err(|_| busy())
    }

    /// Begins a computation in this process, once there is memory for what it does not reserve, or once it is the only
    /// one.
    async fn begin_computation(&self) -> Result<Computation, Problem> {
        let begun = Instant::now();
        loop {
            let computations = &self.inner.computations;
            let has_room_for = |count| {
                self.workers()
                    .is_none_or(|workers| workers.has_room_to_compute(count))
            };
            if let Some(computation) = Computation::begin(computations, has_room_for) {
                return Ok(computation);
            }
            if begun.elapsed() > self.limits().answer_time {
                return Err(memory_in_use());
            }
            tokio::time::sleep(MEASURE_INTERVAL).await;
        }
    }

    /// Permits that the tenant may have at the same time: half of all if there are others, and no more than its quota.
    fn permits_of_tenant(&self) -> usize {
        let all = self.limits().computing;
        let share = match self.tenants().are_several() {
            true => all / 2,
            false => all,
        };
        match self.state().quotas().queries {
            Some(queries) => share.min(queries as usize),
            None => share,
        }
    }

    /// Runs work on a blocking thread at once, without a permit.
    pub(crate) async fn run_blocking<T, F, W>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> W + Send + 'static,
        W: Future<Output = Result<T, AppError>>,
    {
        let (server, rights) = (self.clone(), self.grant.rights);
        let handle = tokio::runtime::Handle::current();
        let done = tokio::task::spawn_blocking(move || handle.block_on(work(server)));
        match done.await {
            Ok(result) => result.map_err(|error| Problem::for_rights(error, rights)),
            Err(_) => Err(Problem::internal()),
        }
    }
}
