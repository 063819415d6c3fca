//! What PostgreSQL can say, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../common/mod.rs"]
mod common;

use common::noise::Noise;
use kennel_plugin::prelude::*;
use kennel_plugin::testing::problems;
use kennel_plugin_postgres::Postgres;
use kennel_plugin_postgres::config::Config;
use kennel_plugin_postgres::talk::Wire;

/// What comes over the wire, piece by piece, and then its end; and what we sent.
#[derive(Default)]
struct Script {
    pieces: Vec<Vec<u8>>,
    sent: Vec<u8>,
    tls: bool,
}

impl Script {
    fn of(pieces: Vec<Vec<u8>>) -> Script {
        Script { pieces, ..Script::default() }
    }
}

impl Wire for Script {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        self.sent.extend_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        if self.pieces.is_empty() {
            return Ok(Vec::new());
        }
        let piece = self.pieces.remove(0);
        assert!(piece.len() <= max as usize);
        Ok(piece)
    }

    fn start_tls(&mut self, _: &Config) -> Result<(), ProbeError> {
        self.tls = true;
        Ok(())
    }
}

const LOGIN: &str = ",\"user\":\"probe\",\"password\":\"s3cret\"";

fn postgres(config: &str) -> Postgres {
    let config = format!("{{\"address\":\"127.0.0.1:5432\"{config}}}");
    Postgres::new(json::from_slice(config.as_bytes()).unwrap()).unwrap()
}

fn told(answer: Result<Verdict, CheckError>) -> Verdict {
    match answer {
        Ok(verdict) | Err(CheckError::Failed(verdict)) => verdict,
        Err(CheckError::NotMade(reason)) => Verdict::unknown(reason),
    }
}

/// The verdict on these answers, however they are cut into pieces.
#[track_caller]
fn verdict(config: &str, answers: &[u8]) -> Verdict {
    let check = postgres(config);
    let input = CheckInput::default();
    let judge = |pieces| told(check.check_over(&input, &mut Script::of(pieces)));
    let whole = judge(vec![answers.to_owned()]);
    for seed in 0..20 {
        let pieces = judge(Noise::new(seed).pieces(answers));
        assert_eq!(pieces.status, whole.status);
        // How much is shown of what is no PostgreSQL depends on what was there.
        if !whole.reason.starts_with("this is no PostgreSQL") {
            assert_eq!(pieces, whole);
        }
    }
    whole
}

#[track_caller]
fn check(config: &str, answers: &[u8], status: Status, ready: bool, reason: &str) {
    let verdict = verdict(config, answers);
    assert_eq!((verdict.status, verdict.reason.as_str()), (status, reason));
    let not_ready = verdict.ext.iter().any(|(key, value)| key == "ready" && value == "false");
    assert_eq!(!not_ready, ready, "whether it is ready: {reason}");
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn error(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes())
}

fn asks(kind: u32, more: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes(), more].concat())
}

fn row(cells: &[Option<&str>]) -> Vec<u8> {
    let mut body = (cells.len() as u16).to_be_bytes().to_vec();
    for cell in cells {
        match cell {
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(text) => {
                body.extend_from_slice(&(text.len() as u32).to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
        }
    }
    let described = message(b'T', &[0; 2]);
    [described, message(b'D', &body), message(b'C', b"SELECT 1\0")].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// Let in without a password, with all that a server says first.
fn let_in() -> Vec<u8> {
    let setting = message(b'S', b"server_version\x0015.6\0");
    let key = message(b'K', &[0; 8]);
    [asks(0, &[]), setting, key, ready()].concat()
}

fn answers(role: &str, figures: &[Option<&str>]) -> Vec<u8> {
    [let_in(), row(&[Some(role)]), ready(), row(figures), ready()].concat()
}

fn primary() -> Vec<u8> {
    answers("f", &[Some("7"), Some("100"), Some("2"), None])
}

fn standby(lag: Option<&str>) -> Vec<u8> {
    answers("t", &[Some("7"), Some("100"), Some("0"), lag])
}

fn values(verdict: &Verdict) -> Vec<(&str, f64)> {
    verdict.samples.iter().map(|sample| (sample.name.as_str(), sample.value)).collect()
}

#[test]
fn the_role_is_said_and_measured() {
    let found = verdict(LOGIN, &primary());
    assert_eq!(found.status, Status::Healthy);
    assert_eq!(found.reason, "accepts connections and answers; primary");
    let expected =
        [("primary", 1.0), ("connections", 7.0), ("connections_max", 100.0), ("standbys", 2.0)];
    assert_eq!(values(&found), expected);

    let found = verdict(LOGIN, &standby(Some("1.5")));
    assert_eq!(found.reason, "accepts connections and answers; standby");
    let expected =
        [("primary", 0.0), ("connections", 7.0), ("connections_max", 100.0), ("lag", 1.5)];
    assert_eq!(values(&found), expected);
}

#[test]
fn the_wrong_role_is_degraded_or_as_configured() {
    let wants = |role: &str| format!("{LOGIN},\"role\":\"{role}\"");
    let reason = "is a standby, not the primary";
    check(&wants("primary"), &standby(None), Status::Degraded, true, reason);
    let strict = wants("primary") + ",\"on_wrong_role\":\"unhealthy\"";
    check(&strict, &standby(None), Status::Unhealthy, true, reason);
    let reason = "is a primary, not a standby";
    check(&wants("standby"), &primary(), Status::Degraded, true, reason);
    let reason = "accepts connections and answers; primary";
    check(&wants("primary"), &primary(), Status::Healthy, true, reason);
}

#[test]
fn a_standby_that_is_far_behind_is_degraded() {
    let config = format!("{LOGIN},\"max_lag\":\"10s\"");
    let reason = "is 12.3 s behind its primary";
    check(&config, &standby(Some("12.34")), Status::Degraded, true, reason);
    let reason = "accepts connections and answers; standby";
    check(&config, &standby(Some("9.9")), Status::Healthy, true, reason);
    check(&config, &standby(None), Status::Healthy, true, reason);
    check(&config, &standby(Some("NaN")), Status::Healthy, true, reason);
}

#[test]
fn a_server_that_says_why_it_does_not_serve_is_degraded_and_not_ready() {
    for (code, text, reason) in [
        (
            "57P03",
            "the database system is starting up",
            "the database system is starting up (57P03)",
        ),
        (
            "57P03",
            "the database system is shutting down",
            "the database system is shutting down (57P03)",
        ),
        (
            "53300",
            "sorry, too many clients already",
            "has no room for another connection: sorry, too many clients already (53300)",
        ),
        ("53200", "out of memory", "is short of something: out of memory (53200)"),
    ] {
        for config in ["", LOGIN] {
            check(config, &error(code, text), Status::Degraded, false, reason);
        }
    }
    let cannot_fork = b"Ecould not fork new process for connection: no memory\n\0";
    let reason = "is short of something: could not fork new process for connection: no memory";
    check(LOGIN, cannot_fork, Status::Degraded, false, reason);
    // A crash of another backend ends ours in the middle of a query.
    let crash = [let_in(), error("57P02", "terminating connection because of crash")].concat();
    let reason = "terminating connection because of crash (57P02)";
    check(LOGIN, &crash, Status::Degraded, false, reason);
}

#[test]
fn nobody_has_to_log_in() {
    let reason = "accepts connections and asks who we are";
    for answer in [
        asks(3, &[]),
        asks(5, b"salt"),
        asks(10, b"SCRAM-SHA-256\0\0"),
        asks(7, &[]),
        error("28000", "no pg_hba.conf entry"),
        error("28P01", "password authentication failed"),
        error("3D000", "database \"postgres\" does not exist"),
    ] {
        check("", &answer, Status::Healthy, true, reason);
    }
    check("", &primary(), Status::Healthy, true, "accepts connections and answers; primary");
    let gone = error("XX000", "internal");
    check("", &gone, Status::Unhealthy, true, "refuses the connection: internal (XX000)");
}

#[test]
fn a_login_that_fails_says_nothing_of_the_server() {
    for (config, answer, reason) in [
        (
            LOGIN,
            error("28P01", "password authentication failed for user \"probe\""),
            "cannot log in as \"probe\": password authentication failed for user \"probe\" (28P01)",
        ),
        (
            LOGIN,
            error("3D000", "database \"postgres\" does not exist"),
            "there is no database \"postgres\": database \"postgres\" does not exist (3D000)",
        ),
        (LOGIN, error("42501", "no"), "\"probe\" may not connect to \"postgres\": no (42501)"),
        (
            ",\"user\":\"probe\"",
            asks(10, b"SCRAM-SHA-256\0\0"),
            "the server wants a password for \"probe\", set \"password\"",
        ),
        (
            LOGIN,
            asks(7, &[]),
            "the server wants GSSAPI for this login, which the check does not speak; \
             let scram-sha-256, md5, password or trust stand in pg_hba.conf",
        ),
        (
            LOGIN,
            asks(10, b"SCRAM-SHA-1\0OAUTHBEARER\0\0"),
            "the server wants SCRAM-SHA-1, OAUTHBEARER for this login, which the check does not \
             speak; let scram-sha-256, md5, password or trust stand in pg_hba.conf",
        ),
    ] {
        check(config, &answer, Status::Unknown, true, reason);
    }
}

#[test]
fn a_server_that_cannot_prove_itself_is_not_believed() {
    let mechanisms = asks(10, b"SCRAM-SHA-256\0\0");
    let check_of = postgres(LOGIN);
    let input = CheckInput::default();
    // The nonce is in what we send first.
    let mut first = Script::of(vec![mechanisms.clone()]);
    let closed = told(check_of.check_over(&input, &mut first));
    assert_eq!(closed.reason, "closes the connection without an answer");
    let sent = String::from_utf8_lossy(&first.sent).into_owned();
    let nonce = sent.split(",r=").nth(1).unwrap();
    let challenge = asks(11, format!("r={nonce}more,s=c2FsdA==,i=4096").as_bytes());

    let skipped = [mechanisms.clone(), challenge.clone(), primary()].concat();
    let reason = "breaks the rules of a login: asks out of turn";
    check(LOGIN, &skipped, Status::Unhealthy, true, reason);
    let wrong = asks(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let impostor = [mechanisms.clone(), challenge.clone(), wrong].concat();
    let reason = "the server does not know the password: it may be another one";
    check(LOGIN, &impostor, Status::Unknown, true, reason);
    let foreign = [mechanisms.clone(), asks(11, b"r=other,s=c2FsdA==,i=1")].concat();
    let reason = "breaks the rules of a login: does not go on with our nonce";
    check(LOGIN, &foreign, Status::Unhealthy, true, reason);
    let expensive = asks(11, format!("r={nonce}more,s=c2FsdA==,i=4000000").as_bytes());
    let reason = "this password has 4000000 SCRAM iterations, too many for a check; give it a \
                  user with fewer (scram_iterations)";
    check(LOGIN, &[mechanisms, expensive].concat(), Status::Unknown, true, reason);
}

#[test]
fn no_nonce_comes_twice() {
    let first_message = |input: &CheckInput| {
        let mut script = Script::of(vec![asks(10, b"SCRAM-SHA-256\0\0")]);
        told(postgres(LOGIN).check_over(input, &mut script));
        script.sent
    };
    let one = CheckInput { now_unix_ms: 1, sequence: 1, ..CheckInput::default() };
    let next = CheckInput { sequence: 2, ..one.clone() };
    let later = CheckInput { now_unix_ms: 2, ..one.clone() };
    let mut other = one.clone();
    other.target.service = "db2".to_owned();
    let messages: Vec<_> = [one, next, later, other].iter().map(first_message).collect();
    for (index, message) in messages.iter().enumerate() {
        assert!(!messages[..index].contains(message));
    }
}

#[test]
fn tls_is_asked_for_and_nothing_may_come_in_the_clear_behind_a_yes() {
    let config = format!("{LOGIN},\"tls\":true");
    let mut script = Script::of(vec![b"S".to_vec(), primary()]);
    let found = told(postgres(&config).check_over(&CheckInput::default(), &mut script));
    assert_eq!((found.status, script.tls), (Status::Healthy, true));
    assert!(script.sent.starts_with(&[0, 0, 0, 8, 4, 210, 22, 47]));

    let mut script = Script::of(vec![[b"S".to_vec(), primary()].concat()]);
    let found = told(postgres(&config).check_over(&CheckInput::default(), &mut script));
    assert_eq!((found.status, script.tls), (Status::Unhealthy, false));
    let reason = "the server speaks no TLS; set \"ssl = on\" there, or leave out \"tls\" here";
    check(&config, b"N", Status::Unknown, true, reason);
    let full = error("53300", "too many");
    let reason = "has no room for another connection: too many (53300)";
    check(&config, &full, Status::Degraded, false, reason);
}

#[test]
fn a_query_of_ones_own_has_to_succeed() {
    let config = format!("{LOGIN},\"query\":\"select 1 from jobs\"");
    let answered = [primary(), row(&[Some("1")]), ready()].concat();
    let reason = "accepts connections and answers; primary";
    check(&config, &answered, Status::Healthy, true, reason);
    let missing = [primary(), error("42P01", "relation \"jobs\" does not exist"), ready()].concat();
    let reason = "answers the query with an error: relation \"jobs\" does not exist (42P01)";
    check(&config, &missing, Status::Unhealthy, true, reason);
    let slow = [primary(), error("57014", "canceling statement"), ready()].concat();
    let reason = "has given up on the query: canceling statement (57014)";
    check(&config, &slow, Status::Late, true, reason);
}

#[test]
fn what_only_speaks_like_postgres_is_healthy_without_a_role() {
    let unknown = || [error("42883", "function does not exist"), ready()].concat();
    let answers = [let_in(), unknown(), unknown()].concat();
    check(LOGIN, &answers, Status::Healthy, true, "accepts connections and answers");
    let config = format!("{LOGIN},\"role\":\"primary\"");
    check(&config, &answers, Status::Degraded, true, "does not say which role it has");
}

#[test]
fn what_is_no_postgres_is_unhealthy() {
    for (answers, reason) in [
        (b"".as_slice(), "closes the connection without an answer"),
        (
            b"HTTP/1.1 400 Bad Request\r\n",
            "this is no PostgreSQL, it says \"HTTP/1.1 400 Bad Request\\r\\n\"",
        ),
        (
            b"-ERR unknown command\r\n",
            "this is no PostgreSQL, it says \"-ERR unknown command\\r\\n\"",
        ),
        (b"R\0\0\0\x08", "this is no PostgreSQL, it says \"R\\x00\\x00\\x00\\x08\""),
    ] {
        check(LOGIN, answers, Status::Unhealthy, true, reason);
    }
    let endless = message(b'N', &[b'x'; 60_000]).repeat(20);
    let pieces = endless.chunks(16_000).map(<[u8]>::to_vec).collect();
    let found = told(postgres(LOGIN).check_over(&CheckInput::default(), &mut Script::of(pieces)));
    assert_eq!(found.reason, "says more than a check listens to");
}

#[test]
fn no_bytes_break_the_check() {
    let scram = [
        asks(10, b"SCRAM-SHA-256\0\0"),
        asks(11, b"r=xyz,s=c2FsdA==,i=2"),
        asks(12, b"v=AAAA"),
        primary(),
    ]
    .concat();
    let md5 = [asks(5, b"salt"), primary()].concat();
    let tls = [b"S".to_vec(), primary()].concat();
    let answers = [primary(), standby(Some("1")), scram, md5, tls, error("57P03", "starting")];
    let checks = [
        postgres(""),
        postgres(LOGIN),
        postgres(&format!("{LOGIN},\"tls\":true")),
        postgres(&format!("{LOGIN},\"role\":\"standby\",\"max_lag\":\"1s\",\"query\":\"x\"")),
    ];
    for seed in 0..6000 {
        let mut noise = Noise::new(seed);
        let bytes = if noise.below(4) == 0 {
            noise.bytes(300)
        } else {
            let answer = noise.one_of(&answers);
            noise.spoil(&answer)
        };
        let mut script = Script::of(noise.pieces(&bytes));
        match checks[noise.below(checks.len())].check_over(&CheckInput::default(), &mut script) {
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
        ("\"password\":\"x\"", "password"),
        ("\"database\":\"x\"", "database"),
        ("\"role\":\"primary\"", "role"),
        ("\"max_lag\":\"1s\"", "max_lag"),
        ("\"query\":\"select 1\"", "query"),
        ("\"user\":\"\"", "user"),
        ("\"user\":\"a\\u0000b\"", "user"),
        ("\"user\":\"x\",\"query\":\"\"", "query"),
        ("\"user\":\"x\",\"role\":\"primary\",\"max_lag\":\"1s\"", "max_lag"),
        ("\"ca_file\":\"/x\"", "ca_file"),
        ("\"tls_server_name\":\"x\"", "tls_server_name"),
    ] {
        let config = format!("{{\"address\":\"a:1\",{config}}}");
        let problems = problems(Postgres::new, &config);
        assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), [expected]);
    }
    for refused in [
        "{}",
        "{\"adress\":\"a:1\"}",
        "{\"address\":\"a\"}",
        "{\"address\":\"/run/postgresql/.s.PGSQL.5432\",\"tls\":true}",
    ] {
        assert!(!problems(Postgres::new, refused).is_empty(), "{refused}");
    }
}
