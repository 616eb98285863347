//! Something of the lake that a server knows as it was at most a second ago.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::AppError;

/// After this time it is read again, by one request while others go on with what is known.
const REFRESH_AFTER: Duration = Duration::from_millis(400);
/// After this time no request goes on without reading it again.
const MAX_AGE: Duration = Duration::from_millis(800);

/// A value that is read again when it is older than [`REFRESH_AFTER`], by one request at a time.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    known: RwLock<Option<Known<T>>>,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known<T> {
    /// When reading began.
    read_at: Instant,
    value: Arc<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            known: RwLock::new(None),
            reading: tokio::sync::Mutex::default(),
        }
    }
}

impl<T> Recent<T> {
    /// The value as it was at most [`MAX_AGE`] ago. `read` gets the one before.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) async fn get<F>(
        &self,
        read: impl FnOnce(Option<Arc<T>>) -> F,
    ) -> Result<Arc<T>, AppError>
    where
        F: Future<Output = Result<T, AppError>>,
    {
        if let Some(known) = self.younger_than(REFRESH_AFTER) {
            return Ok(known);
        }
        let _reading = match (self.reading.try_lock(), self.younger_than(MAX_AGE)) {
            (Ok(reading), _) => reading,
            // Another request is reading.
            (Err(_), Some(known)) => return Ok(known),
            (Err(_), None) => self.reading.lock().await,
        };
        if let Some(known) = self.younger_than(REFRESH_AFTER) {
            return Ok(known);
        }
        let read_at = Instant::now();
        let value = Arc::new(read(self.younger_than(Duration::MAX)).await?);
        let known = Known {
            read_at,
            value: Arc::clone(&value),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(value)
    }

    /// Forgets the value, after a change by this server: the next request reads it again.
    pub(crate) async fn forget(&self) {
        // A request that is reading now may have begun before the change.
        let _reading = self.reading.lock().await;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<T>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| known.read_at.elapsed() < age);
        known.map(|known| Arc::clone(&known.value))
    }
}
