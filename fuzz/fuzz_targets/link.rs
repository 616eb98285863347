//! Any bytes are a file of persons: linked without a panic, and the same in the other order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollbook_identity::files::{Map, Table, link};
use rollbook_identity::resolve::AmbiguityPolicy;

const MAP: &str = r#"
[columns]
id = "a"
surname = "b"
email = "c"
date_of_birth = "d"
[[rule]]
match = ["email"]
[[rule]]
match = ["surname", "date_of_birth"]
"#;

fuzz_target!(|bytes: &[u8]| {
    let map: Map = MAP.parse().expect("the map is whole");
    let file = [b"a,b,c,d\n", bytes].concat();
    let Ok(table) = Table::read("any.csv", file.as_slice(), &map) else {
        return;
    };
    let backwards: Vec<usize> = (0..table.len()).rev().collect();
    for bridges in [AmbiguityPolicy::Review, AmbiguityPolicy::Merge] {
        let mut one = link(std::slice::from_ref(&table), &map, bridges);
        let mut other = link(&[table.reordered(&backwards)], &map, bridges);
        one.sort_by(|a, b| a.id.cmp(&b.id));
        other.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(one, other);
    }
});
