//! What the host does for plugins, as the runtime asks it.

use std::time::Instant;

use kennel_wasm::model::Kind;
use kennel_wasm::probe::{Endpoint, Rotate};
use kennel_wasm::{CallContext, Fault, Grants, ProbeError, Subject};

use super::*;
use crate::checks::Launcher;
use crate::os::Launch;

/// Runs commands as this process would.
struct Plain;

impl Launcher for Plain {
    fn launch(&self, argv: &[String]) -> Result<Launch, String> {
        let mut launch = Launch::new(argv);
        launch.env = vec![("KENNEL_SERVICE".into(), "web".into())];
        Ok(launch)
    }
}

fn context(grants: Grants) -> CallContext {
    CallContext {
        plugin: "p".into(),
        grants: Arc::new(grants),
        subject: Some(Subject { service: "web".into(), instance: 0 }),
        deadline: tokio::time::Instant::now() + SOON,
    }
}

#[tokio::test]
async fn a_command_runs_as_the_present_run_of_the_service_and_only_where_that_is_granted() {
    let fixture = Fixture::new();
    let host = fixture.plugins.shared.host();
    let command = || ["/bin/sh", "-c", "echo $KENNEL_SERVICE; exit 3"].map(str::to_owned).to_vec();
    let denied = host.exec(context(Grants::default()), command(), None).await;
    assert_eq!(denied, Err(ProbeError::Denied("needs grants: { exec: true }".to_owned())));
    let granted = || context(Grants { exec: true, ..Grants::default() });
    let gone = host.exec(granted(), command(), None).await;
    assert!(matches!(&gone, Err(ProbeError::Other(why)) if why.contains("no service runs")));

    let subject = Subject { service: "web".into(), instance: 0 };
    let run = kennel_core::RunId(1);
    fixture.plugins.run_began(run, subject, "web".into(), Arc::new(Plain));
    let output = host.exec(granted(), command(), None).await.unwrap();
    assert_eq!((output.exit_code, &*output.stdout), (Some(3), &b"web\n"[..]));
    fixture.plugins.run_ended(run);
    assert!(host.exec(granted(), command(), None).await.is_err());
}

#[tokio::test]
async fn files_and_sockets_are_those_that_are_granted_and_no_others() {
    let fixture = Fixture::new();
    let host = fixture.plugins.shared.host();
    let granted = fixture.path("events");
    let grants = || Grants { files: vec![granted.clone()], ..Grants::default() };
    let append = |path: &Path, bytes: &[u8]| {
        let path = path.display().to_string();
        host.append(context(grants()), path, bytes.to_vec(), Rotate::default())
    };
    append(&granted, b"one\n").await.unwrap();
    append(&granted, b"two\n").await.unwrap();
    assert_eq!(std::fs::read(&granted).unwrap(), b"one\ntwo\n");
    for path in [fixture.path("other"), "/etc/passwd".into(), "events".into()] {
        let denied = append(&path, b"x").await;
        assert!(matches!(&denied, Err(ProbeError::Denied(_))), "{path:?}: {denied:?}");
    }
    let cx = || context(grants());
    let denied = [
        host.tcp(cx(), "127.0.0.1:1".into(), Vec::new(), 1, None).await.err(),
        host.unix(cx(), "/run/x.sock".into(), Vec::new(), 1, None).await.err(),
        host.open(cx(), Endpoint::Tcp("127.0.0.1:1".into()), None).await.err(),
        host.open(cx(), Endpoint::Unix("/run/x.sock".into()), None).await.err(),
        host.http(cx(), request("http://127.0.0.1:1/")).await.err(),
    ];
    for error in denied {
        assert!(matches!(&error, Some(ProbeError::Denied(_))), "{error:?}");
    }
}

fn request(url: &str) -> kennel_wasm::probe::HttpRequest {
    kennel_wasm::probe::HttpRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_conversation_goes_on_until_one_side_ends_it() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let fixture = Fixture::new();
    let host = fixture.plugins.shared.host();
    let path = fixture.path("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"pong").await.unwrap();
        asked
    });
    let grants = Grants { unix: vec![path.clone()], ..Grants::default() };
    let endpoint = Endpoint::Unix(path.display().to_string());
    let channel = host.open(context(grants), endpoint, None).await.unwrap();
    let (channel, written) = channel.write(b"ping".to_vec(), None).await;
    written.unwrap();
    assert_eq!(&served.await.unwrap(), b"ping");
    let (channel, read) = channel.read(100, None).await;
    assert_eq!(read.unwrap(), b"pong");
    let (_, end) = channel.read(100, None).await;
    assert_eq!(end.unwrap(), b"");
}

#[tokio::test]
async fn a_denial_is_told_once_with_how_often_it_was_not_told() {
    let mut fixture = Fixture::new();
    let host = fixture.plugins.shared.host();
    let subject = Subject { service: "web".into(), instance: 0 };
    let grant = "net: [\"10.0.0.1:80\"]";
    for _ in 0..100 {
        host.denied("p", Some(&subject), grant);
    }
    let told = fixture.fact().await;
    assert_eq!((told.name(), told.service()), ("plugin.denied", Some("web")));
    assert_eq!(untold(&told), 0);
    assert!(fixture.facts.try_recv().is_err());
    // Another grant that is missing is something else, and so is the same of another plugin.
    host.denied("p", Some(&subject), "exec: true");
    assert_eq!(untold(&fixture.fact().await), 0);
    host.denied("q", Some(&subject), grant);
    assert_eq!(untold(&fixture.fact().await), 0);
    let later = Instant::now() + Duration::from_secs(60);
    fixture.plugins.shared.reports.denied("p", None, grant, later);
    let told = fixture.fact().await;
    assert_eq!(untold(&told), 99);
    assert!(told.message().ends_with("(99 more like this were not told)"), "{told:?}");
}

#[tokio::test]
async fn who_asks_for_another_address_each_time_is_told_of_twenty_times_and_still_fails_aloud() {
    let mut fixture = Fixture::new();
    let host = fixture.plugins.shared.host();
    for port in 1..=1000 {
        host.denied("p", None, &format!("net: [\"10.0.0.1:{port}\"]"));
    }
    for _ in 0..20 {
        assert_eq!(untold(&fixture.fact().await), 0);
    }
    assert!(fixture.facts.try_recv().is_err());
    let reports = &fixture.plugins.shared.reports;
    reports.fault("p", Kind::HealthCheck, None, &Fault::Deadline);
    assert_eq!(fixture.fact().await.name(), "plugin.fault");
    let later = Instant::now() + Duration::from_secs(60);
    fixture.plugins.shared.reports.denied("p", None, "exec: true", later);
    assert_eq!(untold(&fixture.fact().await), 980);
}

#[track_caller]
fn untold(fact: &PluginFact) -> u64 {
    let PluginFact::Denied { untold, .. } = fact else { panic!("{fact:?}") };
    *untold
}
