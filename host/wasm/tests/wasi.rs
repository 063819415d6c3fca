//! What plugins have of WASI.

use std::net::TcpListener;
use std::time::Duration;

use kennel_wasm::grants::NetGrant;
use kennel_wasm::model::Severity;
use kennel_wasm::model::check::Status;
use kennel_wasm::model::policy::Action;
use kennel_wasm::{Fault, Grants};

use crate::support::{Guest, World, decide, fault, verdict};

const IO: &str = "package wasi:io@0.2.0;
    interface poll { resource pollable { block: func(); } }
    interface error { resource error {} }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }";
const CLOCKS: &str = "package wasi:clocks@0.2.0;
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }";
const CLI: &str = "package wasi:cli@0.2.0;
    interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
    interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }";
const RANDOM: &str = "package wasi:random@0.2.0;
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }";
const SOCKETS: &str = "package wasi:sockets@0.2.0;
    interface network {
        resource network;
        enum error-code {
            unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout,
            concurrency-conflict, not-in-progress, would-block, invalid-state,
            new-socket-limit, address-not-bindable, address-in-use, remote-unreachable,
            connection-refused, connection-reset, connection-aborted, datagram-too-large,
            name-unresolvable, temporary-resolver-failure, permanent-resolver-failure
        }
        enum ip-address-family { ipv4, ipv6 }
        type ipv4-address = tuple<u8, u8, u8, u8>;
        type ipv6-address = tuple<u16, u16, u16, u16, u16, u16, u16, u16>;
        record ipv4-socket-address { port: u16, address: ipv4-address }
        record ipv6-socket-address {
            port: u16, flow-info: u32, address: ipv6-address, scope-id: u32
        }
        variant ip-socket-address { ipv4(ipv4-socket-address), ipv6(ipv6-socket-address) }
    }
    interface instance-network { use network.{network}; instance-network: func() -> network; }
    interface tcp {
        use wasi:io/poll@0.2.0.{pollable};
        use network.{network, error-code, ip-socket-address};
        resource tcp-socket {
            start-bind: func(network: borrow<network>, local-address: ip-socket-address) -> result<_, error-code>;
            start-connect: func(network: borrow<network>, remote-address: ip-socket-address) -> result<_, error-code>;
            start-listen: func() -> result<_, error-code>;
            subscribe: func() -> pollable;
        }
    }
    interface tcp-create-socket {
        use network.{error-code, ip-address-family};
        use tcp.{tcp-socket};
        create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
    }
    interface udp {
        use network.{network, error-code, ip-socket-address};
        resource udp-socket {
            start-bind: func(network: borrow<network>, local-address: ip-socket-address) -> result<_, error-code>;
        }
    }
    interface udp-create-socket {
        use network.{error-code, ip-address-family};
        use udp.{udp-socket};
        create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, error-code>;
    }
    interface ip-name-lookup {
        use network.{network, error-code};
        resource resolve-address-stream {}
        resolve-addresses: func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>;
    }";

#[tokio::test]
async fn what_is_written_to_standard_output_and_error_is_logged_line_by_line() {
    let world = World::new();
    let write = "[method]output-stream.blocking-write-and-flush";
    let text = "first\\nsec";
    let guest = Guest::check(
        "(local.set $i (call $stdout))
         (call $write (local.get $i) (i32.const 700) (i32.const 9) (i32.const 2048))
         (call $write (local.get $i) (i32.const 709) (i32.const 8) (i32.const 2048))
         (call $write (call $stderr) (i32.const 717) (i32.const 5) (i32.const 2048))
         (call $write (local.get $i) (i32.const 8192) (i32.const 4000) (i32.const 2048))
         (call $verdict (i32.const 0))",
    )
    .import("wasi:cli/stdout@0.2.0", "get-stdout", "$stdout (result i32)")
    .import("wasi:cli/stderr@0.2.0", "get-stderr", "$stderr (result i32)")
    .import("wasi:io/streams@0.2.0", write, "$write (param i32 i32 i32 i32)")
    .foreign("wasi:cli/stdout@0.2.0", IO)
    .foreign("wasi:cli/stderr@0.2.0", CLI)
    .items(&format!("(data (i32.const 700) \"{text}ond\\nrestwrong\")"));
    let binding = world.bind(&guest).await;
    verdict(&binding).await;
    let said = world.host.said();
    assert_eq!(said[0], (Severity::Info, "first".into()));
    assert_eq!(said[1], (Severity::Info, "second".into()));
    // What is no whole line comes at the end of the call, without what cannot be shown.
    assert_eq!(said[2], (Severity::Info, format!("rest{}", " ".repeat(4000))));
    assert_eq!(said[3], (Severity::Warn, "wrong".into()));
}

#[tokio::test]
async fn there_is_no_environment_and_there_are_no_arguments() {
    let world = World::new();
    let guest = Guest::check(
        "(call $environment (i32.const 2048)) (call $arguments (i32.const 2056))
         (if (i32.or (i32.load (i32.const 2052)) (i32.load (i32.const 2060))) (then unreachable))
         (call $verdict (i32.const 0))",
    )
    .import("wasi:cli/environment@0.2.0", "get-environment", "$environment (param i32)")
    .import("wasi:cli/environment@0.2.0", "get-arguments", "$arguments (param i32)")
    .foreign("wasi:cli/environment@0.2.0", IO)
    .foreign("wasi:io/poll@0.2.0", CLI);
    verdict(&world.bind(&guest).await).await;
}

#[tokio::test]
async fn there_are_no_files() {
    let world = World::new();
    let guest = Guest::check(
        "(call $directories (i32.const 2048))
         (if (i32.load (i32.const 2052)) (then unreachable))
         (call $verdict (i32.const 0))",
    )
    .import("wasi:filesystem/preopens@0.2.0", "get-directories", "$directories (param i32)")
    .foreign(
        "wasi:filesystem/preopens@0.2.0",
        "package wasi:filesystem@0.2.0;
         interface types { resource descriptor {} }
         interface preopens {
             use types.{descriptor};
             get-directories: func() -> list<tuple<descriptor, string>>;
         }",
    );
    verdict(&world.bind(&guest).await).await;
}

#[tokio::test]
async fn a_policy_has_no_sockets_whatever_is_granted() {
    let mut world = World::new();
    let all = NetGrant::parse("127.0.0.0/8:*").expect("a grant");
    world.grants = Grants { net: vec![all], ..Grants::default() };
    let creates = |of: fn(&str) -> Guest, answer: &str| {
        of(&format!(
            "(call $create (i32.const 0) (i32.const 2048))
             (if (i32.load8_u (i32.const 2048)) (then (return {answer})))
             (unreachable)"
        ))
        .import(
            "wasi:sockets/tcp-create-socket@0.2.0",
            "create-tcp-socket",
            "$create (param i32 i32)",
        )
        .foreign("wasi:io/poll@0.2.0", IO)
        .foreign("wasi:sockets/tcp-create-socket@0.2.0", SOCKETS)
    };
    let policy = creates(Guest::policy, "(call $decision (i64.const 7))");
    let decision = decide(&world.bind(&policy).await).await;
    assert_eq!(decision.action, Action::RestartAfter(Duration::from_millis(7)));
    // A check with the same grant gets one.
    let check = creates(Guest::check, "(call $verdict (i32.const 0))");
    assert!(matches!(fault(&world.bind(&check).await).await, Fault::Trap(_)));
}

#[tokio::test]
async fn sleeping_past_the_deadline_ends_the_call() {
    let mut world = World::new();
    world.limits.time = Duration::from_millis(100);
    let guest = Guest::check(
        "(call $block (call $after (i64.const 3600000000000))) (call $verdict (i32.const 0))",
    )
    .import(
        "wasi:clocks/monotonic-clock@0.2.0",
        "subscribe-duration",
        "$after (param i64) (result i32)",
    )
    .import("wasi:io/poll@0.2.0", "[method]pollable.block", "$block (param i32)")
    .foreign("wasi:io/poll@0.2.0", IO)
    .foreign("wasi:clocks/monotonic-clock@0.2.0", CLOCKS);
    assert_eq!(fault(&world.bind(&guest).await).await, Fault::Deadline);
}

#[tokio::test]
async fn handles_have_a_number() {
    let world = World::new();
    let guest = Guest::check("(loop $more (drop (call $stdout)) (br $more)) (i32.const 0)")
        .import("wasi:cli/stdout@0.2.0", "get-stdout", "$stdout (result i32)")
        .foreign("wasi:io/streams@0.2.0", IO)
        .foreign("wasi:cli/stdout@0.2.0", CLI);
    let fault = fault(&world.bind(&guest).await).await;
    assert!(matches!(&fault, Fault::Trap(why) if why.contains("no free keys")), "{fault}");
}

#[tokio::test]
async fn random_bytes_have_a_number() {
    let world = World::new();
    let guest = Guest::check(
        "(call $random (i64.const 1000000) (i32.const 2048)) (call $verdict (i32.const 0))",
    )
    .import("wasi:random/random@0.2.0", "get-random-bytes", "$random (param i64 i32)")
    .foreign("wasi:random/random@0.2.0", RANDOM);
    assert!(matches!(fault(&world.bind(&guest).await).await, Fault::Trap(_)));
}

/// Connects to a port of 127.0.0.1 and answers healthy if that began, degraded if there
/// is no socket, unhealthy if it did not begin.
fn connecting(port: u16, what: &str) -> Guest {
    let method = format!("[method]tcp-socket.start-{what}");
    Guest::check(&format!(
        "(call $create (i32.const 0) (i32.const 2048))
         (if (i32.load8_u (i32.const 2048)) (then (return (call $verdict (i32.const 1)))))
         (local.set $i (i32.load (i32.const 2052)))
         (call $start (local.get $i) (call $network)
           (i32.const 0) (i32.const {port}) (i32.const 127) (i32.const 0) (i32.const 0)
           (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 2048))
         (if (i32.load8_u (i32.const 2048)) (then (return (call $verdict (i32.const 2)))))
         (call $block (call $subscribe (local.get $i)))
         (call $verdict (i32.const 0))"
    ))
    .import("wasi:sockets/instance-network@0.2.0", "instance-network", "$network (result i32)")
    .import("wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket", "$create (param i32 i32)")
    .import(
        "wasi:sockets/tcp@0.2.0",
        &method,
        "$start (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
    )
    .import(
        "wasi:sockets/tcp@0.2.0",
        "[method]tcp-socket.subscribe",
        "$subscribe (param i32) (result i32)",
    )
    .import("wasi:io/poll@0.2.0", "[method]pollable.block", "$block (param i32)")
    .foreign("wasi:io/poll@0.2.0", IO)
    .foreign("wasi:sockets/tcp@0.2.0", SOCKETS)
    .foreign("wasi:sockets/instance-network@0.2.0", "")
    .foreign("wasi:sockets/tcp-create-socket@0.2.0", "")
}

#[tokio::test]
async fn sockets_go_where_it_was_granted_only() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    listener.set_nonblocking(true).expect("set");
    let mut world = World::new();
    let guest = connecting(port, "connect");
    assert_eq!(verdict(&world.bind(&guest).await).await.status, Status::Degraded, "no grant");

    let other = NetGrant::parse("127.0.0.2:*").expect("a grant");
    world.grants = Grants { net: vec![other], ..Grants::default() };
    verdict(&world.bind(&guest).await).await;
    assert_eq!(world.host.denied(), [format!("needs grants: {{ net: [\"127.0.0.1:{port}\"] }}")]);
    assert!(listener.accept().is_err(), "nobody came");

    let this = NetGrant::parse(&format!("127.0.0.1:{port}")).expect("a grant");
    world.grants = Grants { net: vec![this], ..Grants::default() };
    assert_eq!(verdict(&world.bind(&guest).await).await.status, Status::Healthy);
    crate::support::until("somebody comes", || listener.accept().is_ok()).await;
}

#[tokio::test]
async fn nobody_listens() {
    let mut world = World::new();
    let all = NetGrant::parse("127.0.0.0/8:*").expect("a grant");
    world.grants = Grants { net: vec![all], ..Grants::default() };
    let guest = connecting(0, "bind");
    assert_eq!(verdict(&world.bind(&guest).await).await.status, Status::Unhealthy);
}

#[tokio::test]
async fn there_is_no_udp_whatever_is_granted() {
    let mut world = World::new();
    // Healthy if a socket has an address, unhealthy if not: it can do nothing without.
    let guest = Guest::check(
        "(call $create (i32.const 0) (i32.const 2048))
         (if (i32.load8_u (i32.const 2048)) (then (return (call $verdict (i32.const 2)))))
         (call $bind (i32.load (i32.const 2052)) (call $network)
           (i32.const 0) (i32.const 0) (i32.const 127) (i32.const 0) (i32.const 0)
           (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
           (i32.const 0) (i32.const 0) (i32.const 2048))
         (if (i32.load8_u (i32.const 2048)) (then (return (call $verdict (i32.const 2)))))
         (call $verdict (i32.const 0))",
    )
    .import("wasi:sockets/instance-network@0.2.0", "instance-network", "$network (result i32)")
    .import("wasi:sockets/udp-create-socket@0.2.0", "create-udp-socket", "$create (param i32 i32)")
    .import(
        "wasi:sockets/udp@0.2.0",
        "[method]udp-socket.start-bind",
        "$bind (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
    )
    .foreign("wasi:io/poll@0.2.0", IO)
    .foreign("wasi:sockets/udp@0.2.0", SOCKETS)
    .foreign("wasi:sockets/instance-network@0.2.0", "")
    .foreign("wasi:sockets/udp-create-socket@0.2.0", "");
    assert_eq!(verdict(&world.bind(&guest).await).await.status, Status::Unhealthy, "no grant");
    let all = NetGrant::parse("127.0.0.0/8:*").expect("a grant");
    world.grants = Grants { net: vec![all], ..Grants::default() };
    assert_eq!(verdict(&world.bind(&guest).await).await.status, Status::Unhealthy, "TCP only");
}

#[tokio::test]
async fn only_names_that_a_grant_speaks_of_are_looked_up() {
    let mut world = World::new();
    let grant = NetGrant::parse("localhost:80").expect("a grant");
    world.grants = Grants { net: vec![grant], ..Grants::default() };
    let asking = |name: &str| {
        Guest::check(&format!(
            "(call $resolve (call $network) (i32.const 700) (i32.const {}) (i32.const 2048))
             (if (i32.load8_u (i32.const 2048))
               (then (local.set $i (i32.load8_u (i32.const 2052)))))
             (call $verdict (local.get $i))",
            name.len()
        ))
        .import("wasi:sockets/instance-network@0.2.0", "instance-network", "$network (result i32)")
        .import(
            "wasi:sockets/ip-name-lookup@0.2.0",
            "resolve-addresses",
            "$resolve (param i32 i32 i32 i32)",
        )
        .foreign("wasi:io/poll@0.2.0", IO)
        .foreign("wasi:sockets/instance-network@0.2.0", SOCKETS)
        .foreign("wasi:sockets/ip-name-lookup@0.2.0", "")
        .items(&format!("(data (i32.const 700) \"{name}\")"))
    };
    assert_eq!(verdict(&world.bind(&asking("localhost")).await).await.status, Status::Healthy);
    // `access-denied` is number one, as degraded is.
    let other = world.bind(&asking("secret.example.com")).await;
    assert_eq!(verdict(&other).await.status, Status::Degraded);
    assert_eq!(world.host.denied(), ["needs grants: { net: [\"secret.example.com:*\"] }"]);
}
