//! Opening a lake, and its snapshots.

use std::collections::HashMap;

use rollbook_model::config::LAKE_FORMAT;
use rollbook_model::{SnapshotNumber, TenantName};

use crate::LakeError;
use crate::json::from_json;
use crate::lake::{Lake, LakeRoot};
use crate::state::State;
use crate::state::delta_log;
use crate::state::record::{self, SnapshotRecord};
use crate::storage::{Put, Store};

/// The object that holds the format of the lake.
pub(crate) const FORMAT_PATH: &str = "_format.json";
/// The object that holds the number of a recent snapshot.
pub(crate) const NEWEST: &str = "_snapshots/newest.json";

impl Lake {
    /// Opens an existing lake.
    ///
    /// # Errors
    /// - [`LakeError::Location`]: the location is neither a folder nor a URL of a supported store.
    /// - The errors of [`Lake::open_in`].
    pub async fn open(location: &str, tenant: TenantName) -> Result<Self, LakeError> {
        Self::open_in(Store::at(location)?, tenant).await
    }

    /// Opens an existing lake in an open store.
    ///
    /// # Errors
    /// - [`LakeError::NoLake`]: the store holds no lake of the tenant.
    /// - The errors of [`Lake::on`].
    pub async fn open_in(root: impl Into<LakeRoot>, tenant: TenantName) -> Result<Self, LakeError> {
        let lake = Self::on(root, tenant).await?;
        if lake.newest().await?.0 == 0 {
            return Err(LakeError::NoLake {
                location: lake.store().location().to_owned(),
                tenant: lake.tenant().to_string(),
            });
        }
        Ok(lake)
    }

    /// Opens a lake, or a location where the first commit will create one.
    ///
    /// # Errors
    /// - [`LakeError::Location`]: the location is neither a folder nor a URL of a supported store.
    /// - The errors of [`Lake::on`].
    pub async fn open_or_new(location: &str, tenant: TenantName) -> Result<Self, LakeError> {
        Self::on(Store::at(location)?, tenant).await
    }

    /// Opens a lake in an open store, or a store where the first commit will create one.
    ///
    /// # Errors
    /// - [`LakeError::NewerFormat`], [`LakeError::OlderFormat`]: this program does not read the lake's
    ///   format.
    /// - [`LakeError::Damaged`]: the object that holds the format cannot be parsed.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn on(root: impl Into<LakeRoot>, tenant: TenantName) -> Result<Self, LakeError> {
        let lake = Self::handle(root.into(), tenant);
        lake.check_format().await?;
        Ok(lake)
    }

    /// The state at the newest snapshot. Its actions are copied to the Delta logs where they are not
    /// there yet.
    ///
    /// # Errors
    /// - [`LakeError::ForeignCommit`]: another program wrote to a table's Delta log.
    /// - [`LakeError::Expired`]: the snapshot expired while its records were read.
    /// - [`LakeError::Damaged`]: a snapshot's record cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in a record leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn head(&self) -> Result<State, LakeError> {
        let newest = self.newest().await?;
        if newest.0 == 0 {
            return self.replay(newest).await;
        }
        let tenant = self.tenant().as_str();
        let record = self.store().head(&record::path(tenant, newest)).await?;
        let known = record.as_ref();
        let known = known.and_then(|record| self.heads().get(tenant, newest, record));
        if let Some(state) = known {
            return Ok(state.as_ref().clone());
        }
        let state = self.replay(newest).await?;
        // The writer may have died before it copied the actions to the Delta logs.
        self.publish(&self.record(newest).await?).await?;
        if let Some(record) = record {
            self.heads().put(tenant, newest, record, &state);
        }
        Ok(state)
    }

    /// The state at a snapshot.
    ///
    /// # Errors
    /// - [`LakeError::NoSnapshot`]: the lake has no snapshot of this number.
    /// - [`LakeError::Expired`]: the snapshot has expired and has no name.
    /// - [`LakeError::Removed`]: the snapshot is older than the last retention run.
    /// - [`LakeError::Damaged`]: a snapshot's record cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in a record leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn state(&self, number: SnapshotNumber) -> Result<State, LakeError> {
        let newest = self.newest().await?;
        if number.0 == 0 || number > newest {
            return Err(LakeError::NoSnapshot { number, newest });
        }
        if number < newest
            && let Some(first) = self.head().await?.first_retained()?
            && number < first
        {
            return Err(LakeError::Removed {
                what: format!("snapshot {number}"),
                first,
            });
        }
        match self.replay(number).await {
            Err(LakeError::Expired { number }) => {
                let named = self.named_state(number).await?;
                named.ok_or(LakeError::Expired { number })
            }
            found => found,
        }
    }

    /// The records of all snapshots that have not expired, oldest first.
    ///
    /// # Errors
    /// - [`LakeError::Damaged`]: a snapshot's record cannot be read.
    /// - [`LakeError::PathOutsideLake`]: a path in a record leads out of the lake.
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read.
    pub async fn records(&self) -> Result<Vec<SnapshotRecord>, LakeError> {
        let (oldest, newest) = self.span().await?;
        let mut records = Vec::new();
        for number in oldest.0.max(1)..=newest.0 {
            records.extend(self.find_record(SnapshotNumber(number)).await?);
        }
        Ok(records)
    }

    /// The newest snapshot after `after` that answers the request with this idempotency key; `None`
    /// where no snapshot does.
    ///
    /// # Errors
    /// The errors of [`Lake::records`].
    pub async fn answering(
        &self,
        key: &str,
        after: SnapshotNumber,
    ) -> Result<Option<SnapshotRecord>, LakeError> {
        let newest = self.newest().await?;
        for number in (self.first_after(after).await?.0..=newest.0).rev() {
            let record = self.find_record(SnapshotNumber(number)).await?;
            let answers = |record: &SnapshotRecord| {
                let mut keys = record.idempotency_keys.iter();
                keys.any(|known| known == key)
            };
            if record.as_ref().is_some_and(answers) {
                return Ok(record);
            }
        }
        Ok(None)
    }

    /// The idempotency keys of all requests that snapshots after `after` answer, with the snapshot of
    /// each.
    ///
    /// # Errors
    /// The errors of [`Lake::records`].
    pub async fn answered_since(
        &self,
        after: SnapshotNumber,
    ) -> Result<HashMap<String, SnapshotNumber>, LakeError> {
        let newest = self.newest().await?;
        let mut answered = HashMap::new();
        for number in self.first_after(after).await?.0..=newest.0 {
            if let Some(record) = self.find_record(SnapshotNumber(number)).await? {
                let keys = record.idempotency_keys.into_iter();
                answered.extend(keys.map(|key| (key, record.number)));
            }
        }
        Ok(answered)
    }

    /// Copies the actions of a record to the Delta logs, where they are not there yet.
    pub(crate) async fn publish(&self, record: &SnapshotRecord) -> Result<(), LakeError> {
        for (table, entry) in &record.tables {
            let path = self.path(&delta_log::log_path(table, entry.version));
            // Mostly they are there already, and a read costs less than a put.
            let is_published = match self.store().get(&path).await? {
                Some(found) => found == entry.log.as_bytes(),
                // A put of the same bytes by another program is as good.
                None => self.store().put_new(&path, entry.log.as_bytes()).await? == Put::Done,
            };
            if !is_published {
                return Err(LakeError::ForeignCommit {
                    table: table.clone(),
                    version: entry.version,
                });
            }
        }
        Ok(())
    }

    async fn check_format(&self) -> Result<(), LakeError> {
        let Some(bytes) = self.store().get(FORMAT_PATH).await? else {
            return Ok(());
        };
        let found = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| value["format"].as_u64())
            .ok_or_else(|| LakeError::Damaged {
                path: FORMAT_PATH.to_owned(),
                detail: "it holds no format number".to_owned(),
            })?;
        if found > u64::from(LAKE_FORMAT) {
            return Err(LakeError::NewerFormat {
                location: self.store().location().to_owned(),
                found: u32::try_from(found).unwrap_or(u32::MAX),
                known: LAKE_FORMAT,
            });
        }
        if found < u64::from(LAKE_FORMAT) {
            return Err(LakeError::OlderFormat {
                location: self.store().location().to_owned(),
                found: u32::try_from(found).unwrap_or_default(),
                needed: LAKE_FORMAT,
            });
        }
        Ok(())
    }

    /// The newest snapshot; 0 where there is none. Numbers have no gaps, so the search begins at a
    /// recent snapshot and does not list the folder.
    async fn newest(&self) -> Result<SnapshotNumber, LakeError> {
        let noted = self.find_document(NEWEST).await.ok().flatten();
        let noted = noted.unwrap_or(SnapshotNumber(0));
        if noted.0 == 0 || !self.exists(noted).await? {
            return self.span().await.map(|(_, newest)| newest);
        }
        let (mut low, mut step) = (noted.0, 1);
        while self.exists(SnapshotNumber(low + step)).await? {
            low += step;
            step *= 2;
        }
        let mut high = low + step;
        while high - low > 1 {
            let middle = low.midpoint(high);
            match self.exists(SnapshotNumber(middle)).await? {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(SnapshotNumber(low))
    }

    async fn exists(&self, number: SnapshotNumber) -> Result<bool, LakeError> {
        let path = record::path(self.tenant().as_str(), number);
        Ok(self.store().get_size(&path).await?.is_some())
    }

    /// The first snapshot after `after` that has not expired.
    async fn first_after(&self, after: SnapshotNumber) -> Result<SnapshotNumber, LakeError> {
        if self.exists(after.next()).await? {
            return Ok(after.next());
        }
        let (oldest, _) = self.span().await?;
        Ok(oldest.max(after.next()))
    }

    /// The oldest snapshot that has not expired and the newest one; 0 where there is none.
    pub(crate) async fn span(&self) -> Result<(SnapshotNumber, SnapshotNumber), LakeError> {
        let names = self.list(record::FOLDER).await?;
        let mut numbers = names.iter().filter_map(|name| record::number_of(name));
        let oldest = numbers.next().unwrap_or_default();
        Ok((oldest, numbers.next_back().unwrap_or(oldest)))
    }

    /// The record of a snapshot.
    pub(crate) async fn record(&self, number: SnapshotNumber) -> Result<SnapshotRecord, LakeError> {
        let path = record::path(self.tenant().as_str(), number);
        let bytes = self
            .store()
            .get(&path)
            .await?
            .ok_or_else(|| LakeError::Damaged {
                path: path.clone(),
                detail: "it is missing".to_owned(),
            })?;
        let record: SnapshotRecord = from_json(&path, &bytes)?;
        record.check_paths()?;
        Ok(record)
    }

    /// The record of a snapshot; `None` if it has expired since it was listed.
    pub(crate) async fn find_record(
        &self,
        number: SnapshotNumber,
    ) -> Result<Option<SnapshotRecord>, LakeError> {
        match self.record(number).await {
            Err(LakeError::Damaged { .. }) if self.has_expired(number).await? => Ok(None),
            found => found.map(Some),
        }
    }

    async fn has_expired(&self, number: SnapshotNumber) -> Result<bool, LakeError> {
        let (oldest, _) = self.span().await?;
        Ok(number < oldest)
    }

    /// The state of a snapshot, replayed from the last record before it that holds the whole state.
    pub(crate) async fn replay(&self, until: SnapshotNumber) -> Result<State, LakeError> {
        let mut later = Vec::new();
        let mut state = State::default();
        let mut number = until;
        while number.0 > 0 {
            let expired = LakeError::Expired { number: until };
            let mut record = self.find_record(number).await?.ok_or(expired)?;
            if let Some(whole) = record.state.take() {
                state = *whole;
                break;
            }
            later.push(record);
            number = SnapshotNumber(number.0 - 1);
        }
        later.iter().rev().try_fold(state, State::apply)
    }
}
