//! Checks of many services make an even load.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{BOUND, Kennel, wait_for};

const SERVICES: usize = 200;
/// In so many parts a second is divided.
const PARTS: usize = 10;

#[test]
fn checks_of_services_that_start_together_are_spread_over_their_period() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&asked);
    // It ends with the test program.
    thread::spawn(move || {
        for _ in listener.incoming() {
            noting.lock().unwrap().push(Instant::now());
        }
    });
    let mut yaml = String::from("services:\n");
    for number in 0..SERVICES {
        let health = format!("{{ tcp: \"{address}\", every: 1s, timeout: 30s }}");
        writeln!(yaml, "  s{number}: {{ command: [sleep, '1000'], health: {health} }}").unwrap();
    }
    let mut kennel = Kennel::new(&yaml);
    kennel.start();
    // The first checks come soon and the second ones find their places.
    wait_for("all to be checked", BOUND, || {
        (asked.lock().unwrap().len() >= 3 * SERVICES).then_some(())
    });
    // A machine that stands still for a moment makes a heap of what was spread; checks that
    // come together would do so in every round.
    wait_for("five rounds that are even", 3 * BOUND, || {
        let (from, begun) = (asked.lock().unwrap().len(), Instant::now());
        let count = 5 * SERVICES;
        wait_for("five rounds", BOUND, || {
            (asked.lock().unwrap().len() >= from + count).then_some(())
        });
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(3), "more often than once a second: {took:?}");
        let mut parts = [0; PARTS];
        for time in &asked.lock().unwrap()[from..from + count] {
            let after = time.saturating_duration_since(begun);
            parts[after.subsec_millis() as usize * PARTS / 1000] += 1;
        }
        println!("{parts:?} of {count} in {took:?}");
        // By chance alone a part has 100 and seldom less than 60; together, one would have all.
        let (least, most) = (*parts.iter().min().unwrap(), *parts.iter().max().unwrap());
        (least >= 20 && most <= 250).then_some(())
    });
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
