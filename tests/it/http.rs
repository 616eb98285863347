//! The server as programs meet it: started as a process, asked over a socket.

mod conversation;
mod document;
mod pages;
mod posts;
mod refusals;
mod serving;
