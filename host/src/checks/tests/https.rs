//! Requests over TLS, and what is wrong with certificates.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use kennel_wasm::probe::HttpRequest;

use super::super::{Channel, CheckContext, Outcome, Probe, ProbeError, run};
use super::support::{
    Authority, BOUND, Server, ask, get, get_with, needs, nginx, self_signed, soon, value,
};

const SITE: &str =
    "server { listen 127.0.0.1:{port} ssl http2; server_name _; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/cert; ssl_certificate_key {folder}/key;
    return 200 '$ssl_server_name|$http_host|$ssl_protocol|$ssl_session_reused'; }";

/// An nginx with this certificate and key.
fn site(pair: &(String, String)) -> Server {
    nginx(&[("cert", pair.0.as_bytes()), ("key", pair.1.as_bytes())], SITE)
}

fn https(server: &Server) -> String {
    format!("https://{}/", server.authority())
}

fn trusting(url: &str, pem: &str) -> HttpRequest {
    get_with(url, &[("tls.ca-pem", pem)])
}

async fn refused(request: HttpRequest) -> String {
    match ask(request).await {
        Err(ProbeError::Tls { to: _, reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_over_tls_tells_the_certificate() {
    if needs("nginx") {
        return;
    }
    let authority = Authority::new("Authority One");
    let server = site(&authority.server(&["127.0.0.1", "web.test"], -1..30));
    let answer = ask(trusting(&https(&server), &authority.pem())).await.unwrap();
    let told = |key: &str| value(&answer.ext, key).unwrap_or_default().to_owned();
    assert_eq!(told("http.version"), "2", "the server offers it");
    assert_eq!(told("tls.version"), "1.3");
    assert_eq!(told("tls.subject"), "CN=server of the test");
    assert!(told("tls.issuer").contains("CN=Authority One"));
    assert_eq!(told("tls.names"), "127.0.0.1,web.test");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let left = told("tls.not-after-unix-s").parse::<u64>().unwrap() - now;
    let day = 86_400;
    assert!((29 * day..=30 * day).contains(&left), "{left} s are left of 30 days");
    assert!(told("tls.not-before-unix-s").parse::<u64>().unwrap() < now);
    // A second time everything is agreed on anew.
    let again = ask(trusting(&https(&server), &authority.pem())).await.unwrap();
    assert!(again.body.ends_with(b"|."), "no session is resumed: {:?}", again.body);
}

#[tokio::test]
async fn the_version_is_agreed_on_and_can_be_asked_for() {
    if needs("nginx") {
        return;
    }
    let authority = Authority::new("a");
    let pair = authority.server(&["127.0.0.1"], -1..30);
    let (both, one) = (site(&pair), {
        let files = [("cert", pair.0.as_bytes()), ("key", pair.1.as_bytes())];
        nginx(&files, &SITE.replace(" http2", ""))
    });
    let pem = authority.pem();
    let version = async |server: &Server, asked: &[(&str, &str)]| {
        let mut ext = vec![("tls.ca-pem", pem.as_str())];
        ext.extend(asked);
        let answer = ask(get_with(&https(server), &ext)).await?;
        Ok::<_, ProbeError>(value(&answer.ext, "http.version").unwrap().to_owned())
    };
    assert_eq!(version(&both, &[("http.version", "1.1")]).await.unwrap(), "1.1");
    assert_eq!(version(&both, &[("http.version", "2")]).await.unwrap(), "2");
    assert_eq!(version(&one, &[]).await.unwrap(), "1.1");
    let error = version(&one, &[("http.version", "2")]).await.unwrap_err().to_string();
    assert!(error.contains("HTTP/2") || error.contains("no application protocol"), "{error}");
}

#[tokio::test]
async fn the_name_of_the_site_is_told_and_can_be_another_one() {
    if needs("nginx") {
        return;
    }
    let authority = Authority::new("a");
    let server = site(&authority.server(&["localhost", "web.test"], -1..30));
    let pem = authority.pem();
    let url = format!("https://localhost:{}/", server.port);
    let answer = ask(trusting(&url, &pem)).await.unwrap();
    let expected = format!("localhost|localhost:{}|TLSv1.3|.", server.port);
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    // By address, with the name that the certificate has.
    let ext = [("tls.ca-pem", &*pem), ("tls.server-name", "web.test")];
    let answer = ask(get_with(&https(&server), &ext)).await.unwrap();
    assert!(answer.body.starts_with(b"web.test|127.0.0.1:"));
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_in_words() {
    if needs("nginx") {
        return;
    }
    let (good, other) = (Authority::new("Good"), Authority::new("Other"));
    let pem = good.pem();
    let why = async |pair: &(String, String)| refused(trusting(&https(&site(pair)), &pem)).await;
    let date = |days: i64| {
        let now = jiff::Timestamp::now().as_second();
        let at = jiff::Timestamp::from_second(now + days * 86_400).unwrap();
        at.strftime("%Y-%m-%d").to_string()
    };
    assert_eq!(
        why(&good.server(&["127.0.0.1"], -9..-2)).await,
        format!("the certificate expired on {}", date(-2))
    );
    assert_eq!(
        why(&good.server(&["127.0.0.1"], 2..9)).await,
        format!("the certificate is not valid before {}", date(2))
    );
    assert_eq!(
        why(&good.server(&["web.test", "10.0.0.1"], -1..9)).await,
        "the certificate is not for 127.0.0.1 but for web.test, 10.0.0.1"
    );
    assert_eq!(
        why(&good.server(&[], -1..9)).await,
        "the certificate is not for 127.0.0.1: it has no subject alternative name"
    );
    assert!(
        why(&other.server(&["127.0.0.1"], -1..9)).await.starts_with("the certificate is of \""),
    );
    assert_eq!(
        why(&self_signed(&["127.0.0.1"])).await,
        "nobody vouches for the certificate: \"CN=server of the test\" signed itself"
    );
}

#[tokio::test]
async fn a_certificate_that_vouches_for_itself_is_trusted_where_it_is_named() {
    if needs("nginx") {
        return;
    }
    let pair = self_signed(&["127.0.0.1"]);
    let server = site(&pair);
    assert_eq!(ask(trusting(&https(&server), &pair.0)).await.unwrap().status, 200);
    let by_name = format!("https://localhost:{}/", server.port);
    let reason = refused(trusting(&by_name, &pair.0)).await;
    assert_eq!(reason, "the certificate is not for localhost but for 127.0.0.1");
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_such() {
    if needs("nginx") {
        return;
    }
    let server = nginx(&[], "server { listen 127.0.0.1:{port}; return 200; }");
    assert_eq!(refused(get(&https(&server))).await, "the server does not speak TLS");
    let pair = self_signed(&["127.0.0.1"]);
    let answer = ask(get(&site(&pair).url("/"))).await.unwrap();
    assert_eq!(answer.status, 400, "nginx tells that HTTP was sent to HTTPS");
}

async fn check(server: &Server, ca_file: &Path) -> Outcome {
    let probe = Probe::Http {
        url: https(server),
        expect_status: vec![(200, 399)],
        expect_body: None,
        ca_file: Some(ca_file.to_owned()),
    };
    run(&probe, &CheckContext::default(), BOUND).await
}

#[tokio::test]
async fn a_ca_file_is_read_again_when_it_has_changed() {
    if needs("nginx") {
        return;
    }
    let (right, wrong) = (Authority::new("Right"), Authority::new("Wrong"));
    let server = site(&right.server(&["127.0.0.1"], -1..30));
    let file = server.path("ca.pem");
    let why = async || check(&server, &file).await.reason().to_owned();
    let unusable =
        |reason: &str| format!("cannot use the CA file \"{}\": {reason}", file.display());
    assert_eq!(why().await, unusable("no such file or directory"));
    fs::write(&file, "no certificate").unwrap();
    assert_eq!(why().await, unusable("it holds no certificate in PEM"));
    fs::write(&file, wrong.pem()).unwrap();
    assert!(why().await.contains("which is not trusted"), "{}", why().await);
    // Several stand in one file, with remarks between them.
    fs::write(&file, format!("{}\n# the other one\n{}", wrong.pem(), right.pem())).unwrap();
    assert_eq!(why().await, format!("GET {} answered 200 OK", https(&server)));
    let passed = check(&server, &file).await;
    assert!(matches!(passed, Outcome::Passed { .. }), "{passed:?}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(why().await, unusable("it is no file"));
}

#[tokio::test]
async fn a_plugin_learns_nothing_of_the_file_system_from_a_ca_file() {
    if needs("nginx") {
        return;
    }
    let server = site(&self_signed(&["127.0.0.1"]));
    fs::write(server.path("secret"), "not for plugins").unwrap();
    let mut reasons = Vec::new();
    for name in ["secret", "nothing-there", "."] {
        let path = server.path(name).display().to_string();
        let answer = ask(get_with(&https(&server), &[("tls.ca-file", &path)])).await;
        reasons.push(answer.unwrap_err().to_string().replace(&path, "PATH"));
    }
    let same =
        "cannot use the CA file \"PATH\": it has to be a readable file of certificates in PEM";
    assert_eq!(reasons, [same; 3]);
}

#[tokio::test]
async fn a_conversation_can_go_on_in_tls() {
    if needs("nginx") {
        return;
    }
    let authority = Authority::new("a");
    let server = site(&authority.server(&["web.test"], -1..30));
    let mut channel =
        Channel::tcp(&server.authority(), &super::super::AllowAll, soon()).await.unwrap();
    let ext = vec![("tls.ca-pem".to_owned(), authority.pem())];
    let facts = channel.start_tls("web.test", &ext, soon()).await.unwrap();
    assert_eq!(value(&facts, "tls.subject"), Some("CN=server of the test"));
    let error = channel.start_tls("web.test", &ext, soon()).await.unwrap_err();
    assert!(error.to_string().ends_with("speaks TLS already"), "{error}");
    channel.write(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n", soon()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let bytes = channel.read(1024, soon()).await.unwrap();
        if bytes.is_empty() {
            break;
        }
        answer.extend(bytes);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(answer.ends_with(b"web.test|x|TLSv1.3|."));
    // A failure closes it.
    let mut channel =
        Channel::tcp(&server.authority(), &super::super::AllowAll, soon()).await.unwrap();
    assert!(channel.start_tls("other.test", &ext, soon()).await.is_err());
    assert!(channel.write(b"x", soon()).await.is_err());
}
