//! Entity tags (RFC 9110, 8.8.3 and 13.1.2).

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// Whether `if-none-match` has this tag, by weak comparison: the caller's copy is current.
pub(crate) fn is_current(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let given = headers.get_all(header::IF_NONE_MATCH).into_iter();
    let mut given = given.filter_map(|value| value.to_str().ok());
    given.any(|list| list.trim() == "*" || tags(list).any(|known| known == opaque))
}

/// The tags of a list, with quotes and without `W/`; anything else is skipped.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let begin = rest.find('"')?;
        let length = rest[begin + 1..].find('"')? + 2;
        let (tag, behind) = rest[begin..].split_at(length);
        rest = behind;
        Some(tag)
    })
}

/// Makes the tag of a compressed answer weak: its bytes differ from those of the uncompressed one.
pub(crate) async fn weaken_if_compressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(tag) = headers.get(header::ETAG)
        && let Ok(tag) = tag.to_str()
        && !tag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(header::ETAG, weak);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::is_current;

    fn check(given: &[&str], expected: bool) {
        let mut headers = HeaderMap::new();
        for value in given {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(header::IF_NONE_MATCH, value);
        }
        assert_eq!(is_current(&headers, "\"a1\""), expected, "{given:?}");
    }

    #[test]
    fn a_tag_matches_in_either_form_and_in_lists() {
        check(&["\"a1\""], true);
        check(&["W/\"a1\""], true);
        check(&["\"x\", \"a1\""], true);
        check(&["\"x\",W/\"a1\",\"y\""], true);
        check(&["\"x\"", "\"a1\""], true);
        check(&["\"with, comma\", \"a1\""], true);
        check(&["*"], true);
        check(&[" * "], true);
    }

    #[test]
    fn other_tags_and_invalid_lists_do_not_match() {
        check(&[], false);
        check(&[""], false);
        check(&["\"x\", \"a12\""], false);
        check(&["\"*\""], false);
        check(&["a1"], false);
        check(&["\"a1"], false);
        check(&["\"x, a1\""], false);
    }
}
