//! What the host does for plugins.

use std::time::Duration;

use kennel_wasm::model::check::Status;

use crate::support::guest::RESULT;
use crate::support::{Guest, World, verdict};

/// Asks for `authority` and answers with what came: healthy for an answer, degraded for
/// `denied`, unhealthy for `timeout`, unknown for `other`.
fn asking(authority: &str) -> Guest {
    let length = authority.len();
    Guest::check(&format!(
        "(call $tcp (i32.const 700) (i32.const {length}))
         (if (i32.load8_u (i32.const {RESULT}))
           (then (local.set $i (i32.add (i32.const 1) (i32.load8_u (i32.const {error}))))
             (if (i32.gt_u (local.get $i) (i32.const 4)) (then (local.set $i (i32.const 4))))))
         (call $verdict (local.get $i))",
        error = RESULT + 4,
    ))
    .with_tcp()
    .items(&format!("(data (i32.const 700) \"{authority}\")"))
}

#[tokio::test]
async fn a_probe_brings_an_answer() {
    let world = World::new();
    let binding = world.bind(&asking("ok:1")).await;
    assert_eq!(verdict(&binding).await.status, Status::Healthy);
}

#[tokio::test]
async fn what_is_denied_is_an_error_to_the_plugin_and_told_to_the_operator() {
    let world = World::new();
    let binding = world.bind(&asking("deny:1")).await;
    assert_eq!(verdict(&binding).await.status, Status::Degraded);
    assert_eq!(world.host.denied(), ["net: [\"deny:1\"]"]);
}

#[tokio::test]
async fn a_probe_that_hangs_ends_before_the_call_does() {
    let mut world = World::new();
    world.limits.time = Duration::from_millis(400);
    let binding = world.bind(&asking("hang:1")).await;
    // There is time left to say so.
    assert_eq!(verdict(&binding).await.status, Status::Unhealthy);
}

#[tokio::test]
async fn a_panic_of_the_host_is_an_error_to_the_plugin_and_no_more() {
    let world = World::new();
    let binding = world.bind(&asking("panic:1")).await;
    for _ in 0..2 {
        assert_eq!(verdict(&binding).await.status, Status::Unknown);
    }
}

/// Opens `count` conversations, sends "ping" over the last, reads, and has the length of
/// what came as its reason.
fn talking(count: u32) -> Guest {
    let (tag, held, list) = (RESULT, RESULT + 4, RESULT + 8);
    Guest::check(&format!(
        "(local.set $i (i32.const {count}))
         (loop $next
           (call $open (i32.const 700) (i32.const 4) (i32.const 0) (i32.const 0)
             (i32.const {RESULT}))
           (if (i32.load8_u (i32.const {tag})) (then (return (call $verdict (i32.const 4)))))
           (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
         (local.set $i (i32.load (i32.const {held})))
         (call $write (local.get $i) (i32.const 704) (i32.const 4) (i32.const 0) (i32.const 0)
           (i32.const {RESULT}))
         (call $read (local.get $i) (i32.const 100) (i32.const 0) (i32.const 0)
           (i32.const {RESULT}))
         (drop (call $verdict (i32.const 0)))
         (call $reason (i32.load (i32.const {held})) (i32.load (i32.const {list})))
         (i32.const 1024)"
    ))
    .import("kennel:plugin/connection@0.1.0", "tcp", "$open (param i32 i32 i32 i32 i32)")
    .import(
        "kennel:plugin/connection@0.1.0",
        "[method]channel.write",
        "$write (param i32 i32 i32 i32 i32 i32)",
    )
    .import(
        "kennel:plugin/connection@0.1.0",
        "[method]channel.read",
        "$read (param i32 i32 i32 i32 i32)",
    )
    .items("(data (i32.const 700) \"ok:1ping\")")
}

#[tokio::test]
async fn a_conversation_goes_to_and_fro() {
    let world = World::new();
    let binding = world.bind(&talking(1)).await;
    assert_eq!(verdict(&binding).await.reason, "ping");
}

#[tokio::test]
async fn conversations_have_a_number_and_end_with_the_call() {
    let world = World::new();
    let eight = world.bind(&talking(8)).await;
    for _ in 0..3 {
        assert_eq!(verdict(&eight).await.reason, "ping", "those of the last call are closed");
    }
    let nine = world.bind(&talking(9)).await;
    assert_eq!(verdict(&nine).await.status, Status::Unknown);
}
