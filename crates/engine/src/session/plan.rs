//! From what was asked to a physical plan, with everything that is refused on the way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::DataType;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Column;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{JoinType, LogicalPlan, LogicalPlanBuilder, cast, ident};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Expr;
use futures::future::BoxFuture;
use rollbook_model::ColumnType;
use rollbook_model::config::Limits;

use crate::cache::{CacheRequest, Names};
use crate::criteria::behaviour::{
    Behaviours, EvaluationContext, PERSON, Where, behaviour, resolve_times,
};
use crate::criteria::condition::Condition;
use crate::error::EngineError;
use crate::functions::make_lenient;
use crate::operators::counting::{Counted, CountedActivities};
use crate::operators::view::ViewPlanner;
use crate::rewriting::expressions::holds_a_query;
use crate::session::config::setup;
use crate::session::request::{CacheView, MemberTables, Request};
use crate::sql::check::{check_criteria, planned, to_plan};
use crate::sql::diagnosis::Diagnosis;
use crate::sql::parsing;
use crate::sql::statement::{over_people, over_rows, read_only, rows_where};
use crate::sql::type_names::plain_types;

/// What DataFusion says of an aggregate in a condition.
const AGGREGATE_IN_WHERE: &str = "Aggregate functions are not allowed in the WHERE clause";

/// The table that most behaviour is counted in.
const ACTIVITIES: &str = "activities";

/// Numbers for the names of tables that are there for one request.
static NAMES: AtomicU64 = AtomicU64::new(0);

/// The plan of a request, and the diagnosis that errors of running it need.
type Planned<'a> = Result<(Arc<dyn ExecutionPlan>, Diagnosis<'a>), EngineError>;

/// Plans a request.
pub(crate) fn plan<'a>(
    state: &'a SessionState,
    request: &'a Request,
    limits: &'a Limits,
) -> BoxFuture<'a, Planned<'a>> {
    Box::pin(physical(state, request, limits))
}

async fn physical<'a>(state: &'a SessionState, request: &Request, limits: &Limits) -> Planned<'a> {
    let (mut plan, diagnosis) = match request {
        Request::PeopleWhere(criteria, members, eval_context) => {
            let request = OverPeople {
                criteria: std::slice::from_ref(criteria),
                members,
                eval_context: *eval_context,
                output: Output::Ids,
            };
            request.plan(state, limits, None).await?
        }
        Request::People(criteria, members, eval_context, kept) => {
            let request = OverPeople {
                criteria,
                members,
                eval_context: *eval_context,
                output: Output::Booleans,
            };
            request.plan(state, limits, kept.as_ref()).await?
        }
        Request::Values(values, members, eval_context, kept) => {
            let request = OverPeople {
                criteria: values,
                members,
                eval_context: *eval_context,
                output: Output::Values,
            };
            request.plan(state, limits, kept.as_ref()).await?
        }
        Request::Query(sql, _) => {
            let parsed = parsing::query(sql, limits)?;
            let diagnosis = Diagnosis::new(state, &parsed.tokens, limits);
            let statement = Statement::clone(&parsed.tree);
            (planned(state, statement, &diagnosis).await?, diagnosis)
        }
        Request::PersonIds(query) => {
            let diagnosis = Diagnosis::new(state, query.tokens(), limits);
            let statement = query.statement().clone();
            (planned(state, statement, &diagnosis).await?, diagnosis)
        }
    };
    match request {
        Request::Query(_, Some(values)) => {
            let with_values = plan.with_param_values(values.clone());
            plan = with_values.map_err(|error| diagnosis.explain(error))?;
        }
        Request::PersonIds(_) => {
            check_criteria(&plan, &diagnosis)?;
            plan = known_persons(state, plan, &diagnosis).await?;
        }
        _ => {}
    }
    let physical = state.create_physical_plan(&plan).await;
    Ok((
        physical.map_err(|error| diagnosis.explain(error))?,
        diagnosis,
    ))
}

/// What is wanted of conditions on `people`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// Who meets the first.
    Ids,
    /// Who is there, and whether they meet each.
    Booleans,
    /// The same of expressions of any type.
    Values,
}

/// Who meets one condition, which of several conditions everybody meets, or what expressions come
/// to for everybody.
struct OverPeople<'a> {
    criteria: &'a [Condition],
    members: &'a MemberTables,
    eval_context: EvaluationContext,
    output: Output,
}

impl OverPeople<'_> {
    /// Over the cache, where it has all that the conditions name, else over the lake.
    async fn plan<'a>(
        &self,
        state: &'a SessionState,
        limits: &Limits,
        kept: Option<&CacheView>,
    ) -> Result<(LogicalPlan, Diagnosis<'a>), EngineError> {
        if let Some(some) = kept {
            if let Some(planned) = self.plan_over(state, limits, Some(some)).await? {
                return Ok(planned);
            }
            some.cache.load_in_background().await;
        }
        let planned = self.plan_over(state, limits, None).await?;
        Ok(planned.expect("the lake has everything"))
    }

    async fn plan_over<'a>(
        &self,
        state: &'a SessionState,
        limits: &Limits,
        kept: Option<&CacheView>,
    ) -> Result<Option<(LogicalPlan, Diagnosis<'a>)>, EngineError> {
        let mut behaviours = Behaviours::new(self.eval_context, kept.is_some());
        let (mut conditions, mut names) = (Vec::new(), Names::default());
        let mut diagnosis = None;
        for criteria in self.criteria {
            let of_this = Diagnosis::new(state, criteria.tokens(), limits);
            let mut condition = criteria.expr().clone();
            let over_rows = over_rows(&condition, |name| of_this.is_aggregate(name));
            if let Some(function) = over_rows {
                return Err(of_this.many_rows(Some(&function)));
            }
            names.note(&condition);
            resolve_times(state, self.eval_context.as_of, &mut condition)?;
            // What a part of it is called in warnings is what was written.
            make_lenient(&mut condition, |call| behaviour(call).is_some());
            behaviours.replace(&mut condition)?;
            conditions.push(condition);
            diagnosis = Some(of_this);
        }
        let diagnosis = diagnosis.ok_or(EngineError::Empty)?;
        for text in &behaviours.texts {
            check_text(state, text, limits).await?;
        }
        let mut named = NamedTables::new(state)?;
        let of_segments = named.members(behaviours.segments(), self.members)?;
        let from = match kept {
            None => {
                let counted = named.counted(state, behaviours.counted()).await?;
                let joins = behaviours.joins(&of_segments, counted.as_deref());
                format!("people{joins}")
            }
            Some(kept) => {
                let Some(names) = named.kept(names, &kept.never).await? else {
                    return Ok(None);
                };
                let asked = CacheRequest {
                    context: self.eval_context,
                    persons: kept.among.as_deref(),
                    columns: &names,
                    sources: behaviours.sources(&of_segments),
                };
                // What is wrong is told by a query over the lake.
                let Ok(Some(table)) = kept.cache.table(state, asked).await else {
                    return Ok(None);
                };
                format!("{} as people", named.register(table)?)
            }
        };
        let statement = over_people(conditions, &from, self.output != Output::Ids);
        let plan = match statement {
            Ok(statement) => to_plan(state, statement).await,
            Err(error) => Err(error),
        };
        drop(named);
        if kept.is_some() && plan.is_err() {
            return Ok(None);
        }
        let plan = plan.map_err(|error| match error.to_string() {
            text if text.contains(AGGREGATE_IN_WHERE) => diagnosis.many_rows(None),
            _ => diagnosis.explain(error),
        })?;
        read_only()
            .verify_plan(&plan)
            .map_err(|error| diagnosis.explain(error))?;
        check_criteria(&plan, &diagnosis)?;
        for field in plan.schema().fields().iter().skip(1) {
            if self.output != Output::Values
                && !matches!(field.data_type(), DataType::Boolean | DataType::Null)
            {
                let found = plain_types(&field.data_type().to_string());
                return Err(EngineError::NotBoolean { found });
            }
        }
        Ok(Some((plan, diagnosis)))
    }
}

/// Plans a `where` text by itself, so that what is wrong with it is told in its own words.
async fn check_text(
    state: &SessionState,
    text: &Where,
    limits: &Limits,
) -> Result<(), EngineError> {
    let wrong = |mut source| {
        // The view is ours; to who writes criteria the columns are those of the function.
        if let EngineError::UnknownColumn { table, .. } = &mut source {
            *table = None;
        }
        EngineError::InWhere {
            function: text.function.clone(),
            position: text.position,
            source: Box::new(source),
        }
    };
    let parsed = parsing::condition(&text.text, limits).map_err(wrong)?;
    let diagnosis = Diagnosis::new(state, &parsed.tokens, limits);
    let checked = async {
        let condition = Expr::clone(&parsed.tree);
        if holds_a_query(&condition) {
            let message = "a query within it".to_owned();
            return Err(EngineError::Unsupported { message });
        }
        let explain = |error| diagnosis.explain(error);
        let statement = rows_where(text.relation, condition).map_err(explain)?;
        let plan = planned(state, statement, &diagnosis).await?;
        check_criteria(&plan, &diagnosis)
    };
    checked.await.map_err(wrong)
}

/// Tables that are there while a request is planned.
struct NamedTables {
    schema: Arc<dyn SchemaProvider>,
    names: Vec<String>,
}

impl NamedTables {
    fn new(state: &SessionState) -> Result<Self, EngineError> {
        Ok(Self {
            schema: state.schema_for_ref("people").map_err(setup)?,
            names: Vec::new(),
        })
    }

    /// The names of tables of the members of segments.
    fn members(
        &mut self,
        segments: &[String],
        members: &MemberTables,
    ) -> Result<Vec<String>, EngineError> {
        let mut names = Vec::new();
        for segment in segments {
            let Some(table) = members.get(segment) else {
                return Err(EngineError::Behaviour {
                    function: "in_segment".to_owned(),
                    message: format!("there is no segment `{segment}`"),
                    position: None,
                });
            };
            names.push(self.register(Arc::clone(table))?);
        }
        Ok(names)
    }

    /// The columns of `people` that conditions name; `None` where one of them is personal, or not
    /// all of what they look at is in `people`.
    async fn kept(
        &self,
        names: Names,
        never: &BTreeSet<String>,
    ) -> Result<Option<Vec<String>>, EngineError> {
        let people = self.schema.table("people").await.map_err(setup)?;
        Ok(people.and_then(|people| names.of(&people.schema(), never)))
    }

    /// The name of the table of what is counted of activities.
    async fn counted(
        &mut self,
        state: &SessionState,
        questions: &[Counted],
    ) -> Result<Option<String>, EngineError> {
        let activities = self.schema.table(ACTIVITIES).await.map_err(setup)?;
        let Some(activities) = activities.filter(|_| !questions.is_empty()) else {
            return Ok(None);
        };
        let planner = ViewPlanner::new(state);
        let table = CountedActivities::new(activities, questions.to_vec(), PERSON, planner);
        self.register(Arc::new(table)).map(Some)
    }

    fn register(&mut self, table: Arc<dyn TableProvider>) -> Result<String, EngineError> {
        // Requests are planned side by side.
        let name = format!("_request_{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let registered = self.schema.register_table(name.clone(), table);
        registered.map_err(setup)?;
        self.names.push(name.clone());
        Ok(name)
    }
}

impl Drop for NamedTables {
    fn drop(&mut self) {
        for name in &self.names {
            // It is there: it was registered under a name that nobody else has.
            let _ = self.schema.deregister_table(name);
        }
    }
}

/// The persons of `people` whose id `chosen` puts out.
async fn known_persons(
    state: &SessionState,
    chosen: LogicalPlan,
    diagnosis: &Diagnosis<'_>,
) -> Result<LogicalPlan, EngineError> {
    let fields = chosen.schema().fields();
    let fits = matches!(fields.as_ref(), [field] if field.name() == "person_id"
        && (field.data_type().is_integer() || *field.data_type() == DataType::Null));
    if !fits {
        let found: Vec<_> = fields
            .iter()
            .map(|field| format!("`{}`", field.name()))
            .collect();
        return Err(EngineError::NotPersonIds {
            found: found.join(", "),
        });
    }
    let everybody = state
        .create_logical_plan("select person_id from people")
        .await;
    let joined = everybody.and_then(|everybody| {
        let chosen = LogicalPlanBuilder::from(chosen)
            .alias("chosen_rows")?
            .project(vec![
                cast(ident("person_id"), ColumnType::Int.arrow()).alias("person_id"),
            ])?
            .alias("chosen")?
            .build()?;
        let keys = (
            vec![Column::new(Some("people"), "person_id")],
            vec![Column::new(Some("chosen"), "person_id")],
        );
        LogicalPlanBuilder::from(everybody)
            .join(chosen, JoinType::LeftSemi, keys, None)?
            .build()
    });
    joined.map_err(|error| diagnosis.explain(error))
}
