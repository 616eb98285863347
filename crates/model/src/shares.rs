//! Splits work on many rows among the cores.

/// Splits `rows` rows into shares, one per core, and calls `of(begin, count)` for each in parallel; returns
/// the results in order. No share has fewer than `fewest` rows, the least that is worth a thread. `of` must
/// not panic.
pub fn in_shares<T: Send>(
    rows: usize,
    fewest: usize,
    of: impl Fn(usize, usize) -> T + Sync,
) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = rows.div_ceil(threads).max(fewest).max(1);
    if rows <= share {
        return vec![of(0, rows)];
    }
    std::thread::scope(|scope| {
        let of = &of;
        let shares: Vec<_> = (0..rows)
            .step_by(share)
            .map(|begin| scope.spawn(move || of(begin, share.min(rows - begin))))
            .collect();
        let done = shares.into_iter().map(|share| share.join());
        done.map(|share| share.expect("it must not panic"))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::in_shares;

    #[test]
    fn each_row_is_in_exactly_one_share() {
        for rows in [0, 1, 7, 100, 1001] {
            let shares = in_shares(rows, 3, |begin, count| (begin..begin + count).collect());
            let all: Vec<usize> = shares
                .into_iter()
                .flat_map(|share: Vec<usize>| share)
                .collect();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
    }
}
