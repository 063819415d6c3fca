//! "did you mean …"

/// The candidate that `word` most likely means: at most a third of its letters are wrong.
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let distances =
        candidates.iter().map(|candidate| (strsim::osa_distance(word, candidate), *candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= word.len().max(candidate.len())).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_hand_is_recognised() {
        let keys = ["address", "timeout", "expect"];
        assert_eq!(nearest("adress", &keys), Some("address"));
        assert_eq!(nearest("expected", &keys), Some("expect"));
        assert_eq!(nearest("adderss", &keys), Some("address"));
        assert_eq!(nearest("colour", &keys), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
