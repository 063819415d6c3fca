//! `kennel:plugin@0.1`, as it is frozen in `wit/frozen/0.1.0`.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentNamedList, HasSelf, InstancePre, Lift, Linker, Lower, Resource,
};
use wasmtime::{Error, Result};

use crate::engine::hostcalls::HeldChannel;
use crate::engine::store::State;
use crate::model::{self, Kind};
use crate::probe::{Endpoint, ExecOutput, HttpRequest, HttpResponse, ProbeError, Rotate};

/// The version that this file is about.
pub(crate) const PACKAGE: &str = "0.1.0";

/// What the host offers.
mod offered {
    wasmtime::component::bindgen!({
        path: "wit/frozen/0.1.0",
        inline: "
            package kennel:host;
            world offered {
                import kennel:plugin/types@0.1.0;
                import kennel:plugin/log@0.1.0;
                import kennel:plugin/probe@0.1.0;
                import kennel:plugin/connection@0.1.0;
                import kennel:plugin/exec@0.1.0;
                import kennel:plugin/file@0.1.0;
            }
        ",
        world: "kennel:host/offered",
        imports: { "kennel:plugin/log@0.1.0": trappable, default: async | trappable },
        with: { "kennel:plugin/connection@0.1.0.channel": crate::engine::hostcalls::HeldChannel },
    });
}

/// What a plugin exports: every kind apart, so that a component may be of several.
mod exported {
    macro_rules! export {
        ($module:ident, $world:literal, { $($with:tt)* }) => {
            pub(super) mod $module {
                wasmtime::component::bindgen!({
                    path: "wit/frozen/0.1.0",
                    inline: "
                        package kennel:host;
                        world lifecycle { export kennel:plugin/lifecycle@0.1.0; }
                        world check { export kennel:plugin/health-check@0.1.0; }
                        world policy { export kennel:plugin/restart-policy@0.1.0; }
                        world sink { export kennel:plugin/event-sink@0.1.0; }
                    ",
                    world: $world,
                    exports: { default: async },
                    with: { $($with)* },
                });
            }
        };
        ($module:ident, $world:literal) => {
            export!($module, $world, {
                "kennel:plugin/types@0.1.0":
                    crate::engine::contract::v0_1::offered::kennel::plugin::types,
            });
        };
    }
    export!(lifecycle, "kennel:host/lifecycle", {});
    export!(check, "kennel:host/check");
    export!(policy, "kennel:host/policy");
    export!(sink, "kennel:host/sink");
}

use exported::check::exports::kennel::plugin::health_check as wit_check;
use exported::lifecycle::exports::kennel::plugin::lifecycle as wit_lifecycle;
use exported::policy::exports::kennel::plugin::restart_policy as wit_policy;
use exported::sink::exports::kennel::plugin::event_sink as wit_sink;
use offered::kennel::plugin::{connection, exec, file, log, probe, types};

/// A time limit of a plugin.
fn timeout(timeout_ms: Option<u32>) -> Option<Duration> {
    timeout_ms.map(|ms| Duration::from_millis(ms.into()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// ---- What the host offers ----

/// Links what the host offers.
pub(crate) fn link(linker: &mut Linker<State>) -> Result<()> {
    offered::Offered::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl types::Host for State {}

impl log::Host for State {
    fn write(
        &mut self,
        level: types::Severity,
        message: String,
        fields: types::Attributes,
    ) -> Result<()> {
        self.voice.say(severity_from(level), &message, fields);
        Ok(())
    }
}

impl probe::Host for State {
    async fn http(
        &mut self,
        request: probe::HttpRequest,
    ) -> Result<Result<probe::HttpResponse, probe::ProbeError>> {
        let request = request_from(request);
        let outcome = self.ask_host(|host, cx| host.http(cx, request)).await?;
        Ok(outcome.map(response_to).map_err(error_to))
    }

    async fn tcp(
        &mut self,
        authority: String,
        send: Vec<u8>,
        max_read: u32,
        timeout_ms: Option<u32>,
    ) -> Result<Result<Vec<u8>, probe::ProbeError>> {
        let limit = timeout(timeout_ms);
        let outcome = self.ask_host(|host, cx| host.tcp(cx, authority, send, max_read, limit));
        Ok(outcome.await?.map_err(error_to))
    }

    async fn unix(
        &mut self,
        path: String,
        send: Vec<u8>,
        max_read: u32,
        timeout_ms: Option<u32>,
    ) -> Result<Result<Vec<u8>, probe::ProbeError>> {
        let limit = timeout(timeout_ms);
        let outcome = self.ask_host(|host, cx| host.unix(cx, path, send, max_read, limit));
        Ok(outcome.await?.map_err(error_to))
    }
}

impl connection::Host for State {
    async fn tcp(
        &mut self,
        authority: String,
        timeout_ms: Option<u32>,
    ) -> Result<Result<Resource<HeldChannel>, probe::ProbeError>> {
        let opened = self.open_channel(Endpoint::Tcp(authority), timeout(timeout_ms)).await?;
        Ok(opened.map_err(error_to))
    }

    async fn unix(
        &mut self,
        path: String,
        timeout_ms: Option<u32>,
    ) -> Result<Result<Resource<HeldChannel>, probe::ProbeError>> {
        let opened = self.open_channel(Endpoint::Unix(path), timeout(timeout_ms)).await?;
        Ok(opened.map_err(error_to))
    }
}

impl connection::HostChannel for State {
    async fn write(
        &mut self,
        channel: Resource<HeldChannel>,
        bytes: Vec<u8>,
        timeout_ms: Option<u32>,
    ) -> Result<Result<(), probe::ProbeError>> {
        let written = self.write_channel(&channel, bytes, timeout(timeout_ms)).await?;
        Ok(written.map_err(error_to))
    }

    async fn read(
        &mut self,
        channel: Resource<HeldChannel>,
        max: u32,
        timeout_ms: Option<u32>,
    ) -> Result<Result<Vec<u8>, probe::ProbeError>> {
        let read = self.read_channel(&channel, max, timeout(timeout_ms)).await?;
        Ok(read.map_err(error_to))
    }

    async fn start_tls(
        &mut self,
        channel: Resource<HeldChannel>,
        server_name: String,
        ext: types::Attributes,
        timeout_ms: Option<u32>,
    ) -> Result<Result<types::Attributes, probe::ProbeError>> {
        let begun = State::start_tls(self, &channel, server_name, ext, timeout(timeout_ms));
        Ok(begun.await?.map_err(error_to))
    }

    async fn drop(&mut self, channel: Resource<HeldChannel>) -> Result<()> {
        self.drop_channel(channel)
    }
}

impl exec::Host for State {
    async fn run(
        &mut self,
        command: Vec<String>,
        timeout_ms: Option<u32>,
    ) -> Result<Result<exec::Output, probe::ProbeError>> {
        let limit = timeout(timeout_ms);
        let outcome = self.ask_host(|host, cx| host.exec(cx, command, limit)).await?;
        let output =
            |ExecOutput { exit_code, stdout, stderr }| exec::Output { exit_code, stdout, stderr };
        Ok(outcome.map(output).map_err(error_to))
    }
}

impl file::Host for State {
    async fn append(
        &mut self,
        path: String,
        bytes: Vec<u8>,
        rotate: file::Rotate,
    ) -> Result<Result<(), probe::ProbeError>> {
        let file::Rotate { max_bytes, keep } = rotate;
        let rotate = Rotate { max_bytes, keep };
        let outcome = self.ask_host(|host, cx| host.append(cx, path, bytes, rotate)).await?;
        Ok(outcome.map_err(error_to))
    }
}

fn request_from(request: probe::HttpRequest) -> HttpRequest {
    let probe::HttpRequest { method, url, headers, body, timeout_ms, max_body, ext } = request;
    HttpRequest { method, url, headers, body, timeout: timeout(timeout_ms), max_body, ext }
}

fn response_to(response: HttpResponse) -> probe::HttpResponse {
    let HttpResponse { status, headers, body, latency, ext } = response;
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    probe::HttpResponse { status, headers, body, latency_us, ext }
}

fn error_to(error: ProbeError) -> probe::ProbeError {
    match error {
        // What the operator reads in the configuration, said as a sentence to the plugin.
        ProbeError::Denied(grant) => probe::ProbeError::Denied(grant),
        ProbeError::Timeout => probe::ProbeError::Timeout,
        ProbeError::Dns(why) => probe::ProbeError::Dns(why),
        ProbeError::Connect(why) => probe::ProbeError::Connect(why),
        ProbeError::Tls(why) => probe::ProbeError::Tls(why),
        ProbeError::Protocol(why) => probe::ProbeError::Protocol(why),
        ProbeError::TooLarge => probe::ProbeError::TooLarge,
        ProbeError::Other(why) => probe::ProbeError::Other(why),
    }
}

fn severity_from(severity: types::Severity) -> model::Severity {
    match severity {
        types::Severity::Debug => model::Severity::Debug,
        types::Severity::Info => model::Severity::Info,
        types::Severity::Warn => model::Severity::Warn,
        types::Severity::Error => model::Severity::Error,
    }
}

fn severity_to(severity: model::Severity) -> types::Severity {
    match severity {
        model::Severity::Debug => types::Severity::Debug,
        model::Severity::Info => types::Severity::Info,
        model::Severity::Warn => types::Severity::Warn,
        model::Severity::Error => types::Severity::Error,
    }
}

// ---- What a plugin exports ----

/// A plugin that is ready to be instantiated.
pub(crate) struct Pre {
    pre: InstancePre<State>,
    lifecycle: exported::lifecycle::LifecycleIndices,
    check: Option<exported::check::CheckIndices>,
    policy: Option<exported::policy::PolicyIndices>,
    sink: Option<exported::sink::SinkIndices>,
}

/// An instance of a plugin.
pub(crate) struct Instance {
    lifecycle: exported::lifecycle::Lifecycle,
    role: Role,
}

/// What an instance is for.
enum Role {
    Check(exported::check::Check),
    Policy(exported::policy::Policy),
    Sink(exported::sink::Sink),
}

/// The runtime asked an instance for what it does not export.
fn other_kind() -> Error {
    Error::msg("the instance is of another kind")
}

/// Whether a component exports a function with these types.
fn fits<P, R>(pre: &InstancePre<State>, interface: &str, function: &str) -> Result<()>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let component = pre.component();
    let name = format!("kennel:plugin/{interface}@{PACKAGE}");
    let found = component
        .get_export_index(None, name.as_str())
        .and_then(|interface| component.get_export(Some(&interface), function));
    let Some((ComponentItem::ComponentFunc(of), _)) = found else {
        return Err(Error::msg(format!("{name} has no function {function}")));
    };
    let checked = of.typecheck::<P, R>(&pre.instance_type());
    checked.map_err(|error| error.context(format!("{name}, function {function}")))
}

impl Pre {
    pub(crate) fn new(pre: InstancePre<State>, kinds: &[Kind]) -> Result<Self> {
        type Configured = std::result::Result<(), Vec<wit_lifecycle::Problem>>;
        fits::<(String,), (Configured,)>(&pre, "lifecycle", "configure")?;
        let lifecycle = exported::lifecycle::LifecycleIndices::new(&pre)?;
        let (mut check, mut policy, mut sink) = (None, None, None);
        for kind in kinds {
            match kind {
                Kind::HealthCheck => {
                    type Answer = std::result::Result<wit_check::Verdict, String>;
                    fits::<(wit_check::Input,), (Answer,)>(&pre, "health-check", "check")?;
                    check = Some(exported::check::CheckIndices::new(&pre)?);
                }
                Kind::RestartPolicy => {
                    type Answer = std::result::Result<wit_policy::Decision, String>;
                    fits::<(wit_policy::Input,), (Answer,)>(&pre, "restart-policy", "decide")?;
                    policy = Some(exported::policy::PolicyIndices::new(&pre)?);
                }
                Kind::EventSink => {
                    type Answer = std::result::Result<u32, wit_sink::Failure>;
                    fits::<(wit_sink::Batch,), (Answer,)>(&pre, "event-sink", "deliver")?;
                    sink = Some(exported::sink::SinkIndices::new(&pre)?);
                }
            }
        }
        Ok(Self { pre, lifecycle, check, policy, sink })
    }

    pub(crate) fn component(&self) -> &Component {
        self.pre.component()
    }

    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<State>,
        kind: Kind,
    ) -> Result<Instance> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let lifecycle = self.lifecycle.load(&mut *store, &instance)?;
        let role = match kind {
            Kind::HealthCheck => {
                let check = self.check.as_ref().ok_or_else(other_kind)?;
                Role::Check(check.load(&mut *store, &instance)?)
            }
            Kind::RestartPolicy => {
                let policy = self.policy.as_ref().ok_or_else(other_kind)?;
                Role::Policy(policy.load(&mut *store, &instance)?)
            }
            Kind::EventSink => {
                let sink = self.sink.as_ref().ok_or_else(other_kind)?;
                Role::Sink(sink.load(&mut *store, &instance)?)
            }
        };
        Ok(Instance { lifecycle, role })
    }
}

impl Instance {
    pub(crate) async fn configure(
        &self,
        store: &mut Store<State>,
        config: &str,
    ) -> Result<std::result::Result<(), Vec<model::Problem>>> {
        let lifecycle = self.lifecycle.kennel_plugin_lifecycle();
        let answer = lifecycle.call_configure(store, config).await?;
        let problem = |wit_lifecycle::Problem { path, message }| model::Problem { path, message };
        Ok(answer.map_err(|problems| problems.into_iter().map(problem).collect()))
    }

    pub(crate) async fn check(
        &self,
        store: &mut Store<State>,
        input: model::check::Input,
        budget_ms: u32,
    ) -> Result<std::result::Result<model::check::Verdict, String>> {
        let Role::Check(check) = &self.role else { return Err(other_kind()) };
        let model::check::Input { target, now_unix_ms, sequence, state } = input;
        let input = wit_check::Input {
            target: target_to(target),
            now_unix_ms,
            sequence,
            budget_ms,
            state: state.map(state_to),
            ext: Vec::new(),
        };
        let answer = check.kennel_plugin_health_check().call_check(store, &input).await?;
        Ok(answer.map(verdict_from))
    }

    pub(crate) async fn decide(
        &self,
        store: &mut Store<State>,
        input: model::policy::Input,
    ) -> Result<std::result::Result<model::policy::Decision, String>> {
        let Role::Policy(policy) = &self.role else { return Err(other_kind()) };
        let input = policy_input_to(input);
        let answer = policy.kennel_plugin_restart_policy().call_decide(store, &input).await?;
        Ok(answer.map(decision_from))
    }

    pub(crate) async fn deliver(
        &self,
        store: &mut Store<State>,
        batch: model::sink::Batch,
    ) -> Result<model::sink::Delivery> {
        let Role::Sink(sink) = &self.role else { return Err(other_kind()) };
        let model::sink::Batch { events, dropped, now_unix_ms } = batch;
        let events = events.into_iter().map(event_to).collect();
        let batch = wit_sink::Batch { events, dropped, now_unix_ms, ext: Vec::new() };
        let answer = sink.kennel_plugin_event_sink().call_deliver(store, &batch).await?;
        Ok(match answer {
            Ok(taken) => model::sink::Delivery::Taken(taken),
            Err(wit_sink::Failure::RetryAfterMs(ms)) => {
                model::sink::Delivery::RetryAfter(Duration::from_millis(ms))
            }
            Err(wit_sink::Failure::Reject(why)) => model::sink::Delivery::Rejected(why),
        })
    }
}

fn target_to(target: model::Target) -> types::Target {
    let model::Target { service, instance, pid, uptime, restarts, usage, labels } = target;
    let usage = usage.map(|model::Usage { memory_bytes, cpu_ms, threads, open_fds }| {
        types::Usage { memory_bytes, cpu_ms, threads, open_fds }
    });
    types::Target { service, instance, pid, uptime_ms: millis(uptime), restarts, usage, labels }
}

fn state_to(model::SavedState { version, bytes }: model::SavedState) -> types::SavedState {
    types::SavedState { version, bytes }
}

fn state_from(types::SavedState { version, bytes }: types::SavedState) -> model::SavedState {
    model::SavedState { version, bytes }
}

fn verdict_from(verdict: wit_check::Verdict) -> model::check::Verdict {
    let wit_check::Verdict { status, reason, samples, state, next_in_ms, ext } = verdict;
    let status = match status {
        wit_check::Status::Healthy => model::check::Status::Healthy,
        wit_check::Status::Degraded => model::check::Status::Degraded,
        wit_check::Status::Unhealthy => model::check::Status::Unhealthy,
        wit_check::Status::Late => model::check::Status::Late,
        wit_check::Status::Unknown => model::check::Status::Unknown,
    };
    let sample = |types::Sample { name, value, unit }| model::Sample { name, value, unit };
    model::check::Verdict {
        status,
        reason,
        samples: samples.into_iter().map(sample).collect(),
        state: state.map(state_from),
        next_in: timeout(next_in_ms),
        ext,
    }
}

fn policy_input_to(input: model::policy::Input) -> wit_policy::Input {
    let model::policy::Input {
        target,
        now_unix_ms,
        cause,
        history,
        restarts_in_window,
        default_action,
        state,
    } = input;
    let past = |model::policy::PastRun { ended_unix_ms, uptime, cause }| wit_policy::PastRun {
        ended_unix_ms,
        uptime_ms: millis(uptime),
        cause: cause_to(cause),
    };
    wit_policy::Input {
        target: target_to(target),
        now_unix_ms,
        cause: cause_to(cause),
        history: history.into_iter().map(past).collect(),
        restarts_in_window,
        default_action: match default_action {
            model::policy::Action::UseDefault => wit_policy::Action::UseDefault,
            model::policy::Action::RestartAfter(delay) => {
                wit_policy::Action::RestartAfterMs(millis(delay))
            }
            model::policy::Action::GiveUp(why) => wit_policy::Action::GiveUp(why),
        },
        state: state.map(state_to),
        ext: Vec::new(),
    }
}

fn cause_to(cause: model::policy::Cause) -> wit_policy::Cause {
    let model::policy::Cause { kind, exit_code, signal, detail } = cause;
    wit_policy::Cause { kind, exit_code, signal, detail }
}

fn decision_from(decision: wit_policy::Decision) -> model::policy::Decision {
    let wit_policy::Decision { action, reason, state, ext: _ } = decision;
    let action = match action {
        wit_policy::Action::UseDefault => model::policy::Action::UseDefault,
        wit_policy::Action::RestartAfterMs(ms) => {
            model::policy::Action::RestartAfter(Duration::from_millis(ms))
        }
        wit_policy::Action::GiveUp(why) => model::policy::Action::GiveUp(why),
    };
    model::policy::Decision { action, reason, state: state.map(state_from) }
}

fn event_to(event: model::sink::Event) -> wit_sink::Event {
    let model::sink::Event {
        sequence,
        at_unix_ms,
        kind,
        severity,
        service,
        instance,
        message,
        attributes,
    } = event;
    let severity = severity_to(severity);
    wit_sink::Event { sequence, at_unix_ms, kind, severity, service, instance, message, attributes }
}
