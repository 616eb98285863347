//! Texts without what names a person.

/// What stands where a value stood.
const GONE: &str = "[erased]";

/// A text without any of these values, each of which is one or more parts that name somebody
/// together; `None` where it has none of them. Case does not matter.
pub(crate) fn redacted(text: &str, values: &[Vec<String>]) -> Option<String> {
    let mut changed: Option<String> = None;
    for parts in values {
        let text = changed.as_deref().unwrap_or(text);
        if parts.iter().all(|part| find(text, part).is_some()) {
            let mut text = text.to_owned();
            for part in parts {
                while let Some((begin, end)) = find(&text, part) {
                    text.replace_range(begin..end, GONE);
                }
            }
            changed = Some(text);
        }
    }
    changed
}

/// Where a text in lower case stands in another, whose case does not matter.
fn find(text: &str, part: &str) -> Option<(usize, usize)> {
    if part.is_empty() || GONE.contains(part) {
        return None;
    }
    // A lower-case letter may take more bytes than its upper-case one: where each came from.
    let (mut lower, mut from) = (String::with_capacity(text.len()), Vec::new());
    for (at, one) in text.char_indices() {
        for small in one.to_lowercase() {
            lower.push(small);
            from.resize(lower.len(), (at, at + one.len_utf8()));
        }
    }
    let begin = lower.find(part)?;
    let last = begin + part.len() - 1;
    Some((from.get(begin)?.0, from.get(last)?.1))
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn values_go_in_any_case_and_others_stay() {
        let values = [
            vec!["ann@example.com".to_owned()],
            vec!["ann".to_owned(), "östberg".to_owned()],
        ];
        for (text, left) in [
            (
                "email = 'Ann@Example.com' or x",
                Some("email = '[erased]' or x"),
            ),
            ("ANN ÖSTBERG, Ann", Some("[erased] [erased], [erased]")),
            ("İ ann östberg", Some("İ [erased] [erased]")),
            ("Ann Lee", None),
            ("", None),
        ] {
            assert_eq!(redacted(text, &values).as_deref(), left, "{text}");
        }
    }
}
