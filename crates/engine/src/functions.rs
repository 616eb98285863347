//! SQL functions that rollbook adds, and functions of DataFusion that it limits.

use datafusion::logical_expr::ScalarUDF;

mod arithmetic;
mod bounded;
mod json_object;
mod json_text;
mod lenient;
mod null_on_error;
mod rule;
mod sums;

pub(crate) use bounded::Bounded;
pub use lenient::Uncomputed;
pub(crate) use lenient::{lenient, make_lenient};
pub(crate) use rule::CheckedArithmetic;
pub(crate) use sums::CheckedSum;

/// Functions with a result that may be far larger than their arguments; they are limited.
pub(crate) const BOUNDED: [&str; 3] = ["repeat", "lpad", "rpad"];

/// Functions that build lists of any length in memory outside the memory pool. Series remain
/// available as tables: `select * from generate_series(1, 10)`.
pub(crate) const REMOVED: [&str; 4] = ["array_repeat", "array_resize", "generate_series", "range"];

/// The functions that DataFusion lacks.
pub(crate) fn own_functions() -> [ScalarUDF; 2] {
    [
        ScalarUDF::from(json_object::JsonObject::new()),
        ScalarUDF::from(json_text::JsonText::new()),
    ]
}
