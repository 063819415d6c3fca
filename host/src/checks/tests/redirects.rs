//! Redirects: followed only when asked for, and checked at each hop.

use kennel_wasm::Grants;
use kennel_wasm::grants::Origin;
use kennel_wasm::probe::HttpRequest;

use super::super::{ProbeError, http};
use super::support::{Server, ask, get, get_with, needs, nginx, soon, value};

const SEEN: &str = "location /seen { return 200
    '$request_method|$content_length|$http_authorization|$http_x_one|$http_host'; }";

/// Two servers: the first leads to the second, and in circles.
fn servers() -> (Server, Server) {
    let second = nginx(&[], &format!("server {{ listen 127.0.0.1:{{port}}; {SEEN} }}"));
    let there = second.authority();
    let first = nginx(
        &[],
        &format!(
            "server {{ listen 127.0.0.1:{{port}}; {SEEN} absolute_redirect off;
             location /here {{ return 302 /seen; }}
             location /twice {{ return 301 here; }}
             location /there {{ return 302 http://{there}/seen; }}
             location /after {{ return 303 /seen; }}
             location /again {{ return 307 /seen; }}
             location /again-there {{ return 308 http://{there}/seen; }}
             location /circle {{ return 302 /circle; }}
             location /nowhere {{ return 302 gopher://x/; }}
             location /many {{ return 300 http://{there}/; }} }}"
        ),
    );
    (first, second)
}

fn following(url: &str) -> HttpRequest {
    get_with(url, &[("http.redirects", "3")])
}

#[tokio::test]
async fn redirects_are_followed_only_when_asked_for() {
    if needs("nginx") {
        return;
    }
    let (first, second) = servers();
    let answer = ask(get(&first.url("/here"))).await.unwrap();
    assert_eq!((answer.status, value(&answer.headers, "location")), (302, Some("/seen")));
    assert_eq!(value(&answer.ext, "http.url"), None);
    for (path, hops, url) in [
        ("/seen", None, first.url("/seen")),
        ("/here", Some("1"), first.url("/seen")),
        ("/twice", Some("2"), first.url("/seen")),
        ("/there", Some("1"), second.url("/seen")),
    ] {
        let answer = ask(following(&first.url(path))).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(value(&answer.ext, "http.redirects"), hops, "{path}");
        assert_eq!(value(&answer.ext, "http.url"), hops.and(Some(&*url)), "{path}");
    }
    // No redirect, whatever its headers say.
    assert_eq!(ask(following(&first.url("/many"))).await.unwrap().status, 300);
    let error = ask(following(&first.url("/circle"))).await.unwrap_err();
    let circle = first.url("/circle");
    let expected =
        format!("wrong answer of {circle}: more than 3 redirects, the last one to \"/circle\"");
    assert_eq!(error.to_string(), expected);
    let error = ask(following(&first.url("/nowhere"))).await.unwrap_err();
    assert!(error.to_string().contains("its redirect leads nowhere"), "{error}");
}

#[tokio::test]
async fn what_is_sent_again_is_what_the_redirect_asks_for() {
    if needs("nginx") {
        return;
    }
    let (first, second) = servers();
    let (here, there) = (first.authority(), second.authority());
    for (path, seen) in [
        ("/here", format!("GET||secret|1|{here}")),
        ("/after", format!("GET||secret|1|{here}")),
        ("/again", format!("POST|4|secret|1|{here}")),
        // A secret stays with the server it is meant for.
        ("/there", format!("GET|||1|{there}")),
        ("/again-there", format!("POST|4||1|{there}")),
    ] {
        let request = HttpRequest {
            method: "POST".into(),
            headers: vec![("Authorization".into(), "secret".into()), ("X-One".into(), "1".into())],
            body: b"body".to_vec(),
            ..following(&first.url(path))
        };
        let answer = ask(request).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.body), seen, "{path}");
    }
}

#[tokio::test]
async fn a_redirect_leads_a_plugin_nowhere_that_it_may_not_go() {
    if needs("nginx") {
        return;
    }
    let (first, second) = servers();
    let origin = |server: &Server| Origin::parse(&server.url("")).unwrap();
    let grants = Grants { http: vec![origin(&first)], ..Grants::default() };
    let follow = async |path: &str, grants| http(following(&first.url(path)), grants, soon()).await;
    assert_eq!(follow("/here", &grants).await.unwrap().status, 200);
    match follow("/there", &grants).await {
        Err(ProbeError::Denied(denied)) => {
            assert_eq!(denied.grant, format!("http: [\"http://{}\"]", second.authority()));
        }
        other => panic!("{other:?}"),
    }
    let grants = Grants { http: vec![origin(&first), origin(&second)], ..Grants::default() };
    assert_eq!(follow("/there", &grants).await.unwrap().status, 200);
}
