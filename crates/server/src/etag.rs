//! Entity tags: what a caller holds already, and what a packed answer is called (RFC 9110, 8.8.3
//! and 13.1.2).

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// Whether the caller holds what `tag` stands for. Weak and strong tags are the same here: either
/// way the members are.
pub(crate) fn is_held(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let given = headers.get_all(header::IF_NONE_MATCH).into_iter();
    let mut given = given.filter_map(|value| value.to_str().ok());
    given.any(|list| list.trim() == "*" || tags(list).any(|known| known == opaque))
}

/// The tags of a list, with their quotes and without `W/`. What is no tag is stepped over.
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

/// Packed, an answer has other bytes than unpacked: the tag that both have says no more than that
/// their content is the same.
pub(crate) async fn weak_where_packed(mut response: Response) -> Response {
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

    use super::is_held;

    fn check(given: &[&str], expected: bool) {
        let mut headers = HeaderMap::new();
        for value in given {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(header::IF_NONE_MATCH, value);
        }
        assert_eq!(is_held(&headers, "\"a1\""), expected, "{given:?}");
    }

    #[test]
    fn etag_matches_weak_strong_and_in_lists() {
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
    fn other_or_missing_etags_do_not_match() {
        check(&[], false);
        check(&[""], false);
        check(&["\"x\", \"a12\""], false);
        check(&["\"*\""], false);
        check(&["a1"], false);
        check(&["\"a1"], false);
        check(&["\"x, a1\""], false);
    }
}
