//! The order of start, told from the file alone.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Kennel, needs_program};

const HOUSE: &str = r#"
    services:
      web:
        command: [sleep, "1000"]
        replicas: 3
        depends_on:
          migrate: done
          cache: { for: started, required: false }
      migrate: { type: oneshot, command: "true", depends_on: { db.main: ready } }
      db.main: { command: [sleep, "1000"] }
      cache: { command: [sleep, "1000"], enabled: false }
    "#;

#[test]
fn the_order_of_start_is_told_without_a_supervisor() {
    let kennel = Kennel::new(HOUSE);
    assert_eq!(
        kennel.cli(&["plan", "--graph"]).ok(),
        "ORDER  SERVICE  KIND         STARTS AFTER\n    \
         1  db.main  -            -\n    \
         1  cache    not enabled  -\n    \
         2  migrate  oneshot      db.main ready\n    \
         3  web      3 replicas   migrate done, cache started (optional)\n"
    );
    kennel.cli(&["plan", "--graph", "--json"]).fails_saying(2, &["cannot be used with"]);
    kennel.cli(&["plan", "--graph=svg"]).fails_saying(2, &["possible values: text, dot"]);
    kennel.configure(
        "services: { a: { command: x, depends_on: [b] }, b: { command: x, depends_on: [a] } }",
    );
    kennel.cli(&["plan", "--graph"]).fails_saying(2, &["dependency cycle: a → b → a"]);
}

#[test]
fn graphviz_draws_the_order_of_start() {
    if needs_program("dot") {
        return;
    }
    let kennel = Kennel::new(HOUSE);
    let graph = kennel.cli(&["plan", "--graph=dot"]).ok();
    let mut dot = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    dot.stdin.take().unwrap().write_all(graph.as_bytes()).unwrap();
    let output = dot.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{graph}");
    assert!(!said.contains("rror"), "{said}\n{graph}");
    let svg = String::from_utf8_lossy(&output.stdout);
    for title in ["db.main&#45;&gt;migrate", "migrate&#45;&gt;web", "cache&#45;&gt;web"] {
        assert!(svg.contains(title), "{title} is missing in:\n{svg}");
    }
    assert!(svg.contains("3 replicas") && svg.contains("not enabled"), "{svg}");
}
