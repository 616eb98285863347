//! Persons as one row each, where several records are one person: of each column the value of the
//! surest record that has one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::{BinaryExpr, CaseExpr, Column, Literal};
use datafusion::physical_plan::projection::ProjectionExec;

use rollbook_model::{TableDef, Timestamp};

use crate::people::is_of_id;

mod collapse;

use collapse::{CollapseExec, Places};

/// What rows are told apart and weighed by.
const NEEDED: [&str; 4] = ["person_id", "identity_id", "provider", "updated_at"];

/// A table of records of persons, as one of persons.
#[derive(Debug)]
pub(crate) struct Unified {
    def: &'static TableDef,
    records: Arc<dyn TableProvider>,
    /// What lies after it is not known yet.
    as_of: Timestamp,
    /// How much a provider is trusted; 0 most.
    authority: fn(&str) -> u8,
}

impl Unified {
    pub(crate) fn new(
        def: &'static TableDef,
        records: Arc<dyn TableProvider>,
        as_of: Timestamp,
        authority: fn(&str) -> u8,
    ) -> Self {
        Self {
            def,
            records,
            as_of,
            authority,
        }
    }

    /// A column of persons, null while it lies ahead.
    fn seen(&self, field: &Field, place: usize) -> Result<Arc<dyn PhysicalExpr>> {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), place));
        let def = self.def.column(field.name());
        let is_null_ahead = def.is_some_and(|def| self.def.is_null_ahead(def));
        let DataType::Timestamp(_, zone) = field.data_type() else {
            return Ok(column);
        };
        if !is_null_ahead {
            return Ok(column);
        }
        let now = ScalarValue::TimestampMicrosecond(Some(self.as_of.micros()), zone.clone());
        let now = Arc::new(Literal::new(now));
        let is_past = BinaryExpr::new(Arc::clone(&column), Operator::LtEq, now);
        let past = vec![(Arc::new(is_past) as Arc<dyn PhysicalExpr>, column)];
        Ok(Arc::new(CaseExpr::try_new(None, past, None)?))
    }
}

#[async_trait]
impl TableProvider for Unified {
    fn schema(&self) -> SchemaRef {
        self.records.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// What a record says may not be what its person says: only the person's id is looked at before.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match is_of_id(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn PlanningSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.records.schema();
        let all = || (0..schema.fields().len()).collect();
        let asked: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let mut columns = asked.clone();
        for name in NEEDED {
            let column = schema.index_of(name)?;
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let records = self
            .records
            .scan(state, Some(&columns), filters, None)
            .await?;
        let at = |name: &str| records.schema().index_of(name);
        let places = Places {
            person: at("person_id")?,
            identity: at("identity_id")?,
            provider: at("provider")?,
            updated: at("updated_at")?,
        };
        let persons = Arc::new(CollapseExec::new(records, places, self.authority));
        let output = asked.iter().enumerate().map(|(at, column)| {
            let field = schema.field(*column);
            Ok((self.seen(field, at)?, field.name().clone()))
        });
        Ok(Arc::new(ProjectionExec::try_new(
            output.collect::<Result<Vec<_>>>()?,
            persons,
        )?))
    }
}
