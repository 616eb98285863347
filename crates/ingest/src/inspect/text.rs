//! Names and texts in the syntax of a mapping.

/// A list of keys in the syntax of a mapping's header.
pub(super) fn keys(keys: &[String]) -> String {
    let quoted = keys.iter().map(|key| match key.contains(',') {
        true => format!("\"{key}\""),
        false => key.clone(),
    });
    quoted.collect::<Vec<_>>().join(", ")
}

/// An identifier, always quoted, since it may have capitals or be an SQL keyword.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text without line breaks, so that it cannot end the comment in which it is written.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
