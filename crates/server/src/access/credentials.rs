//! How a caller says who they are: a token in `authorization`, or a session in a cookie.

use axum::http::{HeaderMap, header};

use crate::api::document::SESSION_COOKIE;

/// What a request says about its caller.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Credentials {
    /// Nothing.
    None,
    /// A token of an API key, or a JWT.
    Token(String),
    /// The token of a session.
    Session(String),
}

impl Credentials {
    /// Takes them out of the headers: nothing behind this point sees them. A cookie does not count beside an
    /// `authorization` header.
    pub(super) fn take(headers: &mut HeaderMap) -> Self {
        let token = token(headers);
        let session = session(headers);
        headers.remove(header::AUTHORIZATION);
        headers.remove(header::COOKIE);
        match (token, session) {
            (Some(token), _) => Self::Token(token),
            (None, Some(session)) => Self::Session(session),
            (None, None) => Self::None,
        }
    }
}

/// The token of `authorization: Bearer …`; an empty text, which no caller has, for anything else.
fn token(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let value = values.next()?;
    let is_only = values.next().is_none();
    let text = value.to_str().ok().filter(|_| is_only);
    let parts = text.and_then(|text| text.split_once(' '));
    let token = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(token.map_or_else(String::new, |(_, token)| token.trim().to_owned()))
}

/// The session of a cookie; an empty text, which no session has, if there are several.
fn session(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::COOKIE).into_iter();
    let cookies = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let mut tokens = cookies.filter_map(|cookie| {
        let (name, token) = cookie.trim().split_once('=')?;
        (name == SESSION_COOKIE).then_some(token)
    });
    let token = tokens.next()?;
    let is_only = tokens.next().is_none();
    Some(if is_only { token } else { "" }.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

    use super::Credentials;

    fn taken(headers: &[(HeaderName, &str)]) -> Credentials {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let taken = Credentials::take(&mut map);
        assert!(map.is_empty());
        taken
    }

    #[test]
    fn one_bearer_token_is_read() {
        let check = |values: &[&str], expected: Option<&str>| {
            let headers: Vec<_> = values
                .iter()
                .map(|value| (header::AUTHORIZATION, *value))
                .collect();
            let expected = expected.map_or(Credentials::None, |token| {
                Credentials::Token(token.to_owned())
            });
            assert_eq!(taken(&headers), expected, "{values:?}");
        };
        check(&[], None);
        check(&["Bearer rbk_a_b"], Some("rbk_a_b"));
        check(&["bearer  rbk_a_b "], Some("rbk_a_b"));
        for other in ["", "Bearer", "Basic dTpw", "rbk_a_b"] {
            check(&[other], Some(""));
        }
        check(&["Bearer a", "Bearer b"], Some(""));
    }

    #[test]
    fn one_session_is_read_unless_there_is_a_token() {
        let check = |values: &[&str], expected: Option<&str>| {
            let headers: Vec<_> = values
                .iter()
                .map(|value| (header::COOKIE, *value))
                .collect();
            let expected = expected.map_or(Credentials::None, |token| {
                Credentials::Session(token.to_owned())
            });
            assert_eq!(taken(&headers), expected, "{values:?}");
        };
        check(&["a=b; other_rollbook_session=c; rollbook"], None);
        check(&["rollbook_session=rbs_a_b"], Some("rbs_a_b"));
        check(&["a=b;rollbook_session=rbs_a_b; c=d"], Some("rbs_a_b"));
        check(&["a=b", "rollbook_session=rbs_a_b"], Some("rbs_a_b"));
        check(&["rollbook_session="], Some(""));
        // Another page of this host may have set one of them.
        check(&["rollbook_session=a; rollbook_session=b"], Some(""));
        check(&["rollbook_session=a", "rollbook_session=a"], Some(""));
        for token in ["Bearer a", "Basic a", ""] {
            let both = [
                (header::AUTHORIZATION, token),
                (header::COOKIE, "rollbook_session=rbs_a_b"),
            ];
            let expected = token.strip_prefix("Bearer ").unwrap_or_default();
            assert_eq!(taken(&both), Credentials::Token(expected.to_owned()));
        }
    }
}
