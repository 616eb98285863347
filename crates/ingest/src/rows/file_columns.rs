//! The columns that the file of a row has; for JSON, the keys of its object.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The column of the driving source with the number of each row's key set; null if all rows of its file have
/// the same columns.
pub(crate) const KEY_SET: &str = "_key_set";

/// Names of columns.
pub(crate) type Columns = Arc<HashSet<String>>;

/// The columns of the rows of one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileColumns {
    by_file: Arc<HashMap<String, Columns>>,
    sets: Arc<Mutex<Sets>>,
}

#[derive(Debug, Default)]
struct Sets {
    ids: HashMap<Vec<String>, u32>,
    columns: Vec<Columns>,
}

impl FileColumns {
    /// The columns of files, by file label.
    pub(crate) fn new(files: impl IntoIterator<Item = (String, Columns)>) -> Self {
        Self {
            by_file: Arc::new(files.into_iter().collect()),
            sets: Arc::default(),
        }
    }

    /// The number that stands for a set of keys in the column [`KEY_SET`].
    pub(crate) fn number(&self, keys: &[String]) -> u32 {
        let mut sets = self.sets();
        if let Some(known) = sets.ids.get(keys) {
            return *known;
        }
        let number = u32::try_from(sets.columns.len()).unwrap_or(u32::MAX);
        sets.columns.push(Arc::new(keys.iter().cloned().collect()));
        sets.ids.insert(keys.to_vec(), number);
        number
    }

    /// The columns of a row, by its file and its set of keys.
    pub(crate) fn of(&self, file: &str, set: Option<u32>) -> Option<Columns> {
        match set.and_then(|set| usize::try_from(set).ok()) {
            Some(set) => self.sets().columns.get(set).cloned(),
            None => self.by_file.get(file).cloned(),
        }
    }

    /// The columns that at least one file has.
    pub(crate) fn all(&self) -> HashSet<String> {
        let files = self.by_file.values();
        files.flat_map(|columns| columns.iter().cloned()).collect()
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
