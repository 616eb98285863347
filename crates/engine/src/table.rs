//! A canonical table as SQL sees it: without what happens after `as_of`, and with its personal
//! columns, which are fetched from the vault only when a query asks for them.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, JoinType, LogicalPlanBuilder, TableProviderFilterPushDown, cast, lit,
};
use datafusion::physical_plan::ExecutionPlan;
use rollbook_model::{TableDef, Timestamp};

use crate::error::EngineError;
use crate::texts::stands_for;
use crate::view::{Asked, ViewPlanner, pushdown};

const VAULT: &str = "vault";

/// Where the rows of one canonical table come from.
#[derive(Debug, Clone)]
pub struct TableSource {
    /// The table.
    pub def: &'static TableDef,
    /// Its rows, with the columns of [`TableDef::stored_schema`].
    pub stored: Arc<dyn TableProvider>,
    /// The personal values of its rows, with the columns of [`TableDef::vault_schema`], at most
    /// one row for each key. Without it personal columns are null.
    pub vault: Option<Arc<dyn TableProvider>>,
    /// Of a table of records of persons of whom some are one person, how much a provider is trusted,
    /// 0 most; `None` where each record is a person.
    pub authority: Option<fn(&str) -> u8>,
}

/// The view over one table's source.
#[derive(Debug)]
pub(crate) struct SeenTable {
    source: TableSource,
    schema: SchemaRef,
    as_of: Timestamp,
    planner: ViewPlanner,
}

impl SeenTable {
    pub(crate) fn new(
        source: TableSource,
        as_of: Timestamp,
        planner: ViewPlanner,
    ) -> Result<Self, EngineError> {
        check_columns(source.def, &source.stored, false)?;
        if let Some(vault) = &source.vault {
            check_columns(source.def, vault, true)?;
        }
        let stored = source.stored.schema();
        let fields = source.def.all_columns().map(|column| {
            // Rows without an entry in the vault have no personal values.
            match stored.field_with_name(column.name) {
                Ok(stored) => column
                    .field()
                    .with_data_type(stored.data_type().clone())
                    .with_nullable(stored.is_nullable()),
                Err(_) => column.field().with_nullable(true),
            }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self {
            source,
            schema,
            as_of,
            planner,
        })
    }

    fn stored_column(&self, name: &str) -> Column {
        Column::new(Some(self.source.def.name), name)
    }

    /// Whether all rows are known to have happened by `as_of`.
    fn is_past(&self, time: &str) -> bool {
        let known = self.source.stored.statistics();
        let index = self.source.stored.schema().index_of(time);
        let (Some(known), Ok(index)) = (known, index) else {
            return false;
        };
        let last = known.column_statistics.get(index).map(|one| &one.max_value);
        matches!(
            last,
            Some(Precision::Exact(ScalarValue::TimestampMicrosecond(Some(last), _)))
                if *last <= self.as_of.micros()
        )
    }

    /// The rows up to `as_of`, joined with the vault where that is wanted.
    fn rows(&self, with_vault: bool) -> Result<LogicalPlanBuilder> {
        let def = self.source.def;
        let stored = provider_as_source(Arc::clone(&self.source.stored));
        let mut rows = LogicalPlanBuilder::scan(def.name, stored, None)?;
        if let Some(time) = def.time.filter(|time| !self.is_past(time)) {
            let time_column = Expr::Column(self.stored_column(time));
            let until = lit(ScalarValue::TimestampMicrosecond(
                Some(self.as_of.micros()),
                Some("UTC".into()),
            ));
            let mut seen = time_column.clone().lt_eq(until);
            if self.schema.field_with_name(time)?.is_nullable() {
                seen = time_column.is_null().or(seen);
            }
            rows = rows.filter(seen)?;
        }
        match &self.source.vault {
            Some(vault) if with_vault => {
                let vault = provider_as_source(Arc::clone(vault));
                let vault = LogicalPlanBuilder::scan(VAULT, vault, None)?.build()?;
                let keys = def.vault_keys().iter();
                let ours = keys
                    .clone()
                    .map(|key| self.stored_column(key))
                    .collect::<Vec<_>>();
                let theirs = keys
                    .map(|key| Column::new(Some(VAULT), *key))
                    .collect::<Vec<_>>();
                rows.join(vault, JoinType::Left, (ours, theirs), None)
            }
            _ => Ok(rows),
        }
    }
}

#[async_trait]
impl TableProvider for SeenTable {
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
        let asked = Asked {
            schema: &self.schema,
            projection,
            filters,
            limit,
        };
        let def = self.source.def;
        let is_personal = |name: &str| def.column(name).is_some_and(|column| column.personal);
        let with_vault = asked.columns().iter().any(|name| is_personal(name));
        let rows = self.rows(with_vault)?;
        let column = |name: &str| match (def.column(name), &self.source.vault) {
            (Some(column), Some(_)) if column.personal => {
                Expr::Column(Column::new(Some(VAULT), name))
            }
            (Some(column), None) if column.personal => {
                cast(lit(ScalarValue::Null), column.ty.arrow())
            }
            _ => Expr::Column(self.stored_column(name)),
        };
        asked.plan(&self.planner, rows, column).await
    }
}

fn check_columns(
    def: &'static TableDef,
    provider: &Arc<dyn TableProvider>,
    of_vault: bool,
) -> Result<(), EngineError> {
    let expected = if of_vault {
        def.vault_schema()
    } else {
        def.stored_schema()
    };
    let found = provider.schema();
    for field in expected.fields() {
        let fits = found
            .field_with_name(field.name())
            .is_ok_and(|found| stands_for(found.data_type(), field.data_type()));
        if !fits {
            return Err(EngineError::TableLacksColumn {
                table: if of_vault {
                    format!("{} (vault)", def.name)
                } else {
                    def.name.to_owned()
                },
                column: field.name().clone(),
                expected: field.data_type().to_string(),
            });
        }
    }
    Ok(())
}
