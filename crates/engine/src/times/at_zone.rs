//! `at time zone`, which names a zone other than the tenant's.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Ident, ObjectName, Value, VisitMut, VisitorMut,
};

use crate::rewriting::walk::walk_mut;

/// The name of a custom type: an instant in the zone of its argument.
pub(super) const AT_ZONE: &str = "_at_time_zone";

/// Replaces `at time zone` by a cast; the planner would compute it in nanoseconds.
pub(crate) fn rewrite_at_time_zone(statement: &mut impl VisitMut) {
    struct Zones;
    impl VisitorMut for Zones {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::AtTimeZone {
                timestamp,
                time_zone,
            } = expr
                && let Expr::Value(zone) = time_zone.as_ref()
                && let Value::SingleQuotedString(zone) = &zone.value
            {
                let name = ObjectName::from(vec![Ident::new(AT_ZONE)]);
                *expr = Expr::Cast {
                    kind: CastKind::Cast,
                    expr: timestamp.clone(),
                    data_type: DataType::Custom(name, vec![zone.clone()]),
                    array: false,
                    format: None,
                };
            }
            ControlFlow::Continue(())
        }
    }
    let _ = walk_mut(statement, &mut Zones);
}
