//! Every file under `scenarios/` is a script and the transcript that it must give.
//!
//! Each is a test of its own. How to read and write one: `scenarios/README.md`. With
//! `KENNEL_BLESS=1` the transcripts are written anew instead of compared.

#[path = "scenarios/play.rs"]
mod play;
#[path = "scenarios/script.rs"]
mod script;
#[path = "scenarios/written.rs"]
mod written;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

macro_rules! scenarios {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { check(stringify!($name)); })*
    };
}

scenarios! {
    announced_stop
    attempts_are_whole_again_when_ready
    attempts_give_up_in_their_own_way
    attempts_of_a_oneshot
    attempts_to_get_up
    backoff_does_not_grow_on_restart_at_once
    backoff_extreme_values
    backoff_grows_to_its_cap
    backoff_jitter
    check_answers_of_the_past
    check_asks_for_another_time
    check_degraded
    check_failures_in_a_row
    check_grace
    check_late_is_not_dead
    check_over_a_reload
    check_over_a_reload_that_reorders
    check_period_shortened
    check_successes_in_a_row
    check_that_cannot_be_made
    check_that_only_reports
    check_without_an_answer
    checks_are_spread_out
    checks_do_not_overlap
    checks_worst_counts
    concurrent_starts
    concurrent_starts_of_quick_services
    condition_done
    condition_done_of_a_daemon
    condition_ready_of_a_oneshot
    condition_started
    condition_started_of_a_done_oneshot
    crash_during_a_restart_is_no_failure
    crash_of_what_waits_to_stop
    crash_while_the_dependency_is_being_stopped
    crash_with_remnants
    degraded_restarts_nothing
    dependency_crash_keeps_dependents
    dependency_that_failed
    dependent_waits_again_at_a_later_start
    doubled_facts
    down_when_disabled
    exit_before_ready
    extend_excuses_late_answers
    extend_the_announced_stop
    extend_the_start
    extend_the_stop
    extend_the_watchdog
    facts_out_of_order
    first_failure_after_stable_restarts_at_once
    first_stop_during_a_restart_is_no_hurry
    gives_up_and_exits
    gives_up_and_retries
    group_and_the_operator
    group_ends_with_its_program
    group_fails_into_the_one_above
    group_gives_up_in_a_roll
    group_remnants_after_a_stop
    group_remnants_are_swept
    group_restart_and_who_was_restarted
    group_restarts_a_group_alone
    group_restarts_all
    group_that_gave_up
    group_with_temporary_members
    group_waits_behind_who_is_tried_again
    late_facts
    life_of_a_daemon
    not_ready_in_time
    not_ready_time_runs_from_the_spawn
    oneshot_is_done_once
    oneshot_is_never_ready
    oneshot_with_remnants
    operator_restart_forgets
    operator_stop_survives_a_crash
    operator_stop_survives_backoff_and_retry
    operator_stop_survives_health_and_dependencies
    operator_stop_survives_reload
    operator_stop_wins_over_a_restart_under_way
    operator_stops_a_dependency
    optional_dependency
    optional_dependency_behind_a_hopeless_one
    optional_dependency_stops_alone
    optional_dependency_that_is_stopped
    out_of_memory
    policy_always
    policy_never
    policy_on_failure
    policy_plugin_and_the_limit
    policy_plugin_and_the_operator
    policy_plugin_chooses_the_wait
    policy_plugin_gives_up
    policy_plugin_is_silent
    policy_plugin_keeps_the_default
    ready_is_not_seen_in_time
    ready_when_a_look_says_so
    reload_adds_and_removes
    reload_brings_back_what_is_still_stopping
    reload_brings_back_what_waits_to_stop
    reload_enables_and_disables
    reload_in_place
    reload_of_a_running_timer
    reload_removes_what_does_not_run
    reload_restarts
    reload_retries_what_failed
    reload_scales
    reload_scales_during_the_start
    reload_turns_a_dependency_round
    repeated_health_is_told_once
    replicas
    reset
    restart_dependents_all_the_way
    restart_dependents_on_crash
    restart_keeps_dependents_by_default
    restart_limit
    restart_limit_counts_restarts_at_once
    restart_limit_counts_restarts_not_failures
    restart_limit_forgets_when_stable
    restart_limit_lowered_and_raised
    restart_limit_none
    restart_limit_window_slides
    restart_of_what_is_stopped
    restart_waits_for_the_dependency
    restart_while_the_spawn_is_in_flight
    restarts_leave_room_for_a_first_failure
    restarts_of_the_rest_come_first
    restarts_of_who_fails_for_ever_have_their_turn
    restarts_per_second
    restarts_per_second_in_every_window
    restore_adopts_what_runs
    restore_after_an_interrupted_shutdown
    restore_after_an_orderly_end
    restore_after_another_boot
    restore_again_and_again
    restore_backoff_goes_on
    restore_begins_checks_anew
    restore_changed
    restore_counters_never_forget
    restore_done_stays_done
    restore_enabled_changes
    restore_ended_meanwhile
    restore_failed_stays_failed
    restore_failure_under_way
    restore_group_that_gives_up
    restore_in_the_midst_of_a_group
    restore_kills_again
    restore_not_ready_yet
    restore_oneshot_at_work
    restore_operator_stop_survives
    restore_proof_of_being_stable
    restore_remnants
    restore_removed
    restore_removed_without_a_run
    restore_renewal
    restore_start_in_flight
    restore_stop_command_goes_on
    restore_stop_goes_on
    restore_upgrade_hears_all
    restore_waiting_goes_on
    restore_what_it_said_of_itself
    rolling_and_the_operator
    rolling_begins_with_what_is_down
    rolling_counts_what_fails_meanwhile
    rolling_ends_with_the_shutdown
    rolling_reload
    rolling_restart
    rolling_several_at_a_time
    rolling_stops_at_the_first_failure
    rolling_stops_when_unhealthy
    rolling_takes_too_long
    rolling_waits_for_health
    second_stop_hurries_dependents
    second_stop_is_the_next_step
    second_stop_of_several
    shutdown_in_order
    shutdown_leaves_behind
    shutdown_of_nothing
    shutdown_starts_nothing
    shutdown_takes_too_long
    shutdown_twice
    shutdown_while_giving_up
    signal
    spawn_failure
    spawn_failure_after_backoff
    spawn_failure_with_policy_never
    stable_only_after_sustained_health
    stable_stays_stable
    start_beside_a_dependency_about_to_stop
    start_during_a_stop
    start_starts_what_is_required
    strays_are_swept
    stop_command
    stop_command_and_remnants
    stop_command_cut_by_a_second_stop
    stop_command_that_suffices
    stop_command_too_slow
    stop_order_reaches_past_a_service_that_does_not_run
    stop_steps
    stop_while_the_spawn_fails
    stop_while_the_spawn_is_in_flight
    stop_without_steps
    stuck_after_sigkill
    success_exit_codes
    unhealthy_after_stable_restarts_at_once
    unhealthy_before_ready
    unhealthy_restarts
    uptime_before_ready_is_not_health
    waiting_for_a_dependency
    watchdog
    watchdog_of_its_own
    why_in_one_sentence
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Plays the scenario and compares what came out with what stands in the file.
fn check(name: &str) {
    let path = directory().join(format!("{name}.txt"));
    let expected = fs::read_to_string(&path).expect("the file can be read");
    let played = play::play(&expected);
    if played == expected {
        return;
    }
    if std::env::var_os("KENNEL_BLESS").is_some_and(|value| value != "0") {
        // In one move: another test may be reading the file.
        let beside = path.with_extension("new");
        fs::write(&beside, played).expect("a file can be written");
        fs::rename(&beside, &path).expect("the file can be replaced");
        return;
    }
    panic!(
        "scenarios/{name}.txt gives another transcript (- expected, + played):\n{}\
         if the new one is right: KENNEL_BLESS=1 cargo test -p kennel-core --test scenarios {name}",
        difference(&expected, &played)
    );
}

/// The lines that differ, with a little of what stands around them.
fn difference(expected: &str, played: &str) -> String {
    let old: Vec<&str> = expected.lines().collect();
    let new: Vec<&str> = played.lines().collect();
    // lengths[i][j]: the longest common subsequence of old[i..] and new[j..].
    let mut lengths = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i][j] = if old[i] == new[j] {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j < new.len() && (i == old.len() || lengths[i][j + 1] >= lengths[i + 1][j]) {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        } else {
            lines.push(format!("- {}", old[i]));
            i += 1;
        }
    }
    let near = |at: usize| {
        let around = at.saturating_sub(3)..(at + 4).min(lines.len());
        lines[around].iter().any(|line| !line.starts_with("  "))
    };
    let shown = lines.iter().enumerate().filter(|(at, _)| near(*at));
    shown.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn every_file_is_in_the_list_and_states_its_behaviour_first() {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(directory()).expect("the directory can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(&path).expect("the file can be read");
            let heading = text.split("\n\n").next().unwrap_or_default();
            assert!(heading.ends_with('.'), "{} must begin with a sentence", path.display());
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            files.insert(name.to_owned());
        }
    }
    let listed: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(listed, files, "the list in scenarios.rs and the files must agree");
}

#[test]
fn a_difference_shows_both_sides_and_little_else() {
    let shown = difference("a\nb\nc\nd\ne\nf\ng\nh\ni", "a\nb\nc\nd\nX\nf\ng\nh\ni");
    assert!(shown.contains("- e") && shown.contains("+ X"));
    assert!(!shown.contains("  a") && !shown.contains("  i"));
}
