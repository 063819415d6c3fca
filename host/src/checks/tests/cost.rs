//! What checks cost. A measurement, and so not run with the tests:
//! `cargo test --release -p kennel --lib checks::tests::cost -- --ignored --nocapture`

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use super::super::{CheckContext, Outcome, Probe, run};
use super::commands::In;
use super::support::{BOUND, nginx};

/// As many as are made in the measured minute, of all kinds together.
const CHECKS_A_MINUTE: u32 = 10_000;

fn cpu(who: UsageWho) -> Duration {
    let usage = getrusage(who).unwrap();
    let of = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().cast_unsigned(), time.tv_usec() as u32 * 1000)
    };
    of(usage.user_time()) + of(usage.system_time())
}

#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_checks_a_minute() {
    let server = nginx(&[], "server { listen 127.0.0.1:{port}; return 200 ok; }");
    let http = Probe::Http {
        url: server.url("/"),
        expect_status: vec![(200, 399)],
        expect_body: None,
        ca_file: None,
    };
    let tcp = Probe::Tcp { address: server.authority() };
    let command = Probe::Command { argv: vec!["true".into()] };
    let context = CheckContext { launcher: Some(Arc::new(In("/".into()))) };
    let rounds = 2_000;
    for (name, probe) in [("tcp", tcp), ("http", http), ("command", command)] {
        let (began, before) = (Instant::now(), cpu(UsageWho::RUSAGE_SELF));
        for _ in 0..rounds {
            let outcome = run(&probe, &context, BOUND).await;
            assert!(matches!(outcome, Outcome::Passed { .. }), "{outcome:?}");
        }
        let (took, used) =
            (began.elapsed() / rounds, (cpu(UsageWho::RUSAGE_SELF) - before) / rounds);
        let share = used.as_secs_f64() * f64::from(CHECKS_A_MINUTE) / 60.0 * 100.0;
        println!(
            "{name}: {took:?} each, {used:?} of processor time; \
             {CHECKS_A_MINUTE} a minute take {share:.2} % of one processor"
        );
    }
}
