//! The policy as a whole, and its zones beside those of the time zone database.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use kennel_plugin::prelude::*;
use kennel_plugin::testing::{self, Deciding};

use crate::zone::Zone;
use crate::{QuietHours, names};

/// Every hour of the years from 2026 to 2036, by which all rules have been at work.
fn hours() -> impl Iterator<Item = Timestamp> {
    let begin = 1_767_225_600;
    (0..11 * 366 * 24).map(move |hour| Timestamp::from_second(begin + hour * 3600).unwrap())
}

#[track_caller]
fn check_offsets(zone: &Zone, theirs: &TimeZone, what: &str, at: impl Iterator<Item = Timestamp>) {
    for at in at {
        let ours = zone.clock(at.as_second()).offset;
        let theirs = i64::from(theirs.to_offset(at).seconds());
        assert_eq!(ours, theirs, "{what} at {at}");
    }
}

/// The table of names was made of the time zone database; here it is held against the one
/// of this machine. A difference is a country that has changed its mind since.
#[test]
fn names_have_the_offsets_of_the_time_zone_database() {
    let mut compared = 0;
    for (name, rule) in names::all() {
        let zone = Zone::posix(rule).unwrap();
        let Ok(theirs) = TimeZone::get(name) else { continue };
        check_offsets(&zone, &theirs, name, hours().step_by(7));
        compared += 1;
    }
    assert!(compared > 400 || TimeZone::get("Europe/Berlin").is_err(), "{compared} compared");
}

#[test]
fn zones_are_read_in_three_ways() {
    for (text, offset) in [
        ("UTC", 0),
        ("Z", 0),
        ("+02:00", 7200),
        ("-0330", -12_600),
        ("+5", 18_000),
        ("Asia/Kolkata", 19_800),
        ("CET-1", 3600),
        ("<+0545>-5:45", 20_700),
    ] {
        assert_eq!(names::zone(text).unwrap().clock(0).offset, offset, "{text}");
    }
}

#[test]
fn what_is_no_zone_says_what_to_write() {
    for (text, expected) in [
        ("europe/berlin", "did you mean \"Europe/Berlin\"?"),
        ("Berlin", "did you mean \"Europe/Berlin\"?"),
        ("New York", "did you mean \"America/New_York\"?"),
        ("Europe/Berln", "did you mean \"Europe/Berlin\"?"),
        ("", "write a name such as Europe/Berlin"),
        ("Middle/Earth", "write a name such as Europe/Berlin"),
        ("UTC+2", "write the offset alone"),
        ("GMT-03:00", "write the offset alone"),
        ("Africa/Casablanca", "lunar calendar"),
        ("CET-1CEST", "no transition rule"),
        ("CET-1CEST,M13.5.0,M10.5.0", "`1..=12`"),
        ("CET-1CEST,M3.6.0,M10.5.0", "`1..=5`"),
        ("CET-1CEST,M3.5.7,M10.5.0", "`0..=6`"),
        ("CET-1CEST,M3.5.0", "expected end of DST rule"),
        ("CET-1CEST,M3.5.0,M10.5.0/3x", "found data after"),
        ("CET-1CEST,M3.5.0,M10.5.0/168", "`-167..=167`"),
        ("CET-1CEST,J0,J366", "`1..=365`"),
        ("CET25", "`0..=24`"),
        ("CE-1", "3 or more"),
        ("<+01-1", "`>`"),
        ("+99:00", "3 or more"),
        ("12345678901234567890", "3 or more"),
        ("😀1", "3 or more"),
        ("CET-1,\u{0}", "\\0\" is no time zone"),
        (&"A".repeat(10_000), "so long a text"),
    ] {
        let error = names::zone(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[track_caller]
fn policy(config: &str) -> Deciding<QuietHours> {
    Deciding::new(config)
}

/// What is decided on a run that ended at this moment.
fn decide(policy: &mut Deciding<QuietHours>, at: &str, default: Action) -> Decision {
    let at: Timestamp = at.parse::<Zoned>().unwrap().timestamp();
    policy.input.now_unix_ms = u64::try_from(at.as_millisecond()).unwrap();
    policy.input.default_action = default;
    policy.decide()
}

#[track_caller]
fn check(policy: &mut Deciding<QuietHours>, at: &str, reason: &str) {
    let decision = decide(policy, at, Action::RestartAfter(Duration::from_secs(1)));
    assert_eq!(decision.reason, reason, "at {at}");
    let waits = reason.contains("restarts");
    assert_eq!(matches!(decision.action, Action::RestartAfter(_)), waits, "{decision:?}");
}

const NIGHTS: &str = r#"{
    "time_zone": "Europe/Berlin",
    "quiet": [{ "days": "mon-fri", "from": "22:00", "to": "06:00" }]
}"#;

#[test]
fn restarts_wait_until_the_quiet_hours_end() {
    let mut policy = policy(NIGHTS);
    // A Monday.
    check(&mut policy, "2026-11-23T21:59:58[Europe/Berlin]", "no quiet hours");
    check(
        &mut policy,
        "2026-11-23T21:59:59[Europe/Berlin]",
        "quiet hours: restarts Tue 06:00 CET, in 8 h",
    );
    check(
        &mut policy,
        "2026-11-24T05:59:58[Europe/Berlin]",
        "quiet hours: restarts Tue 06:00 CET, in 2 s",
    );
    check(&mut policy, "2026-11-24T05:59:59[Europe/Berlin]", "no quiet hours");
    // The night that begins on Friday ends on Saturday; the next one is no quiet night.
    check(
        &mut policy,
        "2026-11-28T03:00:00[Europe/Berlin]",
        "quiet hours: restarts Sat 06:00 CET, in 3 h",
    );
    check(&mut policy, "2026-11-28T23:00:00[Europe/Berlin]", "no quiet hours");
}

#[test]
fn a_night_is_an_hour_longer_or_shorter_when_clocks_change() {
    let mut policy = policy(
        r#"{ "time_zone": "Europe/Berlin", "quiet": [{ "from": "22:00", "to": "06:00" }] }"#,
    );
    check(
        &mut policy,
        "2026-10-24T22:00:00[Europe/Berlin]",
        "quiet hours: restarts Sun 06:00 CET, in 9 h",
    );
    check(
        &mut policy,
        "2026-03-28T22:00:00[Europe/Berlin]",
        "quiet hours: restarts Sun 06:00 CEST, in 7 h",
    );
}

#[test]
fn restarts_wait_for_the_maintenance_window() {
    let mut policy = policy(
        r#"{ "time_zone": "-05:00",
             "maintenance": [{ "days": ["sat", "sun"], "from": "02:00", "to": "04:00" }] }"#,
    );
    check(&mut policy, "2026-11-28T02:30:00-05:00[-05:00]", "within a maintenance window");
    check(
        &mut policy,
        "2026-11-28T04:00:00-05:00[-05:00]",
        "outside of the maintenance windows: restarts Sun 02:00 -0500, in 22 h",
    );
    check(
        &mut policy,
        "2026-11-29T04:00:00-05:00[-05:00]",
        "outside of the maintenance windows: restarts Sat 02:00 -0500, in 5 d 22 h",
    );
}

#[test]
fn what_would_not_restart_has_nothing_to_wait_for() {
    let decision = decide(
        &mut policy(NIGHTS),
        "2026-11-24T00:00:00[Europe/Berlin]",
        Action::GiveUp("no".into()),
    );
    assert_eq!(decision.action, Action::UseDefault);
}

#[test]
fn absurd_times_are_answered_too() {
    let policies =
        [policy(NIGHTS), policy(r#"{ "maintenance": [{ "from": "0:00", "to": "0:01" }] }"#)];
    for mut policy in policies {
        for now_unix_ms in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            for delay in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
                policy.input.now_unix_ms = now_unix_ms;
                policy.input.default_action = Action::RestartAfter(delay);
                if let Action::RestartAfter(wait) = policy.decide().action {
                    assert!(wait >= delay.min(crate::DELAY_MAX));
                }
            }
        }
    }
}

#[track_caller]
fn problems(config: &str, expected: &[(&str, &str)]) {
    let found = testing::problems(QuietHours::new, config);
    let found: Vec<_> = found.iter().map(|p| (p.path.as_str(), p.message.as_str())).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((path, message), (wanted, part)) in found.iter().zip(expected) {
        assert_eq!(path, wanted, "{found:#?}");
        assert!(message.contains(part), "{path}: {message}");
    }
}

#[test]
fn every_problem_of_a_configuration_is_told_with_its_place() {
    problems(
        r#"{ "time_zone": "Mars", "quiet": [
            { "days": ["mon", "someday"], "from": "22", "to": "6:00" },
            { "days": [], "from": "24:00", "to": "25:00" },
            { "from": "24:00", "to": "06:00" },
            { "from": "12:00", "to": "12:00" }
        ] }"#,
        &[
            ("time_zone", "no time zone"),
            ("quiet[0].days", "\"someday\" is no day of the week"),
            ("quiet[0].from", "\"22\" is no time of day"),
            ("quiet[1].days", "no day"),
            ("quiet[1].to", "\"25:00\" is no time of day"),
            ("quiet[2].from", "24:00 is an end"),
            ("quiet[3].to", "the same"),
        ],
    );
    problems("{}", &[("", "quiet or maintenance has to say")]);
    problems(r#"{ "quiet": [] }"#, &[("quiet", "no hours")]);
    problems(
        r#"{ "quiet": [{ "from": "0:00", "to": "24:00" }] }"#,
        &[("quiet", "no time of the week is left")],
    );
    problems(
        r#"{ "quiet": [{ "from": "1:00", "to": "2:00" }],
             "maintenance": [{ "from": "1:00", "to": "2:00" }] }"#,
        &[("maintenance", "not both")],
    );
}
