//! Names that look like one that nobody has.

/// Up to `max` of `known` that `name` may have been meant to be, best first.
pub(crate) fn near<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
    max: usize,
) -> Vec<String> {
    let mut near: Vec<(u64, &str)> = known
        .map(|candidate| (dissimilarity(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 400)
        .collect();
    near.sort_unstable();
    near.into_iter().take(max).map(|(_, candidate)| candidate.to_owned()).collect()
}

/// In thousandths: 0 is the same word; one that begins like it is not far off.
fn dissimilarity(name: &str, candidate: &str) -> u64 {
    let similar = strsim::normalized_damerau_levenshtein(name, candidate);
    let distance = ((1.0 - similar) * 1000.0) as u64;
    if name.len() >= 2 && candidate.starts_with(name) { distance.min(300) } else { distance }
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn slips_and_beginnings_find_the_name_and_other_words_do_not() {
        let known = ["web/0", "web/1", "worker", "database"];
        let near = |name| near(name, known.into_iter(), 3);
        assert_eq!(near("wroker"), ["worker"]);
        assert_eq!(near("web"), ["web/0", "web/1"]);
        assert_eq!(near("data"), ["database"]);
        assert!(near("zookeeper").is_empty());
    }
}
