//! `kennel plugin bench`: what calls of a plugin cost.
//!
//! The calls are those of a scenario, over and over, through the whole runtime: queue,
//! limits, counters. What probes cost is not in it, for the scenario answers them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use kennel_wasm::Fault;
use serde::Serialize;

use super::args::BenchArgs;
use super::lab::Lab;
use super::source::Source;
use super::test::{Call, Scenario, Trial};
use crate::cli::{ExitKind, Failure, Outcome};

/// Instances that are made to see what one costs.
const INSTANCES: usize = 50;

/// Calls before those that count.
const WARM_UP: u32 = 200;

/// What was measured.
#[derive(Serialize)]
struct Figures {
    plugin: String,
    component_bytes: u64,
    /// Loading with compiling.
    first_load_ms: f64,
    /// Loading what was compiled before.
    cached_load_ms: f64,
    /// A new instance, its configuration and one call.
    first_call_us: f64,
    calls_per_second: f64,
    call_p50_us: f64,
    call_p99_us: f64,
    call_max_us: f64,
    /// Of one instance after all calls.
    memory_bytes: u64,
}

pub(super) fn bench(args: &BenchArgs) -> Outcome {
    let BenchArgs { plugin, scenario, calls, json } = args;
    let source = Source::read(plugin)?;
    let scenario = Scenario::read(scenario)?;
    let first_load = Trial::begin(&Lab::with_cache(None)?, &source, &scenario)?.loading();
    let lab = Lab::new()?;
    // The first of these may compile, and leaves it in the cache for the second.
    drop(Trial::begin(&lab, &source, &scenario)?);
    let trial = Trial::begin(&lab, &source, &scenario)?;
    let figures = measured(&source, first_load, &trial, *calls)?;
    let text = if *json {
        serde_json::to_string_pretty(&figures).map_err(std::io::Error::from)?
    } else {
        as_text(&figures)
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitKind::Done)
}

fn measured(
    source: &Source,
    first_load: Duration,
    trial: &Trial<'_>,
    count: u32,
) -> Result<Figures, Failure> {
    let calls = trial.calls()?;
    if calls.is_empty() {
        return Err(Failure::new(ExitKind::Invalid, "the scenario has no steps"));
    }
    let mut first = Vec::new();
    for index in 0..INSTANCES {
        let binding = trial.keep()?;
        first.push(timed(trial.ask_kept(&binding, &calls[index % calls.len()]))?);
    }
    first.sort_unstable();
    let binding = trial.keep()?;
    let call = |index: u32| -> &Call<'_> { &calls[index as usize % calls.len()] };
    for index in 0..WARM_UP {
        timed(trial.ask_kept(&binding, call(index)))?;
    }
    let begun = Instant::now();
    let mut taken = Vec::with_capacity(count as usize);
    for index in 0..count.max(1) {
        taken.push(timed(trial.ask_kept(&binding, call(index)))?);
    }
    let elapsed = begun.elapsed();
    taken.sort_unstable();
    Ok(Figures {
        plugin: source.label.clone(),
        component_bytes: source.bytes.len() as u64,
        first_load_ms: micros(first_load) / 1000.0,
        cached_load_ms: micros(trial.loading()) / 1000.0,
        first_call_us: micros(part(&first, 50)),
        calls_per_second: f64::from(count.max(1)) / elapsed.as_secs_f64(),
        call_p50_us: micros(part(&taken, 50)),
        call_p99_us: micros(part(&taken, 99)),
        call_max_us: micros(part(&taken, 100)),
        memory_bytes: trial.memory_bytes(),
    })
}

/// A call that fails is no measurement.
fn timed(asked: (Result<(), Fault>, Duration)) -> Result<Duration, Failure> {
    let (result, took) = asked;
    result.map_err(|fault| Failure::new(ExitKind::Failed, fault.to_string()))?;
    Ok(took)
}

/// The value that so many of a hundred do not exceed; `sorted` has at least one.
fn part(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

fn as_text(figures: &Figures) -> String {
    let Figures {
        plugin,
        component_bytes,
        first_load_ms,
        cached_load_ms,
        first_call_us,
        calls_per_second,
        call_p50_us,
        call_p99_us,
        call_max_us,
        memory_bytes,
    } = figures;
    [
        format!("plugin        {plugin}, {} KiB", component_bytes.div_ceil(1024)),
        format!("first load    {first_load_ms:.1} ms"),
        format!("cached load   {cached_load_ms:.1} ms"),
        format!("first call    {first_call_us:.1} µs, with a new instance"),
        format!("calls         {calls_per_second:.0} per second, one after the other"),
        format!("              p50 {call_p50_us:.1} µs, p99 {call_p99_us:.1} µs, longest {call_max_us:.1} µs"),
        format!("memory        {} KiB per instance", memory_bytes.div_ceil(1024)),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_hundred_are_those_of_the_sorted_values() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(part(&sorted, 50), Duration::from_millis(101));
        assert_eq!(part(&sorted, 99), Duration::from_millis(199));
        assert_eq!(part(&sorted, 100), Duration::from_millis(200));
        assert_eq!(part(&sorted[..1], 99), Duration::from_millis(1));
    }
}
