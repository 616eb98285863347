//! Runs one mapping over its files: rows go to the stage, failed ones to quarantine.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, cast, ident};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use roaring::RoaringTreemap;
use rollbook_engine::EngineError;
use rollbook_lake::{Lake, LakeTable, State};
use rollbook_model::config::Limits;
use rollbook_model::{Shape, TableDef};
use rollbook_read::SourceFile;

use crate::IngestError;
use crate::mapping::casts::NumbersWithComma;
use crate::mapping::reads::PRESENCE;
use crate::mapping::{Mapping, NumberStyle, provenance};
use crate::persons::erasure_list::ErasureFilter;
use crate::quarantine::Quarantine;
use crate::quarantine::entries::{dropped_entry, fault_entry, record_of, refused_entry};
use crate::quarantine::retry::RetryTable;
use crate::rows::canonical::{Caster, DecimalCommas, RowError};
use crate::rows::contact_ids::ContactIds;
use crate::rows::file_columns::{FileColumns, KEY_SET};
use crate::rows::missing_columns::{JoinedSource, MissingColumns};
use crate::rows::stage::{Stage, place_of};
use crate::run::claim::Claim;
use crate::run::progress::{Event, Progress};
use crate::run::source_table::{SourceFiles, SourceTable};
use crate::run::unreadable_lines::column_of_unreadable_line;

/// The name of the driving source before its `only` filter is applied.
const WHOLE: &str = "_whole_source";

/// What all mappings of a run share.
pub(crate) struct MappingRuns<'a> {
    pub(crate) lake: &'a Lake,
    /// What the lake holds already, for mappings that join it.
    pub(crate) state: &'a State,
    pub(crate) limits: Limits,
    pub(crate) contact_ids: ContactIds,
    /// The list of erased persons.
    pub(crate) erased: ErasureFilter,
    /// The place of each file, by its label, among all files of the run.
    pub(crate) places: &'a HashMap<String, u64>,
    pub(crate) files: SourceFiles,
    pub(crate) progress: Progress,
    /// Whether the files are of several requests, each of which must give the same as alone.
    pub(crate) together: bool,
}

/// Where a mapping's driving rows come from.
pub(crate) enum DrivingRows {
    /// From the claimed files.
    Files,
    /// From records that were kept in quarantine.
    Records(RetryTable),
}

/// A planned mapping; of its files only the columns were read.
pub(crate) struct PlannedMapping {
    claim: Claim,
    ordinal: u64,
    context: SessionContext,
    tables: Vec<SourceTable>,
    driving: FileColumns,
    plan: LogicalPlan,
    may_drop: bool,
    caster: Caster,
    pub(crate) absent: MissingColumns,
}

impl PlannedMapping {
    pub(crate) fn mapping(&self) -> &Mapping {
        &self.claim.mapping
    }

    /// The files of each source.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[SourceFile])> {
        let sources = self.claim.mapping.sources.iter().zip(&self.claim.files);
        sources.map(|(source, files)| (source.name.as_str(), files.as_slice()))
    }
}

/// The sources of a mapping as they were registered.
struct RegisteredSources {
    tables: Vec<SourceTable>,
    driving: FileColumns,
    others: Vec<JoinedSource>,
    /// Whether the rows of the driving source tell their keys.
    has_key_sets: bool,
}

impl MappingRuns<'_> {
    /// Plans the mapping with index `ordinal` in the run, before any rows are read.
    pub(crate) async fn plan(
        &self,
        mut claim: Claim,
        ordinal: u64,
        driving: DrivingRows,
    ) -> Result<PlannedMapping, IngestError> {
        loop {
            let error = match self.planned(&claim, ordinal, &driving).await {
                Err(error) => error,
                planned => return planned,
            };
            match column_of_unreadable_line(&claim, &error) {
                Some(column) => claim.mapping.sources[0].optional.push(column),
                None => return Err(error),
            }
        }
    }

    async fn planned(
        &self,
        claim: &Claim,
        ordinal: u64,
        driving: &DrivingRows,
    ) -> Result<PlannedMapping, IngestError> {
        let mapping = &claim.mapping;
        let context = rollbook_engine::mapping_session(self.limits, None)?;
        if mapping.numbers == Some(NumberStyle::Comma) {
            context.add_analyzer_rule(Arc::new(NumbersWithComma::new()));
        }
        let sources = self.register(&context, claim, driving).await?;
        let (plan, may_drop) = plan(&context, mapping, sources.has_key_sets).await?;
        let is_alike = sources.tables.iter().all(SourceTable::is_alike);
        if self.together && !(is_row_by_row(&plan) && is_alike) {
            return Err(IngestError::NotTogether);
        }
        let caster = Caster::new(mapping, plan.schema().as_arrow(), self.contact_ids.clone())?;
        let absent = MissingColumns::new(
            mapping,
            &plan,
            WHOLE,
            sources.driving.clone(),
            sources.others,
        );
        Ok(PlannedMapping {
            ordinal,
            context,
            tables: sources.tables,
            driving: sources.driving,
            plan,
            may_drop,
            caster,
            absent,
            claim: claim.clone(),
        })
    }

    /// Runs a mapping.
    pub(crate) async fn run(
        &self,
        planned: PlannedMapping,
        stage: &mut Stage,
        quarantine: &mut Quarantine,
    ) -> Result<(), IngestError> {
        let PlannedMapping {
            claim,
            ordinal,
            context,
            tables: sources,
            driving,
            plan,
            may_drop,
            caster,
            mut absent,
        } = planned;
        let mapping = &claim.mapping;
        self.progress.report(Event::Mapping {
            mapping: mapping.label(),
            files: claim.files.first().map_or(0, Vec::len),
        });
        let mut commas = DecimalCommas::default();
        let unyielded = loop {
            let savepoint = stage.savepoint();
            let work = ReadTask {
                mapping,
                caster: &caster,
                ordinal,
                may_drop,
            };
            let unyielded = self
                .read(
                    &context,
                    plan.clone(),
                    &work,
                    (&mut commas, &mut absent),
                    stage,
                )
                .await?;
            if !commas.are_late() {
                break unyielded;
            }
            stage.roll_back(savepoint);
        };
        if may_drop || !unyielded.faults.is_empty() {
            let driving = (mapping, &driving);
            self.set_aside(&context, driving, unyielded, stage, quarantine)
                .await?;
        }
        for refused in sources.iter().flat_map(SourceTable::take_refused) {
            let counts = stage.file_counts.at(self.place(&refused.file));
            counts.read += 1;
            counts.quarantined += 1;
            quarantine.add(refused_entry(mapping, refused))?;
        }
        Ok(())
    }

    /// Runs the statement once: rows go to the stage, errors of rows are returned.
    async fn read(
        &self,
        context: &SessionContext,
        plan: LogicalPlan,
        work: &ReadTask<'_>,
        (commas, absent): (&mut DecimalCommas, &mut MissingColumns),
        stage: &mut Stage,
    ) -> Result<UnyieldedRows, IngestError> {
        let ReadTask {
            mapping,
            caster,
            ordinal,
            may_drop,
        } = *work;
        let failed = |source| run_error(mapping, source);
        let frame = context.execute_logical_plan(plan).await.map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut faults: BTreeMap<(String, i64), Vec<RowError>> = BTreeMap::new();
        let mut yielded: HashMap<String, RoaringTreemap> = HashMap::new();
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            let mut canonical = caster.cast(&batch, commas)?;
            let absent = absent.of_rows(&canonical);
            stage.odd.add(canonical.odd);
            let places = self.places_of(&canonical.files);
            for place in &places {
                stage.file_counts.at(*place).read += 1;
            }
            for fault in &canonical.faults {
                let counts = stage.file_counts.at(self.place(&fault.file));
                counts.read += 1;
                counts.quarantined += 1;
            }
            if may_drop {
                note_lines(&canonical.files, &canonical.lines, &mut yielded);
                for fault in &canonical.faults {
                    note(&fault.file, fault.line, &mut yielded);
                }
            }
            for fault in canonical.faults {
                faults
                    .entry((fault.file.clone(), fault.line))
                    .or_default()
                    .push(fault);
            }
            if mapping.table.shape == Shape::Fact {
                let without = self
                    .erased
                    .without_persons_of_erased(mapping.table, &canonical.rows);
                let failed = IngestError::rows(mapping.table.name, "filtered");
                if let Some(rows) = without.map_err(failed)? {
                    canonical.rows = rows;
                }
            }
            let admitted = match mapping.table.shape {
                Shape::Person => self.erased.admitted(&canonical.rows),
                _ => None,
            };
            let Some(admitted) = admitted else {
                let order = |row: usize| place_of(ordinal, places[row], canonical.lines.value(row));
                stage.add(&canonical.rows, mapping.keep_existing, order, |row| {
                    absent[row]
                })?;
                continue;
            };
            // Rows of erased persons are counted and not stored.
            let stays = |row: &usize| admitted.value(*row);
            let (kept, gone): (Vec<usize>, Vec<usize>) = (0..places.len()).partition(stays);
            for row in gone {
                stage.file_counts.at(places[row]).unchanged += 1;
            }
            let rows = filter_record_batch(&canonical.rows, &admitted)
                .map_err(IngestError::rows(mapping.table.name, "filtered"))?;
            let order = |row: usize| {
                let row = kept[row];
                place_of(ordinal, places[row], canonical.lines.value(row))
            };
            stage.add(&rows, mapping.keep_existing, order, |row| absent[kept[row]])?;
        }
        Ok(UnyieldedRows {
            faults,
            yielded: may_drop.then_some(yielded),
        })
    }

    /// The place of each row's file. Rows of one file mostly follow each other.
    fn places_of(&self, labels: &StringArray) -> Vec<u64> {
        let mut last = ("", 0);
        let place = |label| {
            if label != last.0 {
                last = (label, self.place(label));
            }
            last.1
        };
        labels
            .iter()
            .map(Option::unwrap_or_default)
            .map(place)
            .collect()
    }

    /// The place of a file, by its label, among all files of the run.
    fn place(&self, label: &str) -> u64 {
        self.places.get(label).copied().unwrap_or(0)
    }

    async fn register(
        &self,
        context: &SessionContext,
        claim: &Claim,
        driving: &DrivingRows,
    ) -> Result<RegisteredSources, IngestError> {
        let mapping = &claim.mapping;
        let failed = |source| run_error(mapping, source);
        let mut found = RegisteredSources {
            tables: Vec::new(),
            driving: FileColumns::default(),
            others: Vec::new(),
            has_key_sets: false,
        };
        let keeps = !(mapping.absent_is_null || mapping.keep_existing);
        for (at, (source, files)) in mapping.sources.iter().zip(&claim.files).enumerate() {
            let mut other = JoinedSource::default();
            let provider: Arc<dyn TableProvider> = match driving {
                DrivingRows::Records(kept) if at == 0 => {
                    found.driving = kept.file_columns.clone();
                    let (schema, rows) = (kept.rows.schema(), vec![vec![kept.rows.clone()]]);
                    Arc::new(MemTable::try_new(schema, rows).map_err(failed)?)
                }
                _ if files.is_empty() && source.from_lake.is_some() => {
                    let def = source.from_lake.expect("it was just seen");
                    let table = self.text_of_lake(context, def).map_err(failed)?;
                    let schema = table.schema();
                    let names = schema.fields().iter().map(|field| field.name().clone());
                    other.columns.extend(names.chain([PRESENCE.to_owned()]));
                    other.is_of_lake = true;
                    table
                }
                _ => {
                    let own = files.clone();
                    let table = SourceTable::new(source, own, &self.files, at == 0, keeps)?;
                    let provider = table.provider().map_err(failed)?;
                    match at {
                        0 => found.driving = table.file_columns().clone(),
                        _ => other.columns = table.file_columns().all(),
                    }
                    if !files.is_empty() {
                        other.columns.insert(PRESENCE.to_owned());
                    }
                    found.tables.push(table);
                    provider
                }
            };
            match at {
                0 => found.has_key_sets = provider.schema().index_of(KEY_SET).is_ok(),
                _ => found.others.push(other),
            }
            let name = if at == 0 { WHOLE } else { source.name.as_str() };
            context.register_table(name, provider).map_err(failed)?;
        }
        let mut rows = context.table(WHOLE).await.map_err(failed)?;
        if let Some(only) = &mapping.only {
            rows = rollbook_engine::rows_where(context, rows, only)
                .await
                .map_err(|source| sql_error(mapping, source))?;
        }
        let driving = mapping.driving().name.as_str();
        context
            .register_table(driving, rows.into_view())
            .map_err(failed)?;
        Ok(found)
    }

    /// A table of the lake as sources are: columns of text, personal ones not among them.
    fn text_of_lake(
        &self,
        context: &SessionContext,
        def: &'static TableDef,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let table = LakeTable::new(self.lake, def, &self.state.table(def.name));
        let rows = context.read_table(Arc::new(table))?;
        let schema = def.stored_schema();
        let texts = schema
            .fields()
            .iter()
            .filter(|field| !matches!(field.data_type(), DataType::List(_)))
            .map(|field| cast(ident(field.name()), DataType::Utf8).alias(field.name()));
        Ok(rows.select(texts.collect::<Vec<_>>())?.into_view())
    }

    /// Reads the driving source again for the records of rows that failed or were dropped.
    async fn set_aside(
        &self,
        context: &SessionContext,
        (mapping, driving): (&Mapping, &FileColumns),
        unyielded: UnyieldedRows,
        stage: &mut Stage,
        quarantine: &mut Quarantine,
    ) -> Result<(), IngestError> {
        let failed = |source| run_error(mapping, source);
        let rows = context
            .table(mapping.driving().name.as_str())
            .await
            .map_err(failed)?;
        let mut stream = rows.execute_stream().await.map_err(failed)?;
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            let files = batch["_file"].as_string::<i32>();
            let lines = batch["_line"].as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let (file, line) = (files.value(row), lines.value(row));
                if let Some(faults) = unyielded.faults.get(&(file.to_owned(), line)) {
                    let record = record_of(&batch, row, driving);
                    for fault in faults {
                        quarantine.add(fault_entry(mapping, fault, record.clone()))?;
                    }
                } else if unyielded.is_dropped(file, line) {
                    let counts = stage.file_counts.at(self.place(file));
                    counts.read += 1;
                    counts.quarantined += 1;
                    let record = record_of(&batch, row, driving);
                    quarantine.add(dropped_entry(mapping, file, line, record))?;
                }
            }
        }
        Ok(())
    }
}

/// What one pass over a mapping reads.
struct ReadTask<'a> {
    mapping: &'a Mapping,
    caster: &'a Caster,
    /// The mapping's place in the run.
    ordinal: u64,
    /// Whether the mapping can leave rows out.
    may_drop: bool,
}

/// Rows of the driving source without an output row.
struct UnyieldedRows {
    faults: BTreeMap<(String, i64), Vec<RowError>>,
    /// The lines with an output row, where the mapping can drop some.
    yielded: Option<HashMap<String, RoaringTreemap>>,
}

impl UnyieldedRows {
    fn is_dropped(&self, file: &str, line: i64) -> bool {
        let came_out = |lines: &RoaringTreemap| lines.contains(line.unsigned_abs());
        self.yielded
            .as_ref()
            .is_some_and(|all| !all.get(file).is_some_and(came_out))
    }
}

async fn plan(
    context: &SessionContext,
    mapping: &Mapping,
    has_key_sets: bool,
) -> Result<(LogicalPlan, bool), IngestError> {
    let mut may_drop = true;
    let driving = mapping.driving().name.clone();
    let plan = rollbook_engine::plan_select(context, &mapping.sql, |query| {
        may_drop = provenance::carry(query, &driving).may_drop;
        if has_key_sets {
            provenance::carry_too(query, &driving, KEY_SET);
        }
    })
    .await
    .map_err(|source| sql_error(mapping, source))?;
    Ok((plan, may_drop))
}

/// Whether each row of the sources is turned into rows without regard to the others.
fn is_row_by_row(plan: &LogicalPlan) -> bool {
    let by_row = |node: &LogicalPlan| {
        matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Unnest(_)
                | LogicalPlan::Union(_)
        )
    };
    let mut is_by_row = true;
    let walked = plan.apply_with_subqueries(|node| {
        is_by_row &= by_row(node);
        Ok(TreeNodeRecursion::Continue)
    });
    walked.is_ok() && is_by_row
}

fn note_lines(
    files: &arrow::array::StringArray,
    lines: &arrow::array::Int64Array,
    yielded: &mut HashMap<String, RoaringTreemap>,
) {
    for (file, line) in files.iter().zip(lines) {
        note(file.unwrap_or_default(), line.unwrap_or_default(), yielded);
    }
}

fn note(file: &str, line: i64, yielded: &mut HashMap<String, RoaringTreemap>) {
    let line = line.unsigned_abs();
    match yielded.get_mut(file) {
        Some(lines) => drop(lines.insert(line)),
        None => drop(yielded.insert(file.to_owned(), RoaringTreemap::from_iter([line]))),
    }
}

fn sql_error(mapping: &Mapping, source: EngineError) -> IngestError {
    IngestError::MappingSql {
        mapping: mapping.label(),
        source: Box::new(source),
    }
}

/// Unwraps the reader's own error from the stream's.
fn run_error(mapping: &Mapping, error: DataFusionError) -> IngestError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<rollbook_read::ReadError>() {
            Ok(read) => IngestError::Read(*read),
            Err(inner) => IngestError::MappingRun {
                mapping: mapping.label(),
                source: Box::new(DataFusionError::External(inner)),
            },
        },
        other => IngestError::MappingRun {
            mapping: mapping.label(),
            source: Box::new(other),
        },
    }
}
