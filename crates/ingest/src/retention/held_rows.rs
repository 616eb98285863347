//! The rows of persons under legal hold.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;
use roaring::RoaringTreemap;
use rollbook_lake::table::provider::read_file;
use rollbook_lake::{Lake, State};
use rollbook_model::{TableDef, tables};

use crate::IngestError;
use crate::persons::erasure::Erasure;

/// Tables whose rows other rows belong to, with the column that refers to them.
const PARENTS: [(&str, &str); 2] = [("orders", "order_id"), ("deals", "deal_id")];

/// Finds the rows of persons under legal hold: those of their records, of their orders and deals, and those
/// in quarantine that name them.
pub(super) struct HeldRows {
    persons: RoaringTreemap,
    /// The persons as if they were erased: their records, and the values that name them.
    known: Option<Erasure>,
    /// Provider and external id of their orders and deals, by the column that refers to them.
    parents: BTreeMap<&'static str, HashSet<(String, String)>>,
    quarantined: HashSet<String>,
}

impl HeldRows {
    pub(super) async fn of(
        lake: &Lake,
        base: &State,
        persons: &RoaringTreemap,
    ) -> Result<Self, IngestError> {
        let mut held = Self {
            persons: persons.clone(),
            known: None,
            parents: BTreeMap::new(),
            quarantined: HashSet::new(),
        };
        if persons.is_empty() {
            return Ok(held);
        }
        let ids: Vec<i64> = persons.iter().map(u64::cast_signed).collect();
        let known = Erasure::of(lake, base, &ids).await?;
        held.quarantined = known.quarantined(lake, base).await?;
        held.known = Some(known);
        for (table, column) in PARENTS {
            let def = tables::table(table).expect("it is a canonical table");
            let mut keys = HashSet::new();
            let columns = ["person_id", "identity_id", "provider", "external_id"];
            for file in &base.table(table).files {
                for batch in read_file(lake, def, file, Some(&columns)).await? {
                    let batch = batch.map_err(IngestError::rows(table, "read"))?;
                    let theirs = held.mask(def, &batch);
                    let keys_of = names(&batch, "external_id").zip(&theirs);
                    let theirs = keys_of.filter(|(_, is_theirs)| *is_theirs == Some(true));
                    keys.extend(theirs.filter_map(|(key, _)| key));
                }
            }
            held.parents.insert(column, keys);
        }
        Ok(held)
    }

    /// Whether nobody is under legal hold.
    pub(super) fn is_empty(&self) -> bool {
        self.persons.is_empty()
    }

    /// Whether a text names one of them.
    pub(super) fn is_named_in(&self, text: &str) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| known.is_named_in(text))
    }

    /// The columns of a table that [`HeldRows::mask`] reads.
    pub(super) fn columns(&self, def: &TableDef) -> Vec<&'static str> {
        let all = [
            "person_id",
            "identity_id",
            "provider",
            "order_id",
            "deal_id",
            "quarantine_id",
        ];
        let all = all.into_iter().filter(|_| !self.is_empty());
        all.filter(|name| def.column(name).is_some()).collect()
    }

    /// Which rows are theirs.
    pub(super) fn mask(&self, def: &TableDef, batch: &RecordBatch) -> BooleanArray {
        let mut theirs = vec![false; batch.num_rows()];
        if self.is_empty() {
            return BooleanArray::from(theirs);
        }
        let mut mark = |rows: &mut dyn Iterator<Item = bool>| {
            for (is_theirs, found) in theirs.iter_mut().zip(rows) {
                *is_theirs |= found;
            }
        };
        if let Some(ids) = batch.column_by_name("identity_id") {
            let known = self.known.as_ref().map(Erasure::identities);
            let ids = ids.as_primitive::<Int64Type>().iter();
            let is_known = |id: i64| known.is_some_and(|known| known.contains(&id));
            mark(&mut ids.map(|id| id.is_some_and(is_known)));
        }
        if let Some(ids) = batch.column_by_name("person_id") {
            let ids = ids.as_primitive::<Int64Type>().iter();
            mark(&mut ids.map(|id| id.is_some_and(|id| self.persons.contains(id.cast_unsigned()))));
        }
        for (column, keys) in &self.parents {
            if def.column(column).is_some() {
                let parents = names(batch, column);
                mark(&mut parents.map(|key| key.is_some_and(|key| keys.contains(&key))));
            }
        }
        if let Some(ids) = batch.column_by_name("quarantine_id") {
            let ids = ids.as_string::<i32>().iter();
            mark(&mut ids.map(|id| id.is_some_and(|id| self.quarantined.contains(id))));
        }
        BooleanArray::from(theirs)
    }
}

/// The provider and another column of each row.
pub(super) fn names(
    batch: &RecordBatch,
    column: &str,
) -> impl Iterator<Item = Option<(String, String)>> {
    let providers = batch["provider"].as_string::<i32>();
    let others = batch[column].as_string::<i32>();
    let rows = providers.iter().zip(others);
    rows.map(|(provider, other)| Some((provider?.to_owned(), other?.to_owned())))
}
