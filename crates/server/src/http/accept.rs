//! Content negotiation: the media type that a caller accepts (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

/// A media range of `accept`.
struct Range {
    kind: String,
    subtype: String,
    /// Quality in thousandths; 0 means not acceptable.
    quality: u16,
}

impl Range {
    /// How specifically it matches a media type, 0 to 2; `None` if it does not match.
    fn specificity(&self, media_type: &str) -> Option<u8> {
        let (kind, subtype) = media_type.split_once('/')?;
        match (self.kind.as_str(), self.subtype.as_str()) {
            ("*", "*") => Some(0),
            (range, "*") if range == kind => Some(1),
            (range, sub) if range == kind && sub == subtype => Some(2),
            _ => None,
        }
    }
}

/// Chooses from the offered formats, each with its media types, the one that the caller prefers; the first
/// one if the caller has no preference, `None` if none is acceptable.
///
/// Formats of equal quality are ranked by the more specific range, then by the earlier range.
pub(crate) fn chosen<T: Copy>(headers: &HeaderMap, offered: &[(T, &[&str])]) -> Option<T> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return offered.first().map(|(one, _)| *one);
    }
    let mut best: Option<((u16, u8, usize), T)> = None;
    for (one, media_types) in offered {
        let rank = media_types.iter().filter_map(|name| rank_of(&ranges, name));
        let Some(rank) = rank.max().filter(|(quality, ..)| *quality > 0) else {
            continue;
        };
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            best = Some((rank, *one));
        }
    }
    best.map(|(_, one)| one)
}

/// Quality, specificity and earliness of the range that matches a media type most specifically.
fn rank_of(ranges: &[Range], media_type: &str) -> Option<(u16, u8, usize)> {
    let named = ranges.iter().enumerate().filter_map(|(at, range)| {
        let specificity = range.specificity(media_type)?;
        Some((specificity, ranges.len() - at, range.quality))
    });
    let (specificity, earliness, quality) = named.max()?;
    Some((quality, specificity, earliness))
}

fn ranges(headers: &HeaderMap) -> Vec<Range> {
    let values = headers.get_all(header::ACCEPT).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let parts = texts.flat_map(|text| text.split(','));
    parts.filter_map(range).collect()
}

/// Parses a media range; invalid ones are ignored.
fn range(text: &str) -> Option<Range> {
    let mut parts = text.split(';');
    let name = parts.next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = name.split_once('/')?;
    let quality = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_quality = name.trim().eq_ignore_ascii_case("q");
        is_quality.then(|| value.trim().parse::<f32>().ok())?
    });
    let quality = quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0;
    Some(Range {
        kind: kind.to_owned(),
        subtype: subtype.to_owned(),
        quality: quality as u16,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::chosen;

    const OFFERED: [(char, &[&str]); 3] = [
        ('j', &["application/json"]),
        ('n', &["application/x-ndjson", "application/jsonl"]),
        ('c', &["text/csv"]),
    ];

    fn check(accept: &[&str], expected: Option<char>) {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(chosen(&headers, &OFFERED), expected, "{accept:?}");
    }

    #[test]
    fn preferred_format_is_chosen() {
        check(&[], Some('j'));
        check(&[""], Some('j'));
        check(&["*/*"], Some('j'));
        check(&["text/csv"], Some('c'));
        check(&["Text/CSV; charset=utf-8"], Some('c'));
        check(&["text/*"], Some('c'));
        check(&["application/jsonl"], Some('n'));
        check(&["application/*"], Some('j'));
        check(&["application/json;q=0.5, text/csv"], Some('c'));
        check(&["application/json;q=0.5", "text/csv;q=0.4"], Some('j'));
        check(&["text/csv, application/json"], Some('c'));
        check(&["*/*, text/csv"], Some('c'));
        check(&["text/html, application/xml;q=0.9, */*;q=0.8"], Some('j'));
        check(&["application/json;q=0, */*"], Some('n'));
        check(&["nonsense, text/csv"], Some('c'));
    }

    #[test]
    fn unacceptable_formats_are_not_chosen() {
        check(&["image/png"], None);
        check(&["text/csv;q=0"], None);
        check(&["text/html, application/xml"], None);
        check(&["*/*;q=0"], None);
    }
}
