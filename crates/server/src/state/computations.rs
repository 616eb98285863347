//! Computations in the server itself. Planning, decoded files and functions use memory that no query reserves, so the
//! next one begins once there is room for that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of running computations.
#[derive(Debug, Default)]
pub(super) struct Computations(Mutex<u64>);

/// A running computation.
#[derive(Debug)]
pub(super) struct Computation(Arc<Computations>);

impl Computations {
    fn running(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Computation {
    /// One more, if it is the only one or `has_room_for` so many.
    pub(super) fn begin(
        all: &Arc<Computations>,
        has_room_for: impl FnOnce(u64) -> bool,
    ) -> Option<Self> {
        let mut running = all.running();
        if *running > 0 && !has_room_for(*running + 1) {
            return None;
        }
        *running += 1;
        drop(running);
        Some(Self(Arc::clone(all)))
    }
}

impl Drop for Computation {
    fn drop(&mut self) {
        *self.0.running() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Computation;

    #[test]
    fn one_computation_always_begins() {
        let all = Arc::default();
        let one = Computation::begin(&all, |_| false);
        assert!(one.is_some());
        assert!(Computation::begin(&all, |_| false).is_none());
        let other = Computation::begin(&all, |count| count == 2);
        assert!(other.is_some());
        drop((one, other));
        assert!(Computation::begin(&all, |_| false).is_some());
    }
}
