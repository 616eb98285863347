//! Schemas of scalars that handlers read as plain text.

use utoipa::openapi::schema::ObjectBuilder;

use super::{Described, KEY, pattern};

/// Token of a page.
pub(crate) struct Token;

/// Token of a page of a timeline.
pub(crate) struct TimelinePosition;

/// Comma-separated keys.
pub(crate) struct KeyList;

/// Comma-separated columns.
pub(crate) struct ColumnList;

/// The id of a decision.
pub(crate) struct Uuid;

/// A file name without extension.
pub(crate) struct FileStem;

/// A value of a header.
pub(crate) struct Ascii;

impl Described for Token {
    const NAME: &'static str = "PageToken";
    fn described() -> ObjectBuilder {
        pattern("^(?:[0-9a-f]{34,8192})?$", "").max_length(Some(8_192))
    }
}

impl Described for TimelinePosition {
    const NAME: &'static str = "Next";
    fn described() -> ObjectBuilder {
        let number = "(?:0|[1-9][0-9]{0,17})";
        let pages = format!(r"^(?:{number}\.-?{number}\.{number})?$");
        pattern(&pages, "").max_length(Some(57))
    }
}

impl Described for KeyList {
    const NAME: &'static str = "Keys";
    fn described() -> ObjectBuilder {
        let key = &KEY[1..KEY.len() - 1];
        let keys = format!("^{key}(?:,{key}){{0,99}}$");
        pattern(&keys, "big-spenders,lapsed").max_length(Some(6_499))
    }
}

impl Described for ColumnList {
    const NAME: &'static str = "Columns";
    fn described() -> ObjectBuilder {
        let column = "[a-z][a-z0-9_]{0,63}";
        let columns = format!("^{column}(?:,{column}){{0,99}}$");
        pattern(&columns, "country,email").max_length(Some(6_499))
    }
}

impl Described for Uuid {
    const NAME: &'static str = "Entry";
    fn described() -> ObjectBuilder {
        let uuid = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
        pattern(uuid, "01a1ffda-3712-7255-8c62-cab5ec60ca5d").max_length(Some(36))
    }
}

impl Described for FileStem {
    const NAME: &'static str = "Source";
    fn described() -> ObjectBuilder {
        pattern("^[A-Za-z0-9_-]{1,100}$", "activities").max_length(Some(100))
    }
}

impl Described for Ascii {
    const NAME: &'static str = "Header";
    fn described() -> ObjectBuilder {
        pattern("^[!-~](?:[ -~]{0,253}[!-~])?$", "respond-async").max_length(Some(255))
    }
}
