//! Members of segments as data and time change, custom traits and scores.

mod change_cursors;
mod custom_traits;
mod passing_time;
mod patches;
mod scores;
mod sorted_scans;
mod time_zones;
