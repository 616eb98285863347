//! Files to rows: formats, mappings, repeated and dry runs, quarantine.

mod inspect;
mod malformed_csv;
mod missing_columns;
mod number_formats;
mod runs;
mod shopify;
mod status_words;
mod sync;
