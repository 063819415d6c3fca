//! What is written is what is meant: values, defaults, environment, paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::os::{CgroupLimits, Resource, Rlimit, UNLIMITED};
use kennel_core::spec::{
    Advice, Attempts, Backoff, Condition, Dependents, Enabled, GiveUp, Kind, Policy, Ready,
    Restart, RestartLimit, Rolling, StopCommand, Strength, WaitFor,
};
use kennel_core::{ServiceSpec, Signal};

use super::super::{Command, LogConfig, LogTarget, load, load_str};
use super::{config, environment, service};

#[test]
fn a_service_with_only_a_command_has_the_documented_defaults() {
    let config = config("services: { web: { command: nginx -g 'daemon off;' } }");
    let web = service(&config, "web");
    assert_eq!(web.spec, ServiceSpec::daemon("web"));
    assert_eq!(web.logs, LogConfig::default());
    assert_eq!(web.stop_command, None);
    let argv = ["nginx", "-g", "daemon off;"].map(str::to_owned).to_vec();
    assert_eq!(web.launch.command, Command::Argv(argv));
    assert!(web.launch.env.is_empty() && web.labels.is_empty() && web.launch.rlimits.is_empty());
    let supervisor = &config.supervisor;
    assert_eq!(supervisor.name, "services");
    assert_eq!(supervisor.state_dir, Path::new("/home/me/.local/state/kennel/services"));
    assert_eq!(supervisor.socket, Path::new("/run/user/7/kennel/services.sock"));
    assert_eq!(supervisor.shutdown_timeout, Duration::from_secs(60));
    assert_eq!((supervisor.max_concurrent_starts, supervisor.max_restarts_per_second), (64, 100));
    assert_eq!(config.files, [PathBuf::from("/conf/services.yaml")]);
}

#[test]
fn the_documented_defaults_are_these() {
    const S: Duration = Duration::from_secs(1);
    let web = service(&config("services: { web: { command: x, start: {} } }"), "web").spec.clone();
    let backoff = Backoff { initial: S, factor: 2.0, max: 60 * S, jitter: 0.1 };
    assert_eq!(
        web.restart,
        Restart {
            policy: Policy::Always,
            success_exit_codes: vec![0],
            backoff,
            limit: Some(RestartLimit { max: 10, within: 600 * S }),
            reset_after: 30 * S,
            on_give_up: GiveUp::Stay,
            dependents: Dependents::Keep,
            advice: Advice::None,
        }
    );
    // 1, 2, 4 and 8 s lie between five attempts.
    let attempts =
        Attempts { max: 5, backoff: Backoff { max: 8 * S, ..backoff }, on_give_up: GiveUp::Stay };
    assert_eq!(web.attempts, Some(attempts));
    let rolling = Rolling { max_unavailable: 1, wait_for: WaitFor::Healthy, timeout: 600 * S };
    assert_eq!(web.rolling, rolling);
    assert_eq!((web.ready, web.watchdog), (Ready::After(S), None));
    let steps: Vec<_> = web.stop.steps.iter().map(|step| (step.signal, step.wait)).collect();
    assert_eq!((steps, web.stop.command), (vec![(Signal::TERM, 10 * S)], StopCommand::None));
}

#[test]
fn budgets_for_getting_up_and_for_rolling_reach_the_service() {
    let config = config(
        "services:
  web:
    command: x
    replicas: 4
    start:
      attempts: 3
      backoff: { initial: 250ms, factor: 3, max: 5s, jitter: 0% }
      on_give_up: { retry_after: 2m }
    rolling: { max_unavailable: 2, wait_for: ready, timeout: 90s }
  other: { command: x, start: { on_give_up: exit } }
",
    );
    let web = &service(&config, "web").spec;
    let attempts = Attempts {
        max: 3,
        backoff: Backoff {
            initial: Duration::from_millis(250),
            factor: 3.0,
            max: Duration::from_secs(5),
            jitter: 0.0,
        },
        on_give_up: GiveUp::RetryAfter(Duration::from_secs(120)),
    };
    assert_eq!(web.attempts, Some(attempts));
    let timeout = Duration::from_secs(90);
    assert_eq!(web.rolling, Rolling { max_unavailable: 2, wait_for: WaitFor::Ready, timeout });
    let other = service(&config, "other").spec.attempts.as_ref().map(|start| start.on_give_up);
    assert_eq!(other, Some(GiveUp::Exit));
}

#[test]
fn every_available_key_reaches_the_checked_service() {
    let config = config(
        "kennel: { name: shop, state_dir: ./state, shutdown_timeout: 1m30s }
services:
  migrate: { shell: exec migrate, type: oneshot, enabled: false }
  db: { command: db }
  web:
    command: [./bin/web, -p, 8080]
    replicas: 3
    labels: { tier: 1 }
    working_dir: /
    user: 0
    group: 0
    umask: 022
    limits: { nofile: 1024:unlimited, core: 0 }
    nice: -5
    oom_score_adj: 500
    cgroup: { memory_max: 512MiB, cpu_max: 150%, pids_max: 200 }
    depends_on: { db: ready, migrate: { for: done, required: false } }
    restart:
      policy: on_failure
      success_exit_codes: [0, 143]
      backoff: { initial: 250ms, factor: 1.5, max: 5m, jitter: 0% }
      limit: none
      reset_after: 1m
      on_give_up: { retry_after: 10m }
      restart_dependents: true
    stop:
      command: ./bin/stop now
      steps: [{ signal: int, wait: 3s }, { signal: 15 }]
    logs: { to: inherit, max_size: 1MB, keep: 0, timestamps: false, rate_limit: 1KiB/s }
",
    );
    let migrate = service(&config, "migrate");
    assert_eq!(migrate.launch.command, Command::Shell("exec migrate".to_owned()));
    assert_eq!((migrate.spec.kind, migrate.spec.enabled), (Kind::Oneshot, Enabled::No));
    let web = service(&config, "web");
    let argv = ["/conf/bin/web", "-p", "8080"].map(str::to_owned).to_vec();
    assert_eq!(web.launch.command, Command::Argv(argv));
    assert_eq!(web.launch.working_dir, Path::new("/"));
    assert_eq!(migrate.launch.working_dir, Path::new("/conf"));
    assert_eq!((web.launch.user.as_deref(), web.launch.group.as_deref()), (Some("0"), Some("0")));
    assert_eq!((web.launch.umask, web.launch.nice), (Some(0o22), Some(-5)));
    assert_eq!(web.launch.oom_score_adj, Some(500));
    let cgroup =
        CgroupLimits { memory_max: Some(512 << 20), cpu_max: Some(1.5), pids_max: Some(200) };
    assert_eq!(web.launch.cgroup, cgroup);
    assert_eq!(
        web.launch.rlimits,
        [
            Rlimit { resource: Resource::Core, soft: 0, hard: 0 },
            Rlimit { resource: Resource::Nofile, soft: 1024, hard: UNLIMITED },
        ]
    );
    let spec = &web.spec;
    assert_eq!(spec.replicas, 3);
    let edges: Vec<_> = spec
        .depends_on
        .iter()
        .map(|edge| (&*edge.service, edge.condition, edge.strength))
        .collect();
    assert_eq!(
        edges,
        [
            ("db", Condition::Ready, Strength::Required),
            ("migrate", Condition::Done, Strength::Optional)
        ]
    );
    let restart = &spec.restart;
    assert_eq!((restart.policy, restart.limit), (Policy::OnFailure, None));
    assert_eq!(restart.success_exit_codes, [0, 143]);
    assert_eq!(restart.backoff.initial, Duration::from_millis(250));
    assert_eq!((restart.backoff.factor, restart.backoff.jitter), (1.5, 0.0));
    assert_eq!(restart.on_give_up, GiveUp::RetryAfter(Duration::from_secs(600)));
    assert_eq!(restart.dependents, Dependents::Restart);
    let steps: Vec<_> = spec.stop.steps.iter().map(|step| (step.signal, step.wait)).collect();
    let interrupt = Signal::from_number(2).unwrap();
    assert_eq!(
        steps,
        [(interrupt, Duration::from_secs(3)), (Signal::TERM, Duration::from_secs(10))]
    );
    assert_eq!(spec.stop.command, StopCommand::Run { timeout: Duration::from_secs(3) });
    assert_eq!(web.stop_command, Some(["/conf/bin/stop", "now"].map(str::to_owned).to_vec()));
    assert_eq!(web.labels["tier"], "1");
    let logs = LogConfig {
        to: LogTarget::Inherit,
        max_size: 1_000_000,
        keep: 0,
        timestamps: false,
        rate_limit: Some(1024),
    };
    assert_eq!(web.logs, logs);
    assert_eq!(config.supervisor.name, "shop");
    assert_eq!(config.supervisor.state_dir, Path::new("/conf/state"));
    assert_eq!(config.supervisor.socket, Path::new("/run/user/7/kennel/shop.sock"));
    assert_eq!(config.supervisor.shutdown_timeout, Duration::from_secs(90));
}

#[test]
fn texts_stay_as_they_were_written() {
    let config = config(
        "services:
  web:
    command: [x, 1.10, yes, 0x10, ~, 1e3, 'null', \"a\\tb\"]
    env: { VERSION: 1.10, A: yes, B: 007, C: , D: null, E: \"${PORT}\", F: $HOME, G: \"$${X}\", H: 1_000 }
",
    );
    let launch = &service(&config, "web").launch;
    let argv = ["x", "1.10", "yes", "0x10", "~", "1e3", "null", "a\tb"].map(str::to_owned).to_vec();
    assert_eq!(launch.command, Command::Argv(argv));
    let expected = [
        ("VERSION", "1.10"),
        ("A", "yes"),
        ("B", "007"),
        ("C", ""),
        ("D", "null"),
        ("E", "8080"),
        ("F", "$HOME"),
        ("G", "${X}"),
        ("H", "1_000"),
    ];
    assert_eq!(launch.env, expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
}

#[test]
fn defaults_are_merged_key_by_key_where_it_says_so_and_replaced_elsewhere() {
    let config = config(
        "defaults:
  shell: exec default
  env: { A: d, B: d }
  labels: { x: d }
  user: 0
  limits: { nofile: 1, core: 2 }
  depends_on: [base]
  restart: { policy: never, backoff: { initial: 3s, factor: 4 }, limit: { max: 5, within: 1h }, success_exit_codes: [7] }
  stop: { command: d, steps: [{ signal: HUP }] }
  logs: { keep: 9, to: none }
services:
  base: { command: b, stop: null, user: null }
  own:
    command: c
    env: { B: s, C: s }
    labels: { y: s }
    limits: { core: 3 }
    depends_on: { extra: started }
    restart: { backoff: { factor: 2 }, limit: { max: 6 }, success_exit_codes: [0] }
    stop: { steps: [{ signal: INT }] }
    logs: { keep: 1 }
  plain: { depends_on: { base: started } }
  none: { command: n, restart: { limit: none } }
  extra: { command: x, depends_on: null }
",
    );
    let own = service(&config, "own");
    assert_eq!(own.launch.command, Command::Argv(vec!["c".to_owned()]));
    let env: Vec<_> = own.launch.env.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(env, [("A", "d"), ("B", "s"), ("C", "s")]);
    assert_eq!(own.labels.keys().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(own.launch.user.as_deref(), Some("0"));
    let limits: Vec<_> = own.launch.rlimits.iter().map(|limit| limit.soft).collect();
    assert_eq!(limits, [3, 1]);
    let edges: Vec<_> =
        own.spec.depends_on.iter().map(|edge| (&*edge.service, edge.condition)).collect();
    assert_eq!(edges, [("base", Condition::Ready), ("extra", Condition::Started)]);
    assert_eq!(own.spec.restart.policy, Policy::Never);
    assert_eq!(own.spec.restart.backoff.initial, Duration::from_secs(3));
    assert_eq!(own.spec.restart.backoff.factor, 2.0);
    let limit = RestartLimit { max: 6, within: Duration::from_secs(3600) };
    assert_eq!(own.spec.restart.limit, Some(limit));
    assert_eq!(own.spec.restart.success_exit_codes, [0]);
    assert_eq!(own.stop_command, Some(vec!["d".to_owned()]));
    assert_eq!(own.spec.stop.steps.len(), 1);
    assert_eq!((own.logs.keep, own.logs.to), (1, LogTarget::None));

    let plain = service(&config, "plain");
    assert_eq!(plain.launch.command, Command::Shell("exec default".to_owned()));
    assert_eq!(plain.spec.depends_on[0].condition, Condition::Started);
    let base = service(&config, "base");
    assert_eq!(base.spec.stop, ServiceSpec::daemon("x").stop);
    assert!(base.spec.depends_on.is_empty() && base.launch.user.is_none());
    assert_eq!(service(&config, "none").spec.restart.limit, None);
}

#[test]
fn environments_come_from_files_and_keys_and_the_later_wins() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("global.env", "A=1\nB=1\nC=1\nD=1\nE=1\n");
    write("global2.env", "B=2\n");
    write("service.env", "# of the service\nexport D='4'\nE=4\n");
    write(
        "services.yaml",
        "env_file: [global.env, global2.env]
env: { C: 3, D: 3, E: 3 }
services:
  web: { command: x, env_file: service.env, env: { E: 5 } }
  db: { command: y }
",
    );
    let config = load(&dir.path().join("services.yaml"), &environment(&[])).unwrap().config;
    let env = |name: &str| -> Vec<(String, String)> {
        service(&config, name).launch.env.clone().into_iter().collect()
    };
    let pairs = |values: [&str; 5]| -> Vec<(String, String)> {
        let names = ["A", "B", "C", "D", "E"].into_iter();
        names.zip(values).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    assert_eq!(env("web"), pairs(["1", "2", "3", "4", "5"]));
    assert_eq!(env("db"), pairs(["1", "2", "3", "3", "3"]));

    write("service.env", "fine=1\n  what is this\n");
    let shown = load(&dir.path().join("services.yaml"), &environment(&[])).unwrap_err().to_string();
    assert!(
        shown.contains(
            "service.env:2:3: a line without \"=\" in an env file\n   2 |   what is this\n"
        ),
        "{shown}"
    );
}

#[test]
fn included_files_bring_services_with_paths_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir(dir.path().join("more")).unwrap();
    write("more/a.yaml", "services: { a: { command: ./run } }");
    write("more/c.yaml", "# nothing yet\n");
    write("more/b.yaml", "services: { b: { command: run, working_dir: . } }");
    let main = "kennel: { include: [more/*.yaml, more/a.yaml] }
defaults: { env_file: [main.env], nice: 3 }
services: { web: { command: ./run, depends_on: [a] } }
";
    write("main.env", "A=1");
    write("services.yaml", main);
    let path = dir.path().join("services.yaml");
    let loaded = load(&path, &environment(&[])).unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    let names: Vec<_> = config.services.iter().map(|service| &*service.spec.name).collect();
    assert_eq!(names, ["web", "a", "b"]);
    let files: Vec<_> =
        config.files.iter().map(|file| file.strip_prefix(dir.path()).unwrap()).collect();
    assert_eq!(
        files,
        ["services.yaml", "more/a.yaml", "more/b.yaml", "more/c.yaml"].map(Path::new)
    );
    let program = |name: &str| match &service(&config, name).launch.command {
        Command::Argv(argv) => PathBuf::from(&argv[0]),
        Command::Shell(_) | Command::Task(_) => unreachable!("all have a command"),
    };
    assert_eq!(program("web"), dir.path().join("run"));
    assert_eq!(program("a"), dir.path().join("more/run"));
    assert_eq!(program("b"), Path::new("run"));
    assert_eq!(service(&config, "b").launch.working_dir, dir.path().join("more"));
    assert_eq!(service(&config, "b").launch.nice, Some(3));
    assert_eq!(service(&config, "b").launch.env, BTreeMap::from([("A".into(), "1".into())]));

    write("more/b.yaml", "env: { A: 1 }\nservices: { web: { command: x } }\nservice: {}\n");
    write("services.yaml", &(main.to_owned() + "plugin: x\n"));
    let shown = load(&path, &environment(&[])).unwrap_err().to_string();
    let shown = shown.replace(&format!("{}/", dir.path().display()), "");
    assert_eq!(
        shown,
        r#"services.yaml:4:1: unknown key "plugin"
   4 | plugin: x
     | ^^^^^^
  hint: did you mean "plugins"?

more/b.yaml:1:1: "env" in an included file
   1 | env: { A: 1 }
     | ^^^
  hint: an included file has services only; move this to the main file

more/b.yaml:2:13: duplicate service "web", first given at services.yaml:3:13
   2 | services: { web: { command: x } }
     |             ^^^
  hint: rename one of them

more/b.yaml:3:1: unknown key "service" in an included file
   3 | service: {}
     | ^^^^^^^
  hint: did you mean "services"?

4 errors"#
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_only_a_warning() {
    let text = "kennel: { include: [\"none/*.yaml\"] }\nservices: { a: { command: x } }\n";
    let loaded = load_str(Path::new("/conf/services.yaml"), text, &environment(&[])).unwrap();
    assert_eq!(loaded.warnings[0].message, "no file matches \"none/*.yaml\"");
}

#[test]
fn without_a_home_a_state_directory_has_to_be_given() {
    let text = "services: { a: { command: x } }\n";
    let mut env = environment(&[]);
    env.vars.clear();
    let path = Path::new("/conf/services.yaml");
    let shown = load_str(path, text, &env).unwrap_err().to_string();
    assert_eq!(
        shown,
        "cannot choose a state directory: HOME is not set\n  hint: set kennel.state_dir"
    );
    let given = format!("kennel: {{ state_dir: /var/x }}\n{text}");
    let config = load_str(path, &given, &env).unwrap().config;
    assert_eq!(config.supervisor.socket, Path::new("/var/x/kennel.sock"));
    env.is_root = true;
    let config = load_str(path, text, &env).unwrap().config;
    assert_eq!(config.supervisor.state_dir, Path::new("/var/lib/kennel/services"));
    assert_eq!(config.supervisor.socket, Path::new("/run/kennel/services.sock"));
}

#[test]
fn a_file_that_starts_with_a_byte_order_mark_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("services.yaml");
    std::fs::write(&path, "\u{feff}services: { a: { command: x } }\r\n").unwrap();
    assert_eq!(load(&path, &environment(&[])).unwrap().config.services.len(), 1);
}
