//! The server as programs meet it: started as a process, asked over a socket.

mod at_once;
mod bodies;
mod conversation;
mod crowd;
mod document;
mod documented;
mod forms;
mod hints;
mod journal;
mod keys;
mod leaving;
mod names;
mod pages;
mod peer;
mod posts;
mod private;
mod refusals;
mod segments;
pub(crate) mod serving;
mod strangers;
mod warm;
mod wild;
