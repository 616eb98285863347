//! Figures against independent computations: DuckDB, Polars, deltalake, the ground truth of generated data.

mod attribution;
mod conditions;
mod delta_filters;
mod delta_reader;
mod differential;
mod lead_score;
mod olist;
