//! The server as programs meet it: started as a process, asked over a socket.

mod at_once;
mod bodies;
mod conversation;
mod document;
mod forms;
mod hints;
mod journal;
mod keys;
mod leaving;
mod pages;
mod posts;
mod refusals;
mod segments;
pub(crate) mod serving;
mod warm;
