//! Scalars of requests and answers: parsing, and their schema in the OpenAPI document.

mod texts;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rollbook_app::access::{KeyPrefix, KeyStatus, Right, Role};
use rollbook_app::scores::{Method, ScoreKind};
use rollbook_app::segments::{
    Channel, Direction, Hashing, Percent, Reason, Schedule, Since, Status,
};
use rollbook_app::tenants::TenantStatus;
use rollbook_model::{
    GivenTime, ProviderName, SegmentKey, SnapshotNumber, Span, TenantName, Timestamp, whole,
};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use texts::{Ascii, ColumnList, FileStem, KeyList, TimelinePosition, Token, Uuid};

/// The schema of a scalar.
pub(crate) trait Described {
    /// Its name in the document.
    const NAME: &'static str;

    /// Its type, pattern, bounds and example.
    fn described() -> ObjectBuilder;
}

/// A scalar with a schema. Use the aliases below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Scalar<T>(pub(crate) T);

impl<T: Described> PartialSchema for Scalar<T> {
    fn schema() -> RefOr<Schema> {
        Schema::from(T::described()).into()
    }
}

impl<T: Described> ToSchema for Scalar<T> {
    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }
}

/// The key of a segment.
pub(crate) type Key = Scalar<SegmentKey>;
/// A provider.
pub(crate) type Provider = Scalar<ProviderName>;
/// A time in a request.
pub(crate) type Moment = Scalar<GivenTime>;
/// A time in an answer.
pub(crate) type Time = Scalar<Timestamp>;
/// Start of changes.
pub(crate) type Beginning = Scalar<Since>;
/// A duration.
pub(crate) type Length = Scalar<Span>;
/// The refresh schedule of a segment.
pub(crate) type Refreshes = Scalar<Schedule>;
/// A percentage.
pub(crate) type Part = Scalar<Percent>;
/// A channel to contact persons.
pub(crate) type Over = Scalar<Channel>;
/// Hashing of e-mail addresses and phone numbers.
pub(crate) type Hash = Scalar<Hashing>;
/// Freshness of a membership.
pub(crate) type Freshness = Scalar<Status>;
/// Whether a person entered or left.
pub(crate) type Came = Scalar<Direction>;
/// Why a person entered or left.
pub(crate) type Why = Scalar<Reason>;
/// How the weights of a score were obtained.
pub(crate) type ScoreMethod = Scalar<Method>;
/// The kind of a score.
pub(crate) type PredictedKind = Scalar<ScoreKind>;
/// The id of a person or of a record.
pub(crate) type Id = Scalar<Identifier>;
/// A snapshot number.
pub(crate) type Snapshot = Scalar<SnapshotNumber>;
/// Names, tags and the like.
pub(crate) type Label = Scalar<Short<255>>;
/// Descriptions.
pub(crate) type Prose = Scalar<Short<4_096>>;
/// Token of a page.
pub(crate) type PageToken = Scalar<Token>;
/// Token of a page of a timeline.
pub(crate) type Next = Scalar<TimelinePosition>;
/// Keys of segments.
pub(crate) type Keys = Scalar<KeyList>;
/// Columns of `people`.
pub(crate) type Columns = Scalar<ColumnList>;
/// The id of a decision.
pub(crate) type Entry = Scalar<Uuid>;
/// The file name without extension that selects a mapping.
pub(crate) type Source = Scalar<FileStem>;
/// The name of a tenant.
pub(crate) type Tenant = Scalar<TenantName>;
/// The prefix of an API key.
pub(crate) type Prefix = Scalar<KeyPrefix>;
/// The role of an API key.
pub(crate) type KeyRole = Scalar<Role>;
/// A right of an API key.
pub(crate) type KeyRight = Scalar<Right>;
/// Whether an API key can be used.
pub(crate) type StatusOfKey = Scalar<KeyStatus>;
/// Whether a tenant is served.
pub(crate) type StatusOfTenant = Scalar<TenantStatus>;
/// A header value.
pub(crate) type Header = Scalar<Ascii>;

const KEY: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
/// A date of the years 1000 to 2999, or a time on it.
const MOMENT: &str = "^(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|\
    (?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|\
    (?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)-02-29)\
    (?:T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\\.[0-9]{1,9})?)?\
    (?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?$";
const SCHEDULE: &str = "^(?:on_ingest|manual|static|[1-9][0-9]{0,3} (?:second|minute|hour|day)s?)$";
const PERCENT: &str = r"^(?:100(?:\.0{1,2})?|[0-9]{1,2}(?:\.[0-9]{1,2})?)$";
const SPAN: &str = "^(?:[1-9][0-9]{0,8}s|[1-9][0-9]{0,6}m|[1-9][0-9]{0,4}h|[1-9][0-9]{0,3}d|\
    [1-9][0-9]{0,2}w)$";
/// Decimals with four places.
pub(crate) const AMOUNT: &str = r"^-?[0-9]+\.[0-9]{4}$";

pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn pattern(pattern: &str, example: &str) -> ObjectBuilder {
    text().pattern(Some(pattern)).examples([example])
}

fn one_of<const N: usize>(names: [&'static str; N]) -> ObjectBuilder {
    text().enum_values(Some(names)).examples([names[0]])
}

impl Described for SegmentKey {
    const NAME: &'static str = "SegmentKey";
    fn described() -> ObjectBuilder {
        pattern(KEY, "big-spenders")
            .min_length(Some(1))
            .max_length(Some(64))
    }
}

impl Described for ProviderName {
    const NAME: &'static str = "Provider";
    fn described() -> ObjectBuilder {
        pattern(KEY, "native")
            .min_length(Some(1))
            .max_length(Some(64))
    }
}

impl Described for TenantName {
    const NAME: &'static str = "Tenant";
    fn described() -> ObjectBuilder {
        pattern(KEY, "default")
            .min_length(Some(1))
            .max_length(Some(64))
    }
}

impl Described for KeyPrefix {
    const NAME: &'static str = "KeyPrefix";
    fn described() -> ObjectBuilder {
        pattern("^[a-z0-9]{10}$", "a1b2c3d4e5").max_length(Some(10))
    }
}

impl Described for Role {
    const NAME: &'static str = "Role";
    fn described() -> ObjectBuilder {
        one_of(Self::ALL.map(Self::name))
    }
}

impl Described for Right {
    const NAME: &'static str = "Right";
    fn described() -> ObjectBuilder {
        one_of(Self::ALL.map(Self::name))
    }
}

impl Described for KeyStatus {
    const NAME: &'static str = "KeyStatus";
    fn described() -> ObjectBuilder {
        one_of(Self::ALL.map(Self::name))
    }
}

impl Described for TenantStatus {
    const NAME: &'static str = "TenantStatus";
    fn described() -> ObjectBuilder {
        one_of(Self::ALL.map(Self::name))
    }
}

impl Described for GivenTime {
    const NAME: &'static str = "Moment";
    fn described() -> ObjectBuilder {
        pattern(MOMENT, "2026-01-01T00:00:00Z").max_length(Some(40))
    }
}

impl Described for Timestamp {
    const NAME: &'static str = "Time";
    fn described() -> ObjectBuilder {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        text()
            .format(Some(format))
            .examples(["2026-01-01T00:00:00Z"])
    }
}

impl Described for Since {
    const NAME: &'static str = "Since";
    fn described() -> ObjectBuilder {
        let number = "(?:0|[1-9][0-9]{0,17})";
        let time = &MOMENT[1..MOMENT.len() - 1];
        pattern(&format!("^(?:{number}|{time})$"), "0").max_length(Some(40))
    }
}

impl Described for SnapshotNumber {
    const NAME: &'static str = "Snapshot";
    fn described() -> ObjectBuilder {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        number
            .minimum(Some(0))
            .maximum(Some(i64::MAX))
            .examples([1])
    }
}

impl Described for Span {
    const NAME: &'static str = "Length";
    fn described() -> ObjectBuilder {
        pattern(SPAN, "30d").max_length(Some(10))
    }
}

impl Described for Schedule {
    const NAME: &'static str = "Schedule";
    fn described() -> ObjectBuilder {
        pattern(SCHEDULE, "15 minutes").max_length(Some(12))
    }
}

impl Described for Percent {
    const NAME: &'static str = "Percent";
    fn described() -> ObjectBuilder {
        pattern(PERCENT, "10").max_length(Some(6))
    }
}

impl Described for Channel {
    const NAME: &'static str = "Channel";
    fn described() -> ObjectBuilder {
        one_of([Self::Email, Self::Sms].map(Self::name))
    }
}

impl Described for Hashing {
    const NAME: &'static str = "Hashing";
    fn described() -> ObjectBuilder {
        one_of(["sha256"])
    }
}

impl Described for Status {
    const NAME: &'static str = "Freshness";
    fn described() -> ObjectBuilder {
        one_of([Self::Fresh, Self::Stale, Self::Failed].map(Self::name))
    }
}

impl Described for Direction {
    const NAME: &'static str = "Direction";
    fn described() -> ObjectBuilder {
        one_of([Self::Entered, Self::Left].map(Self::name))
    }
}

impl Described for Reason {
    const NAME: &'static str = "Reason";
    fn described() -> ObjectBuilder {
        let all = [
            Self::Definition,
            Self::NewData,
            Self::LateData,
            Self::Clock,
            Self::Merge,
            Self::Unmerge,
            Self::Erasure,
        ];
        one_of(all.map(Self::name))
    }
}

impl Described for Method {
    const NAME: &'static str = "Method";
    fn described() -> ObjectBuilder {
        one_of(["logistic", "rules"])
    }
}

impl Described for ScoreKind {
    const NAME: &'static str = "ScoreKind";
    fn described() -> ObjectBuilder {
        one_of([Self::Lead, Self::Churn].map(Self::name))
    }
}

/// The id of a person or a record, assigned by rollbook from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Identifier(u64);

/// A text that is not an id.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not an id: ids are whole numbers from 1, such as 7, without a sign or a leading 0"
)]
pub(crate) struct InvalidId(String);

impl Identifier {
    fn of(number: u64) -> Option<Self> {
        let is_id = number > 0 && i64::try_from(number).is_ok();
        is_id.then_some(Self(number))
    }

    /// The id as tables have it.
    pub(crate) fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// The id as bitmaps have it.
    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }
}

impl FromStr for Identifier {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let number = whole(text).and_then(Self::of);
        number.ok_or_else(|| InvalidId(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = whole_number(from)?;
        let wrong = || D::Error::invalid_value(Unexpected::Unsigned(number), &"an id");
        Self::of(number).ok_or_else(wrong)
    }
}

/// Parses a whole number of a JSON body. JSON has no integer type, so `7.0` is accepted.
fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    struct Number;

    impl Visitor<'_> for Number {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number such as 7")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
            // Larger doubles are not exact, so the caller may have sent another number.
            let is_whole = number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number);
            let wrong = || E::invalid_value(Unexpected::Float(number), &self);
            is_whole.then_some(number as u64).ok_or_else(wrong)
        }
    }
    from.deserialize_u64(Number)
}

/// Up to 2^53, doubles represent all whole numbers exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Parses the optional snapshot of a body.
pub(crate) fn snapshot<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SnapshotNumber>, D::Error> {
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "whole_number")] u64);

    let given = Option::<Given>::deserialize(from)?;
    Ok(given.map(|given| SnapshotNumber(given.0)))
}

impl Described for Identifier {
    const NAME: &'static str = "Id";
    fn described() -> ObjectBuilder {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(1))
            .maximum(Some(i64::MAX))
            .examples([1])
    }
}

/// A whole number of a query string, in canonical spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Canonical;

        impl Visitor<'_> for Canonical {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number such as 7, without a sign or a leading 0")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Whole, E> {
                let number = whole(text).map(Whole);
                number.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Canonical)
    }
}

/// A text of at most `MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Short<const MAX: usize>(pub(crate) String);

impl<'de, const MAX: usize> Deserialize<'de> for Short<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.chars().count() {
            characters if characters > MAX => Err(D::Error::custom(format!(
                "a text of {characters} characters: at most {MAX} are allowed"
            ))),
            _ => Ok(Self(text)),
        }
    }
}

impl<const MAX: usize> Described for Short<MAX> {
    const NAME: &'static str = if MAX > 255 { "Prose" } else { "Label" };
    fn described() -> ObjectBuilder {
        let example = if MAX > 255 { "win them back" } else { "kim" };
        text().max_length(Some(MAX)).examples([example])
    }
}

/// The text of an optional label or description.
pub(crate) fn plain<const MAX: usize>(text: Option<Scalar<Short<MAX>>>) -> Option<String> {
    text.map(|text| text.0.0)
}

/// An amount as text with four decimals.
pub(crate) struct Amount;

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        Schema::from(pattern(AMOUNT, "12.5000")).into()
    }
}

impl ToSchema for Amount {}

/// The key of a new segment, which must not be a reserved word of the routes.
pub(crate) struct NewKey;

impl PartialSchema for NewKey {
    fn schema() -> RefOr<Schema> {
        Schema::from(SegmentKey::described().examples(["big-spenders-us"])).into()
    }
}

impl ToSchema for NewKey {}

/// Binary content.
pub(crate) struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        Schema::from(text().format(Some(format))).into()
    }
}

impl ToSchema for Binary {}

/// A value of a query result; decimals and times are text.
pub(crate) struct Cell;

impl PartialSchema for Cell {
    fn schema() -> RefOr<Schema> {
        use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, Ref};
        let cell = || Ref::from_schema_name("Cell");
        let mut any = AnyOfBuilder::new();
        for ty in [Type::String, Type::Number, Type::Boolean, Type::Null] {
            any = any.item(ObjectBuilder::new().schema_type(ty));
        }
        let list = ArrayBuilder::new().items(cell());
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(cell()));
        any.item(list)
            .item(object)
            .examples([Value::from("DE")])
            .into()
    }
}

impl ToSchema for Cell {}

#[cfg(test)]
mod tests;
