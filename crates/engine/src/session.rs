//! One tenant at one snapshot, seen from one moment: the tables, and the queries over them.

pub(crate) mod affected;
pub(crate) mod config;
pub(crate) mod evidence;
pub(crate) mod plan;
pub(crate) mod request;
pub(crate) mod rows;
pub(crate) mod snapshot_delta;
pub(crate) mod sorted;
pub(crate) mod transitions;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::datatypes::SchemaRef;
use chrono::Datelike;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::sql::sqlparser::ast::Expr;
use roaring::RoaringTreemap;
use rollbook_model::config::Limits;
use rollbook_model::tables::{PERSONS, TABLES, table};
use rollbook_model::time::YEARS;
use rollbook_model::{GivenTime, Timestamp};
use rollbook_queries::views::{FACTS, OTHER_ORDERS, OWN, STORED_ORDERS, VIEWS};

use crate::cache::PeopleCache;
use crate::criteria::analysis::{Needs, needs};
use crate::criteria::behaviour::EvaluationContext;
use crate::criteria::condition::{Condition, PersonQuery};
use crate::error::EngineError;
use crate::functions::{Uncomputed, lenient};
use crate::opaque::Opaque;
use crate::operators::merge_join::MergeByPerson;
use crate::operators::view::ViewPlanner;
use crate::session::config::{config_in, setup, state};
use crate::session::request::{CacheView, Request};
use crate::session::rows::{Rows, explain};
use crate::sql::parameters::{Parameter, Parameters, values};
use crate::tables::as_of::{AsOfTable, TableSource, last_row_time};
use crate::tables::custom_traits::{CustomTrait, PlannedTrait};
use crate::tables::golden_record::GoldenRecord;
use crate::tables::lazy_views::LazyViews;
use crate::tables::people::People;
use crate::tables::traits::is_column_of_people;
use crate::times::{table_in_zone, with_times};

mod answer;

pub use crate::tables::options::SessionOptions;
pub use answer::Answer;

const PEOPLE: &str = "people";

/// The tables of one tenant at one snapshot, seen from one moment, and queries over them.
///
/// Make it, add the tables, then [`Session::finish`] it.
#[derive(Debug)]
pub struct Session {
    state: Opaque<SessionState>,
    planner: ViewPlanner,
    views: Arc<LazyViews>,
    options: SessionOptions,
    cache: Option<Arc<PeopleCache>>,
    /// The only persons whose rows it has; all where this is not set.
    among: Option<Arc<RoaringTreemap>>,
    /// Traits of the tenant's own, as texts until the session is finished.
    texts: Vec<CustomTrait>,
    own: OnceLock<Arc<Vec<PlannedTrait>>>,
    own_names: Arc<BTreeSet<String>>,
    /// When the last row of each table happens, where that is known.
    lasts: Mutex<BTreeMap<&'static str, i64>>,
    uncomputed: Uncomputed,
}

impl Session {
    /// A session without tables.
    ///
    /// # Errors
    /// [`EngineError::AsOfOutOfRange`], [`EngineError::Setup`] where the folder for spilling
    /// cannot be made.
    pub fn new(options: SessionOptions) -> Result<Self, EngineError> {
        let as_of = options.as_of;
        let start = as_of
            .to_utc()
            .filter(|time| YEARS.contains(&time.year()))
            .ok_or_else(|| EngineError::AsOfOutOfRange {
                as_of: as_of.to_string(),
            })?;
        let config = config_in(options.zone);
        let state = state(config, &options.limits, options.spill_dir.clone());
        let with_times = state.and_then(|state| with_times(state, Some(options.zone)));
        let mut state = with_times.map_err(setup)?;
        let uncomputed = Uncomputed::default();
        for function in lenient(&uncomputed) {
            let function = Arc::new(ScalarUDF::from(function));
            state.register_udf(function).map_err(setup)?;
        }
        let ours: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(MergeByPerson);
        for rule in [&ours].into_iter().chain(&options.rules) {
            state = SessionStateBuilder::new_from_existing(state)
                .with_physical_optimizer_rule(Arc::clone(rule))
                .build();
        }
        // A context would set the start to the present time for each query; `now()`,
        // `current_date` and the like follow from it.
        let config = Arc::clone(state.config_options());
        let properties = state.execution_props_mut();
        *properties = ExecutionProps::new().with_query_execution_start_time(start);
        properties.config_options = Some(config);
        let planner = ViewPlanner::new(&state);
        let views = Arc::new(LazyViews::default());
        let names = &state.config_options().catalog;
        let catalog = state.catalog_list().catalog(&names.default_catalog);
        let catalog = catalog.expect("a state has a catalog of its own");
        let schema = Arc::clone(&views) as Arc<dyn SchemaProvider>;
        let registered = catalog.register_schema(&names.default_schema, schema);
        registered.map_err(setup)?;
        Ok(Self {
            state: Opaque::new(state),
            planner,
            views,
            options,
            cache: None,
            among: None,
            texts: Vec::new(),
            own: OnceLock::new(),
            own_names: Arc::default(),
            lasts: Mutex::default(),
            uncomputed,
        })
    }

    /// The same with a cache of its snapshot, from which many conditions are answered.
    #[must_use]
    pub fn with_cache(mut self, cache: Option<Arc<PeopleCache>>) -> Self {
        self.cache = cache;
        self
    }

    /// The same of a session that has the rows of some persons alone.
    #[must_use]
    pub fn with_cache_among(
        mut self,
        cache: Option<Arc<PeopleCache>>,
        among: Arc<RoaringTreemap>,
    ) -> Self {
        self.cache = cache;
        self.among = Some(among);
        self
    }

    /// With traits of the tenant's own, before it is finished. `people` has them as columns, unless
    /// it has one of that name anyway.
    #[must_use]
    pub fn with_traits(mut self, traits: Vec<CustomTrait>) -> Self {
        let is_new = |one: &CustomTrait| !is_column_of_people(&one.name);
        self.texts = traits.into_iter().filter(is_new).collect();
        self.own_names = Arc::new(self.texts.iter().map(|one| one.name.clone()).collect());
        self
    }

    /// With the traits of a finished session and what they are there, before it is finished: where
    /// this one has some of the persons alone, a trait that compares persons still has all of them
    /// to compare.
    #[must_use]
    pub fn with_traits_of(mut self, all: &Self) -> Self {
        self.own = all.own.clone();
        self.own_names = Arc::clone(&all.own_names);
        self
    }

    /// The names of the tenant's own traits, and their types as users know them, or what is wrong
    /// with their texts.
    pub fn custom_traits(&self) -> Vec<(&str, Result<String, Arc<EngineError>>)> {
        let own = self.own.get().into_iter().flat_map(|own| own.iter());
        own.map(|one| (one.name.as_str(), one.ty())).collect()
    }

    /// Whether there are traits of the tenant's own.
    pub fn has_own_traits(&self) -> bool {
        !self.own_names.is_empty()
    }

    /// Computes one of the tenant's own traits for everybody: the type of its values, as users know
    /// it, and how many persons have one.
    ///
    /// # Errors
    /// [`EngineError::InTrait`] where the trait cannot be planned; else as [`Session::stream`].
    pub async fn run_trait(&self, name: &str) -> Result<(String, u64), EngineError> {
        let own = self.own.get().into_iter().flat_map(|own| own.iter());
        let planned = own.into_iter().find(|one| one.name == name);
        let ty = match planned.map(PlannedTrait::ty) {
            Some(Ok(ty)) => ty,
            Some(Err(source)) => {
                let name = name.to_owned();
                return Err(EngineError::InTrait { name, source });
            }
            None => String::new(),
        };
        let sql = format!("select person_id from people where \"{name}\" is not null");
        let mut rows = self.stream(&sql).await?;
        let mut persons = 0;
        while let Some(batch) = rows.next_batch().await? {
            persons += batch.num_rows() as u64;
        }
        Ok((ty, persons))
    }

    /// Whether a name can stand in SQL as it is: `true` and `null` cannot.
    pub fn is_plain_name(&self, name: &str) -> bool {
        let parsed = self.condition(name);
        parsed.is_ok_and(|parsed| matches!(parsed.expr(), Expr::Identifier(_)))
    }

    /// Parses a condition within the limits of this session.
    ///
    /// # Errors
    /// As [`Condition::parse`].
    pub fn condition(&self, text: &str) -> Result<Condition, EngineError> {
        Condition::parse(text, &self.options.limits)
    }

    /// The names of the tenant's own traits.
    pub fn own_trait_names(&self) -> &BTreeSet<String> {
        &self.own_names
    }

    pub(crate) fn cache(&self) -> Option<&PeopleCache> {
        self.cache.as_deref()
    }

    fn kept(&self) -> Option<CacheView> {
        let cache = self.cache.clone()?;
        let never = Arc::clone(&self.own_names);
        let among = self.among.clone();
        Some(CacheView {
            cache,
            among,
            never,
        })
    }

    /// Whether it has a cache to answer conditions from.
    pub fn has_cache(&self) -> bool {
        self.cache.is_some()
    }

    /// The types of all activities, where they are cached.
    pub async fn cached_activity_types(&self) -> Option<BTreeSet<String>> {
        self.cache.as_ref()?.activity_types().await
    }

    /// The different texts in a column of `people`, at most so many, where it is cached.
    pub async fn cached_texts(&self, column: &str, most: usize) -> Option<BTreeSet<String>> {
        self.cache.as_ref()?.distinct_texts(column, most).await
    }

    /// Adds a canonical table.
    ///
    /// # Errors
    /// [`EngineError::TableLacksColumn`], [`EngineError::TableExists`].
    pub fn add_table(&self, source: TableSource) -> Result<(), EngineError> {
        let name = source.def.name;
        let authority = source.authority;
        let stored = Arc::clone(&source.stored);
        if let Some(last) = last_row_time(&source) {
            let mut lasts = self.lasts.lock().unwrap_or_else(PoisonError::into_inner);
            lasts.insert(name, last);
        }
        let seen = AsOfTable::new(source, &self.options, self.planner.clone())?;
        if name == "orders" {
            self.add_view(STORED_ORDERS, stored)?;
        }
        match authority {
            None => self.add_view(name, Arc::new(seen)),
            Some(of) => self.add_view(name, Arc::new(GoldenRecord::new(Arc::new(seen), of))),
        }
    }

    /// Whether no row of a table is known to happen after a moment.
    pub(crate) fn ends_by(&self, table: &str, at: Timestamp) -> bool {
        let lasts = self.lasts.lock().unwrap_or_else(PoisonError::into_inner);
        lasts.get(table).is_some_and(|last| *last <= at.micros())
    }

    /// Adds anything else that queries can read, such as `segment_members`, with its times in the
    /// zone of the session.
    ///
    /// # Errors
    /// [`EngineError::TableExists`].
    pub fn add_view(
        &self,
        name: &str,
        provider: Arc<dyn TableProvider>,
    ) -> Result<(), EngineError> {
        let tables = self.state.schema_for_ref(name).map_err(setup)?;
        if tables.table_exist(name) {
            return Err(EngineError::TableExists {
                table: name.to_owned(),
            });
        }
        let shown = table_in_zone(self.options.zone, provider, &self.planner);
        tables
            .register_table(name.to_owned(), shown)
            .map_err(setup)?;
        Ok(())
    }

    /// Adds the canonical tables that are still missing, without rows.
    ///
    /// # Errors
    /// [`EngineError::Setup`].
    pub fn add_missing_tables(&self) -> Result<(), EngineError> {
        for def in TABLES {
            let tables = self.state.schema_for_ref(def.name).map_err(setup)?;
            if !tables.table_exist(def.name) {
                let stored = Arc::new(EmptyTable::new(def.stored_schema()));
                self.add_table(TableSource {
                    def,
                    stored,
                    vault: None,
                    authority: None,
                })?;
            }
        }
        Ok(())
    }

    /// Adds the views by which several of our texts mean the same.
    fn add_own_views(&self) -> Result<(), EngineError> {
        let as_of = Parameter::Time(Some(self.options.as_of));
        let currency = Parameter::Text(self.options.currency.clone());
        let fx_days = Parameter::Int(self.options.fx_days.into());
        let known = [
            ("as_of", as_of),
            ("currency", currency),
            ("fx_days", fx_days),
        ];
        let values = values(&known, self.options.zone);
        let tables = self.state.schema_for_ref(STORED_ORDERS).map_err(setup)?;
        if !tables.table_exist(OTHER_ORDERS) {
            let orders = table("orders").expect("it is a canonical table");
            let none = EmptyTable::new(orders.stored_schema());
            self.add_view(OTHER_ORDERS, Arc::new(none))?;
        }
        let own = OWN.into_iter().map(|(name, _, sql)| (name, sql));
        let own: Vec<_> = own.filter(|(name, _)| !tables.table_exist(name)).collect();
        let all = own.into_iter().chain(VIEWS).chain(FACTS);
        let begun = self
            .views
            .set_views(all, values, self.options.zone, &self.planner);
        begun.map_err(setup)
    }

    /// Adds the missing tables and builds the view `people`. Call it once, after the tables.
    ///
    /// # Errors
    /// [`EngineError::TableExists`] on a second call, [`EngineError::Setup`].
    pub async fn finish(&self) -> Result<(), EngineError> {
        self.add_missing_tables()?;
        self.add_own_views()?;
        let tables = self.state.schema_for_ref(PERSONS.name).map_err(setup)?;
        let persons = tables.table(PERSONS.name).await.map_err(setup)?;
        let persons = persons.expect("the missing tables were just added");
        let planner = self.planner.clone();
        let own = match self.own.get() {
            Some(own) => Arc::clone(own),
            None => {
                let mut own = Vec::new();
                for one in &self.texts {
                    own.push(PlannedTrait::new(&self.state, one, &self.options.limits).await);
                }
                Arc::clone(self.own.get_or_init(|| Arc::new(own)))
            }
        };
        let views = Arc::downgrade(&self.views);
        let zone = self.options.zone;
        let people = People::new(persons, self.options.as_of, zone, (views, own), planner);
        self.add_view(PEOPLE, Arc::new(people))
    }

    /// How a query would be run: the physical plan, one operator a line.
    ///
    /// # Errors
    /// As [`Session::stream`], while it is planned.
    pub async fn explain(&self, sql: &str) -> Result<String, EngineError> {
        let request = Request::Query(sql.to_owned(), None);
        explain(self.state.clone(), request, self.options.limits).await
    }

    /// Runs one query and gives its rows as they come, however many. The time limit holds for
    /// the engine's own time, not for what the caller does between two batches.
    ///
    /// # Errors
    /// The text is empty, too long, too complex or not one query; tables, columns and functions that
    /// are unknown, types that do not fit, and personal columns that the caller may not see; the
    /// limits of memory, disk and time, also while rows are read.
    pub async fn stream(&self, sql: &str) -> Result<Rows, EngineError> {
        self.start(Request::Query(sql.to_owned(), None)).await
    }

    /// As [`Session::stream`], with values for the text's `$names`.
    ///
    /// # Errors
    /// As [`Session::stream`].
    pub async fn stream_with(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Rows, EngineError> {
        let values = Some(values(parameters, self.options.zone));
        self.start(Request::Query(sql.to_owned(), values)).await
    }

    /// The persons who meet a condition on `people`: one column `person_id` (bigint), each once,
    /// in no order. A person for whom the condition is null is not among them. `members` has a
    /// table with the column `person_id` (bigint), each once, for every segment that the condition
    /// names.
    ///
    /// # Errors
    /// Names that are unknown, types that do not fit and functions that cannot stand in a condition,
    /// with positions in the text in which it was written; the limits of memory, disk and time.
    pub async fn people_where_with(
        &self,
        condition: &Condition,
        members: BTreeMap<String, Arc<dyn TableProvider>>,
    ) -> Result<Rows, EngineError> {
        let request = Request::PeopleWhere(condition.clone(), members, self.eval_context());
        self.start(request).await
    }

    /// Plans a condition as [`Session::people_where_with`] does, without running it.
    ///
    /// # Errors
    /// Names that are unknown, types that do not fit and functions that cannot stand in a condition,
    /// with positions in the text in which it was written; the limit of time.
    pub async fn check(
        &self,
        condition: &Condition,
        members: BTreeMap<String, Arc<dyn TableProvider>>,
    ) -> Result<(), EngineError> {
        let request = Request::PeopleWhere(condition.clone(), members, self.eval_context());
        let plan = explain(self.state.clone(), request, self.options.limits);
        plan.await.map(drop)
    }

    /// Every person of `people`, and which of the conditions it meets: `person_id` (bigint), then
    /// a boolean for each condition, null where that is unknown. All conditions are answered from
    /// one pass over each fact that they ask about; none may have a query within it. `members`
    /// is as for [`Session::people_where_with`].
    ///
    /// # Errors
    /// As [`Session::people_where_with`]; positions are those of the last condition's text where
    /// conditions of several texts are given.
    pub async fn people_matching(
        &self,
        criteria: Vec<Condition>,
        members: BTreeMap<String, Arc<dyn TableProvider>>,
    ) -> Result<Rows, EngineError> {
        let kept = self.kept();
        let request = Request::People(criteria, members, self.eval_context(), kept);
        self.start(request).await
    }

    /// Every person of `people`, and what expressions of any type come to: `person_id` (bigint),
    /// then a column for each.
    ///
    /// # Errors
    /// As [`Session::people_matching`].
    pub async fn people_values(
        &self,
        expressions: Vec<Condition>,
        members: BTreeMap<String, Arc<dyn TableProvider>>,
    ) -> Result<Rows, EngineError> {
        let kept = self.kept();
        let request = Request::Values(expressions, members, self.eval_context(), kept);
        self.start(request).await
    }

    /// What cannot be computed of conditions on persons, for whom it is null.
    pub fn uncomputed(&self) -> Uncomputed {
        self.uncomputed.clone()
    }

    /// What a condition needs, before anything is evaluated.
    ///
    /// # Errors
    /// [`EngineError::Behaviour`] where a behaviour function is called otherwise than it can be.
    pub fn needs(&self, condition: &Condition) -> Result<Needs, EngineError> {
        needs(&self.state, condition, self.eval_context())
    }

    pub(crate) fn eval_context(&self) -> EvaluationContext {
        EvaluationContext {
            as_of: self.options.as_of,
            zone: self.options.zone,
        }
    }

    /// The persons of `people` whose ids a `select person_id …` gives: one column `person_id`
    /// (bigint), each once, in no order. Nulls and ids that `people` does not have are left out.
    ///
    /// # Errors
    /// [`EngineError::NotPersonIds`] where it does not give one column `person_id` of integers;
    /// [`EngineError::Volatile`]; else as [`Session::stream`].
    pub async fn select_person_ids(&self, query: &PersonQuery) -> Result<Rows, EngineError> {
        self.start(Request::PersonIds(query.clone())).await
    }

    /// The columns of `people`, which criteria are written on; `None` before
    /// [`Session::finish`].
    pub async fn people_schema(&self) -> Option<SchemaRef> {
        let tables = self.state.schema_for_ref(PEOPLE).ok()?;
        tables
            .table(PEOPLE)
            .await
            .ok()?
            .map(|people| people.schema())
    }

    /// The currency in which amounts are reported, ISO 4217.
    pub fn currency(&self) -> Option<&str> {
        self.options.currency.as_deref()
    }

    /// A text with its time in UTC, where it is a time that names no zone.
    pub fn in_utc(&self, text: &str) -> String {
        match text.parse::<GivenTime>() {
            Ok(local @ GivenTime::Local(_)) => local.in_zone(self.options.zone).to_string(),
            _ => text.to_owned(),
        }
    }

    /// The moment from which this session looks.
    pub fn as_of(&self) -> Timestamp {
        self.options.as_of
    }

    /// What each query may use.
    pub fn limits(&self) -> &Limits {
        &self.options.limits
    }

    pub(crate) fn state(&self) -> &SessionState {
        &self.state
    }

    async fn start(&self, request: Request) -> Result<Rows, EngineError> {
        Rows::start(self.state.clone(), request, self.options.limits).await
    }
}
