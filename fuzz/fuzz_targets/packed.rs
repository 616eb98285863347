//! Any bytes are a file whose kind and packing have to be found out.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let magic: &[u8] = match kind % 4 {
        0 => &[0x1f, 0x8b, 8],
        1 => &[0x28, 0xb5, 0x2f, 0xfd],
        2 => b"",
        _ => b"\xff\xfe",
    };
    rollbook_fuzz::read("any", &[magic, bytes].concat(), 7);
});
