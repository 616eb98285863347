//! Sessions over the tables of a lake.

use std::sync::Arc;

use async_trait::async_trait;
use roaring::RoaringTreemap;
use rollbook_engine::{
    CustomTrait, Decrypt, DecryptError, ScalarUDF, Session, SessionOptions, TableSource,
    VaultSource,
};
use rollbook_identity::resolve::authority;
use rollbook_lake::vault::Vault;
use rollbook_lake::{
    LINKED, Lake, LakeTable, ORDERS_COMPLETE, RemoveUnusedOrdering, SplitPoints, State,
};
use rollbook_model::{ColumnDef, Shape, TableDef, Timestamp, tables};
use rollbook_queries::views::{OTHER_ORDERS, OWN};
use rollbook_scoring::scores_table;
use rollbook_segments::membership::memberships;
use rollbook_segments::{SegmentChanges, SegmentMembers, TraitDefinition, custom_traits};

use super::Workspace;
use crate::AppError;
use crate::access::Right;

impl Workspace {
    /// A session over all tables of the lake at `state`, as of `as_of`.
    pub(crate) async fn session(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
    ) -> Result<Session, AppError> {
        self.session_of_persons(lake, state, as_of, None).await
    }

    /// The same, reading cached columns and events: for queries about criteria.
    pub(crate) async fn cached_session(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
    ) -> Result<Session, AppError> {
        let session = self.session(lake, state, as_of).await?;
        let cache = self.people_cache(lake, state, as_of).await?;
        Ok(session.with_cache(cache))
    }

    /// The same, reading only the rows of the persons in `among` where they are not cached.
    pub(super) async fn cached_session_of_persons(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        among: Arc<RoaringTreemap>,
    ) -> Result<Session, AppError> {
        let some = Some(Arc::clone(&among));
        let session = self.session_of_persons(lake, state, as_of, some).await?;
        let cache = self.people_cache(lake, state, as_of).await?;
        Ok(session.with_cache_among(cache, among))
    }

    /// The same, with one row in `persons` per record instead of one per person.
    pub(crate) async fn session_of_records(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
    ) -> Result<Session, AppError> {
        let mut state = state.clone();
        state.named.remove(LINKED);
        self.session_of_persons(lake, &state, as_of, among).await
    }

    /// The same, reading only the rows of the persons in `among`; of all persons if `None`. Custom
    /// traits are still computed over all persons.
    pub(crate) async fn session_of_persons(
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

    /// The same, with these custom traits instead of the saved ones.
    pub(crate) async fn session_with(
        &self,
        lake: &Lake,
        state: &State,
        as_of: Timestamp,
        among: Option<Arc<RoaringTreemap>>,
        traits: Vec<CustomTrait>,
    ) -> Result<Session, AppError> {
        // All tables are partitioned at the same person ids, so that joins by person stay partitioned.
        let by_person = tables::TABLES.iter().filter(|def| def.is_personal_fact());
        let files = by_person.filter_map(|def| Some(&state.tables.get(def.name)?.files));
        let cuts = Arc::new(SplitPoints::among(files.flatten(), among.as_deref()));
        let open = |among| self.open_tables(lake, state, as_of, Arc::clone(&cuts), among);
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

    /// A session with all tables registered, to which traits can still be added.
    async fn open_tables(
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
            personal: self.rights.has(Right::Pii),
            rules: vec![Arc::new(RemoveUnusedOrdering)],
        };
        let session = Session::new(options)?;
        let moves = lake.identity_remap(state).await?;
        let is_linked = state.named.contains_key(LINKED);
        let is_complete = state.named.contains_key(ORDERS_COMPLETE);
        for def in tables::TABLES {
            let table = state.table(def.name);
            if table.files.is_empty() {
                continue;
            }
            let mut stored = LakeTable::split_at(lake, def, &table, Arc::clone(&cuts));
            if let Some(moves) = &moves {
                stored = stored.with_identity_remap(Arc::clone(moves));
            }
            // Rows of an order belong to the person of the order. The person that the row itself names
            // counts only while the order is missing.
            let own = OWN.iter().find(|(_, table, _)| *table == def.name);
            if let Some((own, ..)) = own.filter(|_| is_complete) {
                let none = LakeTable::of_files(lake, def, &[]).with_text_views();
                session.add_view(own, Arc::new(none))?;
            }
            match (&among, own) {
                (Some(among), Some((own, ..))) if !is_complete => {
                    let rows = LakeTable::split_at(lake, def, &table, Arc::clone(&cuts));
                    let rows = rows.among(Arc::clone(among)).with_text_views();
                    let rows = match &moves {
                        Some(moves) => rows.with_identity_remap(Arc::clone(moves)),
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
                    decryptor: Some(Arc::new(LakeDecryptor {
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

/// Decrypts the personal values of one table of a lake.
#[derive(Debug)]
struct LakeDecryptor {
    lake: Lake,
    def: &'static TableDef,
}

#[async_trait]
impl Decrypt for LakeDecryptor {
    async fn functions(
        &self,
        columns: &[&'static ColumnDef],
    ) -> Result<Vec<Arc<ScalarUDF>>, DecryptError> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let decryptor = Vault::new(&self.lake, self.def).decryptor().await?;
        let functions = columns.iter().map(|column| decryptor.function(column));
        Ok(functions.map(Arc::new).collect())
    }
}
