//! The counts of one person.

use std::collections::HashMap;

/// Stands for the missing time of a person without rows.
pub(super) const NO_TIME: i64 = i64::MIN;

/// One count: of the rows of a type, in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) kind: String,
    /// A half-open window in microseconds; `None` for all time.
    pub(crate) window: Option<[i64; 2]>,
    pub(crate) measure: CountKind,
}

/// What is computed from the rows; `First` and `Last` are of all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountKind {
    Count,
    First,
    Last,
}

/// The counts of the current person.
pub(super) struct Tally {
    names: HashMap<String, usize>,
    types: Vec<TypeTally>,
    specs: Vec<PlacedSpec>,
}

struct TypeTally {
    /// The bounds of all windows, sorted.
    bounds: Vec<i64>,
    /// The number of rows before the first bound, between each two bounds, and after the last one.
    between: Vec<i64>,
    first: i64,
    last: i64,
    rows: u64,
}

struct PlacedSpec {
    kind: usize,
    measure: CountKind,
    /// The range of `between` that belongs to the window.
    from: usize,
    until: usize,
}

impl Tally {
    pub(super) fn new(specs: &[Counted]) -> Self {
        let mut tally = Self {
            names: HashMap::new(),
            types: Vec::new(),
            specs: Vec::new(),
        };
        for spec in specs {
            let count = tally.types.len();
            let kind = *tally.names.entry(spec.kind.clone()).or_insert(count);
            if kind == count {
                tally.types.push(TypeTally::new());
            }
            let bounds = spec.window.into_iter().flatten();
            tally.types[kind].bounds.extend(bounds);
        }
        for kind in &mut tally.types {
            kind.bounds.sort_unstable();
            kind.bounds.dedup();
            kind.between = vec![0; kind.bounds.len() + 1];
        }
        for spec in specs {
            let kind = tally.names[&spec.kind];
            let bounds = &tally.types[kind].bounds;
            let (from, until) = match spec.window {
                None => (0, bounds.len() + 1),
                // The rows from bound `k` on are those from `between[k + 1]` on.
                Some([from, until]) => {
                    let place = |bound: i64| bounds.partition_point(|known| *known <= bound);
                    (place(from), place(until).max(place(from)))
                }
            };
            tally.specs.push(PlacedSpec {
                kind,
                measure: spec.measure,
                from,
                until,
            });
        }
        tally
    }

    /// The index of a counted type.
    pub(super) fn kind(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(super) fn add(&mut self, kind: usize, at: i64) {
        let kind = &mut self.types[kind];
        kind.between[kind.bounds.partition_point(|bound| *bound <= at)] += 1;
        kind.first = kind.first.min(at);
        kind.last = kind.last.max(at);
        kind.rows += 1;
    }

    /// Adds one value to each count's column and starts the next person; returns false, and adds
    /// nothing, if no row was counted.
    pub(super) fn end(&mut self, columns: &mut [Vec<i64>]) -> bool {
        if self.types.iter().all(|kind| kind.rows == 0) {
            return false;
        }
        for (spec, column) in self.specs.iter().zip(columns) {
            let kind = &self.types[spec.kind];
            column.push(match spec.measure {
                CountKind::Count if kind.rows == 0 => 0,
                CountKind::Count => kind.between[spec.from..spec.until].iter().sum(),
                _ if kind.rows == 0 => NO_TIME,
                CountKind::First => kind.first,
                CountKind::Last => kind.last,
            });
        }
        for kind in self.types.iter_mut().filter(|kind| kind.rows > 0) {
            kind.reset();
        }
        true
    }
}

impl TypeTally {
    fn new() -> Self {
        Self {
            bounds: Vec::new(),
            between: Vec::new(),
            first: i64::MAX,
            last: i64::MIN,
            rows: 0,
        }
    }

    fn reset(&mut self) {
        self.between.fill(0);
        (self.first, self.last, self.rows) = (i64::MAX, i64::MIN, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{CountKind, Counted, NO_TIME, Tally};

    fn counted(kind: &str, window: Option<[i64; 2]>, measure: CountKind) -> Counted {
        Counted {
            kind: kind.to_owned(),
            window,
            measure,
        }
    }

    #[test]
    fn windows_include_their_start_and_exclude_their_end() {
        let windows = [[0, 10], [5, 6], [10, 20], [6, 5], [7, 7], [-5, 100]];
        let mut specs: Vec<_> = windows
            .map(|window| counted("a", Some(window), CountKind::Count))
            .into();
        specs.push(counted("a", None, CountKind::Count));
        specs.push(counted("a", None, CountKind::First));
        specs.push(counted("b", None, CountKind::Last));
        let mut tally = Tally::new(&specs);
        let mut columns = vec![Vec::new(); specs.len()];
        assert!(!tally.end(&mut columns));
        let times = [-6, 0, 5, 5, 9, 10, 19, 20, 99, 100];
        let kind = tally.kind("a").unwrap();
        times.iter().for_each(|at| tally.add(kind, *at));
        assert!(tally.end(&mut columns));
        for (column, [from, until]) in columns.iter().zip(windows) {
            let inside = times.iter().filter(|at| (from..until).contains(*at));
            assert_eq!(
                *column,
                [i64::try_from(inside.count()).unwrap()],
                "{from} to {until}"
            );
        }
        assert_eq!(columns[6..], [vec![10], vec![-6], vec![NO_TIME]]);
        assert_eq!(tally.kind("c"), None);
    }
}
