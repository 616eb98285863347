//! Keeps the compiler from proving again that plans may go to another thread.
//!
//! A future is `Send` if everything in it is, and plans hold every kind of parsed SQL: the proof takes
//! the compiler a second or two for each such future, in this crate and in those above. A value behind
//! a trait object is `Send` by the trait's bounds, and needs no proof.

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
