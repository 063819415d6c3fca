//! What metrics say of plugins and checks.
//!
//! A sample of a plugin keeps the name and the unit that the plugin gives it, as labels:
//! `kennel_plugin_sample{plugin="redis",service="cache",name="latency",unit="ms"}`. What a
//! unit means stands in the plugin's own documentation.

use std::borrow::Cow;
use std::fmt;

use kennel_wasm::stats::{Histogram, LATENCY_BOUNDS};
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::metrics::{Families, Labels};
use super::wire;
use crate::plugins::{Measurer, PluginStatus};
use crate::sinks::SinkStatus;
use crate::tallies::{BOUNDS_MS, Checked, OUTCOMES, Tally};
use kennel_wasm::model::Sample;

/// Everything that a scrape shows of plugins and checks.
#[derive(Debug, Default)]
pub(super) struct PluginSnapshot {
    pub(super) plugins: Vec<PluginStatus>,
    pub(super) samples: Vec<(Measurer, Vec<Sample>)>,
    pub(super) checks: Vec<(Checked, Tally)>,
    pub(super) sinks: Vec<SinkStatus>,
}

impl PluginSnapshot {
    pub(super) fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        self.plugins(families)?;
        self.latency(families)?;
        self.samples(families)?;
        self.checks(families)?;
        self.sinks(families)
    }

    fn plugins(&self, families: &mut Families<'_>) -> fmt::Result {
        let plugins = &self.plugins;
        let states = plugins.iter().flat_map(|plugin| {
            let present = wire::PluginState::from(plugin.state);
            wire::PluginState::ALL.iter().map(move |state| {
                let mut labels = labels(plugin);
                labels.push(("state", state.as_str().into()));
                (labels, f64::from(*state == present))
            })
        });
        families.gauge(("plugin_state", None, "1 for the state that the plugin is in"), states)?;
        let each = |value: &dyn Fn(&PluginStatus) -> u64| -> Vec<(Labels<'_>, f64)> {
            plugins.iter().map(|plugin| (labels(plugin), value(plugin) as f64)).collect()
        };
        let about = ("plugin_calls", None, "Calls of the plugin that were answered or failed");
        families.counter(about, each(&|plugin| plugin.calls))?;
        let about = ("plugin_faults", None, "Calls of the plugin that failed");
        families.counter(about, each(&|plugin| plugin.faults))?;
        let about = (
            "plugin_skipped",
            None,
            "Calls of the plugin that were not made: too many waited, or it was disabled",
        );
        families.counter(about, each(&|plugin| plugin.skipped))?;
        let about = ("plugin_log_dropped_messages", None, "Messages of the plugin over the limit");
        families.counter(about, each(&|plugin| plugin.log_dropped))?;
        let about = ("plugin_memory", Some(Unit::Bytes), "Memory of all instances of the plugin");
        families.gauge(about, each(&|plugin| plugin.memory_bytes))
    }

    fn latency(&self, families: &mut Families<'_>) -> fmt::Result {
        let about = (
            "plugin_call",
            Some(Unit::Seconds),
            "How long calls of the plugin took, the wait for their turn included",
        );
        let series = self.plugins.iter().map(|plugin| {
            let Histogram { counts, total } = &plugin.latency;
            let bounds = LATENCY_BOUNDS.iter().map(|bound| bound.as_secs_f64());
            (labels(plugin), buckets(bounds, counts), total.as_secs_f64())
        });
        families.histogram(about, series)
    }

    fn samples(&self, families: &mut Families<'_>) -> fmt::Result {
        let samples = self.samples.iter().flat_map(|(measurer, samples)| {
            samples.iter().map(move |sample| {
                let Measurer { plugin, service, index: _, instance, check } = measurer;
                let Sample { name, value, unit } = sample;
                let mut labels: Labels<'_> = vec![
                    ("plugin", (&**plugin).into()),
                    ("service", (&**service).into()),
                    ("instance", (&**instance).into()),
                    ("check", (&**check).into()),
                    ("name", name.as_str().into()),
                ];
                labels.extend(unit.as_ref().map(|unit| ("unit", Cow::from(unit.as_str()))));
                (labels, *value)
            })
        });
        families.gauge(("plugin_sample", None, "What checks by plugins measured last"), samples)
    }

    fn checks(&self, families: &mut Families<'_>) -> fmt::Result {
        let answers = self.checks.iter().flat_map(|(checked, tally)| {
            OUTCOMES.iter().zip(tally.outcomes).map(move |(outcome, count)| {
                let mut labels = check_labels(checked);
                labels.push(("outcome", (*outcome).into()));
                (labels, count as f64)
            })
        });
        families.counter(("check_answers", None, "Checks that were made, by outcome"), answers)?;
        let about = ("check", Some(Unit::Seconds), "How long checks took");
        let series = self.checks.iter().map(|(checked, tally)| {
            let bounds = BOUNDS_MS.iter().map(|bound| *bound as f64 / 1000.0);
            (check_labels(checked), buckets(bounds, &tally.times), tally.total.as_secs_f64())
        });
        families.histogram(about, series)
    }

    fn sinks(&self, families: &mut Families<'_>) -> fmt::Result {
        let events = self.sinks.iter().flat_map(|sink| {
            let outcomes =
                [("taken", sink.taken), ("rejected", sink.rejected), ("dropped", sink.dropped)];
            outcomes.into_iter().map(move |(outcome, count)| {
                let mut labels = sink_labels(sink);
                labels.push(("outcome", outcome.into()));
                (labels, count as f64)
            })
        });
        families
            .counter(("sink_events", None, "Events of the sink, by what became of them"), events)?;
        let failures = self.sinks.iter().map(|sink| (sink_labels(sink), sink.failures as f64));
        let about = ("sink_failures", None, "Tries to deliver that brought nothing");
        families.counter(about, failures)?;
        let behind = self.sinks.iter().map(|sink| (sink_labels(sink), sink.behind as f64));
        let about = ("sink_behind_events", None, "Events of all kinds that the sink has before it");
        families.gauge(about, behind)
    }
}

fn sink_labels(sink: &SinkStatus) -> Labels<'_> {
    vec![("sink", (&*sink.name).into()), ("plugin", (&*sink.plugin).into())]
}

/// Each bound with its count, the last one without a bound.
fn buckets(bounds: impl Iterator<Item = f64>, counts: &[u64]) -> Vec<(f64, u64)> {
    bounds.chain([f64::INFINITY]).zip(counts.iter().copied()).collect()
}

fn labels(plugin: &PluginStatus) -> Labels<'_> {
    vec![("plugin", (&*plugin.name).into())]
}

fn check_labels(checked: &Checked) -> Labels<'_> {
    let Checked { service, instance, check } = checked;
    vec![
        ("service", (&**service).into()),
        ("instance", (&**instance).into()),
        ("check", (&**check).into()),
    ]
}

impl Families<'_> {
    /// Each series with its buckets and the sum of what is in them.
    fn histogram<'l>(
        &mut self,
        (name, unit, help): (&str, Option<Unit>, &str),
        series: impl IntoIterator<Item = (Labels<'l>, Vec<(f64, u64)>, f64)>,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, buckets, sum) in series {
            let count = buckets.iter().map(|(_, count)| count).sum();
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kennel_core::CheckOutcome;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, text};
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::plugins::PluginState;
    use crate::tallies::CheckTallies;

    impl Collector for PluginSnapshot {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            self.encode(&mut Families(encoder))
        }
    }

    fn snapshot() -> PluginSnapshot {
        let mut latency = Histogram::default();
        latency.counts[4] = 8;
        latency.counts[LATENCY_BOUNDS.len()] = 1;
        latency.total = Duration::from_secs(9);
        let tallies = CheckTallies::default();
        let checked =
            Checked { service: "c".into(), instance: "c/0".into(), check: "redis".into() };
        tallies.count(&checked, CheckOutcome::Late, Duration::from_millis(3));
        PluginSnapshot {
            plugins: vec![PluginStatus {
                name: "redis".into(),
                source: "stock:redis".to_owned(),
                sha256: None,
                kinds: Vec::new(),
                state: PluginState::Ready,
                reason: String::new(),
                uses: Vec::new(),
                calls: 9,
                faults: 2,
                skipped: 1,
                log_dropped: 0,
                latency,
                memory_bytes: 65_536,
                last_fault: None,
            }],
            samples: vec![(
                Measurer {
                    plugin: "redis".into(),
                    service: "c".into(),
                    index: 0,
                    instance: "c/0".into(),
                    check: "redis".into(),
                },
                vec![
                    Sample { name: "latency".to_owned(), value: 1.5, unit: Some("ms".to_owned()) },
                    Sample { name: "clients".to_owned(), value: 7.0, unit: None },
                ],
            )],
            checks: tallies.all(),
            sinks: vec![SinkStatus {
                name: "audit".into(),
                plugin: "file".into(),
                next: 8,
                behind: 3,
                taken: 6,
                rejected: 1,
                dropped: 0,
                failures: 2,
                error: None,
            }],
        }
    }

    #[test]
    fn plugins_samples_checks_and_sinks_are_shown_as_openmetrics_wants_them() {
        let mut registry = Registry::with_prefix("kennel");
        registry.register_collector(Box::new(snapshot()));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        for line in [
            "kennel_plugin_state{plugin=\"redis\",state=\"ready\"} 1.0",
            "kennel_plugin_state{plugin=\"redis\",state=\"failed\"} 0.0",
            "kennel_plugin_calls_total{plugin=\"redis\"} 9.0",
            "kennel_plugin_faults_total{plugin=\"redis\"} 2.0",
            "kennel_plugin_skipped_total{plugin=\"redis\"} 1.0",
            "kennel_plugin_memory_bytes{plugin=\"redis\"} 65536.0",
            "# TYPE kennel_plugin_call_seconds histogram",
            "kennel_plugin_call_seconds_count{plugin=\"redis\"} 9",
            "kennel_plugin_call_seconds_sum{plugin=\"redis\"} 9.0",
            "kennel_plugin_call_seconds_bucket{le=\"0.0005\",plugin=\"redis\"} 0",
            "kennel_plugin_call_seconds_bucket{le=\"0.001\",plugin=\"redis\"} 8",
            "kennel_plugin_call_seconds_bucket{le=\"+Inf\",plugin=\"redis\"} 9",
            "kennel_plugin_sample{plugin=\"redis\",service=\"c\",instance=\"c/0\",check=\"redis\",name=\"latency\",unit=\"ms\"} 1.5",
            "kennel_plugin_sample{plugin=\"redis\",service=\"c\",instance=\"c/0\",check=\"redis\",name=\"clients\"} 7.0",
            "kennel_check_answers_total{service=\"c\",instance=\"c/0\",check=\"redis\",outcome=\"late\"} 1.0",
            "kennel_check_answers_total{service=\"c\",instance=\"c/0\",check=\"redis\",outcome=\"passed\"} 0.0",
            "kennel_check_seconds_count{service=\"c\",instance=\"c/0\",check=\"redis\"} 1",
            "kennel_sink_events_total{sink=\"audit\",plugin=\"file\",outcome=\"taken\"} 6.0",
            "kennel_sink_events_total{sink=\"audit\",plugin=\"file\",outcome=\"rejected\"} 1.0",
            "kennel_sink_failures_total{sink=\"audit\",plugin=\"file\"} 2.0",
            "kennel_sink_behind_events{sink=\"audit\",plugin=\"file\"} 3.0",
            "kennel_check_seconds_bucket{le=\"0.005\",service=\"c\",instance=\"c/0\",check=\"redis\"} 1",
        ] {
            assert!(out.lines().any(|shown| shown == line), "{line} is missing in\n{out}");
        }
    }
}
