//! All SQL of the program: every statement is a file in this package, so that each can be read, planned and
//! tested by itself.

// Mappings: files of providers to canonical tables.
mod mappings;
pub use mappings::{MAPPINGS, MappingFile};

// Which channels led to revenue.
pub mod attribution;

// Which records are one person.
pub mod identity;

// One person.
pub mod persons;

// Queries of commands.
pub mod questions;

// Who will buy, who will leave.
pub mod scoring;

// Traits of persons, and the persons that meet a condition.
pub mod traits;

// Views that several statements use.
pub mod views;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::MAPPINGS;

    fn package() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files_below(&path, extension));
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
        found.sort();
        found
    }

    fn headers<'a>(sql: &'a str, key: &str) -> Vec<&'a str> {
        let prefix = format!("-- {key}: ");
        let header = sql.lines().take_while(|line| line.starts_with("-- "));
        header
            .filter_map(|line| line.strip_prefix(prefix.as_str()))
            .collect()
    }

    /// Whether a file name fits a pattern of literal text, `*` and `|`, as mappings use them.
    fn fits(pattern: &str, name: &str) -> bool {
        fn glob(pattern: &[u8], name: &[u8]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some((b'*', rest)) => (0..=name.len()).any(|at| glob(rest, &name[at..])),
                Some((byte, rest)) => name.first() == Some(byte) && glob(rest, &name[1..]),
            }
        }
        pattern
            .split('|')
            .any(|one| glob(one.as_bytes(), name.as_bytes()))
    }

    #[test]
    fn every_sql_file_of_the_package_is_embedded() {
        let sources: String = files_below(&package().join("src"), "rs")
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        for path in files_below(package(), "sql") {
            let relative = path.strip_prefix(package()).unwrap().to_str().unwrap();
            let embedding = format!("include_str!(\"../{relative}\")");
            assert_eq!(
                sources.matches(&embedding).count(),
                1,
                "`{relative}` is not embedded once"
            );
        }
    }

    #[test]
    fn mapping_has_the_name_of_its_file_and_a_description() {
        for mapping in MAPPINGS {
            let path = format!("mappings/{}/{}.sql", mapping.provider, mapping.name);
            let text = fs::read_to_string(package().join(&path)).unwrap();
            assert_eq!(text, mapping.sql, "`{path}` is not what its name says");
            assert_eq!(headers(mapping.sql, "about").len(), 1, "`{path}`");
            assert_eq!(headers(mapping.sql, "table").len(), 1, "`{path}`");
            assert!(!headers(mapping.sql, "source").is_empty(), "`{path}`");
        }
    }

    #[test]
    fn native_file_is_read_by_the_mapping_of_its_table_only() {
        let native: Vec<_> = MAPPINGS.iter().filter(|m| m.provider == "native").collect();
        for owner in &native {
            let table = owner.name;
            for name in [
                format!("{table}.csv"),
                format!("{table}.ndjson"),
                format!("{table}-2024.csv"),
                format!("{table}_2024.parquet"),
            ] {
                let claiming: Vec<_> = native
                    .iter()
                    .filter(|m| {
                        fits(
                            headers(m.sql, "source")[0].split_once(" = ").unwrap().1,
                            &name,
                        )
                    })
                    .map(|m| m.name)
                    .collect();
                assert_eq!(claiming, [table], "`{name}`");
            }
        }
    }
}
