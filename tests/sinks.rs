//! Event sinks: the stock plugins, a supervisor that is killed, and no event that is lost.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::moody::{Mood, MoodyHook};
use crate::support::{BOUND, Kennel, wait_for};

/// How long many events may take on a small machine with other tests beside.
const LONG: Duration = Duration::from_secs(600);

/// Instances of the service that is signalled: so many events has one request.
const INSTANCES: usize = 20;

/// The sink named `name` as `/v1/plugins` shows it; none while no supervisor answers.
fn sink(kennel: &Kennel, name: &str) -> Option<Value> {
    let answer = crate::support::http::ask(&kennel.socket(), "GET", "/v1/plugins").ok()?;
    let all: Value = serde_json::from_str(&answer.body).ok()?;
    all["sinks"].as_array()?.iter().find(|sink| sink["name"] == name).cloned()
}

/// The number of the youngest event.
fn last_event(kennel: &Kennel, name: &str) -> Option<u64> {
    let sink = sink(kennel, name)?;
    Some(sink["next_seq"].as_u64()? + sink["behind"].as_u64()? - 1)
}

/// Makes events until it is told to end: signals without effect to all instances.
struct Noise {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Noise {
    fn begin(socket: PathBuf) -> Noise {
        let ends = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            // A supervisor that is killed ends the connection, and the next one answers anew.
            while !until.load(Ordering::SeqCst) {
                if make_noise(&socket, &until).is_err() {
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Noise { ends, thread: Some(thread) }
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}

fn make_noise(socket: &Path, until: &AtomicBool) -> io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(BOUND))?;
    let mut reader = BufReader::new(stream);
    while !until.load(Ordering::SeqCst) {
        let request = "POST /v1/services/web/signal?signal=CONT HTTP/1.1\r\n\
                       Host: localhost\r\nContent-Length: 0\r\n\r\n";
        reader.get_mut().write_all(request.as_bytes())?;
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line)?;
        if !line.is_empty() && !line.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(line));
        }
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    }
    Ok(())
}

/// What is on disk of the journal, read as a reader of its format would.
pub(crate) fn journal(kennel: &Kennel) -> Vec<Value> {
    let mut files: Vec<PathBuf> = fs::read_dir(kennel.path("state/journal"))
        .expect("the journal is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("text"));
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.map(|line| serde_json::from_str(&line[9..]).expect("a record")).collect()
}

/// What makes an event one and the same: a number is given again when the event that had it
/// was lost with the supervisor, before it was on disk.
pub(crate) fn identity(event: &Value) -> (u64, String) {
    let at: jiff::Timestamp = event["at"].as_str().unwrap().parse().unwrap();
    (event["seq"].as_u64().unwrap(), at.as_millisecond().to_string())
}

/// Whether the event is about the delivery itself, and so is not delivered.
pub(crate) fn is_about_sink(event: &Value, name: &str, plugin: &str) -> bool {
    let kind = event["kind"].as_str().unwrap();
    let attributes = &event["attributes"];
    (kind.starts_with("sink.") && attributes["sink"] == name)
        || (["plugin.fault", "plugin.disabled", "plugin.enabled", "plugin.denied"].contains(&kind)
            && attributes["plugin"] == plugin)
}

/// Has a supervisor make so many events, kills it five times meanwhile, waits until the sink
/// has them all, and looks whether it has. `calm` ends the trouble before the orderly end.
fn endure(
    mut kennel: Kennel,
    events: u64,
    name: &str,
    calm: impl FnOnce(),
    taken: impl FnOnce() -> Vec<Value>,
) {
    kennel.start();
    let noise = Noise::begin(kennel.socket());
    for part in 1..=5 {
        let enough = events * part / 6;
        wait_for("more events", LONG, || last_event(&kennel, name).filter(|last| *last >= enough));
        kennel.kill_supervisor();
        kennel.sweep();
        kennel.start();
    }
    wait_for("all events", LONG, || last_event(&kennel, name).filter(|last| *last >= events));
    drop(noise);
    wait_for("the sink to have caught up", LONG, || {
        sink(&kennel, name).filter(|sink| sink["behind"] == 0)
    });
    calm();
    assert_eq!(kennel.terminate(), 0, "{}", kennel.said());

    let happened = journal(&kennel);
    assert!(happened.len() as u64 >= events, "only {} events happened", happened.len());
    let taken = taken();
    let known: HashSet<(u64, String)> = taken.iter().map(identity).collect();
    let missing: Vec<&Value> = happened
        .iter()
        .filter(|event| !is_about_sink(event, name, "hook"))
        .filter(|event| !known.contains(&identity(event)))
        .collect();
    println!(
        "{} events on disk, {} given, {} of them more than once, {} missing",
        happened.len(),
        taken.len(),
        taken.len() - known.len(),
        missing.len()
    );
    assert!(missing.is_empty(), "{} are missing, as {:#?}", missing.len(), missing.first());
    let last = happened.last().expect("there are events");
    assert_eq!(last["kind"], "supervisor.stopped", "the last one came too");
}

#[test]
fn of_100_000_events_none_is_missing_when_the_sink_fails_at_random_and_the_supervisor_is_killed() {
    let hook = MoodyHook::start(|request| {
        // Numbers that look random, and are the same each time.
        let dice = request.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99) >> 33;
        match dice % 60 {
            0 => Mood::Refuses(500),
            1 => Mood::Refuses(503),
            2 => Mood::TakesInSilence,
            3 if request % 7 == 0 => Mood::Hangs,
            _ => Mood::Takes,
        }
    });
    let kennel = Kennel::new(&format!(
        r#"
        plugins:
          hook: {{ source: "stock:webhook", grants: {{ http: ["{origin}"] }}, limits: {{ time: 2s }} }}
        services:
          web: {{ command: [sleep, "100000"], replicas: {INSTANCES} }}
        sinks:
          - {{ plugin: hook, config: {{ url: "{origin}/events", timeout: 1s }} }}
        "#,
        origin = hook.origin(),
    ));
    endure(kennel, 100_000, "hook", || {}, || hook.taken());
    let met = hook.met();
    println!("{met:?}");
    assert!(
        met["refuses"] > 5 && met["takes in silence"] > 0,
        "it was in too good a mood: {met:?}"
    );
}

#[test]
fn a_file_has_every_event_though_its_folder_comes_and_goes() {
    let kennel = Kennel::new("services: {}");
    let folder = kennel.path("out");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("events.jsonl");
    kennel.configure(&format!(
        r#"
        plugins:
          hook: {{ source: "stock:file", grants: {{ files: [./out/events.jsonl] }} }}
        services:
          web: {{ command: [sleep, "100000"], replicas: {INSTANCES} }}
        sinks:
          - {{ name: archive, plugin: hook, config: {{ path: {file}, max_size: 1GiB }} }}
        "#,
        file = file.display(),
    ));
    // Away for a while, again and again.
    let ends = Arc::new(AtomicBool::new(false));
    let (until, elsewhere) = (Arc::clone(&ends), kennel.path("elsewhere"));
    let trouble = thread::spawn({
        let folder = folder.clone();
        move || {
            let mut times = 0;
            while !until.load(Ordering::SeqCst) {
                fs::rename(&folder, &elsewhere).unwrap();
                thread::sleep(Duration::from_millis(50));
                fs::rename(&elsewhere, &folder).unwrap();
                thread::sleep(Duration::from_millis(300));
                times += 1;
            }
            times
        }
    });
    let calm = || {
        ends.store(true, Ordering::SeqCst);
        assert!(trouble.join().unwrap() > 3, "the folder was away more than once");
    };
    let read = || {
        let text = fs::read_to_string(&file).expect("the file is there");
        text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
    };
    endure(kennel, 20_000, "archive", calm, read);
}

#[test]
fn a_sink_comes_changes_and_goes_with_reloads_and_the_plan_shows_no_secret() {
    let text = |sinks: &str| {
        format!(
            r#"
            plugins:
              file: {{ source: "stock:file", grants: {{ files: [./a.jsonl, ./b.jsonl] }} }}
            services:
              web: {{ command: [sleep, "100000"] }}
            {sinks}
            "#
        )
    };
    let one = |path: &Path, events: &str| {
        text(&format!(
            "sinks: [{{ plugin: file, events: [{events}], config: {{ path: {} }} }}]",
            path.display()
        ))
    };
    let kennel = Kennel::running(&text(""));
    kennel.wait_for_state("web", "up");
    let (a, b) = (kennel.path("a.jsonl"), kennel.path("b.jsonl"));
    let reload = |yaml: &str, expected: &str| {
        kennel.configure(yaml);
        let plan = kennel.cli(&["plan"]).ok();
        assert_eq!(plan, format!("{expected}\n"));
        assert_eq!(kennel.cli(&["reload"]).ok(), plan);
    };
    let has = |path: &Path, kind: &str| {
        wait_for(&format!("{kind} in {}", path.display()), BOUND, || {
            fs::read_to_string(path).ok().filter(|text| text.contains(kind))
        })
    };

    reload(&one(&a, "\"service.*\""), "sink file: start, new");
    let pid = kennel.pid("web");
    assert_eq!(kennel.cli(&["signal", "CONT", "web"]).code, 0);
    let text_of_a = has(&a, "service.signalled");
    assert!(!text_of_a.contains("service.started"), "it began from then on: {text_of_a}");

    reload(
        &one(&b, "\"service.*\", \"config.*\""),
        "sink file: change in place, config changed, events changed",
    );
    let text_of_b = has(&b, "config.reloaded");
    assert!(!text_of_b.contains("service.signalled"), "what one had is not given again");
    assert_eq!(kennel.pid("web"), pid, "services have nothing to do with it");
    let shown = sink(&kennel, "file").expect("it is shown");
    assert_eq!((&shown["plugin"], &shown["error"]), (&"file".into(), &Value::Null), "{shown}");
    let metrics = kennel.api("GET", "/metrics").body;
    let line = "kennel_sink_events_total{sink=\"file\",plugin=\"file\",outcome=\"taken\"}";
    assert!(metrics.contains(line), "{metrics}");
    assert!(kennel.path("state/sinks/file.cursor").exists());

    reload(&text(""), "sink file: stop, removed");
    wait_for("its cursor to be gone", BOUND, || {
        (!kennel.path("state/sinks/file.cursor").exists()).then_some(())
    });
    assert_eq!(sink(&kennel, "file"), None);
}

#[test]
fn a_sink_that_hangs_holds_up_neither_services_nor_the_end() {
    let hook = MoodyHook::start(|_| Mood::Hangs);
    let mut kennel = Kennel::new(&format!(
        r#"
        plugins:
          hook: {{ source: "stock:webhook", grants: {{ http: ["{origin}"] }}, limits: {{ time: 5m }} }}
        services:
          web: {{ shell: "sleep 0.05; exit 1", restart: {{ backoff: {{ initial: 10ms, max: 10ms }}, limit: none }} }}
        sinks:
          - {{ plugin: hook, config: {{ url: "{origin}/", timeout: 4m }} }}
        "#,
        origin = hook.origin(),
    ));
    kennel.start();
    wait_for("the sink to be asked", BOUND, || (!hook.met().is_empty()).then_some(()));
    let before = kennel.service("web")["restarts"].as_u64().unwrap();
    wait_for("more restarts", BOUND, || {
        kennel.service("web")["restarts"].as_u64().filter(|now| *now >= before + 10)
    });
    let begun = Instant::now();
    assert_eq!(kennel.terminate(), 0);
    println!("the end took {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
