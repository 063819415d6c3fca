//! What is affordable, level by level.

use std::time::Duration;

use kennel_plugin::testing::{Deciding, problems};
use kennel_plugin::{Action, Cause, Decision, RestartPolicy as _};
use kennel_plugin_budget::Budget;

const ERLANG: &str = r#"{ "intensity": 3, "period": "1m" }"#;

const ESCALATING: &str = r#"{ "levels": [
    { "intensity": 2, "period": "1m" },
    { "intensity": 2, "period": "10m", "restart_after": "30s" },
    { "intensity": 1, "period": "1h", "restart_after": "5m" }
] }"#;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn exit() -> Cause {
    Cause { kind: "exit".to_owned(), exit_code: Some(1), ..Cause::default() }
}

/// A run that lasts so long ends, and what is decided is waited for.
fn ends(policy: &mut Deciding<Budget>, uptime: u64) -> Decision {
    let decision = policy.ends(exit(), seconds(uptime));
    if let Action::RestartAfter(delay) = decision.action {
        policy.advance(delay);
    }
    decision
}

#[track_caller]
fn check(policy: &mut Deciding<Budget>, uptime: u64, action: Action, reason: &str) {
    let decision = ends(policy, uptime);
    assert_eq!((decision.action, decision.reason.as_str()), (action, reason));
}

#[test]
fn one_restart_more_than_the_intensity_gives_up() {
    let mut policy = Deciding::<Budget>::new(ERLANG);
    for number in 1..=3 {
        let reason = format!("restart {number} of 3 within 1 min");
        check(&mut policy, 1, Action::UseDefault, &reason);
    }
    let reason = "more than 3 restarts within 1 min";
    check(&mut policy, 1, Action::GiveUp(reason.into()), reason);
    check(&mut policy, 1, Action::GiveUp(reason.into()), reason);
}

#[test]
fn restarts_that_are_older_than_the_period_do_not_count() {
    let mut policy = Deciding::<Budget>::new(ERLANG);
    // At 20, 40 and 60 s; at 80 s the first one is just out of the window.
    for number in [1, 2, 3, 3, 3, 3] {
        let reason = format!("restart {number} of 3 within 1 min");
        check(&mut policy, 20, Action::UseDefault, &reason);
    }
    // At 139.999 s those of 80, 100 and 120 s are in it.
    let last = policy.ends(exit(), Duration::from_millis(19_999));
    assert_eq!(last.action, Action::GiveUp("more than 3 restarts within 1 min".into()));
}

#[test]
fn an_intensity_of_zero_gives_up_at_once() {
    let mut policy = Deciding::<Budget>::new(r#"{ "intensity": 0, "period": "1m" }"#);
    let reason = "more than 0 restarts within 1 min";
    check(&mut policy, 1000, Action::GiveUp(reason.into()), reason);
}

#[test]
fn what_is_too_much_for_a_level_is_paid_by_the_next() {
    let mut policy = Deciding::<Budget>::new(ESCALATING);
    let slow = Action::RestartAfter(seconds(30));
    let slower = Action::RestartAfter(seconds(300));
    check(&mut policy, 1, Action::UseDefault, "level 1: restart 1 of 2 within 1 min");
    check(&mut policy, 1, Action::UseDefault, "level 1: restart 2 of 2 within 1 min");
    check(&mut policy, 1, slow.clone(), "level 2: restart 1 of 2 within 10 min");
    check(&mut policy, 1, slow, "level 2: restart 2 of 2 within 10 min");
    check(&mut policy, 1, slower, "level 3: restart 1 of 1 within 1 h");
    let reason = "all 3 levels of the budget are used up: more than 1 restart within 1 h";
    check(&mut policy, 1, Action::GiveUp(reason.into()), reason);
}

#[test]
fn a_run_that_lasts_for_the_period_of_its_level_pays_everything_back() {
    let mut policy = Deciding::<Budget>::new(ESCALATING);
    for _ in 0..3 {
        ends(&mut policy, 1);
    }
    let long = 600;
    let almost = policy.ends(exit(), seconds(long) - Duration::from_millis(1));
    assert_eq!(
        almost.reason, "level 2: restart 1 of 2 within 10 min",
        "the older one is forgotten"
    );
    check(&mut policy, long, Action::UseDefault, "level 1: restart 1 of 2 within 1 min");

    for _ in 0..6 {
        ends(&mut policy, 1);
    }
    assert!(matches!(ends(&mut policy, 3599).action, Action::GiveUp(_)));
    check(&mut policy, 3600, Action::UseDefault, "level 1: restart 1 of 2 within 1 min");
}

#[test]
fn a_last_level_without_a_limit_goes_on_for_ever() {
    let mut policy = Deciding::<Budget>::new(
        r#"{ "levels": [
            { "intensity": 1, "period": "1m" },
            { "intensity": "unlimited", "period": "1h", "restart_after": "10m" }
        ] }"#,
    );
    check(&mut policy, 1, Action::UseDefault, "level 1: restart 1 of 1 within 1 min");
    for _ in 0..50 {
        let slow = Action::RestartAfter(seconds(600));
        check(&mut policy, 1, slow, "level 2: restarts are not counted");
    }
}

#[test]
fn what_was_forgotten_is_counted_anew_from_the_history() {
    let mut remembers = Deciding::<Budget>::new(ESCALATING);
    let mut forgets = Deciding::<Budget>::new(ESCALATING);
    for uptime in [1, 2, 70, 1, 1, 1, 5, 601, 1, 1, 1, 1, 1, 1, 1, 3600, 1] {
        forgets.saved = None;
        assert_eq!(ends(&mut remembers, uptime), ends(&mut forgets, uptime));
    }
}

#[test]
fn a_clock_that_is_set_makes_no_restart_free() {
    let mut policy = Deciding::<Budget>::new(ERLANG);
    for _ in 0..3 {
        ends(&mut policy, 1);
    }
    policy.input.now_unix_ms = 0;
    assert!(matches!(ends(&mut policy, 1).action, Action::GiveUp(_)), "back to 1970");
    let mut policy = Deciding::<Budget>::new(ERLANG);
    policy.input.now_unix_ms = u64::MAX;
    policy.input.target.uptime = seconds(1);
    for _ in 0..3 {
        assert_eq!(policy.decide().action, Action::UseDefault);
    }
    assert!(matches!(policy.decide().action, Action::GiveUp(_)));
}

#[test]
fn absurd_states_and_uptimes_are_survived() {
    for saved in
        ["{\"level\":18446744073709551615,\"restarts\":[]}", "{\"level\":1}", "nonsense", ""]
    {
        let mut policy = Deciding::<Budget>::new(ESCALATING);
        ends(&mut policy, 1);
        policy.saved.as_mut().unwrap().bytes = saved.as_bytes().to_vec();
        policy.ends(exit(), seconds(1));
        policy.input.target.uptime = Duration::MAX;
        assert_eq!(policy.decide().action, Action::UseDefault, "{saved}");
    }
}

#[test]
fn the_memory_stays_small() {
    let mut policy = Deciding::<Budget>::new(r#"{ "intensity": 1000, "period": "3650d" }"#);
    for _ in 0..1005 {
        policy.advance(seconds(1));
        policy.decide();
    }
    let bytes = policy.saved.unwrap().bytes.len();
    assert!(bytes < 32 * 1024, "{bytes} bytes of at most 64 KiB");
}

#[track_caller]
fn refused(config: &str, expected: &[(&str, &str)]) {
    let found = problems(Budget::new, config);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (problem, (path, part)) in found.iter().zip(expected) {
        assert_eq!(problem.path, *path, "{found:#?}");
        assert!(problem.message.contains(part), "{problem:?}");
    }
}

#[test]
fn every_problem_of_a_budget_is_told_with_its_place() {
    refused("{}", &[("", "have to say what is affordable")]);
    refused(r#"{ "intensity": 3 }"#, &[("", "have to say")]);
    refused(r#"{ "levels": [] }"#, &[("levels", "no level")]);
    refused(r#"{ "intensity": 3, "levels": [] }"#, &[("levels", "belong to a level")]);
    refused(
        r#"{ "levels": [
            { "intensity": "many", "period": "1m" },
            { "intensity": -1, "period": "1m" },
            { "intensity": 1001, "period": "1m" },
            { "intensity": "unlimited", "period": "1m" },
            { "intensity": 3, "period": "0s" },
            { "intensity": 3, "period": "30s", "restart_after": "10s" },
            { "intensity": "unlimited", "period": "10s", "restart_after": "10s" }
        ] }"#,
        &[
            ("levels[0].intensity", "\"many\" is no number"),
            ("levels[1].intensity", "\"-1\""),
            ("levels[2].intensity", "\"1001\""),
            ("levels[3].intensity", "never reached"),
            ("levels[4].period", "no time in 0s"),
            ("levels[5].period", "3 restarts with their waits take"),
            ("levels[6].period", "one restart with its wait takes"),
        ],
    );
}
