//! A row of `people`: built-in columns, as the engine defines them, and custom traits.

use rollbook_app::persons::columns;
use rollbook_model::ColumnType;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// All or some columns of `people`; values unknown at an earlier moment are null.
pub(crate) struct People;

impl PartialSchema for People {
    fn schema() -> RefOr<Schema> {
        let mut row = ObjectBuilder::new()
            .description(Some(
                "Columns of `people`; further properties are custom traits",
            ))
            .required("person_id");
        for (name, ty) in columns() {
            row = row.property(name, of_type(ty, name != "person_id"));
        }
        let mut own = AnyOfBuilder::new();
        for ty in [Type::String, Type::Number, Type::Boolean, Type::Null] {
            own = own.item(ObjectBuilder::new().schema_type(ty));
        }
        let own = own.description(Some("The value of a custom trait"));
        row.additional_properties(Some(RefOr::<Schema>::from(own)))
            .into()
    }
}

impl ToSchema for People {}

/// The schema of a column's values.
fn of_type(ty: ColumnType, is_nullable: bool) -> Schema {
    let schema_type = |ty: Type| match is_nullable {
        true => SchemaType::from_iter([ty, Type::Null]),
        false => SchemaType::new(ty),
    };
    let scalar = |ty: Type| ObjectBuilder::new().schema_type(schema_type(ty));
    let known = |format: KnownFormat| Some(SchemaFormat::KnownFormat(format));
    let scalar = match ty {
        ColumnType::Text => scalar(Type::String),
        ColumnType::Json => scalar(Type::String).description(Some("A JSON document, as text")),
        ColumnType::Bool => scalar(Type::Boolean),
        ColumnType::Int => scalar(Type::Integer).format(known(KnownFormat::Int64)),
        ColumnType::Float => scalar(Type::Number).format(known(KnownFormat::Double)),
        ColumnType::Decimal => scalar(Type::String).pattern(Some(crate::api::scalars::AMOUNT)),
        ColumnType::Time => scalar(Type::String).format(known(KnownFormat::DateTime)),
        ColumnType::Date => scalar(Type::String).format(known(KnownFormat::Date)),
        ColumnType::TextList => {
            let texts =
                ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
            let list = ArrayBuilder::new().schema_type(schema_type(Type::Array));
            return list.items(texts).into();
        }
    };
    scalar.into()
}
