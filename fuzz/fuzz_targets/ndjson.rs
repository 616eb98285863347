//! Any bytes are an NDJSON file, read the same in pieces of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (chunk, bytes) = input;
    rollbook_fuzz::read("any.ndjson", bytes, usize::from(chunk));
});
