//! What handlers tell of their answers, for the record of requests.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

/// Header in which handlers, also those of workers, tell what they answered. It reaches no caller.
pub(crate) const ANSWERED_HEADER: HeaderName = HeaderName::from_static("x-rollbook-answered");

/// What a handler tells of its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Rows in the answer.
    pub(crate) rows: Option<u64>,
    /// The segment that was created.
    pub(crate) segment: Option<String>,
    /// The API key that was created.
    pub(crate) key: Option<String>,
}

impl Answered {
    /// Rows in the answer.
    pub(crate) fn rows(rows: usize) -> Self {
        Self {
            rows: Some(rows as u64),
            ..Self::default()
        }
    }

    /// Adds it to an answer.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let mut text = String::new();
        if let Some(rows) = self.rows {
            let _ = write!(text, "rows={rows};");
        }
        for (name, value) in [("segment", &self.segment), ("key", &self.key)] {
            if let Some(value) = value {
                let _ = write!(text, "{name}={value};");
            }
        }
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(ANSWERED_HEADER, value);
        }
    }

    /// Takes it from an answer.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        let answered = Self::of(headers);
        headers.remove(ANSWERED_HEADER);
        answered
    }

    /// What an answer tells.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut answered = Self::default();
        let value = headers.get(ANSWERED_HEADER);
        let text = value.and_then(|value| value.to_str().ok());
        for (name, value) in text
            .unwrap_or_default()
            .split(';')
            .filter_map(|pair| pair.split_once('='))
        {
            match name {
                "rows" => answered.rows = value.parse().ok(),
                "segment" => answered.segment = Some(value.to_owned()),
                "key" => answered.key = Some(value.to_owned()),
                _ => {}
            }
        }
        answered
    }
}

/// An answer with what its handler tells of it.
pub(crate) struct Told<T>(pub(crate) Answered, pub(crate) T);

impl<T: IntoResponse> IntoResponse for Told<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        self.0.tell(response.headers_mut());
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::Answered;

    #[test]
    fn what_is_told_is_taken_once() {
        let told = Answered {
            segment: Some("big-spenders".to_owned()),
            ..Answered::rows(7)
        };
        let mut headers = HeaderMap::new();
        told.tell(&mut headers);
        assert_eq!(Answered::take(&mut headers), told);
        assert_eq!(Answered::take(&mut headers), Answered::default());
    }
}
