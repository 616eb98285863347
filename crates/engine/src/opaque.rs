//! A type-erased shared value, which saves compile time.
//!
//! A future is `Send` if everything in it is `Send`. Plans contain every kind of parsed SQL, so the
//! compiler needs a second or two to prove that, for each such future, in this crate and in the
//! crates above. A value behind a trait object is `Send` by the trait's bounds, without a proof.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A shared value behind a trait object.
pub(crate) struct Opaque<T>(Arc<dyn HasValue<T>>);

trait HasValue<T>: Send + Sync {
    fn value(&self) -> &T;
}

impl<T: Send + Sync> HasValue<T> for T {
    fn value(&self) -> &T {
        self
    }
}

impl<T: Send + Sync + 'static> Opaque<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Clone for Opaque<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        (*self.0).value()
    }
}

impl<T: fmt::Debug> fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}
