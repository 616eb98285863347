//! The SQL types of times: microseconds, in the tenant's zone.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{DataType as SqlType, TimezoneInfo};

use super::at_zone::AT_ZONE;

/// The zone of results.
pub(crate) const UTC: &str = "UTC";

/// The type of an instant that is shown in a zone.
pub(crate) fn instant(zone: &Arc<str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)))
}

/// The type of a local time.
pub(crate) const WALL_CLOCK: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The type with all of its times in a zone.
pub(crate) fn in_zone(ty: &DataType, zone: &Arc<str>) -> DataType {
    let of = |field: &FieldRef| Arc::new(field_in_zone(field, zone));
    match ty {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some(Arc::clone(zone))),
        DataType::List(field) => DataType::List(of(field)),
        DataType::LargeList(field) => DataType::LargeList(of(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(of(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of).collect()),
        DataType::Map(field, is_sorted) => DataType::Map(of(field), *is_sorted),
        other => other.clone(),
    }
}

/// The column with all of its times in a zone.
pub(crate) fn field_in_zone(field: &Field, zone: &Arc<str>) -> Field {
    let ty = in_zone(field.data_type(), zone);
    field.clone().with_data_type(ty)
}

/// The schema with all of its times in a zone.
pub(crate) fn schema_in_zone(schema: &SchemaRef, zone: &Arc<str>) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields: Vec<_> = fields.map(|field| field_in_zone(field, zone)).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `timestamp` and `timestamp with time zone`, in microseconds.
#[derive(Debug)]
pub(crate) struct TimeTypes {
    pub(crate) zone: Option<Arc<str>>,
}

impl TypePlanner for TimeTypes {
    fn plan_type_field(&self, ty: &SqlType) -> Result<Option<FieldRef>> {
        let zone = match ty {
            SqlType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                self.zone.clone()
            }
            SqlType::Timestamp(..) | SqlType::Datetime(_) => None,
            SqlType::Custom(name, zone) if name.to_string() == AT_ZONE => {
                Some(zone.concat().into())
            }
            _ => return Ok(None),
        };
        let ty = DataType::Timestamp(TimeUnit::Microsecond, zone);
        Ok(Some(Arc::new(Field::new("", ty, true))))
    }
}
