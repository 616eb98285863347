//! The view `people`: one row for each person, with the columns of `persons` and the traits. Only
//! the traits that a query reads are computed.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use chrono_tz::Tz;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::{
    Case, Expr, JoinType, LogicalPlanBuilder, TableProviderFilterPushDown, lit,
};
use datafusion::physical_plan::ExecutionPlan;
use rollbook_model::table::{MONEY_SCALE, SUM_PRECISION};
use rollbook_model::{ColumnType, Timestamp, tables};

use crate::operators::view::{ScanRequest, ViewPlanner, pushdown};
use crate::tables::custom_traits::PlannedTrait;
use crate::tables::lazy_views::LazyViews;
use crate::tables::traits::{CONSENTS, TRAIT_GROUPS, Trait, is_consent};
use crate::times::in_zone;

const PERSONS: &str = "persons";
const PERSON_ID: &str = "person_id";

/// The view. Groups of traits are planned when a query reads one of their traits.
#[derive(Debug)]
pub(crate) struct People {
    persons: Arc<dyn TableProvider>,
    as_of: Timestamp,
    /// The tables of the session; they own this view.
    views: Weak<LazyViews>,
    /// Custom traits of the tenant.
    custom_traits: Arc<Vec<PlannedTrait>>,
    schema: SchemaRef,
    planner: ViewPlanner,
}

impl People {
    /// The view over the tables of a session.
    pub(crate) fn new(
        persons: Arc<dyn TableProvider>,
        as_of: Timestamp,
        zone: Tz,
        (views, custom_traits): (Weak<LazyViews>, Arc<Vec<PlannedTrait>>),
        planner: ViewPlanner,
    ) -> Self {
        let zone: Arc<str> = zone.name().into();
        let traits = TRAIT_GROUPS.iter().flat_map(|group| group.traits);
        let fields: Vec<_> = persons
            .schema()
            .fields()
            .iter()
            .cloned()
            .chain(traits.map(|computed| Arc::new(field(computed, &zone))))
            .chain(custom_traits.iter().map(|one| {
                let field = Field::new(&one.name, one.data_type(), true);
                Arc::new(field)
            }))
            .collect();
        Self {
            persons,
            as_of,
            views,
            custom_traits,
            schema: Arc::new(Schema::new(fields)),
            planner,
        }
    }

    /// The persons, joined with the trait groups of the columns that `request` reads.
    async fn rows(&self, request: &ScanRequest<'_>) -> Result<LogicalPlanBuilder> {
        let columns = request.columns();
        let persons = provider_as_source(Arc::clone(&self.persons));
        let mut rows = LogicalPlanBuilder::scan(PERSONS, persons, None)?
            // Person 0 stands for everybody who is not linked yet.
            .filter(Expr::Column(Column::new(Some(PERSONS), PERSON_ID)).not_eq(lit(0_i64)))?;
        for group in TRAIT_GROUPS.iter().chain([&CONSENTS]) {
            if !group
                .traits
                .iter()
                .any(|computed| columns.contains(computed.name))
            {
                continue;
            }
            let views = self.views.upgrade().ok_or_else(session_dropped)?;
            let plan = views.plan(group.name, group.sql).await?;
            let traits = LogicalPlanBuilder::from(plan).alias(group.name)?;
            rows = joined(rows, traits, group.name, request)?;
        }
        for one in self
            .custom_traits
            .iter()
            .filter(|one| columns.contains(&one.name))
        {
            rows = joined(rows, one.rows()?, one.relation(), request)?;
        }
        Ok(rows)
    }

    /// A column of `persons` or a trait; a time in the future is null.
    fn visible(&self, name: &str) -> Result<Expr> {
        let value = column(name);
        let def = tables::PERSONS.column(name);
        let is_null_ahead = def.is_some_and(|def| tables::PERSONS.is_null_ahead(def));
        let field = self.schema.field_with_name(name)?;
        let DataType::Timestamp(_, zone) = field.data_type() else {
            return Ok(value);
        };
        if !is_null_ahead {
            return Ok(value);
        }
        let now = ScalarValue::TimestampMicrosecond(Some(self.as_of.micros()), zone.clone());
        let past = (Box::new(value.clone().lt_eq(lit(now))), Box::new(value));
        Ok(Expr::Case(Case::new(None, vec![past], None)))
    }

    /// The expression of a column over the joined rows.
    fn column(&self, name: &str) -> Result<Expr> {
        match self.custom_traits.iter().find(|one| one.name == name) {
            Some(one) => one.value(),
            None => self.visible(name),
        }
    }
}

#[async_trait]
impl TableProvider for People {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        pushdown(filters)
    }

    async fn scan(
        &self,
        _state: &dyn PlanningSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let request = ScanRequest {
            schema: &self.schema,
            projection,
            filters,
            limit,
        };
        // Only the columns that are read: an invalid custom trait must not fail other queries.
        let mut columns = BTreeMap::new();
        for name in request.columns() {
            let column = self.column(&name)?;
            columns.insert(name, column);
        }
        let rows = self.rows(&request).await?;
        request
            .plan(&self.planner, rows, |name| columns[name].clone())
            .await
    }
}

fn session_dropped() -> DataFusionError {
    DataFusionError::Internal("the session of `people` has ended".to_owned())
}

/// The rows, joined with the traits of one group.
fn joined(
    rows: LogicalPlanBuilder,
    mut traits: LogicalPlanBuilder,
    name: &str,
    request: &ScanRequest<'_>,
) -> Result<LogicalPlanBuilder> {
    // Filters on the person's id also narrow the traits.
    for filter in request.filters.iter().filter(|filter| is_id_filter(filter)) {
        traits = traits.filter(for_group(filter, name)?)?;
    }
    let keys = (
        vec![Column::new(Some(PERSONS), PERSON_ID)],
        vec![Column::new(Some(name), PERSON_ID)],
    );
    rows.join(traits.build()?, JoinType::Left, keys, None)
}

/// Whether a filter reads the person's id and nothing else.
pub(crate) fn is_id_filter(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    !columns.is_empty()
        && columns.iter().all(|column| column.name == PERSON_ID)
        && !filter.is_volatile()
        && !filter.exists(|part| Ok(is_subquery(part))).unwrap_or(true)
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_)
    )
}

/// The filter, applied to the rows of a trait group.
fn for_group(filter: &Expr, group: &str) -> Result<Expr> {
    let renamed = filter.clone().transform(|part| match part {
        Expr::Column(_) => {
            let column = Column::new(Some(group), PERSON_ID);
            Ok(Transformed::yes(Expr::Column(column)))
        }
        other => Ok(Transformed::no(other)),
    });
    renamed.map(|renamed| renamed.data)
}

/// The expression of a column of `people` over the joined rows.
fn column(name: &str) -> Expr {
    let found = TRAIT_GROUPS.iter().find_map(|group| {
        let computed = group.traits.iter().find(|computed| computed.name == name)?;
        Some((group, computed))
    });
    match found {
        None if is_consent(name) => coalesce(vec![
            Expr::Column(Column::new(Some(CONSENTS.name), name)),
            Expr::Column(Column::new(Some(PERSONS), name)),
        ]),
        None => Expr::Column(Column::new(Some(PERSONS), name)),
        Some((group, computed)) => {
            let value = Expr::Column(Column::new(Some(group.name), name));
            match zero(computed) {
                Some(zero) => coalesce(vec![value, lit(zero)]),
                None => value,
            }
        }
    }
}

fn field(computed: &Trait, zone: &Arc<str>) -> Field {
    let ty = match computed.ty {
        ColumnType::Decimal => DataType::Decimal128(SUM_PRECISION, MONEY_SCALE),
        other => in_zone(&other.arrow(), zone),
    };
    Field::new(computed.name, ty, true)
}

fn zero(computed: &Trait) -> Option<ScalarValue> {
    match (computed.is_zero_without_facts, computed.ty) {
        (true, ColumnType::Decimal) => {
            Some(ScalarValue::Decimal128(Some(0), SUM_PRECISION, MONEY_SCALE))
        }
        (true, _) => Some(ScalarValue::Int64(Some(0))),
        (false, _) => None,
    }
}
