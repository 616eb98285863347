//! Figures against an independent computation: DuckDB, Polars, deltalake, the truth of generated data.

mod attribution;
mod conditions;
mod delta_filters;
mod delta_reader;
mod differential;
mod lead_score;
mod olist;
