//! How well scores rank those of whom it came true above the others.

/// The area under the ROC curve: the chance that one of the true ones has the higher score, ties
/// counting half; by the ranks of the true ones (Mann and Whitney 1947). `None` without both
/// classes.
pub fn roc_auc(scores: &[f64], came_true: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let positives = came_true.iter().filter(|truth| **truth).count();
    let negatives = came_true.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (mut rank_sum, mut at) = (0.0, 0);
    while at < order.len() {
        let ties = order[at..]
            .iter()
            .take_while(|one| scores[**one] == scores[order[at]])
            .count()
            .max(1);
        // Ranks are from 1; tied ones share their mean.
        let rank = at as f64 + (ties as f64 + 1.0) / 2.0;
        let trues = order[at..at + ties]
            .iter()
            .filter(|one| came_true[**one])
            .count();
        rank_sum += rank * trues as f64;
        at += ties;
    }
    let (positives, negatives) = (positives as f64, negatives as f64);
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::roc_auc;

    /// Every pair of a true and a false one, looked at.
    fn by_pairs(scores: &[f64], came_true: &[bool]) -> Option<f64> {
        let (mut pairs, mut won) = (0.0, 0.0);
        for (a, _) in came_true.iter().enumerate().filter(|(_, truth)| **truth) {
            for (b, _) in came_true.iter().enumerate().filter(|(_, truth)| !**truth) {
                pairs += 1.0;
                won += match scores[a].total_cmp(&scores[b]) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        (pairs > 0.0).then(|| won / pairs)
    }

    proptest! {
        #[test]
        fn ranks_and_pairs_agree(rows in proptest::collection::vec((0_u8..20, proptest::bool::ANY), 0..60)) {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let truth: Vec<bool> = rows.iter().map(|row| row.1).collect();
            match (roc_auc(&scores, &truth), by_pairs(&scores, &truth)) {
                (Some(ranks), Some(pairs)) => prop_assert!((ranks - pairs).abs() < 1e-12),
                (ranks, pairs) => prop_assert!(ranks == pairs),
            }
        }
    }
}
