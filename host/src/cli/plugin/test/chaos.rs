//! What goes wrong in the world, tried on every call of a scenario.
//!
//! | Mishap | What must hold |
//! |---|---|
//! | a probe gets no answer in time, is refused, is denied | no fault; a check does not say healthy, a sink takes not all events and rejects none |
//! | a probe is denied | nor does a check say unhealthy: a mistake in the configuration of the plugin would restart the service |
//! | a probe never comes back | the deadline ends the call, or the plugin answers as above |
//! | an answer is garbled, or empty | no fault |
//! | the saved state is gone, of another version, cut off, garbled | no fault |
//! | there is less memory | the same answer, or a fault of memory |
//!
//! A probe that the scenario marks as `optional` may fail without consequence. Every call
//! has an instance of its own, so that every two calls have a recycled instance between
//! them.

use std::time::Duration;

use kennel_wasm::model::{SavedState, check, sink};
use kennel_wasm::probe::ProbeError;
use kennel_wasm::{CallLimits, Fault, Plugin};

use super::answer::{Asked, FailureName, Reply};
use super::expect;
use super::scenario::StatusName;
use super::script::Line;
use super::trial::{Call, Said, Trial};
use crate::cli::Failure;

/// How long a call may wait for a probe that never comes back.
const PATIENCE: Duration = Duration::from_millis(250);

/// No component works in less: a page of memory.
const SMALLEST_MEMORY: u64 = 64 * 1024;

/// What came of it.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) tried: usize,
    /// The least memory that was tried and was enough; none if none was.
    pub(super) memory_bytes: Option<u64>,
    pub(super) faults: Vec<Bad>,
}

/// A mishap that the plugin did not take well.
pub(super) struct Bad {
    pub(super) step: String,
    pub(super) mishap: String,
    pub(super) what: String,
}

impl Tally {
    fn note(&mut self, call: &Call<'_>, mishap: &str, what: Option<String>) {
        self.tried += 1;
        if let Some(what) = what {
            let (step, mishap) = (call.step.name.clone(), mishap.to_owned());
            self.faults.push(Bad { step, mishap, what });
        }
    }
}

/// Lets everything go wrong once with every call.
pub(super) fn chaos(trial: &Trial<'_>) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let calls = trial.calls()?;
    let impatient = trial.with_limits(CallLimits { time: PATIENCE, ..trial.limits() })?;
    for call in &calls {
        for (index, line) in call.lines.iter().enumerate() {
            failures(trial, call, index, line, &mut tally);
            garbled(trial, call, index, line, &mut tally);
        }
        states(trial, call, &mut tally);
    }
    // Waiting takes its time: once is enough.
    if let Some(call) = calls.iter().find(|call| !call.lines.is_empty()) {
        never(trial, call, &impatient, &mut tally);
    }
    memory(trial, &calls, &mut tally)?;
    Ok(tally)
}

fn failures(trial: &Trial<'_>, call: &Call<'_>, index: usize, line: &Line, tally: &mut Tally) {
    if matches!(line.reply, Reply::Fails(_)) {
        return;
    }
    let refused = match line.asked {
        Asked::Http(_) | Asked::Tcp(_) | Asked::Unix(_) | Asked::Connect(_) => FailureName::Connect,
        Asked::Exec(_) | Asked::Append(_) => FailureName::Other,
    };
    for failure in [FailureName::Timeout, refused, FailureName::Denied] {
        let error = failure.error("chaos");
        let mishap = format!("{}: {error}", line.asked);
        let changed = with_reply(call, index, Reply::Fails(error));
        let (said, _) = trial.ask_anew(&changed);
        tally.note(call, &mishap, wrong_after_failure(&changed, &said));
    }
}

fn garbled(trial: &Trial<'_>, call: &Call<'_>, index: usize, line: &Line, tally: &mut Tally) {
    // No UTF-8, no JSON, nothing; and much of it.
    for (what, bytes) in [
        ("an empty answer", Vec::new()),
        ("an answer without sense", vec![0xff; 300]),
        ("a long answer", vec![b'x'; 100_000]),
    ] {
        let reply = match &line.reply {
            Reply::Http(response) => {
                let mut response = response.clone();
                response.body = bytes;
                Reply::Http(response)
            }
            Reply::Bytes(_) => Reply::Bytes(bytes),
            Reply::Exec(output) => {
                let mut output = output.clone();
                output.stdout = bytes;
                Reply::Exec(output)
            }
            Reply::Talk(_) | Reply::Done | Reply::Fails(_) | Reply::Never => return,
        };
        let (said, _) = trial.ask_anew(&with_reply(call, index, reply));
        tally.note(call, &format!("{}: {what}", line.asked), fault_of(&said));
    }
}

fn states(trial: &Trial<'_>, call: &Call<'_>, tally: &mut Tally) {
    let (version, bytes) = match &call.state {
        Some(SavedState { version, bytes }) => (*version, bytes.clone()),
        None => (1, b"{}".to_vec()),
    };
    let cut = bytes[..bytes.len() / 2].to_vec();
    let saved = |version, bytes| Some(SavedState { version, bytes });
    for (mishap, state) in [
        ("no saved state", None),
        ("saved state of an older version", saved(0, bytes.clone())),
        ("saved state of a newer version", saved(u32::MAX, bytes)),
        ("saved state that is cut off", saved(version, cut)),
        ("saved state without sense", saved(version, vec![0xff; 300])),
    ] {
        let mut changed = call.clone();
        changed.state = state;
        let (said, _) = trial.ask_anew(&changed);
        let wrong = fault_of(&said).or_else(|| match &said {
            Ok(Said::Check(Ok(verdict))) if must_not_be_healthy(call) => healthy(verdict),
            Ok(Said::Check(_) | Said::Decide(_) | Said::Deliver(_)) | Err(_) => None,
        });
        tally.note(call, mishap, wrong);
    }
}

fn never(trial: &Trial<'_>, call: &Call<'_>, impatient: &Plugin, tally: &mut Tally) {
    let changed = with_reply(call, 0, Reply::Never);
    let (said, _) = trial.ask_anew_of(impatient, &changed);
    let wrong = match &said {
        Err(Fault::Deadline) => None,
        Ok(_) | Err(_) => wrong_after_failure(&changed, &said),
    };
    tally.note(call, &format!("{} never comes back", call.lines[0].asked), wrong);
}

/// Halves the memory until it is not enough.
fn memory(trial: &Trial<'_>, calls: &[Call<'_>], tally: &mut Tally) -> Result<(), Failure> {
    let limits = trial.limits();
    tally.memory_bytes = Some(limits.memory);
    let mut memory = limits.memory / 2;
    while memory >= SMALLEST_MEMORY {
        let plugin = trial.with_limits(CallLimits { memory, ..limits })?;
        let mut enough = true;
        for call in calls {
            let (said, _) = trial.ask_anew_of(&plugin, call);
            let wrong = match &said {
                Err(Fault::Memory | Fault::Trap(_)) => {
                    enough = false;
                    None
                }
                Ok(_) | Err(_) => expect::differences(&call.step.expect, &said).into_iter().next(),
            };
            tally.note(call, &format!("{} KiB of memory", memory / 1024), wrong);
        }
        if !enough {
            break;
        }
        tally.memory_bytes = Some(memory);
        memory /= 2;
    }
    Ok(())
}

fn with_reply<'a>(call: &Call<'a>, index: usize, reply: Reply) -> Call<'a> {
    let mut changed = call.clone();
    changed.lines[index].reply = reply;
    changed
}

/// What a plugin must not say when a probe has failed.
fn wrong_after_failure(call: &Call<'_>, said: &Result<Said, Fault>) -> Option<String> {
    let denied = |line: &Line| matches!(line.reply, Reply::Fails(ProbeError::Denied(_)));
    match said {
        Err(_) => fault_of(said),
        Ok(Said::Check(Ok(verdict))) if must_not_be_healthy(call) => {
            healthy(verdict).or_else(|| match verdict.status {
                check::Status::Unhealthy if call.lines.iter().any(denied) => Some(format!(
                    "it says unhealthy, which restarts the service for a missing grant: {}",
                    verdict.reason
                )),
                check::Status::Unhealthy
                | check::Status::Healthy
                | check::Status::Degraded
                | check::Status::Late
                | check::Status::Unknown => None,
            })
        }
        Ok(Said::Deliver(delivery)) if fails(call) => match delivery {
            sink::Delivery::Taken(count) if *count as usize >= call.step.events.len() => {
                Some("it says that it took all events".to_owned())
            }
            sink::Delivery::Rejected(reason) => {
                Some(format!("it rejects the events, which are lost: {reason}"))
            }
            sink::Delivery::Taken(_) | sink::Delivery::RetryAfter(_) => None,
        },
        Ok(Said::Check(_) | Said::Decide(_) | Said::Deliver(_)) => None,
    }
}

fn healthy(verdict: &check::Verdict) -> Option<String> {
    let wrong = verdict.status == check::Status::Healthy;
    wrong.then(|| format!("it says healthy: {}", verdict.reason))
}

fn fault_of(said: &Result<Said, Fault>) -> Option<String> {
    said.as_ref().err().map(ToString::to_string)
}

/// Whether a probe fails that the plugin needs.
fn fails(call: &Call<'_>) -> bool {
    let failed = |line: &Line| matches!(line.reply, Reply::Fails(_) | Reply::Never);
    call.lines.iter().any(|line| failed(line) && !line.answer.optional)
}

/// The same, and the scenario does not say that it is healthy all the same.
fn must_not_be_healthy(call: &Call<'_>) -> bool {
    let scripted = call.step.answers.iter().any(|answer| answer.fails.is_some());
    let healthy_as_scripted = scripted && call.step.expect.status == Some(StatusName::Healthy);
    fails(call) && !healthy_as_scripted
}
