//! Analyzer rules that compute times in microseconds and read times without a zone in the tenant's
//! zone.
//!
//! DataFusion compares times with texts and dates in nanoseconds, which cover the years 1677 to
//! 2262 only, and takes UTC for times without a zone. One rule therefore assigns the zone before
//! type coercion; a second one replaces the casts that type coercion adds.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Cast, InList, ScalarFunction, TryCast};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, LogicalPlan, Operator, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use crate::rewriting::expressions::is_comparison;
use crate::rewriting::typed::{Types, rewrite_plan};

use super::conversions::{Instant, WallClock, is_local};
use super::plus::Plus;
use super::zoned::instant;

/// Functions that cast their arguments to a common type.
const COMMON_TYPE_FUNCTIONS: [&str; 7] = [
    "coalesce", "greatest", "least", "nullif", "nvl", "ifnull", "nvl2",
];

/// Casts times without a zone to instants where they meet an instant.
#[derive(Debug)]
pub(crate) struct AssignTenantZone(pub(crate) Tz);

/// Replaces casts to times by rollbook's own functions, in microseconds.
#[derive(Debug)]
pub(crate) struct CastInMicros(pub(crate) Option<Tz>);

impl AnalyzerRule for AssignTenantZone {
    fn name(&self) -> &'static str {
        "assign_tenant_zone"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_plan(plan, &|expr, types| self.rewrite(expr, types))
    }
}

impl AnalyzerRule for CastInMicros {
    fn name(&self) -> &'static str {
        "cast_in_micros"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_plan(plan, &|expr, types| cast_in_micros(expr, types, self.0))
    }
}

fn is_instant(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(_, Some(_)))
}

impl AssignTenantZone {
    fn rewrite(&self, expr: Expr, known: &Types) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                self.binary(*left, op, *right, known)
            }
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let [expr, low, high] = match self.as_instants([*expr, *low, *high], known) {
                    Ok(named) => named.map(Box::new),
                    Err(unchanged) => {
                        let [expr, low, high] = unchanged.map(Box::new);
                        let between = Between::new(expr, negated, low, high);
                        return Ok(Transformed::no(Expr::Between(between)));
                    }
                };
                let between = Between::new(expr, negated, low, high);
                Ok(Transformed::yes(Expr::Between(between)))
            }
            Expr::InList(InList {
                expr,
                list,
                negated,
            }) => {
                let mut all = vec![*expr];
                all.extend(list);
                let (is_named, mut all) = self.all_as_instants(all, known);
                let expr = Box::new(all.remove(0));
                let list = Expr::InList(InList::new(expr, all, negated));
                Ok(Transformed::new_transformed(list, is_named))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let (is_named, args) = match func.name() {
                    name if COMMON_TYPE_FUNCTIONS.contains(&name) => {
                        self.all_as_instants(args, known)
                    }
                    "date_part" => self.text_as_instant(args, known),
                    _ => (false, args),
                };
                let call = Expr::ScalarFunction(ScalarFunction { func, args });
                Ok(Transformed::new_transformed(call, is_named))
            }
            Expr::Case(case) => Ok(self.case(case, known)),
            other => Ok(Transformed::no(other)),
        }
    }

    fn binary(
        &self,
        left: Expr,
        op: Operator,
        right: Expr,
        known: &Types,
    ) -> Result<Transformed<Expr>> {
        let unchanged = |left: Expr, right: Expr| {
            let expr = BinaryExpr::new(Box::new(left), op, Box::new(right));
            Transformed::no(Expr::BinaryExpr(expr))
        };
        if is_comparison(op) && !is_non_time_literal(&left) && !is_non_time_literal(&right) {
            return Ok(match self.as_instants([left, right], known) {
                Ok([left, right]) => Transformed::yes(unchanged(left, right).data),
                Err([left, right]) => unchanged(left, right),
            });
        }
        if !matches!(op, Operator::Plus | Operator::Minus) || is_non_time_literal(&left) {
            return Ok(unchanged(left, right));
        }
        let types = (known.of(&left), known.of(&right));
        let (Ok(left_type), Ok(right_type)) = types else {
            return Ok(unchanged(left, right));
        };
        let is_minus = op == Operator::Minus;
        Ok(match (&left_type, &right_type) {
            (DataType::Timestamp(_, Some(zone)), DataType::Interval(_)) => {
                match zone.parse::<Tz>() {
                    Ok(zone) => Transformed::yes(plus(left, right, zone, is_minus)),
                    Err(_) => unchanged(left, right),
                }
            }
            (DataType::Interval(_), DataType::Timestamp(_, Some(zone))) if !is_minus => {
                match zone.parse::<Tz>() {
                    Ok(zone) => Transformed::yes(plus(right, left, zone, false)),
                    Err(_) => unchanged(left, right),
                }
            }
            (text, DataType::Interval(_)) if text.is_string() => {
                let left = self.instant_of(left);
                Transformed::yes(plus(left, right, self.0, is_minus))
            }
            (at, local) if is_minus && is_instant(at) && is_local(local) && !local.is_string() => {
                let right = self.instant_of(right);
                Transformed::yes(unchanged(left, right).data)
            }
            (local, at) if is_minus && is_instant(at) && is_local(local) => {
                let left = self.instant_of(left);
                Transformed::yes(unchanged(left, right).data)
            }
            _ => unchanged(left, right),
        })
    }

    fn case(&self, case: Case, known: &Types) -> Transformed<Expr> {
        let Case {
            expr,
            when_then_expr,
            else_expr,
        } = case;
        let (whens, thens): (Vec<_>, Vec<_>) = when_then_expr.into_iter().unzip();
        let mut values: Vec<Expr> = thens.into_iter().map(|then| *then).collect();
        let has_else = else_expr.is_some();
        values.extend(else_expr.map(|value| *value));
        let (is_named, mut values) = self.all_as_instants(values, known);
        let else_expr = if has_else { values.pop() } else { None };
        let pairs = whens.into_iter().zip(values.into_iter().map(Box::new));
        let case = Case::new(expr, pairs.collect(), else_expr.map(Box::new));
        Transformed::new_transformed(Expr::Case(case), is_named)
    }

    /// All expressions as instants, if one is an instant and another one a local time; otherwise
    /// the unchanged expressions.
    fn as_instants<const N: usize>(
        &self,
        all: [Expr; N],
        known: &Types,
    ) -> std::result::Result<[Expr; N], [Expr; N]> {
        let types = all.each_ref().map(|expr| known.of(expr));
        let has_instant = types.iter().flatten().any(is_instant);
        let has_local = types.iter().flatten().any(is_local);
        if !has_instant || !has_local {
            return Err(all);
        }
        let mut types = types.into_iter();
        Ok(all.map(|expr| match types.next() {
            Some(Ok(ty)) if is_local(&ty) => self.instant_of(expr),
            _ => expr,
        }))
    }

    fn all_as_instants(&self, all: Vec<Expr>, known: &Types) -> (bool, Vec<Expr>) {
        let types: Vec<_> = all.iter().map(|expr| known.of(expr)).collect();
        let has_instant = types.iter().flatten().any(is_instant);
        let has_local = types.iter().flatten().any(is_local);
        if !has_instant || !has_local {
            return (false, all);
        }
        let named = all.into_iter().zip(types).map(|(expr, ty)| match ty {
            Ok(ty) if is_local(&ty) => self.instant_of(expr),
            _ => expr,
        });
        (true, named.collect())
    }

    /// The second of two arguments as an instant, if it is a text; returns whether it was.
    fn text_as_instant(&self, mut args: Vec<Expr>, known: &Types) -> (bool, Vec<Expr>) {
        let is_text = |expr: &Expr| known.of(expr).is_ok_and(|ty| ty.is_string());
        match args.as_slice() {
            [_, value] if is_text(value) => {
                let value = args.remove(1);
                args.push(self.instant_of(value));
                (true, args)
            }
            _ => (false, args),
        }
    }

    fn instant_of(&self, expr: Expr) -> Expr {
        Expr::Cast(Cast::new(Box::new(expr), instant(&self.0.name().into())))
    }
}

/// Whether an expression is a literal that is neither a time nor a text.
fn is_non_time_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => {
            !value.data_type().is_string() && !value.data_type().is_temporal()
        }
        _ => false,
    }
}

fn plus(at: Expr, interval: Expr, zone: Tz, is_minus: bool) -> Expr {
    ScalarUDF::from(Plus::new(zone, is_minus)).call(vec![at, interval])
}

/// A cast to a time in microseconds, with rollbook's own functions.
fn cast_in_micros(expr: Expr, known: &Types, tenant_zone: Option<Tz>) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) => match field.data_type() {
            DataType::Timestamp(unit, zone) => {
                let to = Target {
                    unit: *unit,
                    zone: zone.as_ref(),
                    is_lenient: false,
                    tenant_zone,
                };
                to.cast(*expr, known)
            }
            _ => Ok(Transformed::no(Expr::Cast(Cast::new_from_field(
                expr, field,
            )))),
        },
        Expr::TryCast(TryCast { expr, field }) => match field.data_type() {
            DataType::Timestamp(unit, zone) => {
                let to = Target {
                    unit: *unit,
                    zone: zone.as_ref(),
                    is_lenient: true,
                    tenant_zone,
                };
                to.cast(*expr, known)
            }
            _ => Ok(Transformed::no(Expr::TryCast(TryCast { expr, field }))),
        },
        Expr::Literal(ScalarValue::TimestampNanosecond(at, zone), metadata) => {
            let at = at.map(|at| at.div_euclid(1_000));
            let micros = ScalarValue::TimestampMicrosecond(at, zone);
            Ok(Transformed::yes(Expr::Literal(micros, metadata)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The type of time that an expression is cast to.
struct Target<'a> {
    unit: TimeUnit,
    zone: Option<&'a Arc<str>>,
    /// Whether a value that cannot be cast becomes null.
    is_lenient: bool,
    /// The tenant's zone, where there is one.
    tenant_zone: Option<Tz>,
}

impl Target<'_> {
    fn cast(self, expr: Expr, known: &Types) -> Result<Transformed<Expr>> {
        let is_lenient = self.is_lenient;
        let ty = DataType::Timestamp(TimeUnit::Microsecond, self.zone.cloned());
        let from = known.of(&expr)?;
        if from == ty {
            return Ok(Transformed::yes(expr));
        }
        let function = match (&from, self.zone.map(|zone| zone.parse::<Tz>())) {
            (local, Some(Ok(zone))) if is_local(local) => {
                Some(ScalarUDF::from(Instant::new(zone, is_lenient)))
            }
            (DataType::Timestamp(_, Some(zone)), None) => {
                let zone = zone.parse::<Tz>();
                zone.ok()
                    .map(|zone| ScalarUDF::from(WallClock::new(zone, is_lenient)))
            }
            (text, None) if text.is_string() => self
                .tenant_zone
                .map(|zone| ScalarUDF::from(WallClock::new(zone, is_lenient))),
            _ => None,
        };
        if let Some(function) = function {
            return Ok(Transformed::yes(function.call(vec![expr])));
        }
        let cast = match is_lenient {
            true => Expr::TryCast(TryCast::new(Box::new(expr), ty)),
            false => Expr::Cast(Cast::new(Box::new(expr), ty)),
        };
        let is_changed = self.unit != TimeUnit::Microsecond;
        Ok(Transformed::new_transformed(cast, is_changed))
    }
}
