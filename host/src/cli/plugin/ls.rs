//! `kennel plugin ls`

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use kennel_core::Human;

use crate::api::wire::{Plugin, PluginState, Plugins, Sink};

use super::super::connect::{block_on, client};
use super::super::paint::{Colour, Paint};
use super::super::status::{printable, size};
use super::super::table::{self, Align, Cell};
use super::super::{ExitKind, Failure, Global, Outcome, terminal};

/// Options of `kennel plugin ls`.
#[derive(clap::Args, Debug)]
pub(super) struct LsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn ls(global: &Global, args: &LsArgs) -> Outcome {
    let client = client(global)?;
    let plugins = block_on(async {
        client.plugins().await.map_err(|error| Failure::from(error).doing("list the plugins"))
    })?;
    let text = if args.json {
        json(&plugins)
    } else {
        table(&plugins, Paint::stdout(), terminal::width())
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitKind::Done)
}

/// In one line for programs, in several for people.
fn json(plugins: &Plugins) -> String {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(plugins)
    } else {
        serde_json::to_string(plugins)
    };
    text.expect("strings and numbers can be written") + "\n"
}

fn table(plugins: &Plugins, paint: Paint, width: Option<usize>) -> String {
    let Plugins { plugins, sinks } = plugins;
    if plugins.is_empty() {
        return "no plugins\n".to_owned();
    }
    use Align::{Left, Right};
    let aligns = [Left, Left, Left, Right, Right, Right, Right, Right, Right, Left];
    let head =
        ["PLUGIN", "KIND", "STATE", "USES", "CALLS", "FAULTS", "P50", "P99", "MEMORY", "REASON"];
    let mut rows =
        vec![head.map(|head| Cell::painted(head, paint.paint(Colour::Dim, head))).to_vec()];
    rows.extend(plugins.iter().map(|plugin| row(plugin, paint)));
    let mut text = table::render(&aligns, &rows, width);
    if !sinks.is_empty() {
        text.push('\n');
        text.push_str(&sink_table(sinks, paint, width));
    }
    text
}

fn sink_table(sinks: &[Sink], paint: Paint, width: Option<usize>) -> String {
    use Align::{Left, Right};
    let aligns = [Left, Left, Right, Right, Right, Right, Left];
    let head = ["SINK", "PLUGIN", "TAKEN", "BEHIND", "REJECTED", "FAILURES", "REASON"];
    let mut rows =
        vec![head.map(|head| Cell::painted(head, paint.paint(Colour::Dim, head))).to_vec()];
    rows.extend(sinks.iter().map(|sink| {
        let counts = [sink.taken, sink.behind, sink.rejected, sink.failures];
        let mut row = vec![Cell::plain(sink.name.as_str()), Cell::plain(sink.plugin.as_str())];
        row.extend(counts.map(|count| Cell::plain(count.to_string())));
        row.push(Cell::plain(sink.error.as_deref().unwrap_or_default()));
        row
    }));
    table::render(&aligns, &rows, width)
}

fn row(plugin: &Plugin, paint: Paint) -> Vec<Cell> {
    let kinds = if plugin.kinds.is_empty() { "-".to_owned() } else { plugin.kinds.join(",") };
    let state = plugin.state.as_str();
    let colour = match plugin.state {
        PluginState::Loading => Colour::Dim,
        PluginState::Ready => Colour::Green,
        PluginState::Failed => Colour::Red,
        PluginState::Disabled => Colour::Yellow,
    };
    vec![
        Cell::painted(&plugin.name, paint.paint(Colour::Bold, &plugin.name)),
        Cell::plain(kinds),
        Cell::painted(state, paint.paint(colour, state)),
        Cell::plain(plugin.uses.len().to_string()),
        Cell::plain(plugin.calls.to_string()),
        Cell::plain(plugin.faults.to_string()),
        Cell::plain(latency(plugin.latency_p50_us)),
        Cell::plain(latency(plugin.latency_p99_us)),
        Cell::plain(size(plugin.memory_bytes)),
        Cell::plain(printable(&reason(plugin))),
    ]
}

/// Why it is as it is; of one that works, who cannot use it as configured, and its last
/// fault.
fn reason(plugin: &Plugin) -> String {
    if !plugin.reason.is_empty() {
        return plugin.reason.clone();
    }
    let refused = plugin.uses.iter().find_map(|of| Some((of, of.error.as_ref()?)));
    if let Some((of, error)) = refused {
        return format!("{}: {error}", of.by);
    }
    match (&plugin.last_fault, plugin.skipped) {
        (Some(fault), _) => fault.reason.clone(),
        (None, 0) => String::new(),
        (None, skipped) => format!("{skipped} calls were skipped"),
    }
}

fn latency(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros) if micros < 1000 => format!("{micros} µs"),
        Some(micros) if micros < 10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        Some(micros) if micros < 1_000_000 => format!("{} ms", micros / 1000),
        Some(micros) => Human(Duration::from_micros(micros)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::{PluginFault, PluginUse};

    fn plugin(name: &str, state: PluginState, reason: &str) -> Plugin {
        let is_ready = state == PluginState::Ready;
        Plugin {
            name: name.to_owned(),
            source: format!("stock:{name}"),
            sha256: None,
            kinds: if is_ready { vec!["health-check".to_owned()] } else { Vec::new() },
            state,
            reason: reason.to_owned(),
            uses: vec![PluginUse {
                by: "cache health redis".to_owned(),
                kind: "health-check".to_owned(),
                error: None,
            }],
            calls: if is_ready { 1200 } else { 0 },
            faults: 0,
            skipped: 0,
            log_dropped: 0,
            latency_p50_us: is_ready.then_some(340),
            latency_p99_us: is_ready.then_some(2100),
            memory_bytes: if is_ready { 1_300_000 } else { 0 },
            last_fault: None,
        }
    }

    #[test]
    fn the_table_shows_what_plugins_do_and_why_one_does_not() {
        let plugins = Plugins {
            plugins: vec![
                plugin("redis", PluginState::Ready, ""),
                plugin("slack", PluginState::Failed, "the file is empty"),
            ],
            sinks: Vec::new(),
        };
        assert_eq!(
            table(&plugins, Paint::never(), None),
            "PLUGIN  KIND          STATE   USES  CALLS  FAULTS     P50     P99   MEMORY  REASON\n\
             redis   health-check  ready      1   1200       0  340 µs  2.1 ms  1.2 MiB\n\
             slack   -             failed     1      0       0       -       -      0 B  the file is empty\n"
        );
        assert_eq!(
            table(&Plugins { plugins: vec![], sinks: vec![] }, Paint::never(), None),
            "no plugins\n"
        );
    }

    #[test]
    fn what_is_wrong_with_one_that_works_is_told_too() {
        let mut redis = plugin("redis", PluginState::Ready, "");
        redis.last_fault = Some(PluginFault {
            at: "2026-11-21T07:57:00.000Z".to_owned(),
            fault: "trap".to_owned(),
            reason: "the plugin trapped: unreachable".to_owned(),
        });
        assert_eq!(reason(&redis), "the plugin trapped: unreachable");
        redis.uses[0].error = Some("address: no port".to_owned());
        assert_eq!(reason(&redis), "cache health redis: address: no port");
        for (micros, shown) in [(9_940, "9.9 ms"), (42_000, "42 ms"), (1_500_000, "1.5 s")] {
            assert_eq!(latency(Some(micros)), shown);
        }
    }
}
