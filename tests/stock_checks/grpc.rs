//! `stock:grpc` with etcd, which has the standard health service.

use nix::sys::signal::Signal;

use crate::support::servers::free_port;
use crate::support::skip::find;
use crate::support::{Kennel, needs_program};

#[test]
fn etcd_says_that_it_serves() {
    if needs_program("etcd") {
        return;
    }
    let etcd = find("etcd").expect("the test has looked for it");
    let (port, peers) = (free_port(), free_port());
    let here = |port: u16| format!("\"http://127.0.0.1:{port}\"");
    let (client, peer) = (here(port), here(peers));
    let check = |more: &str| {
        format!(
            "{{ plugin: grpc, every: 100ms, timeout: 1s, \
             config: {{ address: \"127.0.0.1:{port}\"{more} }} }}"
        )
    };
    let (whole, part) = (check(""), check(", service: shop"));
    let ready = whole.replace("timeout: 1s, ", "");
    let etcd = etcd.display();
    let mut kennel = Kennel::new(&format!(
        r#"
        plugins:
          grpc: {{ source: "stock:grpc", grants: {{ http: [{client}] }} }}
        services:
          kv:
            command: [{etcd}, --data-dir, data, --listen-client-urls, {client}, --advertise-client-urls, {client}, --listen-peer-urls, {peer}, --initial-advertise-peer-urls, {peer}, --initial-cluster, "default=http://127.0.0.1:{peers}"]
            ready: {ready}
            health: {whole}
          shop:
            command: [sleep, "1000"]
            depends_on: {{ kv: ready }}
            health: {part}
        "#
    ));
    kennel.start();
    kennel.wait_for_health("kv", "up", "healthy", "");
    assert!(kennel.sample("grpc", "kv", "latency").is_some_and(|latency| latency > 0.0));
    kennel.wait_for_health("shop", "up", "unknown", "the server knows no service \"shop\"");

    let kv = kennel.process("kv");
    kv.signal(Signal::SIGSTOP);
    kennel.wait_for_health("kv", "up", "degraded", "no answer in time");
    kv.signal(Signal::SIGCONT);
    kennel.wait_for_health("kv", "up", "healthy", "");
    assert_eq!(kennel.process("kv"), kv);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
