//! Where the keys of an issuer are: a file, or a URL that is fetched within limits of time and size.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{CACHE_CONTROL, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use super::key_set::{InvalidKeySet, KeySet};

/// Bytes of a key set at most.
const MAX_BYTES: usize = 256 * 1024;
/// Time limit for fetching a key set.
pub(super) const FETCH_TIME: Duration = Duration::from_secs(5);
/// A file is read again after this time.
const FILE_AGE: Duration = Duration::from_secs(1);
/// A URL is fetched again after this time, unless its `cache-control` names another one.
const URL_AGE: Duration = Duration::from_secs(300);
/// Bounds for the time that a URL may name.
const URL_AGES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// A file.
    File(PathBuf),
    /// A URL: https, or http on this machine.
    Url(Url),
}

/// A text that names no place for keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// It is no URL.
    #[error("it is no URL: {detail}")]
    Url {
        /// Why.
        detail: String,
    },
    /// Others could replace the keys on their way.
    #[error(
        "keys are fetched over https, or over http from this machine (127.0.0.1, [::1] or localhost)"
    )]
    NotEncrypted,
    /// Its password would be shown in logs.
    #[error("the URL has a user name or a password: leave them out")]
    Credentials,
}

/// Why the keys of an issuer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("cannot read the keys of the issuer from `{}`: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// The URL does not answer, or not with keys.
    #[error("cannot fetch the keys of the issuer from `{place}`: {detail}")]
    Fetch {
        /// The place, without its query.
        place: String,
        /// Why.
        detail: String,
    },
    /// The text is too long.
    #[error("the keys of the issuer in `{place}` have more than {MAX_BYTES} bytes")]
    TooLong {
        /// The place.
        place: String,
    },
    /// The text is no key set.
    #[error("`{place}` is no set of keys (JWKS): {source}")]
    Invalid {
        /// The place.
        place: String,
        /// Why.
        source: InvalidKeySet,
    },
    /// No key is for an accepted algorithm.
    #[error("`{place}` has no public key for RS256, ES256 or EdDSA")]
    Empty {
        /// The place.
        place: String,
    },
}

impl FromStr for JwksSource {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let url = Url::parse(text).map_err(|error| InvalidSource::Url {
            detail: error.to_string(),
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidSource::Credentials);
        }
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        match url.scheme() {
            "https" => Ok(Self::Url(url)),
            "http" if is_local => Ok(Self::Url(url)),
            _ => Err(InvalidSource::NotEncrypted),
        }
    }
}

impl fmt::Display for JwksSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Url(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                write!(formatter, "{url}")
            }
        }
    }
}

/// Keys, and how long they are to be used without looking again.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) age: Duration,
}

impl JwksSource {
    /// After this time without success it is tried again, also for a key that is not known.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::File(_) => FILE_AGE,
            Self::Url(_) => Duration::from_secs(30),
        }
    }

    /// Reads the keys, within [`FETCH_TIME`].
    pub(super) async fn fetch(&self) -> Result<Fetched, JwksError> {
        let (bytes, age) = match self {
            Self::File(path) => (self.read_file(path.clone()).await?, FILE_AGE),
            Self::Url(url) => self.fetch_url(url).await?,
        };
        let keys = KeySet::parse(&bytes).map_err(|source| JwksError::Invalid {
            place: self.to_string(),
            source,
        })?;
        Ok(Fetched { keys, age })
    }

    fn too_long(&self) -> JwksError {
        JwksError::TooLong {
            place: self.to_string(),
        }
    }

    async fn read_file(&self, path: PathBuf) -> Result<Vec<u8>, JwksError> {
        use std::io::Read;
        let named = path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            // A pipe would wait for its writer.
            if !std::fs::metadata(&path)?.is_file() {
                return Err(std::io::ErrorKind::Unsupported.into());
            }
            let file = std::fs::File::open(path)?;
            file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        // A file on a network that is gone may never answer.
        let read = match tokio::time::timeout(FETCH_TIME, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => Err(std::io::ErrorKind::Interrupted.into()),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        let bytes: Vec<u8> = read.map_err(|cause| JwksError::File { path: named, cause })?;
        match bytes.len() > MAX_BYTES {
            true => Err(self.too_long()),
            false => Ok(bytes),
        }
    }

    async fn fetch_url(&self, url: &Url) -> Result<(Vec<u8>, Duration), JwksError> {
        let fetching = tokio::time::timeout(FETCH_TIME, self.fetch_slowly(url));
        match fetching.await {
            Ok(fetched) => fetched,
            Err(_) => Err(self.failed(format!("no answer within {} s", FETCH_TIME.as_secs()))),
        }
    }

    fn failed(&self, detail: String) -> JwksError {
        JwksError::Fetch {
            place: self.to_string(),
            detail,
        }
    }

    async fn fetch_slowly(&self, url: &Url) -> Result<(Vec<u8>, Duration), JwksError> {
        let failed = |error: reqwest::Error| self.failed(causes(&error.without_url()));
        // A redirection could lead anywhere.
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(FETCH_TIME);
        // Fetches are rare; a client of its own each time keeps no connection open meanwhile.
        let client = match url.scheme() {
            "http" => client.no_proxy(),
            _ => client,
        };
        let client = client.build().map_err(failed)?;
        let mut response = client.get(url.clone()).send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(self.failed(format!("it answers with status {}", response.status())));
        }
        let age = age(response.headers());
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if bytes.len() + part.len() > MAX_BYTES {
                return Err(self.too_long());
            }
            bytes.extend_from_slice(&part);
        }
        Ok((bytes, age))
    }
}

/// An error with its causes: what reqwest says alone does not tell why.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// How long an answer may be used.
fn age(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let mut directives = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase());
    let named = directives.find_map(|directive| match directive.as_str() {
        "no-store" | "no-cache" => Some(0),
        _ => directive
            .strip_prefix("max-age=")?
            .trim_matches('"')
            .parse()
            .ok(),
    });
    let (least, most) = URL_AGES;
    named.map_or(URL_AGE, |seconds| {
        Duration::from_secs(seconds).clamp(least, most)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

    use super::{InvalidSource, JwksSource, age};

    #[test]
    fn keys_come_from_files_or_over_safe_connections() {
        for text in [
            "https://id.example.com/keys?a=b",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost:1/keys",
        ] {
            assert!(matches!(text.parse(), Ok(JwksSource::Url(_))), "{text}");
        }
        for text in [
            "keys.json",
            "/etc/rollbook/jwks.json",
            "C:\\keys.json",
            "127.0.0.1",
        ] {
            assert!(matches!(text.parse(), Ok(JwksSource::File(_))), "{text}");
        }
        let check = |text: &str, expected: InvalidSource| {
            assert_eq!(text.parse::<JwksSource>().unwrap_err(), expected, "{text}");
        };
        for text in [
            "http://id.example.com/keys",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com/",
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
        ] {
            check(text, InvalidSource::NotEncrypted);
        }
        check(
            "https://kim:secret@id.example.com/",
            InvalidSource::Credentials,
        );
        let error = "https://".parse::<JwksSource>().unwrap_err();
        assert!(matches!(error, InvalidSource::Url { .. }));
    }

    #[test]
    fn places_are_named_without_their_query() {
        let source: JwksSource = "https://id.example.com/keys?code=secret#a".parse().unwrap();
        assert_eq!(source.to_string(), "https://id.example.com/keys");
    }

    #[test]
    fn answers_are_used_as_long_as_they_say_within_bounds() {
        let check = |values: &[&str], seconds: u64| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(age(&headers), Duration::from_secs(seconds), "{values:?}");
        };
        check(&[], 300);
        check(&["public"], 300);
        check(&["max-age=600"], 600);
        check(&["public, Max-Age=600, must-revalidate"], 600);
        check(&["public", "max-age=120"], 120);
        check(&["max-age=0"], 60);
        check(&["no-store"], 60);
        check(&["max-age=31536000"], 3600);
        check(&["max-age=soon"], 300);
    }
}
