//! The server as programs meet it: started as a process, asked over a socket.

mod conversation;
mod document;
mod journal;
mod pages;
mod posts;
mod refusals;
mod segments;
pub(crate) mod serving;
mod warm;
