//! What the examples promise.

#[test]
fn a_complete_health_check_has_at_most_25_lines() {
    let example = include_str!("../examples/redis.rs");
    let (plugin, _) = example.split_once("\n#[cfg(test)]").expect("it has tests too");
    let lines = plugin.lines().count();
    assert!(lines <= 25, "{lines} lines");
}
