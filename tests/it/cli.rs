//! The command line: arguments, output and errors.

mod bad_input;
mod paths;
mod secrets;
mod terminal_output;
mod truncated_answers;
