//! The program on a command line: what it takes, prints and refuses.

mod bad_input;
mod paths;
mod terminal_output;
mod truncated_answers;
