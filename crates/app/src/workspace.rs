//! The lake and tenant that a verb works on, and sessions over them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use roaring::RoaringTreemap;
use rollbook_engine::{
    CustomTrait, Decrypt, EngineError, OpeningError, ScalarUDF, Session, SessionOptions,
    TableSource, Uncomputed, VaultSource,
};
use rollbook_identity::resolve::authority;
use rollbook_lake::vault::Vault;
use rollbook_lake::{
    LINKED, Lake, LakeRoot, LakeTable, ORDERS_COMPLETE, RemoveUnusedOrdering, SplitPoints, State,
    Store,
};
use rollbook_model::config::Limits;
use rollbook_model::{ColumnDef, Shape, SnapshotNumber, TableDef, TenantName, Timestamp, tables};
use rollbook_queries::views::{OTHER_ORDERS, OWN};
use rollbook_scoring::scores_table;
use rollbook_segments::membership::memberships;
use rollbook_segments::{
    SegmentChanges, SegmentError, SegmentMembers, Sessions, TraitDefinition, custom_traits,
};

use crate::AppError;
use crate::cache::CacheSlot;
use crate::first_changes::FirstChanges;
use crate::rights::{Caller, Rights};

mod cache;

/// Where a tenant's lake is, and what queries on it may use.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// A folder, a `file://` or an `s3://` URL.
    pub location: String,
    /// The tenant.
    pub tenant: TenantName,
    /// What one query may use.
    pub limits: Limits,
    /// What those who ask may see.
    pub rights: Rights,
    /// Opened once, since it keeps what it has read of files that are read often.
    root: OnceLock<LakeRoot>,
    /// What is kept in memory from one question to the next, where that pays.
    warm: Option<Arc<CacheSlot>>,
    /// When the clock may first change the memberships that were asked about.
    pub(crate) first_changes: Arc<FirstChanges>,
}

impl Workspace {
    /// A place that need not exist yet.
    pub fn new(location: String, tenant: TenantName, limits: Limits) -> Self {
        Self {
            location,
            tenant,
            limits,
            rights: Rights::of(Caller::Local),
            root: OnceLock::new(),
            warm: None,
            first_changes: Arc::default(),
        }
    }

    /// The same, which keeps in memory what questions about criteria need: for those that many are
    /// asked of.
    #[must_use]
    pub fn kept_warm(mut self) -> Self {
        self.warm = Some(Arc::default());
        self
    }

    /// Where the master key was made, if that happened now.
    pub fn made_key(&self) -> Option<String> {
        let master = self.root.get()?.master();
        master.was_made().then(|| master.place())
    }

    /// Refuses those who may not see a personal value that no query gives.
    pub(crate) fn must_see(&self, table: &str, column: &str) -> Result<(), EngineError> {
        match self.rights.personal {
            true => Ok(()),
            false => Err(EngineError::Personal {
                column: column.to_owned(),
                table: table.to_owned(),
                position: None,
            }),
        }
    }

    pub(crate) async fn lake(&self) -> Result<Lake, AppError> {
        Ok(Lake::open_in(self.root()?, self.tenant.clone()).await?)
    }

    pub(crate) async fn lake_or_new(&self) -> Result<Lake, AppError> {
        Ok(Lake::on(self.root()?, self.tenant.clone()).await?)
    }

    fn root(&self) -> Result<LakeRoot, AppError> {
        if let Some(root) = self.root.get() {
            return Ok(root.clone());
        }
        let root = LakeRoot::new(Store::at(&self.location)?);
        Ok(self.root.get_or_init(|| root).clone())
    }

    /// The lake's state at a snapshot, or the newest.
    pub(crate) async fn state(
        &self,
        lake: &Lake,
        snapshot: Option<SnapshotNumber>,
    ) -> Result<State, AppError> {
        Ok(match snapshot {
            Some(number) => lake.state(number).await?,
            None => lake.head().await?,
        })
    }

    /// A session over everything that the lake holds at `state`, seen from `as_of`.
    pub(crate) async fn session(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
    ) -> Result<Session, AppError> {
        self.session_among(lake, state, as_of, None).await
    }

    /// The same for questions about criteria, with what is kept in memory for these.
    pub(crate) async fn warm_session(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
    ) -> Result<Session, AppError> {
        let session = self.session(lake, state, as_of).await?;
        let resident = self.resident(lake, state, as_of).await?;
        Ok(session.with_resident(resident))
    }

    /// The same with the rows of some persons alone, as far as they are not kept.
    async fn warm_session_among(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        among: Arc<RoaringTreemap>,
    ) -> Result<Session, AppError> {
        let some = Some(Arc::clone(&among));
        let session = self.session_among(lake, state, as_of, some).await?;
        let resident = self.resident(lake, state, as_of).await?;
        Ok(session.with_resident_among(resident, among))
    }

    /// The same, where `persons` has every record that is somebody's.
    pub(crate) async fn session_of_records(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, AppError> {
        let mut state = state.clone();
        state.named.remove(LINKED);
        self.session_among(lake, &state, as_of, among).await
    }

    /// The same, with the rows of some persons alone where they are named. The tenant's own traits
    /// are those of all persons.
    pub(crate) async fn session_among(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, AppError> {
        let traits = custom_traits::list(lake, state).await?;
        let traits = traits.iter().map(TraitDefinition::own).collect();
        self.session_with(lake, state, as_of, among, traits).await
    }

    /// The same, with these traits.
    pub(crate) async fn session_with(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
        traits: Vec<CustomTrait>,
    ) -> Result<Session, AppError> {
        // All tables are cut at the same persons, so that joins by person keep the ranges.
        let by_person = tables::TABLES.iter().filter(|def| def.is_personal_fact());
        let files = by_person.filter_map(|def| Some(&state.tables.get(def.name)?.files));
        let cuts = Arc::new(SplitPoints::among(files.flatten(), among.as_deref()));
        let open = |among| self.tables(lake, state, as_of, Arc::clone(&cuts), among);
        let session = match among {
            Some(among) if !traits.is_empty() => {
                let all = open(None).await?.with_traits(traits);
                all.finish().await?;
                open(Some(among)).await?.with_traits_of(&all)
            }
            among => open(among).await?.with_traits(traits),
        };
        session.finish().await?;
        Ok(session)
    }

    /// A session with all tables, which is not finished.
    async fn tables(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        cuts: Arc<SplitPoints>,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, AppError> {
        let settings = state.settings()?;
        let options = SessionOptions {
            as_of,
            zone: settings.zone(),
            currency: settings.currency,
            fx_days: settings.fx_days,
            limits: self.limits,
            spill_dir: None,
            personal: self.rights.personal,
            rules: vec![Arc::new(RemoveUnusedOrdering)],
        };
        let session = Session::new(options)?;
        let moves = lake.moves(state).await?;
        let is_linked = state.named.contains_key(LINKED);
        let is_complete = state.named.contains_key(ORDERS_COMPLETE);
        for def in tables::TABLES {
            let table = state.table(def.name);
            if table.files.is_empty() {
                continue;
            }
            let mut stored = LakeTable::cut_at(lake, def, &table, Arc::clone(&cuts));
            if let Some(moves) = &moves {
                stored = stored.moved(Arc::clone(moves));
            }
            // Rows of orders belong to the persons of these, whatever person they name; to their own
            // where there is no such order.
            let own = OWN.iter().find(|(_, table, _)| *table == def.name);
            if let Some((own, ..)) = own.filter(|_| is_complete) {
                let none = LakeTable::of_files(lake, def, &[]).with_text_views();
                session.add_view(own, Arc::new(none))?;
            }
            match (&among, own) {
                (Some(among), Some((own, ..))) if !is_complete => {
                    let rows = LakeTable::cut_at(lake, def, &table, Arc::clone(&cuts));
                    let rows = rows.among(Arc::clone(among)).with_text_views();
                    let rows = match &moves {
                        Some(moves) => rows.moved(Arc::clone(moves)),
                        None => rows,
                    };
                    session.add_view(own, Arc::new(rows))?;
                }
                (Some(among), None) => stored = stored.among(Arc::clone(among)),
                _ => {}
            }
            if among.is_some() && def.name == "orders" {
                let all = LakeTable::of_files(lake, def, &table.files);
                session.add_view(OTHER_ORDERS, Arc::new(all.with_text_views()))?;
            }
            let stored = Arc::new(stored.with_text_views());
            let authority = (is_linked && def.shape == Shape::Person).then_some(authority as _);
            let vault = match def.has_personal() {
                true => Some(VaultSource {
                    rows: Arc::new(Vault::new(lake, def).table().await?),
                    opens: Some(Arc::new(OfLake {
                        lake: lake.clone(),
                        def,
                    })),
                }),
                false => None,
            };
            session.add_table(TableSource {
                def,
                stored,
                vault,
                authority,
            })?;
        }
        let members = SegmentMembers::new(lake, state, memberships(state)?);
        session.add_view("segment_members", Arc::new(members))?;
        let changes = SegmentChanges::new(lake, state);
        session.add_view("segment_changes", Arc::new(changes))?;
        session.add_view("scores", scores_table(lake, state)?)?;
        Ok(session)
    }
}

/// Opens the personal values of one table of a lake.
#[derive(Debug)]
struct OfLake {
    lake: Lake,
    def: &'static TableDef,
}

#[async_trait]
impl Decrypt for OfLake {
    async fn functions(
        &self,
        columns: &[&'static ColumnDef],
    ) -> Result<Vec<Arc<ScalarUDF>>, OpeningError> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let decryptor = Vault::new(&self.lake, self.def).decryptor().await?;
        let functions = columns.iter().map(|column| decryptor.function(column));
        Ok(functions.map(Arc::new).collect())
    }
}

/// A tenant's lake, for those who open sessions over its data as they need them.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    workspace: &'a Workspace,
    lake: &'a Lake,
    /// Of each session that was opened, what could not be computed in it.
    uncomputed: Mutex<Vec<Uncomputed>>,
}

impl<'a> Opening<'a> {
    pub(crate) fn new(workspace: &'a Workspace, lake: &'a Lake) -> Self {
        let uncomputed = Mutex::default();
        Self {
            workspace,
            lake,
            uncomputed,
        }
    }

    /// What could not be computed of conditions: parts of them, and for how many persons.
    pub(crate) fn uncomputed(&self) -> BTreeMap<String, u64> {
        let sessions = self.uncomputed.lock();
        let sessions = sessions.unwrap_or_else(PoisonError::into_inner);
        let mut all = BTreeMap::new();
        for (part, persons) in sessions.iter().flat_map(Uncomputed::take) {
            *all.entry(part).or_default() += persons;
        }
        all
    }
}

#[async_trait]
impl Sessions for Opening<'_> {
    async fn open(
        &self,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, SegmentError> {
        let opened = match among {
            None => self.workspace.warm_session(self.lake, state, as_of).await,
            Some(among) => {
                self.workspace
                    .warm_session_among(self.lake, state, as_of, among)
                    .await
            }
        };
        if let Ok(session) = &opened {
            let sessions = self.uncomputed.lock();
            let mut sessions = sessions.unwrap_or_else(PoisonError::into_inner);
            sessions.push(session.uncomputed());
        }
        opened.map_err(|error| match error {
            AppError::Lake(error) => error.into(),
            AppError::Engine(error) => error.into(),
            AppError::Segment(error) => error,
            other => SegmentError::Session {
                reason: other.to_string(),
            },
        })
    }
}
