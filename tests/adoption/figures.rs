//! What adoption costs and what it loses. Prints figures; run with
//! `cargo test -p kennel --test e2e adoption::figures -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{last_event, lines_of, mains, succeed};
use crate::support::{BOUND, Kennel, Process, http, wait_for};

const KILLS: u64 = 100;
const THOUSAND: usize = 1000;

#[test]
#[ignore = "takes minutes and prints figures"]
fn a_hundred_kills_under_load() {
    let writer = |name: &str, pause: &str| {
        format!(
            "  {name}:\n    shell: |\n      trap 'echo $$i > {name}.last; exit 0' TERM\n      \
             i=0\n      while :; do i=$$((i+1)); echo $$i; {pause} done\n    \
             logs: {{ max_size: 8GiB }}\n"
        )
    };
    let fast: Vec<String> = (0..2).map(|i| format!("fast{i}")).collect();
    let slow: Vec<String> = (0..48).map(|i| format!("slow{i}")).collect();
    let services: String = fast
        .iter()
        .map(|name| writer(name, ""))
        .chain(slow.iter().map(|name| writer(name, "sleep 0.02;")))
        .collect();
    let mut kennel = Kennel::running(&format!("services:\n{services}"));
    let names: Vec<String> = fast.into_iter().chain(slow).collect();
    let before: BTreeMap<&String, Process> = names
        .iter()
        .map(|name| {
            kennel.wait_for_state(name, "up");
            (name, kennel.process(name))
        })
        .collect();
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(kill * 37 % 300));
        succeed(&mut kennel);
    }
    let (mut lost, mut doubled) = (0, 0);
    for name in &names {
        kennel.wait_for_state(name, "up");
        lost += usize::from(kennel.process(name) != before[name]);
        doubled += mains(&kennel, name).len() - 1;
    }
    kennel
        .cli(&[&["stop"], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat())
        .ok();
    assert_eq!(kennel.terminate(), 0);
    let (mut lines, mut missing, mut twice) = (0_u64, 0_u64, 0_u64);
    for name in &names {
        let last: u64 = kennel.read(&format!("{name}.last")).trim().parse().unwrap();
        let mut expected = 1;
        for line in lines_of(&kennel.read(&format!("state/logs/{name}.log")), "stdout") {
            let number: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            lines += 1;
            missing += number.saturating_sub(expected);
            twice += u64::from(number < expected);
            expected = number + 1;
        }
        // It may have been about to write the last one.
        missing += (last.saturating_sub(1)).saturating_sub(expected - 1);
    }
    println!(
        "{KILLS} kills under load, {} services: {lost} lost, {doubled} doubled; {lines} lines: \
         {missing} lost, {twice} doubled",
        names.len()
    );
    assert_eq!((lost, doubled, missing, twice), (0, 0, 0, 0));
}

#[test]
#[ignore = "takes a minute and prints figures"]
fn a_thousand_are_adopted() {
    let services: String =
        (0..THOUSAND).map(|i| format!("  s{i:03}: {{ command: [sleep, \"1000\"] }}\n")).collect();
    let begun = Instant::now();
    let mut kennel = Kennel::running(&format!("services:\n{services}"));
    let are_up = |kennel: &Kennel| {
        let status = http::ask(&kennel.socket(), "GET", "/v1/status?format=plain").ok()?;
        (status.body.matches(": UP ").count() == THOUSAND).then_some(())
    };
    wait_for("all to be up", BOUND * 6, || are_up(&kennel));
    println!("{THOUSAND} services up after {:?}", begun.elapsed());
    let mut took = Vec::new();
    for _ in 0..5 {
        kennel.kill_supervisor();
        let begun = Instant::now();
        kennel.spawn();
        wait_for("all to be adopted", BOUND * 6, || are_up(&kennel));
        took.push(begun.elapsed());
        assert_eq!(last_event(&kennel, "supervisor.adopted")["attributes"]["adopted"], THOUSAND);
    }
    took.sort_unstable();
    println!("from the start of the next supervisor to all {THOUSAND} adopted: {took:?}");
    let mut without = Vec::new();
    for _ in 0..5 {
        let asking = Asking::begin(kennel.socket());
        kennel.cli(&["upgrade"]).ok();
        without.push(asking.longest_gap());
    }
    without.sort_unstable();
    println!("upgrade with {THOUSAND} services, longest time without an answer: {without:?}");
}

/// Asks the supervisor for a sign of life all the time.
struct Asking {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Asking {
    fn begin(socket: PathBuf) -> Asking {
        let is_over = Arc::new(AtomicBool::new(false));
        let told = is_over.clone();
        let thread = std::thread::spawn(move || {
            let (mut longest, mut answered) = (Duration::ZERO, Instant::now());
            while !told.load(SeqCst) {
                if http::ask(&socket, "GET", "/v1/status").is_ok_and(|answer| answer.status == 200)
                {
                    longest = longest.max(answered.elapsed());
                    answered = Instant::now();
                }
            }
            longest
        });
        Asking { is_over, thread }
    }

    fn longest_gap(self) -> Duration {
        self.is_over.store(true, SeqCst);
        self.thread.join().expect("it counts, and does not panic")
    }
}
