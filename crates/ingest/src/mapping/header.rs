//! The header of a mapping: the `-- key: value` lines before its statement.

use chrono_tz::Tz;
use rollbook_model::{ProviderName, Shape, nearest, tables};

use super::{Mapping, NumberStyle, Pattern, Source};
use crate::IngestError;
use crate::mapping::PERSONAL_PROPERTIES;

const KEYS: [&str; 11] = [
    "about", "table", "source", "timezone", "numbers", "only", "existing", "optional", "short",
    "absent", "personal",
];

/// Parses a mapping from the text of its file.
pub(super) fn parse(
    provider: &ProviderName,
    name: &str,
    text: &str,
) -> Result<Mapping, IngestError> {
    let wrong = |detail: String| IngestError::MappingHeader {
        mapping: format!("{provider}/{name}"),
        detail,
    };
    let (mut table, mut timezone, mut only, mut keep_existing) = (None, Tz::UTC, None, false);
    let (mut pads_short_lines, mut absent_is_null, mut numbers) = (false, false, None);
    let (mut sources, mut optional) = (Vec::<Source>::new(), Vec::new());
    let mut personal = Vec::new();
    for (key, value) in lines(text) {
        match key {
            "about" => {}
            "table" => table = Some(target(value).map_err(wrong)?),
            "source" => sources.push(source(value).map_err(wrong)?),
            "timezone" => {
                let unknown =
                    || format!("`{value}` is not an IANA time zone such as Europe/Berlin");
                timezone = value.parse().map_err(|_| wrong(unknown()))?;
            }
            "numbers" => {
                let unknown = || {
                    format!(
                        "`numbers: {value}`: write `1.234,56` for a decimal comma or `1,234.56` for a point"
                    )
                };
                let style = NumberStyle::of_sample(value).ok_or_else(|| wrong(unknown()))?;
                numbers = Some(style);
            }
            "only" => only = Some(value.to_owned()),
            "existing" if value == "keep" => keep_existing = true,
            "existing" => return Err(wrong(format!("`existing: {value}`: only `keep` is known"))),
            "short" if value == "blank" => pads_short_lines = true,
            "short" => return Err(wrong(format!("`short: {value}`: only `blank` is known"))),
            "absent" if value == "null" => absent_is_null = true,
            "absent" => return Err(wrong(format!("`absent: {value}`: only `null` is known"))),
            "optional" => optional.extend(columns(value).map_err(wrong)?),
            "personal" => personal.extend(keys(value)),
            other => {
                let hint = nearest(other, KEYS).map(|key| format!("; did you mean `{key}`?"));
                let hint = hint.unwrap_or_default();
                return Err(wrong(format!("the header has no key `{other}`{hint}")));
            }
        }
    }
    let table = table.ok_or_else(|| wrong("the header lacks `-- table: NAME`".to_owned()))?;
    if !personal.is_empty() && table.column(PERSONAL_PROPERTIES).is_none() {
        return Err(wrong(format!(
            "`personal: {}`: `{}` has no properties that could be personal; `activities` and `objects` have",
            personal.join(", "),
            table.name
        )));
    }
    if sources.is_empty() {
        return Err(wrong(
            "the header lacks `-- source: NAME = FILE PATTERN`".to_owned(),
        ));
    }
    if sources[0].from_lake.is_some() {
        return Err(wrong(
            "the first source must be files: its rows become the rows of the table".to_owned(),
        ));
    }
    for (of, column) in optional {
        let source = sources.iter_mut().find(|source| source.name == of);
        let unknown = || format!("`optional: {of}.{column}`: there is no source `{of}`");
        source
            .ok_or_else(|| wrong(unknown()))?
            .optional
            .push(column);
    }
    let name = name.to_owned();
    let (provider, sql) = (provider.clone(), text.to_owned());
    Ok(Mapping {
        provider,
        name,
        table,
        sources,
        timezone,
        numbers,
        only,
        keep_existing,
        absent_is_null,
        pads_short_lines,
        personal,
        sql,
    })
}

/// The `key: value` pairs of the comment lines at the top; a comment without a key is ignored.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with("--"))
        .filter_map(|line| line.strip_prefix("--")?.trim().split_once(':'))
        .filter(|(key, _)| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase()))
        .map(|(key, value)| (key, value.trim()))
}

fn target(value: &str) -> Result<&'static rollbook_model::TableDef, String> {
    let names = tables::mapped_tables().map(|table| table.name);
    match tables::table(value).filter(|table| table.shape != Shape::Own) {
        Some(table) => Ok(table),
        None => {
            let hint = nearest(value, names).map(|name| format!("; did you mean `{name}`?"));
            Err(format!(
                "there is no table `{value}` to fill{}",
                hint.unwrap_or_default()
            ))
        }
    }
}

fn source(value: &str) -> Result<Source, String> {
    let form = || format!("`source: {value}` is not of the form NAME = FILE PATTERN");
    let (name, pattern) = value.split_once('=').ok_or_else(form)?;
    let name = name.trim();
    let may_be_absent = name.ends_with('?');
    let name = name.trim_end_matches('?').trim();
    let simple = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(simple) {
        return Err(format!(
            "`{name}` is not a name for a source: use a-z, 0-9 and `_`"
        ));
    }
    if pattern.trim().is_empty() {
        return Err(form());
    }
    let (of_lake, of_files): (Vec<_>, Vec<_>) = pattern
        .split('|')
        .map(str::trim)
        .partition(|one| one.starts_with("lake:"));
    let from_lake = match of_lake.as_slice() {
        [] => None,
        [one] => Some(target(one.trim_start_matches("lake:").trim())?),
        [..] => {
            return Err(format!(
                "`source: {value}` names more than one table of the lake"
            ));
        }
    };
    let (name, pattern) = (name.to_owned(), Pattern::new(&of_files.join("|")));
    Ok(Source {
        name,
        pattern,
        from_lake,
        may_be_absent,
        optional: Vec::new(),
    })
}

/// Parses `email, "Phone, home"` into keys.
fn keys(value: &str) -> impl Iterator<Item = String> + '_ {
    let mut is_quoted = false;
    let keys = value.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    let bare = keys.map(|key| key.trim().trim_matches('"').to_owned());
    bare.filter(|key| !key.is_empty())
}

/// Parses `a.b, a."C d"` into pairs of source and column.
fn columns(value: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let form =
            || format!("`optional: {value}`: write SOURCE.COLUMN, and quote names with blanks");
        let (of, after) = rest.split_once('.').ok_or_else(form)?;
        let (column, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (column, after) = quoted.split_once('"').ok_or_else(form)?;
                (column, after.trim_start())
            }
            None => match after.split_once(',') {
                Some((column, _)) => (column.trim(), &after[column.len()..]),
                None => (after.trim(), ""),
            },
        };
        found.push((of.trim().to_owned(), column.to_owned()));
        rest = after.trim_start_matches(',').trim_start();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{NumberStyle, columns, parse};

    const GOOD: &str = "-- about: orders, one row each: really\n-- table: orders\n-- source: o = *orders*\n-- source: p? = *products*\n-- optional: p.name, o.\"Tax 1 Name\"\n-- timezone: America/Sao_Paulo\n-- existing: keep\nselect 1";

    #[test]
    fn full_header_is_parsed() {
        let mapping = parse(&"shop".parse().unwrap(), "orders", GOOD).unwrap();
        assert_eq!(mapping.table.name, "orders");
        assert!(mapping.keep_existing);
        assert_eq!(mapping.driving().optional, ["Tax 1 Name"]);
        assert!(mapping.sources[1].may_be_absent);
        assert_eq!(mapping.timezone.name(), "America/Sao_Paulo");
    }

    fn check(text: &str, expected: &str) {
        let error = parse(&"shop".parse().unwrap(), "x", text)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn header_errors_say_what_to_do() {
        check("select 1", "lacks `-- table: NAME`");
        check("-- table: ordres\nselect 1", "did you mean `orders`");
        check(
            "-- table: quarantine\nselect 1",
            "no table `quarantine` to fill",
        );
        check("-- table: orders\nselect 1", "lacks `-- source");
        check(
            "-- table: orders\n-- sorce: a = b\nselect 1",
            "did you mean `source`",
        );
        check(
            "-- table: orders\n-- source: a = b\n-- timezone: Mars\n",
            "not an IANA time zone",
        );
    }

    #[test]
    fn number_format_is_declared_by_a_sample() {
        for (sample, style) in [
            ("1.234,56", Some(NumberStyle::Comma)),
            ("1 234,56", Some(NumberStyle::Comma)),
            ("1,234.56", Some(NumberStyle::Point)),
        ] {
            let text =
                format!("-- table: orders\n-- source: o = o*\n-- numbers: {sample}\nselect 1");
            let mapping = parse(&"shop".parse().unwrap(), "x", &text).unwrap();
            assert_eq!(mapping.numbers, style, "{sample}");
        }
        let unsaid = parse(&"shop".parse().unwrap(), "x", GOOD).unwrap();
        assert_eq!(unsaid.numbers, None);
        check(
            "-- table: orders\n-- source: o = o*\n-- numbers: comma\nselect 1",
            "write `1.234,56` for a decimal comma",
        );
    }

    #[test]
    fn a_source_may_be_a_table_of_the_lake() {
        let text = "-- table: orders\n-- source: o = *orders*\n-- source: buyers = *buyers*|lake:persons\nselect 1";
        let mapping = parse(&"shop".parse().unwrap(), "x", text).unwrap();
        let buyers = &mapping.sources[1];
        assert_eq!(buyers.from_lake.map(|table| table.name), Some("persons"));
        assert!(buyers.pattern.matches("my_buyers.csv") && !buyers.pattern.matches("lake:persons"));
        check(
            &text.replace("lake:persons", "lake:perons"),
            "did you mean `persons`",
        );
        check(
            "-- table: orders\n-- source: o = lake:orders\nselect 1",
            "the first source must be files",
        );
    }

    #[test]
    fn personal_keys_are_named_where_there_are_properties() {
        let text = "-- table: activities\n-- source: a = a*\n-- personal: email, \"Phone, home\",\n-- personal: ip\nselect 1";
        let mapping = parse(&"shop".parse().unwrap(), "x", text).unwrap();
        assert_eq!(mapping.personal, ["email", "Phone, home", "ip"]);
        check(
            &text.replace("activities", "orders"),
            "`orders` has no properties that could be personal",
        );
    }

    #[test]
    fn quoted_columns_may_hold_dots_and_commas() {
        let found = columns("o.\"A, b.c\", p.d").unwrap();
        assert_eq!(
            found,
            [("o".into(), "A, b.c".into()), ("p".into(), "d".into())]
        );
    }
}
