//! The form of an answer that a caller accepts (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

/// One range of media types, and how it is liked.
struct Range {
    kind: String,
    subtype: String,
    /// 0 to 1000; 0 is not wanted.
    quality: u16,
}

impl Range {
    /// How closely it names a media type; `None` where it does not.
    fn closeness(&self, media_type: &str) -> Option<u8> {
        let (kind, subtype) = media_type.split_once('/')?;
        match (self.kind.as_str(), self.subtype.as_str()) {
            ("*", "*") => Some(0),
            (range, "*") if range == kind => Some(1),
            (range, sub) if range == kind && sub == subtype => Some(2),
            _ => None,
        }
    }
}

/// Of what can be given, each by its media types and best first, what the caller likes most;
/// `None` where nothing of it is acceptable. Who says nothing gets the first.
///
/// Of what is liked alike, that comes first which is named more closely, and then earlier.
pub(crate) fn chosen<T: Copy>(headers: &HeaderMap, offered: &[(T, &[&str])]) -> Option<T> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return offered.first().map(|(one, _)| *one);
    }
    let mut best: Option<((u16, u8, usize), T)> = None;
    for (one, media_types) in offered {
        let liked = media_types.iter().filter_map(|name| liking(&ranges, name));
        let Some(liked) = liked.max().filter(|(quality, ..)| *quality > 0) else {
            continue;
        };
        if best.as_ref().is_none_or(|(known, _)| liked > *known) {
            best = Some((liked, *one));
        }
    }
    best.map(|(_, one)| one)
}

/// Quality, closeness and earliness of the range that names a media type most closely.
fn liking(ranges: &[Range], media_type: &str) -> Option<(u16, u8, usize)> {
    let named = ranges.iter().enumerate().filter_map(|(at, range)| {
        let closeness = range.closeness(media_type)?;
        Some((closeness, ranges.len() - at, range.quality))
    });
    let (closeness, earliness, quality) = named.max()?;
    Some((quality, closeness, earliness))
}

fn ranges(headers: &HeaderMap) -> Vec<Range> {
    let values = headers.get_all(header::ACCEPT).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let parts = texts.flat_map(|text| text.split(','));
    parts.filter_map(range).collect()
}

/// What is no range is left out.
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
    fn format_with_the_highest_quality_is_chosen() {
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
    fn unavailable_formats_are_not_chosen() {
        check(&["image/png"], None);
        check(&["text/csv;q=0"], None);
        check(&["text/html, application/xml"], None);
        check(&["*/*;q=0"], None);
    }
}
