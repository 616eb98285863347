//! Reading a table: by DataFusion as a table provider, and file by file for those who merge.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::Result as DataFusionResult;
use datafusion_datasource::PartitionedFile;
use datafusion_datasource::file_groups::FileGroup;
use datafusion_datasource::file_scan_config::FileScanConfigBuilder;
use datafusion_datasource::source::DataSourceExec;
use datafusion_datasource_parquet::source::ParquetSource;
use datafusion_expr::{Expr, TableType};
use datafusion_physical_plan::ExecutionPlan;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use rollbook_model::TableDef;
use rollbook_model::config::BATCH_ROWS;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::{DataFile, TableState};
use crate::store::Store;

/// The rows of a set of Parquet files of one schema.
#[derive(Debug)]
pub struct LakeTable {
    schema: SchemaRef,
    files: Vec<PartitionedFile>,
    store: Store,
}

impl LakeTable {
    /// A table at a snapshot, without its personal columns.
    pub fn new(lake: &Lake, def: &TableDef, state: &TableState) -> Self {
        Self::over(lake, def.stored_schema(), def.name, &state.files)
    }

    /// Immutable Parquet objects of one schema in a folder of the tenant's, by name and size.
    pub fn of_objects(
        lake: &Lake,
        schema: SchemaRef,
        folder: &str,
        objects: &[(String, u64)],
    ) -> Self {
        let files: Vec<DataFile> = objects
            .iter()
            .map(|(path, size)| DataFile {
                path: path.clone(),
                size: *size,
                rows: 0,
                min_person: None,
                max_person: None,
            })
            .collect();
        Self::over(lake, schema, folder, &files)
    }

    pub(crate) fn over(lake: &Lake, schema: SchemaRef, folder: &str, files: &[DataFile]) -> Self {
        let files = files
            .iter()
            .map(|file| {
                let path = lake.path(&format!("{folder}/{}", file.path));
                PartitionedFile::new(path, file.size)
            })
            .collect();
        Self {
            schema,
            files,
            store: lake.store().clone(),
        }
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let options = state.config_options().execution.parquet.clone();
        let source = ParquetSource::new(self.schema.clone()).with_table_parquet_options(
            datafusion_common::config::TableParquetOptions {
                global: options,
                ..Default::default()
            },
        );
        // One group a core; clustered groups with a declared order are to come.
        let groups = FileGroup::new(self.files.clone())
            .split_files(state.config().target_partitions().max(1));
        let url = self.store.url();
        state
            .runtime_env()
            .register_object_store(url.as_ref(), self.store.object_store());
        let config = FileScanConfigBuilder::new(url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_limit(limit)
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Reads one file of a table, with the named columns only, in the file's order.
pub async fn read_file(
    lake: &Lake,
    def: &TableDef,
    file: &DataFile,
    columns: Option<&[&str]>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    read_path(lake, &format!("{}/{}", def.name, file.path), columns).await
}

pub(crate) async fn read_path(
    lake: &Lake,
    below: &str,
    columns: Option<&[&str]>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    let opened = lake.store().open(&lake.path(below)).await?;
    let failed = |source| LakeError::Parquet {
        doing: "read",
        path: below.to_owned(),
        source,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(failed)?;
    let mask = match columns {
        None => ProjectionMask::all(),
        Some(names) => {
            let roots = indices(builder.schema(), names);
            ProjectionMask::roots(builder.parquet_schema(), roots)
        }
    };
    builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(failed)
}

fn indices(schema: &Schema, names: &[&str]) -> Vec<usize> {
    names
        .iter()
        .filter_map(|name| schema.index_of(name).ok())
        .collect()
}
