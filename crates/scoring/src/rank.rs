//! How well scores rank positive examples above negative ones.

/// Area under the ROC curve: the probability that a positive example scores higher than a negative
/// one, ties counting half. Computed by the rank sum of the positives (Mann and Whitney 1947). `None`
/// unless both classes occur.
pub(crate) fn roc_auc(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let positives = labels.iter().filter(|truth| **truth).count();
    let negatives = labels.len() - positives;
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
        // Ranks start at 1; ties share their mean rank.
        let rank = at as f64 + (ties as f64 + 1.0) / 2.0;
        let tied_positives = order[at..at + ties]
            .iter()
            .filter(|one| labels[**one])
            .count();
        rank_sum += rank * tied_positives as f64;
        at += ties;
    }
    let (positives, negatives) = (positives as f64, negatives as f64);
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::roc_auc;

    /// Counts every pair of a positive and a negative example.
    fn by_pairs(scores: &[f64], labels: &[bool]) -> Option<f64> {
        let (mut pairs, mut won) = (0.0, 0.0);
        for (a, _) in labels.iter().enumerate().filter(|(_, truth)| **truth) {
            for (b, _) in labels.iter().enumerate().filter(|(_, truth)| !**truth) {
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
