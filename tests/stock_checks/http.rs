//! `stock:http` with nginx.

use std::path::Path;

use crate::support::certificates::{Certificate, expired, self_signed};
use crate::support::servers::{free_port, needs_nginx, nginx_with};
use crate::support::{Kennel, needs_program};

/// A service that is there for its check only: what it runs does not matter.
fn watched(name: &str, config: &str) -> String {
    format!(
        "  {name}:\n    command: [sleep, \"1000\"]\n    depends_on: {{ web: ready }}\n    \
         health: {{ plugin: http, every: 100ms, failures: 1, grace: 0s, on_unhealthy: report, \
         config: {config} }}\n"
    )
}

const STATUS: &str = r#"{"status":"ok","queue":{"length":12.5},"id":18446744073709551615,
    "workers":[{"error":null},{"error":"disk \"full\""}]}"#;

#[test]
fn an_answer_of_nginx_is_compared_in_all_its_parts_and_every_difference_is_told() {
    if needs_nginx() {
        return;
    }
    let mut kennel = Kennel::new("");
    let (port, closed, other) = (free_port(), free_port(), free_port());
    kennel.write("status.json", STATUS);
    kennel.write("deep.json", &"[".repeat(60_000));
    let place = kennel.directory().display().to_string();
    let web = nginx_with(
        kennel.directory(),
        &format!(
            "server {{ listen 127.0.0.1:{port}; root {place}; default_type application/json;\n\
             location / {{ add_header x-version 7; }}\n\
             location /text {{ default_type text/plain; return 200 'release 1.2.3, all well'; }}\n\
             location /down {{ return 503 'later'; }}\n\
             location /moved {{ return 302 http://127.0.0.1:{port}/status.json; }}\n\
             location /away {{ return 302 http://127.0.0.1:{other}/status.json; }} }}\n"
        ),
    );
    let url = |path: &str| format!("url: \"http://127.0.0.1:{port}{path}\"");
    let json = |rules: &str| format!("{{ {}, expect: {{ json: {rules} }} }}", url("/status.json"));
    let cases = [
        (
            "whole",
            json(
                "[{ path: status, one_of: [ok, starting] }, { path: queue.length, at_most: 100, \
                 sample: queue_length }, { path: id, equals: 18446744073709551615 }, \
                 { path: \"/workers/0/error\", one_of: [null] }]",
            ),
            "healthy",
            "",
        ),
        (
            "header",
            format!(
                "{{ {}, expect: {{ status: 2xx, headers: {{ x-version: 7, content-type: json }} }} }}",
                url("/status.json")
            ),
            "healthy",
            "",
        ),
        (
            "wrong-header",
            format!(
                "{{ {}, expect: {{ headers: {{ x-version: 8, etag-x: a }} }} }}",
                url("/status.json")
            ),
            "unhealthy",
            "there is no header etag-x; header x-version is \"7\", without \"8\"",
        ),
        (
            "pattern",
            format!(
                "{{ {}, expect: {{ matches: '^release \\d+\\.\\d+\\.\\d+,', lacks: error }} }}",
                url("/text")
            ),
            "healthy",
            "",
        ),
        (
            "wrong-pattern",
            format!("{{ {}, expect: {{ matches: '^release 2\\.' }} }}", url("/text")),
            "unhealthy",
            "the body does not match \"^release 2\\.\": \"release 1.2.3, all well\"",
        ),
        (
            "wrong-value",
            json(
                "[{ path: \"workers[1].error\", exists: false }, { path: queue.size, at_most: 1 }]",
            ),
            "unhealthy",
            "workers[1].error is \"disk \"full\"\", expected none; queue.size is not there, expected 1 or less",
        ),
        (
            "long-queue",
            json("[{ path: queue.length, at_most: 10, otherwise: degraded }]"),
            "degraded",
            "queue.length is 12.5, expected 10 or less",
        ),
        (
            "text",
            format!("{{ {}, expect: {{ json: [{{ path: a, exists: true }}] }} }}", url("/text")),
            "unhealthy",
            "the body is not JSON: expected value at line 1 column 1: \"release 1.2.3, all well\"",
        ),
        (
            "bottomless",
            format!(
                "{{ {}, expect: {{ json: [{{ path: a, exists: true }}] }} }}",
                url("/deep.json")
            ),
            "unhealthy",
            "the body is not JSON: recursion limit exceeded",
        ),
        (
            "down",
            format!("{{ {} }}", url("/down")),
            "unhealthy",
            "/down: 503 Service Unavailable, expected 200-399",
        ),
        (
            "expected-down",
            format!("{{ {}, expect: {{ status: [404, 503] }} }}", url("/down")),
            "healthy",
            "",
        ),
        ("moved", format!("{{ {}, expect: {{ status: 302 }} }}", url("/moved")), "healthy", ""),
        (
            "followed",
            format!(
                "{{ {}, redirects: 1, expect: {{ status: 200, contains: queue }} }}",
                url("/moved")
            ),
            "healthy",
            "",
        ),
        ("too-far", format!("{{ {}, redirects: 1 }}", url("/away")), "unknown", "http"),
        ("closed", format!("{{ url: \"http://127.0.0.1:{closed}/\" }}"), "unhealthy", "refused"),
    ];
    let services: String = cases.iter().map(|(name, config, _, _)| watched(name, config)).collect();
    kennel.configure(&format!(
        "plugins:\n  http: {{ source: \"stock:http\", grants: {{ http: \
         [\"http://127.0.0.1:{port}\", \"http://127.0.0.1:{closed}\"] }} }}\n\
         services:\n  web:\n    {web}\n    ready: {{ plugin: http, config: {{ {} }} }}\n{services}",
        url("/text")
    ));
    kennel.start();
    for (name, config, health, reason) in &cases {
        println!("{name}: {config}");
        let service = kennel.wait_for_health(name, "up", health, reason);
        println!("{}", service["reason"]);
    }
    let denied = kennel.service("too-far")["reason"].to_string();
    assert!(denied.contains(&format!("http://127.0.0.1:{other}")), "{denied}");
    kennel.wait_for_sample("http", "whole", "queue_length", 12.5);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_certificate_has_to_be_trusted_named_and_valid_for_long_enough() {
    if needs_nginx() || needs_program("openssl") {
        return;
    }
    let mut kennel = Kennel::new("");
    let (port, old_port, plain) = (free_port(), free_port(), free_port());
    let (valid, old) = (self_signed(kennel.directory()), expired(kennel.directory()));
    let server = |port: u16, certificate: &Certificate| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ return 200 'served over TLS'; }} }}\n",
            certificate.file.display(),
            certificate.key.display()
        )
    };
    let web = nginx_with(
        kennel.directory(),
        &format!(
            "server {{ listen 127.0.0.1:{plain}; location / {{ return 200 'plain'; }} }}\n{}{}",
            server(port, &valid),
            server(old_port, &old)
        ),
    );
    let check = |port: u16, more: &str| {
        format!("{{ url: \"https://127.0.0.1:{port}/\", expect: {{ contains: TLS }}{more} }}")
    };
    let trusting =
        |file: &Path, more: &str| format!(", tls: {{ ca_file: {}{more} }}", file.display());
    let cases = [
        ("trusted", check(port, &trusting(&valid.file, "")), "healthy", ""),
        ("by-name", check(port, &trusting(&valid.file, ", server_name: localhost")), "healthy", ""),
        (
            "soon-over",
            check(port, &(trusting(&valid.file, "") + ", certificate: { degraded_below: 60d }")),
            "degraded",
            "the certificate expires in 29 days",
        ),
        ("stranger", check(port, ""), "unhealthy", "certificate"),
        (
            "other-name",
            check(port, &trusting(&valid.file, ", server_name: db.example.com")),
            "unhealthy",
            "db.example.com",
        ),
        ("expired", check(old_port, &trusting(&old.file, "")), "unhealthy", "expired"),
        ("no-tls", check(plain, &trusting(&valid.file, "")), "unhealthy", "TLS"),
        (
            "no-file",
            check(port, ", tls: { ca_file: /nowhere/ca.pem }"),
            "unknown",
            "/nowhere/ca.pem",
        ),
    ];
    let services: String = cases.iter().map(|(name, config, _, _)| watched(name, config)).collect();
    kennel.configure(&format!(
        "plugins:\n  http: {{ source: \"stock:http\", grants: {{ http: [\"https://127.0.0.1:{port}\", \
         \"https://127.0.0.1:{old_port}\", \"https://127.0.0.1:{plain}\", \"http://127.0.0.1:{plain}\"] }} }}\n\
         services:\n  web:\n    {web}\n    ready: {{ tcp: \"127.0.0.1:{port}\" }}\n{services}",
    ));
    kennel.start();
    for (name, config, health, reason) in &cases {
        println!("{name}: {config}");
        let service = kennel.wait_for_health(name, "up", health, reason);
        println!("{}", service["reason"]);
    }
    let left = kennel.sample("http", "trusted", "certificate_left").expect("a sample");
    assert!((29.0..30.0).contains(&(left / 86_400.0)), "{left} s");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
