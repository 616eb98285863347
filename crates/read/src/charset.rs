//! The declared encoding of a text, by its name in the WHATWG Encoding Standard.

use std::borrow::Cow;
use std::str::FromStr;

use encoding_rs::{Encoding, UTF_8, X_USER_DEFINED};

/// An encoding declared by the sender of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredCharset(&'static Encoding);

/// An unknown name, or one of an encoding that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not an encoding that can be read: name it as the web does, such as `utf-8`, `windows-1252` or `iso-8859-2`, or send UTF-8"
)]
pub struct UnknownCharset {
    /// The name that was given.
    pub name: String,
}

/// Common names that are not in the standard, with their standard names.
const OTHER_NAMES: [(&str, &str); 5] = [
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("utf_8", "utf-8"),
];

/// Names of ASCII. The standard treats them as windows-1252; here bytes beyond ASCII are refused unless they
/// are UTF-8.
const ASCII: [&str; 4] = ["ascii", "us-ascii", "ansi_x3.4-1968", "iso646-us"];

impl DeclaredCharset {
    /// The encoding's name in the WHATWG Encoding Standard.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    pub(crate) fn encoding(self) -> &'static Encoding {
        self.0
    }

    /// Decodes `bytes`, without their byte order mark, which overrides the declared encoding; `None` if some
    /// bytes are invalid.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        let (encoding, mark) = Encoding::for_bom(bytes).unwrap_or((self.0, 0));
        encoding.decode_without_bom_handling_and_without_replacement(&bytes[mark..])
    }
}

impl Default for DeclaredCharset {
    /// UTF-8.
    fn default() -> Self {
        Self(UTF_8)
    }
}

impl FromStr for DeclaredCharset {
    type Err = UnknownCharset;

    fn from_str(name: &str) -> Result<Self, UnknownCharset> {
        let lower = name.trim().to_ascii_lowercase();
        if ASCII.contains(&lower.as_str()) {
            return Ok(Self(UTF_8));
        }
        let other = OTHER_NAMES.iter().find(|(other, _)| *other == lower);
        let label = other.map_or(lower.as_str(), |(_, known)| known);
        Encoding::for_label_no_replacement(label.as_bytes())
            .filter(|encoding| *encoding != X_USER_DEFINED)
            .map(Self)
            .ok_or_else(|| UnknownCharset {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::DeclaredCharset;

    #[test]
    fn encodings_have_web_names_and_common_aliases() {
        let check = |name: &str, expected: Option<&str>| {
            let found = name.parse().ok().map(DeclaredCharset::name);
            assert_eq!(found, expected, "{name}");
        };
        check("UTF-8", Some("UTF-8"));
        check(" utf8 ", Some("UTF-8"));
        check("us-ascii", Some("UTF-8"));
        check("latin1", Some("windows-1252"));
        check("ISO-8859-2", Some("ISO-8859-2"));
        check("cp932", Some("Shift_JIS"));
        check("CP1250", Some("windows-1250"));
        check("utf-16", Some("UTF-16LE"));
        for none in ["", "utf-7", "utf-32", "iso-2022-kr", "x-user-defined", "de"] {
            check(none, None);
        }
    }

    #[test]
    fn byte_order_mark_overrides_the_declared_encoding() {
        let text = |name: &str, bytes: &[u8]| {
            let charset: DeclaredCharset = name.parse().unwrap();
            charset.decode(bytes).map(|text| text.into_owned())
        };
        assert_eq!(text("iso-8859-2", b"Gy\xf5r").as_deref(), Some("Győr"));
        assert_eq!(
            text("iso-8859-2", "\u{feff}Győr".as_bytes()).as_deref(),
            Some("Győr")
        );
        assert_eq!(text("utf-16le", b"h\0\xe9\0").as_deref(), Some("hé"));
        assert_eq!(text("utf-8", b"\xff\xfeh\0").as_deref(), Some("h"));
        assert_eq!(text("utf-8", b"Gy\xf5r"), None);
        assert_eq!(text("shift_jis", b"\x83"), None);
    }
}
