//! Whole conversations with the program, in one binary so that it links once.

mod malformed;
mod olist;
mod own_lake;
mod shopify;
