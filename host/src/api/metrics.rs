//! Numbers for OpenMetrics scrapers.
//!
//! Nothing is counted here: each scrape shows what the status, the logs and the journal
//! say at that moment.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::context::Context;
use super::plugin_metrics::PluginSnapshot;
use super::problem::Problem;
use super::wire;
use crate::journal::JournalStats;
use crate::logs::LogCounters;
use crate::status::{ServiceStatus, Status, SupervisorStatus};

/// What a scraper is told that it gets.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What makes automatic restarts necessary. All are shown, also those that never
/// happened: a counter that appears with its first count hides that count from `rate()`.
const CAUSES: [&str; 7] =
    ["exit", "signal", "start-failed", "not-ready", "unhealthy", "watchdog", "unknown"];

pub(crate) async fn metrics(State(context): State<Context>) -> Result<Response, Problem> {
    let status = context.handle.status().await?;
    let counters = context.handle.logs().counters();
    let snapshot = Snapshot {
        logs: counters.into_iter().map(|(name, counters)| (name.to_string(), counters)).collect(),
        journal: context.handle.journal().stats(),
        plugins: PluginSnapshot {
            plugins: context.handle.plugins.status(),
            samples: context.handle.plugins.samples().all(),
            checks: context.handle.checks.all(),
            sinks: context.handle.sinks.all(),
        },
        own: crate::usage::own_memory_bytes(),
        now: SystemTime::now(),
        status,
    };
    let mut registry = Registry::with_prefix("kennel");
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    text::encode(&mut out, &registry).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], out).into_response())
}

/// Everything that a scrape shows.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    logs: Vec<(String, LogCounters)>,
    journal: JournalStats,
    plugins: PluginSnapshot,
    own: Option<u64>,
    now: SystemTime,
}

pub(super) type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// Writes families: name, help and unit once, then each series.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    fn family<'l>(
        &mut self,
        kind: MetricType,
        (name, unit, help): (&str, Option<Unit>, &str),
        series: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in series {
            // Without labels there is no set of them, not even an empty one.
            if labels.is_empty() {
                write(&mut family, kind, value)?;
            } else {
                write(&mut family.encode_family(&labels)?, kind, value)?;
            }
        }
        Ok(())
    }

    pub(super) fn gauge<'l>(
        &mut self,
        about: (&str, Option<Unit>, &str),
        series: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        self.family(MetricType::Gauge, about, series)
    }

    pub(super) fn counter<'l>(
        &mut self,
        about: (&str, Option<Unit>, &str),
        series: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        self.family(MetricType::Counter, about, series)
    }
}

fn write(metric: &mut MetricEncoder<'_>, kind: MetricType, value: f64) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        MetricType::Gauge | MetricType::Histogram | MetricType::Info | MetricType::Unknown => {
            metric.encode_gauge(&value)
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.supervisor(&mut families)?;
        self.services(&mut families)?;
        self.service_usage(&mut families)?;
        self.logs(&mut families)?;
        self.journal(&mut families)?;
        self.plugins.encode(&mut families)
    }
}

impl Snapshot {
    fn supervisor(&self, families: &mut Families<'_>) -> fmt::Result {
        let SupervisorStatus { name, pid: _, version, started_at, role, stopping, cgroups: _ } =
            &self.status.supervisor;
        let labels: Labels<'_> = vec![
            ("name", name.into()),
            ("version", (*version).into()),
            ("role", role.as_str().into()),
        ];
        let about = ("supervisor_info", None, "The supervisor");
        families.gauge(about, [(labels, 1.0)])?;
        let about = ("supervisor_start_time", Some(Unit::Seconds), "When it started, Unix time");
        families.gauge(about, [(vec![], unix_seconds(*started_at))])?;
        let about = ("supervisor_stopping", None, "Whether it is shutting down");
        families.gauge(about, [(vec![], f64::from(*stopping))])?;
        let about = ("supervisor_memory", Some(Unit::Bytes), "Its own resident memory");
        families.gauge(about, self.own.map(|bytes| (vec![], bytes as f64)))
    }

    fn services(&self, families: &mut Families<'_>) -> fmt::Result {
        let services = &self.status.services;
        let each = |value: &dyn Fn(&ServiceStatus) -> f64| -> Vec<(Labels<'_>, f64)> {
            services.iter().map(|service| (labels(service), value(service))).collect()
        };
        let about = ("service_up", None, "Whether the service is up");
        families.gauge(about, each(&|service| f64::from(service.ready)))?;
        let about = ("service_wanted", None, "Whether the operator wants the service up");
        families.gauge(about, each(&|s| f64::from(s.wanted == kennel_core::Wanted::Up)))?;
        let states = services.iter().flat_map(|service| {
            let present = wire::State::from(service.state);
            wire::State::ALL.iter().map(move |state| {
                let mut labels = labels(service);
                labels.push(("state", state.as_str().into()));
                (labels, f64::from(*state == present))
            })
        });
        families
            .gauge(("service_state", None, "1 for the state that the service is in"), states)?;
        let about = ("service_state", Some(Unit::Seconds), "Time in the present state");
        families.gauge(about, each(&|service| age(service.since, self.now).as_secs_f64()))?;
        let healths = services.iter().flat_map(|service| {
            let present = wire::Health::from(service.health);
            wire::Health::ALL.iter().map(move |health| {
                let mut labels = labels(service);
                labels.push(("health", health.as_str().into()));
                (labels, f64::from(*health == present))
            })
        });
        families
            .gauge(("service_health", None, "1 for what the checks of the service say"), healths)?;
        let restarts = services.iter().flat_map(|service| {
            CAUSES.iter().map(move |cause| {
                let mut labels = labels(service);
                labels.push(("cause", (*cause).into()));
                let count = service.restarts_by_cause.get(cause).copied().unwrap_or(0);
                (labels, count as f64)
            })
        });
        families.counter(("service_restarts", None, "Automatic restarts, by cause"), restarts)?;
        let about = (
            "service_ignored_notifications",
            None,
            "Messages to the notification socket that did not count",
        );
        families.counter(about, each(&|service| service.ignored_notifications as f64))?;
        let starts = services
            .iter()
            .filter_map(|service| Some((labels(service), service.start_time?.as_secs_f64())));
        let about =
            ("service_start", Some(Unit::Seconds), "How long the last start took until ready");
        families.gauge(about, starts)
    }

    fn service_usage(&self, families: &mut Families<'_>) -> fmt::Result {
        let services = &self.status.services;
        let memory = services
            .iter()
            .filter_map(|service| Some((labels(service), service.memory_bytes? as f64)));
        let about = (
            "service_memory",
            Some(Unit::Bytes),
            "Resident memory of the processes of the service",
        );
        families.gauge(about, memory)?;
        let cpu = services
            .iter()
            .filter_map(|service| Some((labels(service), service.cpu?.as_secs_f64())));
        let about =
            ("service_cpu", Some(Unit::Seconds), "CPU time of the living processes of the service");
        families.counter(about, cpu)
    }

    fn logs(&self, families: &mut Families<'_>) -> fmt::Result {
        let each = |value: &dyn Fn(&LogCounters) -> u64| -> Vec<(Labels<'_>, f64)> {
            let series = self.logs.iter().map(|(name, counters)| {
                let service = name.split('/').next().unwrap_or(name);
                let labels: Labels<'_> =
                    vec![("service", service.into()), ("instance", name.into())];
                (labels, value(counters) as f64)
            });
            series.collect()
        };
        let about = ("log_lines", None, "Lines of output kept");
        families.counter(about, each(&|counters| counters.lines))?;
        let about = ("log", Some(Unit::Bytes), "Bytes of output kept");
        families.counter(about, each(&|counters| counters.bytes))?;
        let about = ("log_dropped_lines", None, "Lines of output over the rate limit");
        families.counter(about, each(&|counters| counters.dropped))?;
        let about = ("log_rotations", None, "Rotations of the log file");
        families.counter(about, each(&|counters| counters.rotations))
    }

    fn journal(&self, families: &mut Families<'_>) -> fmt::Result {
        let JournalStats { records, bytes, segments, dropped, first_seq, last_seq, error } =
            &self.journal;
        let mut gauge =
            |name, unit, help, value| families.gauge((name, unit, help), [(vec![], value)]);
        gauge("journal_size", Some(Unit::Bytes), "Bytes of the journal on disk", *bytes as f64)?;
        gauge("journal_segments", None, "Files of the journal", *segments as f64)?;
        gauge("journal_first_seq", None, "Oldest event kept", *first_seq as f64)?;
        gauge("journal_last_seq", None, "Youngest event", *last_seq as f64)?;
        let failing = f64::from(error.is_some());
        gauge("journal_failing", None, "Whether the disk refuses events at the moment", failing)?;
        let mut counter =
            |name, help, value| families.counter((name, None, help), [(vec![], value)]);
        counter("journal_events", "Events appended since the start", *records as f64)?;
        counter(
            "journal_dropped_events",
            "Events lost because the disk refused them",
            *dropped as f64,
        )
    }
}

fn labels(service: &ServiceStatus) -> Labels<'_> {
    vec![("service", service.service.as_str().into()), ("instance", service.name.as_str().into())]
}

fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn age(since: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(since).unwrap_or_default()
}
