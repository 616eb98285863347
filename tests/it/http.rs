//! The server as API clients see it: started as a process, called over a socket.

mod access;
mod bodies;
mod cache;
mod concurrent_changes;
mod concurrent_posts;
mod concurrent_queries;
mod content_negotiation;
mod conversation;
mod disconnects;
mod documented_examples;
mod expensive_statements;
mod hints;
mod hostile_callers;
mod idempotency_keys;
mod memory;
mod names;
mod network;
mod operations;
mod pagination;
mod privacy;
pub(crate) mod readiness;
mod refusals;
mod schemathesis;
mod segments;
mod tenants;
mod write_ahead_log;
