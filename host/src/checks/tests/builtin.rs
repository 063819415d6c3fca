//! Built-in checks: what comes of them, in words a person can act on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::{CheckContext, Failure, Outcome, Pattern, Probe, run};
use super::commands::In;
use super::support::{BOUND, SHORT, Then, full, needs, nginx, nobody, says};

fn passed(reason: impl Into<String>) -> Outcome {
    Outcome::Passed { reason: reason.into() }
}

fn failed(how: Failure, reason: impl Into<String>) -> Outcome {
    Outcome::Failed { how, reason: reason.into() }
}

fn late(reason: impl Into<String>) -> Outcome {
    Outcome::Late { reason: reason.into() }
}

fn impossible(reason: impl Into<String>) -> Outcome {
    Outcome::Impossible { reason: reason.into() }
}

async fn check(probe: &Probe, timeout: Duration) -> Outcome {
    let launcher = Arc::new(In("/".into()));
    run(probe, &CheckContext { launcher: Some(launcher) }, timeout).await
}

fn http(url: &str, body: Option<&str>) -> Probe {
    Probe::Http {
        url: url.into(),
        expect_status: vec![(200, 299), (418, 418)],
        expect_body: body.map(|body| Pattern::new(body).unwrap()),
        ca_file: None,
    }
}

fn tcp(address: &str) -> Probe {
    Probe::Tcp { address: address.into() }
}

#[tokio::test]
async fn an_http_check_looks_at_status_and_body() {
    if needs("nginx") {
        return;
    }
    let server = nginx(
        &[],
        "server { listen 127.0.0.1:{port};
         location /ok { return 200 '{\"status\": \"ok\"}'; }
         location /teapot { return 418; }
         location /away { return 302 /ok; }
         location /down { return 503 gone; }
         location /empty { return 200 ''; } }",
    );
    let answered = |path: &str, what: &str| format!("GET {} answered {what}", server.url(path));
    for (path, body, expected) in [
        ("/ok", None, passed(answered("/ok", "200 OK"))),
        ("/ok", Some("\"status\": *\"ok\""), passed(answered("/ok", "200 OK"))),
        ("/teapot", None, passed(answered("/teapot", "418 I'm a teapot"))),
        ("/away", None, failed(Failure::Wrong, answered("/away", "302 Found"))),
        (
            "/down",
            Some("gone"),
            failed(Failure::Wrong, answered("/down", "503 Service Unavailable")),
        ),
        (
            "/ok",
            Some("ready"),
            failed(
                Failure::Wrong,
                answered(
                    "/ok",
                    "200 OK, but its body does not match \"ready\": \"{\"status\": \"ok\"}\"",
                ),
            ),
        ),
        (
            "/empty",
            Some("."),
            failed(
                Failure::Wrong,
                answered("/empty", "200 OK, but its body does not match \".\": an empty one"),
            ),
        ),
    ] {
        assert_eq!(check(&http(&server.url(path), body), BOUND).await, expected);
    }
}

#[tokio::test]
async fn a_check_tells_dead_from_wrong_from_slow_from_unknown() {
    let listening = says(&[], Then::IsSilent).await;
    let garbage = says(&["220 smtp.example ESMTP\r\n"], Then::Closes).await;
    let (full, (_taken, nobody)) = (full().await, nobody());
    let nobody = nobody.to_string();
    let address = listening.address.to_string();
    let long_name = format!("{}.test", "x".repeat(70));
    for (probe, expected) in [
        (tcp(&address), passed(format!("{address} accepts connections"))),
        (tcp(&nobody), failed(Failure::Refused, format!("connection to {nobody} refused"))),
        (
            http(&format!("http://{nobody}/x"), None),
            failed(Failure::Refused, format!("connection to {nobody} refused")),
        ),
        (
            tcp(&full.address.to_string()),
            late(format!("no connection to {} within 300 ms", full.address)),
        ),
        (
            http(&listening.url(), None),
            late(format!("no answer of GET {} within 300 ms", listening.url())),
        ),
        (
            http(&garbage.url(), None),
            failed(
                Failure::Wrong,
                format!(
                    "wrong answer of GET {}: it is no HTTP: invalid HTTP version parsed",
                    garbage.url()
                ),
            ),
        ),
        (
            Probe::Unix { path: "/nowhere/x.sock".into() },
            failed(Failure::Refused, "there is no socket \"/nowhere/x.sock\""),
        ),
    ] {
        let timeout = if matches!(expected, Outcome::Late { .. }) { SHORT } else { BOUND };
        assert_eq!(check(&probe, timeout).await, expected);
    }
    match check(&tcp(&format!("{long_name}:80")), BOUND).await {
        Outcome::Unresolved { reason } => {
            assert!(reason.starts_with(&format!("cannot resolve \"{long_name}\": ")), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

fn command(argv: &[&str]) -> Probe {
    Probe::Command { argv: argv.iter().map(|word| (*word).to_owned()).collect() }
}

#[tokio::test]
async fn a_command_check_shows_what_the_command_complains_of() {
    for (script, expected) in [
        ("exit 0", passed("\"sh\" exited with code 0")),
        ("exit 1", failed(Failure::Wrong, "\"sh\" exited with code 1")),
        (
            "echo out; echo; echo '  no   response\tfrom db ' >&2; echo more >&2; exit 2",
            failed(Failure::Wrong, "\"sh\" exited with code 2: no response from db"),
        ),
        ("echo out; exit 2", failed(Failure::Wrong, "\"sh\" exited with code 2: out")),
        (
            "printf '\\033[31mred\\n' >&2; exit 1",
            failed(Failure::Wrong, "\"sh\" exited with code 1: [31mred"),
        ),
        ("kill -SEGV $$", failed(Failure::Wrong, "\"sh\" was killed by SIGSEGV")),
        ("sleep 1000", late("\"sh\" did not end within 300 ms")),
    ] {
        let timeout = if matches!(expected, Outcome::Late { .. }) { SHORT } else { BOUND };
        let outcome = check(&command(&["sh", "-c", script]), timeout).await;
        let cored = outcome.reason().strip_suffix(" (core dumped)").map(str::to_owned);
        match cored {
            Some(reason) => assert_eq!(failed(Failure::Wrong, reason), expected, "{script}"),
            None => assert_eq!(outcome, expected, "{script}"),
        }
    }
    let outcome = check(&command(&["no-such-check"]), BOUND).await;
    assert!(matches!(outcome, Outcome::Impossible { .. }), "{outcome:?}");
    let nowhere = run(&command(&["true"]), &CheckContext::default(), BOUND).await;
    assert_eq!(nowhere, impossible("the service does not run"));
}

#[tokio::test]
async fn a_ca_file_that_is_not_there_says_nothing_of_the_service() {
    let server = says(&[], Then::IsSilent).await;
    let probe = Probe::Http {
        url: format!("https://{}/", server.address),
        expect_status: vec![(200, 399)],
        expect_body: None,
        ca_file: Some(PathBuf::from("/nowhere/ca.pem")),
    };
    let why = "cannot use the CA file \"/nowhere/ca.pem\": no such file or directory";
    assert_eq!(check(&probe, BOUND).await, impossible(why));
}
