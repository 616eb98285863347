//! Whole sessions over small tables in memory.

mod behaviour;
mod custom_traits;
mod errors;
mod excess;
mod fixture;
mod members;
mod names;
mod shared_memory;
mod sums;
mod times;
mod traits;
mod views;
mod windows;
