//! Plugins that do what they must not: each is stopped, and the next call works. All of it
//! holds however the engine notices: these tests stand here once for each way, `super::TRAPS`.

use std::time::Duration;

use kennel_wasm::{ConfigureError, Fault, Kind, Settings};

use crate::support::{
    Guest, LONG, World, bounded, check, counting, fault, input, question, subject, verdict,
};

const LOOP: &str = "(loop $for_ever (br $for_ever)) (i32.const 0)";
const SHORT: Duration = Duration::from_millis(100);

fn place() -> World {
    World::with(Settings { workers: 1, traps: super::TRAPS, ..Settings::default() })
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline() {
    for kind in Kind::ALL {
        let mut world = place();
        world.limits.time = SHORT;
        let binding = world.bind(&Guest::new(kind, LOOP)).await;
        let fault = match kind {
            Kind::HealthCheck => fault(&binding).await,
            Kind::RestartPolicy => {
                bounded(binding.decide(subject(), question())).await.expect_err("a fault")
            }
            Kind::EventSink => {
                bounded(binding.deliver(crate::support::batch(1))).await.expect_err("a fault")
            }
        };
        assert_eq!(fault, Fault::Deadline, "{kind}");
        assert_eq!(world.host.told(), ["fault: the plugin did not answer in time"]);
    }
}

#[tokio::test]
async fn patience_shortens_the_time_of_a_check() {
    let world = place();
    let binding = world.bind(&Guest::check(LOOP)).await;
    let checked = bounded(binding.check(subject(), input(), SHORT)).await;
    assert_eq!(checked, Err(Fault::Deadline));
}

#[tokio::test]
async fn an_endless_loop_ends_when_its_processor_time_is_used_up() {
    let mut world = place();
    world.limits.cpu = Duration::from_millis(30);
    let binding = world.bind(&Guest::check(LOOP)).await;
    assert_eq!(fault(&binding).await, Fault::Cpu);
}

#[tokio::test]
async fn waiting_uses_no_processor_time() {
    let mut world = place();
    world.limits.cpu = Duration::from_millis(50);
    world.limits.time = Duration::from_millis(400);
    // Waits until just before the deadline, and then has time for an answer.
    let guest =
        Guest::check("(call $tcp (i32.const 700) (i32.const 6)) (call $verdict (i32.const 3))")
            .with_tcp()
            .items("(data (i32.const 700) \"hang:1\")");
    let binding = world.bind(&guest).await;
    verdict(&binding).await;
}

#[tokio::test]
async fn a_memory_bomb_is_stopped() {
    let world = place();
    let bomb = "(loop $more (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1))
                  (then (br $more)))) unreachable";
    let binding = world.bind(&Guest::check(bomb)).await;
    assert_eq!(fault(&binding).await, Fault::Memory);
}

#[tokio::test]
async fn tables_count_as_memory() {
    let world = place();
    let bomb = "(loop $more (if (i32.ne (table.grow $t (ref.null func) (i32.const 100000))
                  (i32.const -1)) (then (br $more)))) unreachable";
    let guest = Guest::check(bomb).items("(table $t 1 funcref)");
    let binding = world.bind(&guest).await;
    assert_eq!(fault(&binding).await, Fault::Memory);
}

#[tokio::test]
async fn an_instance_that_was_refused_memory_is_not_asked_again() {
    let world = place();
    let binding = world.bind(&counting("(drop (memory.grow (i32.const 1000)))")).await;
    assert_eq!(verdict(&binding).await.reason, "1");
    let greedy = kennel_wasm::model::check::Input { sequence: 13, ..input() };
    let answered = bounded(binding.check(subject(), greedy, LONG)).await;
    assert_eq!(answered.expect("no fault").expect("a verdict").reason, "2");
    assert_eq!(verdict(&binding).await.reason, "1");
}

#[tokio::test]
async fn a_plugin_that_needs_more_memory_than_it_may_have_does_not_start() {
    let mut world = place();
    world.limits.memory = 64 * 1024;
    let binding = world.bind(&Guest::healthy()).await;
    assert_eq!(binding.configure().await, Err(ConfigureError::Fault(Fault::Memory)));
}

#[tokio::test]
async fn a_plugin_has_a_limit_over_all_its_instances() {
    let world = place();
    // Takes most of what one may have, says so, and waits.
    let guest = Guest::check(
        "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))
         (call $tcp (i32.const 700) (i32.const 6)) (call $verdict (i32.const 0))",
    )
    .with_tcp()
    .items("(data (i32.const 700) \"hang:1\")");
    let plugin = world.load(&guest).await;
    let mut waiting = tokio::task::JoinSet::new();
    let mut refused = 0;
    while refused == 0 {
        let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
        let before = world.host.asked();
        let mut asking = Box::pin(async move { check(&binding).await });
        tokio::select! {
            answer = &mut asking => {
                assert_eq!(answer.expect_err("a fault"), Fault::Memory);
                refused += 1;
            }
            () = crate::support::until("it waits", || world.host.asked() > before) => {
                waiting.spawn(asking);
            }
        }
        assert!(plugin.stats().memory_bytes <= 8 * world.limits.memory);
    }
    assert!(waiting.len() >= 8, "{}", waiting.len());
    drop(waiting);
    crate::support::until("it is given back", || plugin.stats().memory_bytes == 0).await;
}

#[tokio::test]
async fn a_stack_overflow_is_a_trap() {
    let world = place();
    let guest = Guest::check("(call $deeper (i32.const 0))").items(
        "(func $deeper (param i32) (result i32)
                  (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))",
    );
    let binding = world.bind(&guest).await;
    let fault = fault(&binding).await;
    assert!(matches!(&fault, Fault::Trap(why) if why.contains("call stack exhausted")), "{fault}");
}

#[tokio::test]
async fn after_a_trap_the_instance_is_gone_and_the_next_call_works() {
    let world = place();
    let binding = world.bind(&counting("unreachable")).await;
    assert_eq!(verdict(&binding).await.reason, "1");
    assert_eq!(verdict(&binding).await.reason, "2");
    let thirteenth = kennel_wasm::model::check::Input { sequence: 13, ..input() };
    let trapped = bounded(binding.check(subject(), thirteenth, LONG)).await;
    let why = trapped.expect_err("a fault").to_string();
    assert!(why.contains("unreachable"), "{why}");
    assert_eq!(verdict(&binding).await.reason, "1");
}

/// A guest that counts its calls and loops at the thirteenth check: what that ends with.
async fn loops_at_thirteen(world: &World, patience: Duration) -> Fault {
    let binding = world.bind(&counting("(loop $for_ever (br $for_ever))")).await;
    assert_eq!(verdict(&binding).await.reason, "1");
    assert_eq!(verdict(&binding).await.reason, "2");
    let thirteenth = kennel_wasm::model::check::Input { sequence: 13, ..input() };
    let looped = bounded(binding.check(subject(), thirteenth, patience)).await;
    assert_eq!(binding.stats().warm_instances, 0, "it is not kept");
    assert_eq!(verdict(&binding).await.reason, "1", "the next call has a new one");
    looped.expect_err("a fault")
}

#[tokio::test]
async fn after_a_deadline_the_instance_is_gone_and_the_next_call_works() {
    assert_eq!(loops_at_thirteen(&place(), SHORT).await, Fault::Deadline);
}

#[tokio::test]
async fn after_too_much_processor_time_the_instance_is_gone_and_the_next_call_works() {
    let mut world = place();
    world.limits.cpu = Duration::from_millis(200);
    assert_eq!(loops_at_thirteen(&world, LONG).await, Fault::Cpu);
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_a_trap() {
    let world = place();
    let guest = Guest::check(
        "(local.set $i (call $verdict (i32.const 0)))
         (call $reason (i32.const 700) (i32.const 4)) (local.get $i)",
    )
    .items("(data (i32.const 700) \"ab\\ff\\fe\")");
    let binding = world.bind(&guest).await;
    let fault = fault(&binding).await;
    assert!(matches!(&fault, Fault::Trap(why) if why.contains("utf-8")), "{fault}");
}

#[tokio::test]
async fn an_answer_of_a_hundred_megabytes_is_not_taken() {
    let world = place();
    // A list of four thousand texts, each the same 32 KiB of memory.
    let guest = Guest::check(
        "(local.set $i (i32.const 4095))
         (loop $next
           (i32.store offset=65536 (i32.shl (local.get $i) (i32.const 4)) (i32.const 8192))
           (i32.store offset=65540 (i32.shl (local.get $i) (i32.const 4)) (i32.const 32768))
           (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
         (local.set $i (call $verdict (i32.const 0)))
         (i32.store (i32.const 1072) (i32.const 65552))
         (i32.store (i32.const 1076) (i32.const 4000))
         (local.get $i)",
    );
    let binding = world.bind(&guest).await;
    let fault = fault(&binding).await;
    assert!(matches!(&fault, Fault::Trap(why) if why.contains("fuel")), "{fault}");
}

#[tokio::test]
async fn a_long_reason_and_absurd_numbers_are_cut() {
    let world = place();
    let guest = Guest::check(
        "(memory.fill (i32.const 4096) (i32.const 120) (i32.const 20000))
         (local.set $i (call $verdict (i32.const 0)))
         (call $reason (i32.const 4096) (i32.const 20000))
         (i32.store8 (i32.const 1064) (i32.const 1))
         (i32.store (i32.const 1068) (i32.const -1))
         (local.get $i)",
    );
    let binding = world.bind(&guest).await;
    let verdict = verdict(&binding).await;
    assert_eq!(verdict.reason.len(), 512);
    assert_eq!(verdict.next_in, Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_state_that_is_too_large_is_not_kept_and_that_is_said() {
    let world = place();
    let guest = Guest::check(
        "(local.set $i (call $verdict (i32.const 0)))
         (i32.store8 (i32.const 1048) (i32.const 1))
         (i32.store (i32.const 1052) (i32.const 7))
         (i32.store (i32.const 1056) (i32.const 4096))
         (i32.store (i32.const 1060) (i32.const 65537))
         (local.get $i)",
    );
    let binding = world.bind(&guest).await;
    assert_eq!(verdict(&binding).await.state, None);
    let said = world.host.said();
    assert!(said[0].1.contains("65537 bytes was not saved"), "{said:?}");
}

#[tokio::test]
async fn a_flood_of_messages_is_cut_and_counted() {
    let world = place();
    let guest = Guest::check(
        "(local.set $i (i32.const 10000))
         (loop $next
           (call $log (i32.const 2) (i32.const 4096) (i32.const 20000) (i32.const 0) (i32.const 0))
           (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
         (call $verdict (i32.const 0))",
    )
    .with_log();
    let plugin = world.load(&guest).await;
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    verdict(&binding).await;
    let said = world.host.said();
    assert_eq!(said.len(), 101);
    assert!(said.iter().all(|(_, message)| message.len() <= 4096));
    assert_eq!(said[100].1, "9900 messages over the limit were dropped");
    assert_eq!(plugin.stats().log_dropped, 9900);
}

#[tokio::test]
async fn endless_requests_to_the_host_are_refused_and_then_stopped() {
    let world = place();
    let guest = Guest::check(
        "(loop $next (call $tcp (i32.const 700) (i32.const 4)) (br $next)) (i32.const 0)",
    )
    .with_tcp()
    .items("(data (i32.const 700) \"ok:1\")");
    let binding = world.bind(&guest).await;
    let fault = fault(&binding).await;
    assert!(matches!(&fault, Fault::Trap(why) if why.contains("1000 requests")), "{fault}");
    assert_eq!(world.host.asked(), 1000);
}

#[tokio::test]
async fn a_plugin_may_fail_over_its_configuration() {
    let world = place();
    let traps = world.bind(&Guest::healthy().configure("unreachable")).await;
    let refused = traps.configure().await.expect_err("refused");
    assert!(matches!(&refused, ConfigureError::Fault(Fault::Trap(_))), "{refused}");
    assert!(matches!(fault(&traps).await, Fault::Trap(_)));

    let mut world = place();
    world.limits.time = SHORT;
    let loops = world.bind(&Guest::healthy().configure(LOOP)).await;
    let refused = loops.configure().await.expect_err("refused");
    assert_eq!(refused, ConfigureError::Fault(Fault::Deadline));
}

#[tokio::test]
async fn problems_of_a_configuration_come_with_their_places() {
    let world = place();
    // One problem, (path, message), at 3000.
    let guest = Guest::healthy()
        .configure(
            "(drop (call $fine))
             (i32.store8 (i32.const 1024) (i32.const 1))
             (i32.store (i32.const 1028) (i32.const 3000))
             (i32.store (i32.const 1032) (i32.const 1))
             (i32.store (i32.const 3000) (i32.const 700))
             (i32.store (i32.const 3004) (i32.const 7))
             (i32.store (i32.const 3008) (i32.const 707))
             (i32.store (i32.const 3012) (i32.const 8))
             (i32.const 1024)",
        )
        .items("(data (i32.const 700) \"addressno\\nport!\")");
    let binding = world.bind(&guest).await;
    let refused = binding.configure().await.expect_err("refused");
    assert_eq!(refused.to_string(), "address: no port!");
    let fault = fault(&binding).await;
    assert!(fault.to_string().contains("refuses its configuration: address"), "{fault}");
}
