//! Names and texts as a mapping writes them.

/// Keys as a header lists them.
pub(super) fn keys(keys: &[String]) -> String {
    let quoted = keys.iter().map(|key| match key.contains(',') {
        true => format!("\"{key}\""),
        false => key.clone(),
    });
    quoted.collect::<Vec<_>>().join(", ")
}

/// Always in quotes: a name may have capitals, or be a word of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text that cannot end the comment it stands in.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
