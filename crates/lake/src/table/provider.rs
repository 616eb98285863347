//! Reading tables: as a table provider of DataFusion, or file by file.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::config::TableParquetOptions;
use datafusion_common::stats::Precision;
use datafusion_common::{Column, DFSchema, Result as DataFusionResult, ScalarValue, Statistics};
use datafusion_datasource::PartitionedFile;
use datafusion_datasource::file_groups::FileGroup;
use datafusion_datasource::file_scan_config::FileScanConfigBuilder;
use datafusion_datasource::source::DataSourceExec;
use datafusion_datasource_parquet::source::ParquetSource;
use datafusion_datasource_parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType, lit};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::empty::EmptyExec;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;
use roaring::RoaringTreemap;
use rollbook_model::TableDef;
use rollbook_model::config::BATCH_ROWS;

use crate::LakeError;
use crate::lake::Lake;
use crate::state::{DataFile, TableState};
use crate::storage::Store;
use crate::table::identity_remap::IdentityRemap;
use crate::table::moved_rows::MovedRows;
use crate::table::range_scan::{Moving, OrderedScan, RangeScan};
use crate::table::ranges::{SplitPoints, groups_between, overlaps, runs};

/// The largest number of persons for whom a filter lists each id, so that pages are skipped.
const FEW_PERSONS: u64 = 128;

/// A set of Parquet files of one schema as a table.
#[derive(Debug)]
pub struct LakeTable {
    schema: SchemaRef,
    /// The folder of the files, relative to the lake's root.
    folder: String,
    files: Vec<DataFile>,
    store: Store,
    /// The column with the time of a row.
    time: Option<&'static str>,
    /// How the table is clustered; `None` for tables whose rows do not belong to persons.
    clustering: Option<Clustering>,
    /// The persons whose rows the table has; `None` for all persons.
    among: Option<Arc<RoaringTreemap>>,
    /// Records whose rows are stored with other persons than their own.
    moves: Option<Arc<IdentityRemap>>,
}

/// How to read the runs of a range, and the remapped rows of a range.
struct Sources {
    runs: ParquetSource,
    moved: ParquetSource,
}

#[derive(Debug)]
struct Clustering {
    sort_columns: Vec<&'static str>,
    cuts: Arc<SplitPoints>,
}

impl LakeTable {
    /// A table at a snapshot, without its personal columns.
    pub fn new(lake: &Lake, def: &TableDef, state: &TableState) -> Self {
        let cuts = Arc::new(SplitPoints::of(state.files.iter()));
        Self::split_at(lake, def, state, cuts)
    }

    /// A table at a snapshot that is scanned in ranges of persons between `cuts`. Tables with the same
    /// split points join without repartitioning.
    pub fn split_at(
        lake: &Lake,
        def: &TableDef,
        state: &TableState,
        cuts: Arc<SplitPoints>,
    ) -> Self {
        let mut table = Self::over(lake, def.stored_schema(), def.name, &state.files);
        table.time = def.time;
        table.clustering = def.is_personal_fact().then(|| Clustering {
            sort_columns: def.sort_columns(),
            cuts,
        });
        table
    }

    /// Restricts the table to the rows of some persons. Tables whose rows do not belong to persons are
    /// not restricted.
    pub fn among(mut self, persons: Arc<RoaringTreemap>) -> Self {
        if self.clustering.is_some() {
            self.among = Some(persons);
        }
        self
    }

    /// Returns the rows of remapped records under the persons that they belong to, where rows belong to
    /// persons.
    pub fn with_identity_remap(mut self, moves: Arc<IdentityRemap>) -> Self {
        if self.clustering.is_some() {
            self.moves = Some(moves);
        }
        self
    }

    /// The same table with texts as views, which are not copied from a file's dictionaries.
    pub fn with_text_views(mut self) -> Self {
        let fields = self.schema.fields().iter();
        let fields = fields.map(|field| match field.data_type() {
            DataType::Utf8 => field.as_ref().clone().with_data_type(DataType::Utf8View),
            _ => field.as_ref().clone(),
        });
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self
    }

    /// Immutable Parquet objects of one schema as a table, by path in the tenant's folder and size.
    pub fn of_objects(lake: &Lake, schema: SchemaRef, objects: &[(String, u64)]) -> Self {
        let files: Vec<DataFile> = objects
            .iter()
            .map(|(path, size)| DataFile {
                path: path.clone(),
                size: *size,
                ..DataFile::default()
            })
            .collect();
        Self::in_folder(lake, schema, lake.tenant().to_string(), &files)
    }

    /// Some files of a table, scanned in no order.
    pub fn of_files(lake: &Lake, def: &TableDef, files: &[DataFile]) -> Self {
        Self::over(lake, def.stored_schema(), def.name, files)
    }

    pub(crate) fn over(lake: &Lake, schema: SchemaRef, folder: &str, files: &[DataFile]) -> Self {
        Self::in_folder(lake, schema, lake.path(folder), files)
    }

    fn in_folder(lake: &Lake, schema: SchemaRef, folder: String, files: &[DataFile]) -> Self {
        Self {
            schema,
            folder,
            files: files.to_vec(),
            store: lake.store().clone(),
            time: None,
            clustering: None,
            among: None,
            moves: None,
        }
    }

    fn rows(&self) -> usize {
        let rows = self.files.iter().map(|file| file.rows).sum::<u64>();
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    fn known(&self) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = self.count();
        let time = self.time.and_then(|name| self.schema.index_of(name).ok());
        let times: Option<Vec<[i64; 2]>> = self.files.iter().map(|file| file.times).collect();
        if let (Some(time), Some(times)) = (time, times) {
            let moment = |at: i64| {
                let at = ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into()));
                Precision::Exact(at)
            };
            let column = &mut statistics.column_statistics[time];
            let (first, last) = (times.iter().map(|t| t[0]), times.iter().map(|t| t[1]));
            column.min_value = first.min().map_or(Precision::Absent, moment);
            column.max_value = last.max().map_or(Precision::Absent, moment);
        }
        statistics
    }

    fn count(&self) -> Precision<usize> {
        match self.among {
            None => Precision::Exact(self.rows()),
            Some(_) => Precision::Inexact(self.rows()),
        }
    }

    /// A filter on `person_id` for the persons whose rows the table has. For few persons it lists each id,
    /// so that pages without them are skipped; for many it is a range from the first to the last.
    fn is_among(&self) -> Option<Expr> {
        let persons = self.among.as_ref()?;
        let person = || Expr::Column(Column::new_unqualified("person_id"));
        let bound = |id: u64| lit(id.cast_signed());
        if persons.len() <= FEW_PERSONS {
            let each = persons.iter().map(|id| person().eq(bound(id)));
            return each.reduce(Expr::or);
        }
        let (first, last) = (persons.min()?, persons.max()?);
        Some(person().between(bound(first), bound(last)))
    }

    fn partitioned(&self, file: &DataFile) -> PartitionedFile {
        PartitionedFile::new(format!("{}/{}", self.folder, file.path), file.size)
    }

    /// How to read the files; row groups that `filters` exclude are skipped.
    fn source<'a>(
        &self,
        state: &dyn Session,
        filters: impl Iterator<Item = &'a Expr>,
    ) -> DataFusionResult<ParquetSource> {
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..Default::default()
        };
        let source =
            ParquetSource::new(Arc::clone(&self.schema)).with_table_parquet_options(options);
        let source = source.with_parquet_file_reader_factory(self.store.parquet_readers());
        let Some(all) = conjunction(filters.cloned()) else {
            return Ok(source);
        };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        Ok(source.with_predicate(state.create_physical_expr(all, &schema)?))
    }

    fn read(
        &self,
        source: &ParquetSource,
        groups: Vec<FileGroup>,
        projection: Option<Vec<usize>>,
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let url = self.store.url().clone();
        // The planner keeps the smaller side of a join in memory.
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(self.rows());
        let config = FileScanConfigBuilder::new(url, Arc::new(source.clone()))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_limit(limit)
            .with_projection_indices(projection)?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// A scan of ranges of persons, each in order.
    fn ordered(
        &self,
        clustering: &Clustering,
        sources: &Sources,
        projection: Option<&Vec<usize>>,
        partitions: usize,
        rows: Precision<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let person_id = self.schema.index_of("person_id")?;
        let all = || (0..self.schema.fields().len()).collect();
        let mut columns: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let output = Arc::new(self.schema.project(&columns)?);
        let found = columns.iter().position(|column| *column == person_id);
        let person = found.unwrap_or(columns.len());
        if found.is_none() {
            columns.push(person_id);
        }
        let moving = match &self.moves {
            None => None,
            Some(moves) => {
                let identity = self.schema.index_of("identity_id")?;
                let found = columns.iter().position(|column| *column == identity);
                let place = found.unwrap_or(columns.len());
                if found.is_none() {
                    columns.push(identity);
                }
                Some(Moving::new(Arc::clone(moves), place))
            }
        };
        let splits = clustering.cuts.split(partitions);
        let begins = std::iter::once(i64::MIN).chain(splits.iter().copied());
        let ends = splits.iter().copied().chain(std::iter::once(i64::MAX));
        let runs = runs(&self.files);
        let mut ranges = Vec::new();
        for (from, to) in begins.zip(ends) {
            let mut plans = Vec::new();
            for run in &runs {
                let inside = run.iter().filter(|file| self.overlaps(file, from, to));
                let files: Vec<_> = inside.map(|file| self.between(file, from, to)).collect();
                if !files.is_empty() {
                    let groups = vec![FileGroup::new(files)];
                    plans.push(self.read(&sources.runs, groups, Some(columns.clone()), None)?);
                }
            }
            let runs = plans;
            let moved = match &moving {
                None => None,
                Some(moving) => self.moved_into(sources, moving, [from, to], person, &columns)?,
            };
            ranges.push(RangeScan {
                from,
                to,
                runs,
                moved,
            });
        }
        let table = self.folder.clone();
        let sort = &clustering.sort_columns;
        let scan = OrderedScan::try_new(table, ranges, output, person, sort, rows)?;
        Ok(Arc::new(scan.among(self.among.clone()).moving(moving)))
    }

    /// The rows of remapped records that belong to a range; `None` where there are none.
    fn moved_into(
        &self,
        sources: &Sources,
        moving: &Moving,
        [from, to]: [i64; 2],
        person: usize,
        columns: &[usize],
    ) -> DataFusionResult<Option<MovedRows>> {
        let moves = moving.moves.within(from, to, self.among.as_deref());
        let homes = self.homes(&moves);
        let Some(clustering) = self.clustering.as_ref().filter(|_| !homes.is_empty()) else {
            return Ok(None);
        };
        let place = |name: &&str| {
            let column = self.schema.index_of(name).ok()?;
            columns.iter().position(|known| *known == column)
        };
        let groups = vec![FileGroup::new(homes)];
        Ok(Some(MovedRows {
            homes: self.read(&sources.moved, groups, Some(columns.to_vec()), None)?,
            moves: Arc::new(moves),
            person,
            identity: moving.identity,
            order: clustering.sort_columns.iter().map_while(place).collect(),
        }))
    }

    /// The files that may hold rows of remapped records, without row groups that hold none.
    fn homes(&self, moves: &IdentityRemap) -> Vec<PartitionedFile> {
        if moves.is_empty() {
            return Vec::new();
        }
        let homes = moves.homes();
        let may_hold = |file: &&DataFile| {
            let groups = groups_between(file, i64::MIN, i64::MAX, Some(&homes));
            groups.is_none_or(|groups| groups.contains(&true))
        };
        let files = self.files.iter().filter(may_hold);
        let part = |file| self.part(file, i64::MIN, i64::MAX, Some(&homes));
        files.map(part).collect()
    }

    /// Whether a file may hold rows of a range, of persons that the table has.
    fn overlaps(&self, file: &DataFile, from: i64, to: i64) -> bool {
        let groups = || groups_between(file, from, to, self.among.as_deref());
        overlaps(file, from, to) && groups().is_none_or(|groups| groups.contains(&true))
    }

    /// A file without the row groups that hold no person of a range.
    fn between(&self, file: &DataFile, from: i64, to: i64) -> PartitionedFile {
        self.part(file, from, to, self.among.as_deref())
    }

    fn part(
        &self,
        file: &DataFile,
        from: i64,
        to: i64,
        among: Option<&RoaringTreemap>,
    ) -> PartitionedFile {
        let whole = self.partitioned(file);
        match groups_between(file, from, to, among) {
            Some(wanted) if wanted.contains(&false) => {
                let access = |wanted| match wanted {
                    true => RowGroupAccess::Scan,
                    false => RowGroupAccess::Skip,
                };
                let groups = wanted.into_iter().map(access).collect();
                whole.with_extension(ParquetAccessPlan::new(groups))
            }
            _ => whole,
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

    /// The number of rows, and the first and last time.
    fn statistics(&self) -> Option<Statistics> {
        Some(self.known())
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let store = self.store.object_store();
        let url = self.store.url().as_ref();
        state.runtime_env().register_object_store(url, store);
        let among = self.is_among();
        let source = self.source(state, filters.iter().chain(&among))?;
        let partitions = state.config().target_partitions().max(1);
        if let Some(clustering) = &self.clustering {
            let rows = match filters {
                [] => self.count(),
                _ => Precision::Inexact(self.rows()),
            };
            // The stored person of a remapped row is not the one it belongs to.
            let is_of_row = |filter: &&Expr| {
                let mut columns = filter.column_refs().into_iter();
                !columns.any(|column| column.name == "person_id")
            };
            let sources = Sources {
                runs: source,
                moved: self.source(state, filters.iter().filter(is_of_row))?,
            };
            return self.ordered(clustering, &sources, projection, partitions, rows);
        }
        if self.files.is_empty() {
            // A scan of no file would have no partition, and operators that sort need one.
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => SchemaRef::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let files = self.files.iter().map(|file| self.partitioned(file));
        let groups = FileGroup::new(files.collect()).split_files(partitions);
        self.read(&source, groups, projection.cloned(), limit)
    }
}

/// Reads some columns of one file of a table, or all for `None`, in the file's order.
///
/// # Errors
/// - [`LakeError::Parquet`]: the file is no Parquet file.
/// - [`LakeError::PathOutsideLake`]: the path of the file leads out of the lake.
/// - [`LakeError::Store`], [`LakeError::File`]: the file is missing or cannot be read.
pub async fn read_file(
    lake: &Lake,
    def: &TableDef,
    file: &DataFile,
    columns: Option<&[&str]>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    read_path(lake, &format!("{}/{}", def.name, file.path), columns).await
}

/// Reads the rows of a file with these numbers, in ascending order, like [`read_file`].
///
/// # Errors
/// The errors of [`read_file`].
pub async fn read_rows(
    lake: &Lake,
    def: &TableDef,
    file: &DataFile,
    rows: &[u32],
    columns: Option<&[&str]>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    let below = format!("{}/{}", def.name, file.path);
    let total = usize::try_from(file.rows).unwrap_or(usize::MAX);
    let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
    let wanted = RowSelection::from_consecutive_ranges(ranges, total);
    read(lake, &below, columns, Some(wanted)).await
}

/// The columns in `names` that have a value in some row of a file, by its statistics. A column
/// without statistics counts as one with values.
///
/// # Errors
/// The errors of [`read_file`].
pub async fn columns_with_values<'a>(
    lake: &Lake,
    def: &TableDef,
    file: &DataFile,
    names: &[&'a str],
) -> Result<Vec<&'a str>, LakeError> {
    let below = format!("{}/{}", def.name, file.path);
    let opened = lake.store().open(&lake.path(&below)).await?;
    let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Skip);
    let read = ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options);
    let read = read.map_err(|source| LakeError::Parquet {
        doing: "read",
        path: below,
        source,
    })?;
    let leaves = read.parquet_schema().columns().iter().enumerate();
    let filled: Vec<&str> = leaves
        .filter(|(place, _)| {
            read.metadata().row_groups().iter().any(|group| {
                let chunk = group.column(*place);
                let nulls = chunk.statistics().and_then(|known| known.null_count_opt());
                nulls != u64::try_from(chunk.num_values()).ok()
            })
        })
        .filter_map(|(_, leaf)| leaf.path().parts().first().map(String::as_str))
        .collect();
    let has_value = |name: &&&str| filled.contains(name);
    Ok(names.iter().filter(has_value).copied().collect())
}

/// Reads a Parquet object by its path in the tenant's folder, like [`read_file`].
pub(crate) async fn read_path(
    lake: &Lake,
    below: &str,
    columns: Option<&[&str]>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    read(lake, below, columns, None).await
}

async fn read(
    lake: &Lake,
    below: &str,
    columns: Option<&[&str]>,
    rows: Option<RowSelection>,
) -> Result<ParquetRecordBatchReader, LakeError> {
    let opened = lake.store().open(&lake.path(below)).await?;
    let failed = |source| LakeError::Parquet {
        doing: "read",
        path: below.to_owned(),
        source,
    };
    // The page index is needed only to skip rows.
    let options = ArrowReaderOptions::new().with_offset_index_policy(match rows {
        Some(_) => PageIndexPolicy::Optional,
        None => PageIndexPolicy::Skip,
    });
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options).map_err(failed)?;
    let mask = match columns {
        None => ProjectionMask::all(),
        Some(names) => {
            let roots = indices(builder.schema(), names);
            ProjectionMask::roots(builder.parquet_schema(), roots)
        }
    };
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    if let Some(rows) = rows {
        builder = builder.with_row_selection(rows);
    }
    builder.build().map_err(failed)
}

fn indices(schema: &Schema, names: &[&str]) -> Vec<usize> {
    names
        .iter()
        .filter_map(|name| schema.index_of(name).ok())
        .collect()
}
