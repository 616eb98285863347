//! The tables and views that queries read: canonical tables as of a moment, `people` and traits.

pub(crate) mod as_of;
pub(crate) mod custom_traits;
pub(crate) mod golden_record;
pub(crate) mod lazy_views;
pub(crate) mod options;
pub(crate) mod people;
pub(crate) mod traits;
