//! What redis can say, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../common/mod.rs"]
mod common;

use common::noise::Noise;
use kennel_plugin::prelude::*;
use kennel_plugin::testing::problems;
use kennel_plugin_redis::Redis;
use kennel_plugin_redis::talk::Wire;

const PRIMARY: &str = "# Server\r\nredis_version:7.0.15\r\n# Clients\r\nconnected_clients:12\r\n\
    blocked_clients:1\r\n# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\n\
    maxmemory_policy:noeviction\r\n# Persistence\r\nloading:0\r\nasync_loading:0\r\n\
    rdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\n# Stats\r\n\
    instantaneous_ops_per_sec:250\r\nevicted_keys:0\r\n# Replication\r\nrole:master\r\n\
    connected_slaves:1\r\n# Keyspace\r\ndb0:keys=40,expires=0,avg_ttl=0\r\ndb3:keys=2\r\n";

const REPLICA: &str = "loading:0\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n\
    master_link_status:up\r\nmaster_last_io_seconds_ago:3\r\nmaster_sync_in_progress:0\r\n";

/// What comes over the wire, piece by piece, and then its end.
struct Script(Vec<Vec<u8>>);

impl Wire for Script {
    fn write(&mut self, _: &[u8]) -> Result<(), ProbeError> {
        Ok(())
    }

    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let piece = self.0.remove(0);
        assert!(piece.len() <= max as usize);
        Ok(piece)
    }
}

fn redis(config: &str) -> Redis {
    let config = json::from_slice(format!("{{\"address\":\"127.0.0.1:6379\"{config}}}").as_bytes());
    Redis::new(config.unwrap()).unwrap()
}

fn long(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// The verdict on these answers, however they are cut into pieces.
#[track_caller]
fn verdict(config: &str, answers: &str) -> Verdict {
    let check = redis(config);
    let judge = |pieces| match check.check_over(&mut Script(pieces)) {
        Ok(verdict) | Err(CheckError::Failed(verdict)) => verdict,
        Err(CheckError::NotMade(reason)) => Verdict::unknown(reason),
    };
    let whole = judge(vec![answers.as_bytes().to_owned()]);
    for seed in 0..20 {
        let pieces = judge(Noise::new(seed).pieces(answers.as_bytes()));
        if whole.reason.starts_with("this is no redis") {
            assert_eq!(pieces.status, whole.status, "how much of it is shown may differ");
        } else {
            assert_eq!(pieces, whole);
        }
    }
    whole
}

fn value(verdict: &Verdict, name: &str) -> Option<f64> {
    verdict.samples.iter().find(|sample| sample.name == name).map(|sample| sample.value)
}

fn is_ready(verdict: &Verdict) -> bool {
    !verdict.ext.iter().any(|(key, value)| key == "ready" && value == "false")
}

#[track_caller]
fn check(config: &str, answers: &str, status: Status, ready: bool, reason: &str) {
    let verdict = verdict(config, answers);
    assert_eq!((verdict.status, verdict.reason.as_str()), (status, reason));
    assert_eq!(is_ready(&verdict), ready, "whether it is ready: {reason}");
}

/// What is changed in the text of `INFO`.
fn info(text: &str, changes: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (key, value) in changes {
        let old = text.lines().find(|line| line.starts_with(&format!("{key}:")));
        match old.map(str::to_owned) {
            Some(old) => text = text.replace(&old, &format!("{key}:{value}")),
            None => text += &format!("{key}:{value}\r\n"),
        }
    }
    format!("+PONG\r\n{}", long(&text))
}

#[test]
fn a_primary_that_answers_is_healthy_and_measured() {
    let verdict = verdict("", &info(PRIMARY, &[]));
    assert_eq!(verdict.status, Status::Healthy);
    assert_eq!(verdict.reason, "PONG; primary of 1 replica");
    for (name, expected) in [
        ("primary", 1.0),
        ("clients", 12.0),
        ("blocked_clients", 1.0),
        ("memory", 1_048_576.0),
        ("commands_per_second", 250.0),
        ("keys", 42.0),
        ("replicas", 1.0),
    ] {
        assert_eq!(value(&verdict, name), Some(expected), "{name}");
    }
    assert_eq!(value(&verdict, "link_up"), None, "a primary copies nobody");
}

#[test]
fn a_replica_is_healthy_while_its_link_is_up() {
    let verdict = verdict("", &info(REPLICA, &[]));
    assert_eq!(verdict.status, Status::Healthy);
    assert_eq!(verdict.reason, "PONG; replica of 10.0.0.1:6379");
    assert_eq!(value(&verdict, "primary"), Some(0.0));
    assert_eq!(value(&verdict, "link_up"), Some(1.0));
    assert_eq!(value(&verdict, "lag"), Some(3.0));
}

#[test]
fn a_broken_link_is_degraded() {
    let down = [("master_link_status", "down"), ("master_link_down_since_seconds", "12")];
    let reason = "has no link to its primary 10.0.0.1:6379 since 12 s";
    check("", &info(REPLICA, &down), Status::Degraded, true, reason);
    let never = [("master_link_status", "down"), ("master_link_down_since_seconds", "-1")];
    let reason = "has no link to its primary 10.0.0.1:6379";
    check("", &info(REPLICA, &never), Status::Degraded, true, reason);
    let copying = [("master_link_status", "down"), ("master_sync_in_progress", "1")];
    let reason = "is copying all data of its primary 10.0.0.1:6379";
    check("", &info(REPLICA, &copying), Status::Degraded, false, reason);
    let reason = "has heard nothing of its primary 10.0.0.1:6379 for 3 s";
    check(",\"max_lag\":\"2s\"", &info(REPLICA, &[]), Status::Degraded, true, reason);
    let reason = "PONG; replica of 10.0.0.1:6379";
    check(",\"max_lag\":\"3s\"", &info(REPLICA, &[]), Status::Healthy, true, reason);
}

#[test]
fn the_wrong_role_is_degraded_or_as_configured() {
    let reason = "is a replica, not the primary";
    check(",\"role\":\"primary\"", &info(REPLICA, &[]), Status::Degraded, true, reason);
    check(",\"role\":\"master\"", &info(REPLICA, &[]), Status::Degraded, true, reason);
    let strict = ",\"role\":\"primary\",\"on_wrong_role\":\"unhealthy\"";
    check(strict, &info(REPLICA, &[]), Status::Unhealthy, true, reason);
    let reason = "is a primary, not a replica";
    check(",\"role\":\"replica\"", &info(PRIMARY, &[]), Status::Degraded, true, reason);
    let reason = "PONG; replica of 10.0.0.1:6379";
    check(",\"role\":\"slave\"", &info(REPLICA, &[]), Status::Healthy, true, reason);
}

#[test]
fn loading_is_degraded_and_not_ready() {
    let bare = "-LOADING Redis is loading the dataset in memory\r\n";
    let told = "loading:1\r\nloading_loaded_perc:37.12\r\nloading_eta_seconds:5\r\n";
    let reason = "is loading its data: 37 % are there, about 5 s left";
    check("", &format!("{bare}{}", long(told)), Status::Degraded, false, reason);
    check("", &format!("{bare}{bare}"), Status::Degraded, false, "is loading its data");
    let pong = format!("+PONG\r\n{}", long(told));
    check("", &pong, Status::Degraded, false, reason);
}

#[test]
fn a_server_that_lives_and_cannot_work_is_degraded() {
    for (answer, ready, reason) in [
        ("MASTERDOWN Link is down", false, "has lost its primary and serves nothing old"),
        ("BUSY Redis is busy running a script", true, "is held up by a script"),
        ("MISCONF no disk", true, "cannot save its data and takes no writes"),
        ("ERR max number of clients reached", false, "has no room for another client"),
    ] {
        let reason = format!("{reason}: {answer}");
        check("", &format!("-{answer}\r\n"), Status::Degraded, ready, &reason);
    }
    let concerns = [
        ("rdb_last_bgsave_status", "err"),
        ("aof_last_write_status", "err"),
        ("maxmemory", "1048576"),
    ];
    let reason = "its last background save failed; its last write to the append-only file \
                  failed; its memory is full, and it may evict nothing: writes are refused";
    check("", &info(PRIMARY, &concerns), Status::Degraded, true, reason);
    let evicts = [("maxmemory", "1"), ("maxmemory_policy", "allkeys-lru")];
    check("", &info(PRIMARY, &evicts), Status::Healthy, true, "PONG; primary of 1 replica");
    let reason = "has 1 of 2 replicas";
    check(",\"min_replicas\":2", &info(PRIMARY, &[]), Status::Degraded, true, reason);
}

#[test]
fn a_login_that_fails_says_nothing_of_the_server() {
    let login = ",\"username\":\"probe\",\"password\":\"s3cret\"";
    for (config, answers, reason) in [
        ("", "-NOAUTH Authentication required.\r\n", "wants a password, set \"password\""),
        ("", "-DENIED protected mode\r\n", "is in protected mode and takes nobody from here"),
        ("", "-NOPERM no\r\n", "the user may not do this, see ACL SETUSER"),
        (
            login,
            "-WRONGPASS invalid username-password pair\r\n-NOAUTH x\r\n-NOAUTH x\r\n",
            "does not take this username and password",
        ),
        (login, "-ERR wrong number of arguments for 'auth' command\r\n", "cannot log in"),
    ] {
        let verdict = verdict(config, answers);
        assert_eq!(verdict.status, Status::Unknown);
        assert!(verdict.reason.starts_with(reason), "{}", verdict.reason);
        assert!(!verdict.reason.contains("s3cret"), "a password is never shown");
    }
}

#[test]
fn a_password_that_nobody_asks_for_is_told() {
    for error in [
        "ERR AUTH <password> called without any password configured for the default user.",
        "ERR Client sent AUTH, but no password is set",
    ] {
        let answers = format!("-{error}\r\n{}", info(PRIMARY, &[]));
        let reason = "it has no password, but one is configured here";
        check(",\"password\":\"x\"", &answers, Status::Degraded, true, reason);
    }
}

#[test]
fn without_the_right_to_ask_for_info_pong_is_enough_unless_more_is_wanted() {
    let answers = "+PONG\r\n-NOPERM this user has no permissions to run the 'info' command\r\n";
    check("", answers, Status::Healthy, true, "PONG");
    let verdict = verdict(",\"role\":\"primary\"", answers);
    assert_eq!(verdict.status, Status::Unknown);
    assert!(verdict.reason.contains("INFO"), "{}", verdict.reason);
}

#[test]
fn what_is_no_redis_is_unhealthy() {
    for (answers, reason) in [
        ("", "closes the connection without an answer"),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "this is no redis, it says \"HTTP/1.1 400 Bad Request\\r\\n\\r\\n\"",
        ),
        ("+PONG\r\nHTTP/1.1 200 OK\r\n", "this is no redis, it says \"HTTP/1.1 200 OK\\r\\n\""),
        ("+PO", "this is no redis, it says \"+PO\""),
        ("+PENG\r\n", "answers PING with \"PENG\""),
        (":1\r\n", "answers PING with 1"),
        ("$2\r\nhi\r\n", "answers PING with a string"),
        ("-ERR unknown command\r\n", "answers PING with an error: ERR unknown command"),
    ] {
        check("", answers, Status::Unhealthy, true, reason);
    }
}

#[test]
fn no_bytes_break_the_check() {
    let answers = [info(PRIMARY, &[]), info(REPLICA, &[]), "-LOADING x\r\n$1\r\nx\r\n".to_owned()];
    let checks = [
        redis(""),
        redis(",\"password\":\"x\""),
        redis(",\"role\":\"replica\",\"max_lag\":\"1s\""),
        redis(",\"role\":\"primary\",\"min_replicas\":1"),
    ];
    for seed in 0..4000 {
        let mut noise = Noise::new(seed);
        let bytes = if noise.below(4) == 0 {
            noise.bytes(300)
        } else {
            let answer = noise.one_of(&answers);
            noise.spoil(answer.as_bytes())
        };
        let pieces = noise.pieces(&bytes);
        match checks[noise.below(checks.len())].check_over(&mut Script(pieces)) {
            Ok(verdict) | Err(CheckError::Failed(verdict)) => {
                assert!(!verdict.reason.is_empty());
                assert!(verdict.samples.iter().all(|sample| sample.value.is_finite()));
            }
            Err(CheckError::NotMade(reason)) => assert!(!reason.is_empty()),
        }
    }
}

#[test]
fn every_problem_of_a_configuration_is_told_at_its_place() {
    for (config, expected) in [
        ("\"username\":\"x\"", "username"),
        ("\"password\":\"\"", "password"),
        ("\"ca_file\":\"/x\"", "ca_file"),
        ("\"tls_server_name\":\"x\"", "tls_server_name"),
        ("\"role\":\"primary\",\"max_lag\":\"1s\"", "max_lag"),
        ("\"role\":\"replica\",\"min_replicas\":1", "min_replicas"),
    ] {
        let config = format!("{{\"address\":\"a:1\",{config}}}");
        let problems = problems(Redis::new, &config);
        assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), [expected]);
    }
    let unix = "{\"address\":\"/run/redis.sock\",\"tls\":true}";
    assert_eq!(problems(Redis::new, unix).len(), 1, "a socket has no name");
    for refused in ["{}", "{\"adress\":\"a:1\"}", "{\"address\":\"a\"}"] {
        assert!(!problems(Redis::new, refused).is_empty(), "{refused}");
    }
}
