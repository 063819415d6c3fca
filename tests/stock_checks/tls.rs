//! `stock:redis` and `stock:postgres` over TLS, with the servers as Debian ships them; and
//! whom the system trusts.

use std::fs;
use std::path::Path;

use crate::support::certificates::{expired, self_signed, signed};
use crate::support::servers::{
    ask_postgres, free_port, needs_nginx, needs_postgres, needs_redis, nginx_with, postgres,
};
use crate::support::skip::find;
use crate::support::{BOUND, Kennel, needs_program, wait_for};

/// A check that only tells what it sees.
const TELL: &str = "every: 100ms, failures: 1, grace: 0s, on_unhealthy: report";

/// Services that are there for their checks only, after the server's.
fn watched(plugin: &str, after: &str, cases: &[(&str, String, &str, &str)]) -> String {
    let service = |(name, config, _, _): &(&str, String, &str, &str)| {
        format!(
            "  {name}:\n    command: [sleep, \"1000\"]\n    depends_on: {{ {after}: ready }}\n    \
             health: {{ plugin: {plugin}, {TELL}, config: {{ {config} }} }}\n"
        )
    };
    cases.iter().map(service).collect()
}

/// Each is as the table says, and no reason shows a password.
fn compare(kennel: &Kennel, cases: &[(&str, String, &str, &str)]) {
    for (name, config, health, reason) in cases {
        println!("{name}: {config}");
        let service = kennel.wait_for_health(name, "up", health, reason);
        println!("{}", service["reason"]);
    }
    assert!(kennel.events().iter().all(|event| !event.to_string().contains("s3 cret")));
}

#[test]
fn a_redis_over_tls_is_asked_with_its_password_and_every_refusal_is_told() {
    if needs_redis() || needs_program("openssl") {
        return;
    }
    let mut kennel = Kennel::new("").env("SECRET", "s3 cret").env("WRONG", "s3 cret no more");
    let (port, old_port, closed) = (free_port(), free_port(), free_port());
    let (valid, old) = (self_signed(kennel.directory()), expired(kennel.directory()));
    let redis = find("redis-server").expect("the test has looked for it");
    let tls = |port: u16, file: &Path, key: &Path| {
        format!(
            "--tls-port, \"{port}\", --tls-cert-file, {}, --tls-key-file, {}, \
             --tls-auth-clients, \"no\"",
            file.display(),
            key.display()
        )
    };
    let server = |more: &str| {
        format!(
            "command: [{}, --port, \"0\", --bind, 127.0.0.1, --save, \"\", --requirepass, \
             \"s3 cret\", {more}]\n    ready: {{ log: Ready to accept connections }}",
            redis.display()
        )
    };
    let at = |port: u16, more: &str| format!("address: \"127.0.0.1:{port}\"{more}");
    let trusting = |file: &Path| format!(", tls: true, ca_file: {}", file.display());
    let (password, wrong) = (", password: \"${SECRET}\"", ", password: \"${WRONG}\"");
    let trusted = trusting(&valid.file);
    let cases = [
        ("trusted", at(port, &format!("{trusted}{password}")), "healthy", ""),
        (
            "by-name",
            at(port, &format!("{trusted}{password}, tls_server_name: localhost")),
            "healthy",
            "",
        ),
        ("wrong-password", at(port, &format!("{trusted}{wrong}")), "unknown", "password"),
        ("no-password", at(port, &trusted), "unknown", "password"),
        ("stranger", at(port, &format!(", tls: true{password}")), "unhealthy", "certificate"),
        (
            "other-name",
            at(port, &format!("{trusted}{password}, tls_server_name: db.example.com")),
            "unhealthy",
            "db.example.com",
        ),
        ("expired", at(old_port, &(trusting(&old.file) + password)), "unhealthy", "expired"),
        ("plain", at(port, password), "unhealthy", "broken by the other side"),
        ("closed", at(closed, &format!("{trusted}{password}")), "unhealthy", "refused"),
    ];
    kennel.configure(&format!(
        "plugins:\n  redis: {{ source: \"stock:redis\", grants: {{ net: [\"127.0.0.1:*\"] }} }}\n\
         services:\n  \
         cache:\n    {}\n    health: {{ plugin: redis, {TELL}, config: {{ {} }} }}\n  \
         old:\n    depends_on: {{ cache: ready }}\n    {}\n{}",
        server(&tls(port, &valid.file, &valid.key)),
        at(port, &format!("{trusted}{password}, role: primary")),
        server(&tls(old_port, &old.file, &old.key)),
        watched("redis", "old", &cases)
    ));
    kennel.start();
    compare(&kennel, &cases);
    kennel.wait_for_health("cache", "up", "healthy", "");
    kennel.wait_for_sample("redis", "cache", "primary", 1.0);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_postgres_over_tls_is_asked_with_its_password_and_every_refusal_is_told() {
    if needs_postgres() || needs_program("openssl") {
        return;
    }
    let mut kennel = Kennel::new("").env("SECRET", "s3 cret").env("WRONG", "s3 cret no more");
    let (port, closed) = (free_port(), free_port());
    let db = postgres(kennel.directory(), port);
    let valid = self_signed(kennel.directory()).for_postgres();
    let data = kennel.path("pgdata");
    let settings = data.join("postgresql.conf");
    let text = fs::read_to_string(&settings).unwrap();
    let tls = format!(
        "\nssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
        valid.file.display(),
        valid.key.display()
    );
    fs::write(&settings, text + &tls).unwrap();
    // Only over TLS, but for the test itself.
    let hba = "hostssl all probe 127.0.0.1/32 scram-sha-256\nhost all kennel 127.0.0.1/32 trust\n";
    fs::write(data.join("pg_hba.conf"), hba).unwrap();
    let at = |port: u16, more: &str| format!("address: \"127.0.0.1:{port}\", user: probe{more}");
    let (password, wrong) = (", password: \"${SECRET}\"", ", password: \"${WRONG}\"");
    let trusted = format!(", tls: true, ca_file: {}", valid.file.display());
    let cases = [
        ("trusted", at(port, &format!("{trusted}{password}")), "healthy", ""),
        (
            "by-name",
            at(port, &format!("{trusted}{password}, tls_server_name: localhost")),
            "healthy",
            "",
        ),
        (
            "wrong-password",
            at(port, &format!("{trusted}{wrong}")),
            "unknown",
            "cannot log in as \"probe\"",
        ),
        (
            "no-database",
            at(port, &format!("{trusted}{password}, database: shop")),
            "unknown",
            "there is no database \"shop\"",
        ),
        (
            "failing-query",
            at(port, &format!("{trusted}{password}, query: \"select * from orders\"")),
            "unhealthy",
            "relation \"orders\" does not exist",
        ),
        ("plain", at(port, password), "unknown", "no encryption"),
        ("stranger", at(port, &format!(", tls: true{password}")), "unhealthy", "certificate"),
        (
            "other-name",
            at(port, &format!("{trusted}{password}, tls_server_name: db.example.com")),
            "unhealthy",
            "db.example.com",
        ),
        ("closed", at(closed, &format!("{trusted}{password}")), "unhealthy", "refused"),
    ];
    kennel.configure(&format!(
        "plugins:\n  postgres: {{ source: \"stock:postgres\", grants: {{ net: [\"127.0.0.1:*\"] }} }}\n\
         services:\n  db:\n    {db}\n    ready: {{ tcp: \"127.0.0.1:{port}\" }}\n{}",
        watched("postgres", "db", &cases)
    ));
    kennel.start();
    wait_for("the role of the checks", BOUND, || {
        ask_postgres(port, "create role probe login password 's3 cret'")
    });
    compare(&kennel, &cases);
    kennel.wait_for_sample("postgres", "trusted", "primary", 1.0);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn the_authorities_of_the_system_are_trusted_and_no_others() {
    if needs_nginx() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (authority, certificate) = signed(folder.path(), "authority");
    let (stranger, _) = signed(folder.path(), "stranger");
    // Where OpenSSL looks for them, and with it all others.
    let with = |file: &Path| format!("unset SSL_CERT_DIR; export SSL_CERT_FILE={}", file.display());
    let system = Path::new("/etc/ssl/certs/ca-certificates.crt");
    // A system without any authority cannot tell.
    let other = if system.exists() { "unhealthy" } else { "unknown" };
    for (prelude, health, reason) in [
        (with(&authority), "healthy", ""),
        (with(&stranger), "unhealthy", "certificate"),
        ("unset SSL_CERT_DIR SSL_CERT_FILE".to_owned(), other, "certificate"),
    ] {
        println!("{prelude}");
        let mut kennel = Kennel::new("").prelude(&prelude);
        let port = free_port();
        let server = format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             location / {{ return 200 'served over TLS'; }} }}\n",
            certificate.file.display(),
            certificate.key.display()
        );
        let web = nginx_with(kennel.directory(), &server);
        let url = format!("https://127.0.0.1:{port}/");
        kennel.configure(&format!(
            "plugins:\n  http: {{ source: \"stock:http\", grants: {{ http: [\"{url}\"] }} }}\n\
             services:\n  web:\n    {web}\n    ready: {{ tcp: \"127.0.0.1:{port}\" }}\n  \
             built-in:\n    command: [sleep, \"1000\"]\n    depends_on: {{ web: ready }}\n    \
             health: {{ http: \"{url}\", {TELL} }}\n{}",
            watched("http", "web", &[("plugin", format!("url: \"{url}\""), "", "")])
        ));
        kennel.start();
        for name in ["built-in", "plugin"] {
            let service = kennel.wait_for_health(name, "up", health, reason);
            println!("{name}: {}", service["reason"]);
        }
        assert_eq!(kennel.terminate(), 0);
        kennel.assert_nothing_is_left();
    }
}
