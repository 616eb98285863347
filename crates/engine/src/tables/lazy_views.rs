//! Views that are planned when a query first names them: there are many views, and most queries
//! read few.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use async_trait::async_trait;
use chrono_tz::Tz;
use datafusion::catalog::memory::MemorySchemaProvider;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::ParamValues;
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;

use crate::opaque::Opaque;
use crate::operators::view::ViewPlanner;
use crate::times::table_in_zone;

/// The tables of a session, and the SQL of its views.
#[derive(Debug, Default)]
pub(crate) struct LazyViews {
    tables: MemorySchemaProvider,
    views: OnceLock<Views>,
}

/// The SQL of the views by name, and what planning them needs.
struct Views {
    texts: HashMap<&'static str, &'static str>,
    values: ParamValues,
    zone: Tz,
    planner: ViewPlanner,
    plans: Opaque<Mutex<HashMap<&'static str, LogicalPlan>>>,
}

impl LazyViews {
    /// Sets the views, once the tables that they read are registered.
    ///
    /// # Errors
    /// An error of DataFusion where the schema cannot be registered.
    pub(crate) fn set_views(
        self: &Arc<Self>,
        texts: impl IntoIterator<Item = (&'static str, &'static str)>,
        values: ParamValues,
        zone: Tz,
        planner: &ViewPlanner,
    ) -> Result<()> {
        let tables = Arc::new(WeakTables(Arc::downgrade(self)));
        let views = Views {
            texts: texts.into_iter().collect(),
            values,
            zone,
            planner: planner.over(tables)?,
            plans: Opaque::new(Mutex::default()),
        };
        // A session sets its views once.
        drop(self.views.set(views));
        Ok(())
    }

    /// The plan of a view's SQL over these tables.
    ///
    /// # Errors
    /// An internal error before [`Self::set_views`], and any error of planning.
    pub(crate) async fn plan(&self, name: &'static str, text: &str) -> Result<LogicalPlan> {
        let views = self.views.get().ok_or_else(|| views_not_set(name))?;
        let known = || views.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = known().get(name) {
            return Ok(plan.clone());
        }
        let plan = views.planner.logical_plan(text).await?;
        let plan = plan.with_param_values(views.values.clone())?;
        known().insert(name, plan.clone());
        Ok(plan)
    }

    /// The name and the SQL of a view that is not registered yet.
    fn pending_view(&self, name: &str) -> Option<(&'static str, &'static str)> {
        let (name, text) = self.views.get()?.texts.get_key_value(name)?;
        Some((name, text))
    }
}

#[async_trait]
impl SchemaProvider for LazyViews {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.tables.table_names();
        let texts = self
            .views
            .get()
            .into_iter()
            .flat_map(|views| views.texts.keys());
        let waiting = texts.filter(|name| !self.tables.table_exist(name));
        names.extend(waiting.map(|name| (*name).to_owned()));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(known) = self.tables.table(name).await? {
            return Ok(Some(known));
        }
        let (Some(views), Some((name, text))) = (self.views.get(), self.pending_view(name)) else {
            return Ok(None);
        };
        let plan = self.plan(name, text).await?;
        let view = Arc::new(ViewTable::new(plan, Some(text.to_owned())));
        let view = table_in_zone(views.zone, view, &views.planner);
        // Another query may have registered the view meanwhile; both views are equal.
        drop(
            self.tables
                .register_table(name.to_owned(), Arc::clone(&view)),
        );
        Ok(Some(view))
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        self.tables.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.tables.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.table_exist(name) || self.pending_view(name).is_some()
    }
}

/// The same tables for the views, by a weak reference, since the tables own the views.
#[derive(Debug)]
struct WeakTables(Weak<LazyViews>);

#[async_trait]
impl SchemaProvider for WeakTables {
    fn table_names(&self) -> Vec<String> {
        let tables = self.0.upgrade();
        tables.map_or_else(Vec::new, |tables| tables.table_names())
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.0.upgrade() {
            Some(tables) => tables.table(name).await,
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        let tables = self.0.upgrade();
        tables.is_some_and(|tables| tables.table_exist(name))
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.texts.keys().collect();
        names.sort_unstable();
        f.debug_tuple("Views").field(&names).finish()
    }
}

fn views_not_set(name: &str) -> DataFusionError {
    DataFusionError::Internal(format!(
        "`{name}` was queried before the session was finished"
    ))
}
