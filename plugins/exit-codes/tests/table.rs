//! The table: what follows which end.

use std::time::Duration;

use kennel_plugin::testing::{Deciding, problems};
use kennel_plugin::{Action, Cause, RestartPolicy as _};
use kennel_plugin_exit_codes::ExitCodes;

const TABLE: &str = r#"{
    "rules": [
        { "exit": ["EX_TEMPFAIL", "EX_UNAVAILABLE"], "restart_after": "30s" },
        { "exit": "64-78", "give_up": "wrong usage or configuration" },
        { "exit": 42, "then": "restart_now" },
        { "signal": ["SIGSEGV", "abrt", 7], "then": "give_up" },
        { "signal": "SIGRTMIN+3", "then": "restart" },
        { "cause": ["not_ready", "unhealthy"], "restart_after": "5m" },
        { "cause": "out-of-memory", "restart_after": "1m30s" }
    ]
}"#;

fn exit(code: i32) -> Cause {
    Cause { kind: "exit".to_owned(), exit_code: Some(code), ..Cause::default() }
}

fn signal(number: i32) -> Cause {
    Cause { kind: "signal".to_owned(), signal: Some(number), ..Cause::default() }
}

fn other(kind: &str) -> Cause {
    Cause { kind: kind.to_owned(), ..Cause::default() }
}

fn after(seconds: u64) -> Action {
    Action::RestartAfter(Duration::from_secs(seconds))
}

#[track_caller]
fn check(config: &str, cause: Cause, action: Action, reason: &str) {
    let mut policy = Deciding::<ExitCodes>::new(config);
    policy.input.default_action = after(7);
    let decision = policy.ends(cause, Duration::from_secs(1));
    assert_eq!((decision.action, decision.reason.as_str()), (action, reason));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let give_up = |text: &str| Action::GiveUp(text.to_owned());
    check(TABLE, exit(75), after(30), "exit code 75 (EX_TEMPFAIL): rule 1");
    check(TABLE, exit(69), after(30), "exit code 69 (EX_UNAVAILABLE): rule 1");
    let reason = "exit code 78 (EX_CONFIG): wrong usage or configuration";
    check(TABLE, exit(78), give_up(reason), reason);
    check(TABLE, exit(42), after(0), "exit code 42: rule 3");
    check(TABLE, signal(11), give_up("SIGSEGV: rule 4"), "SIGSEGV: rule 4");
    check(TABLE, signal(6), give_up("SIGABRT: rule 4"), "SIGABRT: rule 4");
    check(TABLE, signal(37), Action::UseDefault, "SIGRTMIN+3: rule 5");
    check(TABLE, other("not-ready"), after(300), "not ready: rule 6");
    let oom = Cause { kind: "out-of-memory".to_owned(), signal: Some(9), ..Cause::default() };
    check(TABLE, oom, after(90), "out of memory, SIGKILL: rule 7");
}

#[test]
fn what_no_rule_is_for_is_as_configured_or_as_built_in() {
    check(TABLE, exit(3), Action::UseDefault, "exit code 3: no rule");
    check(TABLE, signal(15), Action::UseDefault, "SIGTERM: no rule");
    check(TABLE, other("watchdog"), Action::UseDefault, "watchdog: no rule");
    let strict = r#"{ "rules": [{ "exit": 75, "then": "restart" }],
                      "otherwise": { "give_up": "not a temporary failure" } }"#;
    check(strict, exit(75), Action::UseDefault, "exit code 75 (EX_TEMPFAIL): rule 1");
    let reason = "exit code 1: not a temporary failure";
    check(strict, exit(1), Action::GiveUp(reason.to_owned()), reason);
}

#[test]
fn how_the_supervisor_ended_a_run_is_not_how_the_service_did() {
    let config = r#"{ "rules": [
        { "exit": "0-255", "then": "restart_now" },
        { "signal": "SIGTERM", "then": "restart_now" }
    ] }"#;
    for kind in ["unhealthy", "not-ready", "watchdog"] {
        let stopped = Cause {
            kind: kind.to_owned(),
            exit_code: Some(0),
            signal: Some(15),
            ..Cause::default()
        };
        let shown = format!("{}: no rule", kind.replace('-', " "));
        check(config, stopped, Action::UseDefault, &shown);
    }
}

#[test]
fn absurd_ends_are_answered_too() {
    for code in [i32::MIN, -1, 256, i32::MAX] {
        check(TABLE, exit(code), Action::UseDefault, &format!("exit code {code}: no rule"));
        check(TABLE, signal(code), Action::UseDefault, &format!("signal {code}: no rule"));
    }
    check(TABLE, other(""), Action::UseDefault, "an end without a cause: no rule");
    check(TABLE, other("a\nb"), Action::UseDefault, "a b: no rule");
    let long = "x".repeat(100_000);
    check(TABLE, other(&long), Action::UseDefault, &format!("{}: no rule", "x".repeat(40)));
}

#[track_caller]
fn refused(config: &str, expected: &[(&str, &str)]) {
    let found = problems(ExitCodes::new, config);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (problem, (path, part)) in found.iter().zip(expected) {
        assert_eq!(problem.path, *path, "{found:#?}");
        assert!(problem.message.contains(part), "{problem:?}");
    }
}

#[test]
fn every_problem_of_a_table_is_told_with_its_place() {
    refused(
        r#"{ "rules": [
            { "exit": [256, "-1", "1.5", "7-5", "EX_TEMPFAL", "+1", "", "1-2-3"], "then": "restart" },
            { "signal": ["SIGTREM", 0, 65], "then": "restart" },
            { "cause": "unhelthy", "then": "restart" },
            { "exit": 1 },
            { "then": "restart" },
            { "exit": 1, "signal": 9, "then": "restart" },
            { "exit": 1, "then": "explode" },
            { "exit": 1, "then": "restart", "restart_after": "1s" },
            { "exit": [], "then": "restart" }
        ], "otherwise": { "then": "never" } }"#,
        &[
            ("rules[0].exit", "\"256\" is no exit code"),
            ("rules[0].exit", "\"-1\""),
            ("rules[0].exit", "\"1.5\""),
            ("rules[0].exit", "ends before it begins"),
            ("rules[0].exit", "the names are EX_OK"),
            ("rules[0].exit", "\"+1\""),
            ("rules[0].exit", "\"\""),
            ("rules[0].exit", "\"1-2-3\""),
            ("rules[1].signal", "\"SIGTREM\" is no signal"),
            ("rules[1].signal", "\"0\""),
            ("rules[1].signal", "\"65\""),
            ("rules[2].cause", "the causes are exit, signal"),
            ("rules[3]", "has to say what follows"),
            ("rules[4]", "has to say what it is for"),
            ("rules[5]", "exclude each other"),
            ("rules[6].then", "\"explode\" is not"),
            ("rules[7]", "exclude each other"),
            ("rules[8].exit", "is empty"),
            ("otherwise.then", "\"never\" is not"),
        ],
    );
    refused("{}", &[("rules", "no rule")]);
}

#[test]
fn a_rule_that_cannot_be_reached_is_a_problem() {
    refused(
        r#"{ "rules": [
            { "exit": "0-100", "then": "restart" },
            { "exit": 101, "then": "restart" },
            { "exit": ["EX_CONFIG", 101], "then": "give_up" },
            { "signal": 9, "then": "restart" },
            { "signal": "KILL", "then": "restart" },
            { "cause": "exit", "then": "restart" },
            { "exit": 200, "then": "restart" }
        ] }"#,
        &[
            ("rules[2]", "never reached"),
            ("rules[4]", "never reached"),
            ("rules[6]", "never reached"),
        ],
    );
}
