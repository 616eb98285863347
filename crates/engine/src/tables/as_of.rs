//! A canonical table as queries see it: without rows after `as_of`, and with personal columns,
//! which are read from the vault only if a query uses them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    Expr, JoinType, LogicalPlanBuilder, ScalarUDF, TableProviderFilterPushDown, cast, lit,
};
use datafusion::physical_plan::ExecutionPlan;
use rollbook_model::{ColumnDef, TableDef, Timestamp};

use crate::error::EngineError;
use crate::operators::view::{ScanRequest, ViewPlanner, pushdown};
use crate::sql::texts::stands_for;
use crate::tables::options::SessionOptions;
use crate::times::{column_in_zone, field_in_zone};
use crate::wrapped_errors::PermissionDenied;

const VAULT: &str = "vault";

/// The provider of one canonical table's rows.
#[derive(Debug, Clone)]
pub struct TableSource {
    /// The definition of the table.
    pub def: &'static TableDef,
    /// The rows, with the columns of [`TableDef::stored_schema`].
    pub stored: Arc<dyn TableProvider>,
    /// The personal values of the rows. Without a vault the personal columns are null.
    pub vault: Option<VaultSource>,
    /// For a table with several records a person: the rank of a provider, 0 for the most trusted.
    /// `None` if each record is a person.
    pub authority: Option<fn(&str) -> u8>,
}

/// The provider of one table's personal values.
#[derive(Debug, Clone)]
pub struct VaultSource {
    /// At most one row for each key, with the columns of [`TableDef::sealed_schema`] if there is a
    /// decryptor, else with those of [`TableDef::vault_schema`].
    pub rows: Arc<dyn TableProvider>,
    /// Decrypts the values of `rows`; `None` if they are plain.
    pub decryptor: Option<Arc<dyn Decrypt>>,
}

/// An error of a decryptor.
pub type DecryptError = Box<dyn std::error::Error + Send + Sync>;

/// Decrypts personal values for the queries that read them.
#[async_trait]
pub trait Decrypt: fmt::Debug + Send + Sync {
    /// One function for each column: it takes the columns of [`TableDef::vault_keys`] and an
    /// encrypted value of that column, and returns the plain value.
    ///
    /// # Errors
    /// Any error of the implementation, such as a key that cannot be read.
    async fn functions(
        &self,
        columns: &[&'static ColumnDef],
    ) -> Result<Vec<Arc<ScalarUDF>>, DecryptError>;
}

/// The view over the source of one table.
#[derive(Debug)]
pub(crate) struct AsOfTable {
    source: TableSource,
    schema: SchemaRef,
    as_of: Timestamp,
    /// Whether queries may read personal columns.
    personal: bool,
    /// The time zone of the view's times.
    zone: Arc<str>,
    planner: ViewPlanner,
}

impl AsOfTable {
    /// The view of a source in a session.
    ///
    /// # Errors
    /// [`EngineError::TableLacksColumn`] where a provider lacks a column of the definition.
    pub(crate) fn new(
        source: TableSource,
        options: &SessionOptions,
        planner: ViewPlanner,
    ) -> Result<Self, EngineError> {
        let def = source.def;
        check_columns(def.name, &def.stored_schema(), &source.stored)?;
        if let Some(vault) = &source.vault {
            let schema = match vault.decryptor {
                Some(_) => def.sealed_schema(),
                None => def.vault_schema(),
            };
            check_columns(&format!("{} (vault)", def.name), &schema, &vault.rows)?;
        }
        let stored = source.stored.schema();
        let zone: Arc<str> = options.zone.name().into();
        let fields = source.def.all_columns().map(|column| {
            // Rows without an entry in the vault have null in personal columns.
            let field = match stored.field_with_name(column.name) {
                Ok(stored) => column
                    .field()
                    .with_data_type(stored.data_type().clone())
                    .with_nullable(stored.is_nullable()),
                Err(_) => column.field().with_nullable(true),
            };
            field_in_zone(&field, &zone)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self {
            source,
            schema,
            as_of: options.as_of,
            personal: options.personal,
            zone,
            planner,
        })
    }

    fn stored_column(&self, name: &str) -> Column {
        Column::new(Some(self.source.def.name), name)
    }

    /// Whether all rows are known to lie at or before `as_of`.
    fn is_past(&self) -> bool {
        last_row_time(&self.source).is_some_and(|last| last <= self.as_of.micros())
    }

    /// The rows up to `as_of`, joined with the vault if `with_vault`.
    fn rows(&self, with_vault: bool) -> Result<LogicalPlanBuilder> {
        let def = self.source.def;
        let stored = provider_as_source(Arc::clone(&self.source.stored));
        let mut rows = LogicalPlanBuilder::scan(def.name, stored, None)?;
        if let Some(time) = def.time.filter(|_| !self.is_past()) {
            let time_column = Expr::Column(self.stored_column(time));
            let until = lit(ScalarValue::TimestampMicrosecond(
                Some(self.as_of.micros()),
                Some("UTC".into()),
            ));
            let mut is_visible = time_column.clone().lt_eq(until);
            if self.schema.field_with_name(time)?.is_nullable() {
                is_visible = time_column.is_null().or(is_visible);
            }
            rows = rows.filter(is_visible)?;
        }
        match &self.source.vault {
            Some(vault) if with_vault => {
                let vault = provider_as_source(Arc::clone(&vault.rows));
                let vault = LogicalPlanBuilder::scan(VAULT, vault, None)?.build()?;
                let keys = def.vault_keys().iter();
                let row_keys = keys
                    .clone()
                    .map(|key| self.stored_column(key))
                    .collect::<Vec<_>>();
                let vault_keys = keys
                    .map(|key| Column::new(Some(VAULT), *key))
                    .collect::<Vec<_>>();
                rows.join(vault, JoinType::Left, (row_keys, vault_keys), None)
            }
            _ => Ok(rows),
        }
    }

    /// The expression of each personal column in `columns`.
    async fn decrypted(
        &self,
        columns: &[&'static ColumnDef],
    ) -> Result<BTreeMap<&'static str, Expr>> {
        let sealed = |name: &str| Expr::Column(Column::new(Some(VAULT), name));
        let names = columns.iter().map(|column| column.name);
        let exprs: Vec<Expr> = match &self.source.vault {
            None => columns
                .iter()
                .map(|column| cast(lit(ScalarValue::Null), column.ty.arrow()))
                .collect(),
            Some(VaultSource {
                decryptor: None, ..
            }) => names.clone().map(sealed).collect(),
            Some(VaultSource {
                decryptor: Some(decryptor),
                ..
            }) => {
                let functions = decryptor.functions(columns).await;
                let functions = functions.map_err(DataFusionError::External)?;
                let keys = || self.source.def.vault_keys().iter().map(|key| sealed(key));
                let call = |(function, name): (Arc<ScalarUDF>, &'static str)| {
                    function.call(keys().chain([sealed(name)]).collect())
                };
                functions.into_iter().zip(names.clone()).map(call).collect()
            }
        };
        Ok(names.zip(exprs).collect())
    }
}

#[async_trait]
impl TableProvider for AsOfTable {
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
        let def = self.source.def;
        let columns = request.columns();
        let columns = columns.iter().filter_map(|name| def.column(name));
        let personal: Vec<_> = columns.filter(|column| column.personal).collect();
        if let Some(column) = personal.first().filter(|_| !self.personal) {
            return Err(DataFusionError::External(Box::new(PermissionDenied {
                table: def.name,
                column: column.name,
            })));
        }
        let rows = self.rows(!personal.is_empty())?;
        let decrypted = self.decrypted(&personal).await?;
        let column = |name: &str| {
            let column = match decrypted.get(name) {
                Some(decrypted) => decrypted.clone(),
                None => Expr::Column(self.stored_column(name)),
            };
            match def.column(name).map(|column| column.ty.arrow()) {
                Some(time @ DataType::Timestamp(..)) => column_in_zone(&self.zone, column, &time),
                _ => column,
            }
        };
        request.plan(&self.planner, rows, column).await
    }
}

/// The time of the last row of a table in microseconds, if its statistics tell it.
pub(crate) fn last_row_time(source: &TableSource) -> Option<i64> {
    let known = source.stored.statistics()?;
    let index = source.stored.schema().index_of(source.def.time?).ok()?;
    match &known.column_statistics.get(index)?.max_value {
        Precision::Exact(ScalarValue::TimestampMicrosecond(last, _)) => *last,
        _ => None,
    }
}

fn check_columns(
    table: &str,
    expected: &Schema,
    provider: &Arc<dyn TableProvider>,
) -> Result<(), EngineError> {
    let found = provider.schema();
    for field in expected.fields() {
        let fits = found
            .field_with_name(field.name())
            .is_ok_and(|found| stands_for(found.data_type(), field.data_type()));
        if !fits {
            return Err(EngineError::TableLacksColumn {
                table: table.to_owned(),
                column: field.name().clone(),
                expected: field.data_type().to_string(),
            });
        }
    }
    Ok(())
}
