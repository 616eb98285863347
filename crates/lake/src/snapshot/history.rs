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

pub(crate) const FORMAT_PATH: &str = "_format.json";
/// Which snapshot was the newest not long ago.
pub(crate) const NEWEST: &str = "_snapshots/newest.json";

impl Lake {
    /// Opens a lake that exists.
    pub async fn open(location: &str, tenant: TenantName) -> Result<Self, LakeError> {
        Self::open_in(Store::at(location)?, tenant).await
    }

    /// The same in a store that is open.
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

    /// Opens a lake, or the place where the first commit will make one.
    pub async fn open_or_new(location: &str, tenant: TenantName) -> Result<Self, LakeError> {
        Self::on(Store::at(location)?, tenant).await
    }

    /// The lake, or the place of one, in a store that is open.
    pub async fn on(root: impl Into<LakeRoot>, tenant: TenantName) -> Result<Self, LakeError> {
        let lake = Self::handle(root.into(), tenant);
        lake.check_format().await?;
        Ok(lake)
    }

    /// The state at the newest snapshot, with its Delta logs published.
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
        // Whoever committed it may have died before publishing: anyone may do it again.
        self.publish(&self.record(newest).await?).await?;
        if let Some(record) = record {
            self.heads().note(tenant, newest, record, &state);
        }
        Ok(state)
    }

    /// The state at a snapshot.
    pub async fn state(&self, number: SnapshotNumber) -> Result<State, LakeError> {
        let newest = self.newest().await?;
        if number.0 == 0 || number > newest {
            return Err(LakeError::NoSnapshot { number, newest });
        }
        match self.replay(number).await {
            Err(LakeError::Expired { number }) => {
                let kept = self.kept_state(number).await?;
                kept.ok_or(LakeError::Expired { number })
            }
            found => found,
        }
    }

    /// The records of all snapshots, oldest first.
    pub async fn records(&self) -> Result<Vec<SnapshotRecord>, LakeError> {
        let (oldest, newest) = self.span().await?;
        let mut records = Vec::new();
        for number in oldest.0.max(1)..=newest.0 {
            records.extend(self.find_record(SnapshotNumber(number)).await?);
        }
        Ok(records)
    }

    /// The newest snapshot after `after` that answers the request with this key, if there is one.
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

    /// The keys of all requests that snapshots after `after` answer, and of each which.
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

    /// Writes the record's actions to the Delta logs, where they are not there yet.
    pub(crate) async fn publish(&self, record: &SnapshotRecord) -> Result<(), LakeError> {
        for (table, entry) in &record.tables {
            let path = self.path(&delta_log::log_path(table, entry.version));
            // Who only reads finds them published already: asking costs less than a put.
            let is_published = match self.store().get(&path).await? {
                Some(found) => found == entry.log.as_bytes(),
                // The same bytes count as put, whoever put them.
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
                detail: "it does not say which format the lake has".to_owned(),
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

    /// The newest snapshot; 0 where there is none. Numbers follow each other, so it is searched for
    /// from one that was the newest not long ago, and the folder is not listed.
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
        record.must_be_inside()?;
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
