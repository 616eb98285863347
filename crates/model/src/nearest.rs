//! Suggests the known name closest to a mistyped one.

/// The candidate closest to `name` by Jaro-Winkler distance, if one is close enough to suggest.
///
/// Case is ignored. A similarity below 0.8 gives no suggestion, since a wrong one is worse than none.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&name, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn nearest_suggests_close_names_only() {
        let columns = ["total_spent", "order_count", "country"];
        assert_eq!(nearest("total_spend", columns), Some("total_spent"));
        assert_eq!(nearest("Country", columns), Some("country"));
        assert_eq!(nearest("zzz", columns), None);
    }
}
