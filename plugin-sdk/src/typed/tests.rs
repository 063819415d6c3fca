use super::read;
use crate::{Address, OneOrMany, Period, Size, Text, Url};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct Config {
    address: String,
    port: u16,
    #[serde(default)]
    timeout: Period,
    #[serde(default)]
    keep: Size,
    #[serde(default)]
    expect: Vec<Expect>,
    mode: Option<Mode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct Expect {
    key: String,
    at_least: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
enum Mode {
    Fast,
    Slow { factor: u32 },
}

/// Configuration, what is wrong with it.
fn check(config: &str, wrong: &[&str]) {
    let found: Vec<String> = match read::<Config>(config) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect(),
    };
    assert_eq!(found, wrong, "{config}");
}

#[test]
fn every_problem_is_found_at_once_and_where_it_is() {
    check(r#"{"address": "a", "port": 1, "timeout": "5s", "keep": "1MiB"}"#, &[]);
    check(
        r#"{"adress": "a", "port": "x", "timeout": "5x", "keep": -1, "colour": 1}"#,
        &[
            "address: \"address\" is required",
            "adress: unknown key \"adress\"; did you mean \"address\"?",
            "colour: unknown key \"colour\"; the keys are \"address\", \"port\", \
             \"timeout\", \"keep\", \"expect\", \"mode\"",
            "keep: expected a size such as 64KiB or 10MiB, found -1",
            "port: expected a whole number up to 65535, found \"x\"",
            "timeout: expected a time such as 250ms, 10s or 5m, found \"5x\"",
        ],
    );
    check(
        r#"{"address": null, "port": 70000, "expect": [
            {"key": "a", "at_least": 1.5}, {"kye": 1, "at_least": "b"}, 7]}"#,
        &[
            "address: expected a text, found nothing",
            "expect[1].at_least: expected a number, found \"b\"",
            "expect[1].key: \"key\" is required",
            "expect[1].kye: unknown key \"kye\"; did you mean \"key\"?",
            "expect[2]: expected a mapping, found 7",
            "port: expected a whole number up to 65535, found 70000",
        ],
    );
    check(
        r#"{"address": "a", "port": 1.5, "mode": {"slow": {"factor": true}}}"#,
        &[
            "mode.slow.factor: expected a whole number from 0, found true",
            "port: expected a whole number up to 65535, found 1.5",
        ],
    );
    check(
        r#"{"address": 1, "port": 1, "mode": "quick"}"#,
        &[
            "address: expected a text, found 1",
            "mode: expected one of \"fast\", \"slow\", found \"quick\"",
        ],
    );
    check(r#"{"address": "a", "port": 1, "mode": "fast"}"#, &[]);
    check("null", &["address: \"address\" is required", "port: \"port\" is required"]);
    check("[1]", &[": expected a mapping, found a list"]);
    check("{", &[": not JSON: EOF while parsing an object at line 1 column 1"]);
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct Rich {
    server: Address,
    url: Url,
    when: OneOrMany<Period>,
    codes: OneOrMany<Text>,
    inner: Expect,
    mode: Mode,
    #[serde(rename = "a/b~c")]
    odd: std::num::NonZeroU8,
    big: i64,
    pair: (u8, bool),
}

#[test]
fn a_stand_in_is_found_for_every_type_of_ours() {
    let rich = |json: &str| -> Vec<String> {
        let problems = read::<Rich>(json).err().unwrap_or_default();
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    };
    let found = rich(
        "{\"server\": 7, \"url\": \"ftp://x\", \"codes\": null, \"when\": [\"5s\", 5], \
                       \"inner\": 3, \"mode\": 5, \"a/b~c\": 0, \"big\": 9223372036854775808}",
    );
    assert_eq!(
        found,
        [
            "a/b~c: expected a nonzero u8, found 0",
            "big: expected a whole number, found 9223372036854775808",
            "codes: expected a value or a list of values, found nothing",
            "inner: expected a mapping, found 3",
            "mode: expected a word or a mapping, found 5",
            "pair: \"pair\" is required",
            "server: expected a text, found 7",
            "url: is no URL: it has to begin with http:// or https://",
            "when[1]: expected a time such as 250ms, 10s or 5m, found 5",
        ]
    );
    let fine = r#"{"server": "a:1", "url": "http://a", "when": "5s", "codes": [1, "a", 1.5, true],
        "inner": {"key": "k", "at_least": 1}, "mode": {"slow": {"factor": 2}}, "a/b~c": 255,
        "big": -9223372036854775808, "pair": [255, true]}"#;
    assert_eq!(rich(fine), [""; 0]);
}

/// Where a type has a rule of its own that no stand-in keeps, what was found so far is reported.
#[test]
fn a_type_with_a_rule_of_its_own_ends_the_search() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "u64")]
    struct Odd(#[expect(dead_code, reason = "only whether it can be read matters")] u64);

    impl TryFrom<u64> for Odd {
        type Error = String;

        fn try_from(number: u64) -> Result<Odd, String> {
            if number > 5 && number % 2 == 1 { Ok(Odd(number)) } else { Err("not odd".into()) }
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Own {
        a: u8,
        b: Odd,
        c: u8,
    }

    let problems = read::<Own>(r#"{"a": "x", "b": 4, "c": "y"}"#).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(places, ["a", "b"]);
    assert_eq!(problems.iter().last().unwrap().message, "not odd");
}

#[test]
fn what_a_key_is_called_does_not_matter() {
    for key in ["a`, expected b", "`", "~1/~0", "a.b[0]", "", ", expected "] {
        let json = format!("{{\"address\": \"a\", \"port\": 1, {key:?}: 1}}");
        let problems = read::<Config>(&json).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problem = problems.iter().next().unwrap();
        assert!(problem.message.starts_with(&format!("unknown key \"{key}\"")), "{problem:?}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let json = format!(r#"{{"address": {}, "port": 1}}"#, deep(100_000));
    let problems = read::<Config>(&json).unwrap_err();
    let message = &problems.iter().next().unwrap().message;
    assert!(message.starts_with("not JSON: recursion limit exceeded"), "{message}");
    let json = format!(r#"{{"address": {}, "port": 1}}"#, deep(100));
    check(&json, &["address: expected a text, found a list"]);
}

#[test]
fn hundreds_of_problems_end() {
    let items = vec!["7"; 1000].join(",");
    let json = format!(r#"{{"address": "a", "port": 1, "expect": [{items}]}}"#);
    let problems = read::<Config>(&json).unwrap_err();
    assert!(problems.len() > 20, "{}", problems.len());
}
