//! What `export!` makes of a crate in Wasm: the functions that the host calls.

pub mod event_sink;
pub mod health_check;
pub mod restart_policy;

use std::panic;

use crate::bindings::exports::kennel::plugin::lifecycle::Problem;
use crate::bindings::kennel::plugin::types;
use crate::config::{self, Problems};
use crate::state::Saved;
use crate::target::{Target, Usage};

pub use crate::bindings::exports::kennel::plugin as exports;
pub use crate::bindings::section;

/// Has the functions of every kind; a component exports those of its own kinds.
pub struct Component;

/// Creates a plugin of one kind and keeps it for the calls to come.
pub type Configure = fn(&str, &mut Problems);

/// Configures the plugins of all kinds.
pub fn configure(config: &str, kinds: &[Configure]) -> Result<(), Vec<Problem>> {
    wit_bindgen::rt::maybe_link_cabi_realloc();
    panic::set_hook(Box::new(|panic| {
        crate::write_log(crate::Severity::Error, panic.to_string(), Vec::new());
    }));
    let mut problems = Problems::new();
    for configure in kinds {
        configure(config, &mut problems);
    }
    if problems.is_empty() {
        return Ok(());
    }
    let mut found: Vec<Problem> = Vec::new();
    for config::Problem { path, message } in problems {
        // Kinds that read the same configuration find the same problems.
        if !found.iter().any(|known| known.path == path && known.message == message) {
            found.push(Problem { path, message });
        }
    }
    Err(found)
}

/// The section of these kinds as the array that a static needs.
pub const fn section_bytes<const LENGTH: usize>(kinds: usize) -> [u8; LENGTH] {
    let section = section(kinds);
    let mut bytes = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        bytes[at] = section[at];
        at += 1;
    }
    bytes
}

/// What a kind answers that was never configured.
const NOT_CONFIGURED: &str = "the plugin is not configured";

/// The exports of a component.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($($kind:ident: $plugin:ty),+) => {
        const _: () = {
            use $crate::__wasm::exports::lifecycle;
            use $crate::__wasm::{Component, Configure, configure};

            struct Lifecycle;

            impl lifecycle::Guest for Lifecycle {
                fn configure(
                    config: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::vec::Vec<lifecycle::Problem>> {
                    let kinds: &[Configure] = &[$($crate::__wasm::$kind::configure::<$plugin>),+];
                    configure(&config, kinds)
                }
            }

            $crate::__wasm::exports::lifecycle::__export_kennel_plugin_lifecycle_0_1_0_cabi!(
                Lifecycle with_types_in $crate::__wasm::exports::lifecycle
            );
            $($crate::__export_kind!($kind);)+

            const KINDS: usize = 0 $(| $crate::__wasm::$kind::BIT)+;
            const LENGTH: usize = $crate::__wasm::section(KINDS).len();

            #[used]
            #[unsafe(link_section = "component-type:kennel-plugin")]
            static SECTION: [u8; LENGTH] = $crate::__wasm::section_bytes(KINDS);
        };
    };
}

/// The functions of one kind.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_kind {
    (health_check) => {
        $crate::__wasm::exports::health_check::__export_kennel_plugin_health_check_0_1_0_cabi!(
            Component with_types_in $crate::__wasm::exports::health_check
        );
    };
    (restart_policy) => {
        $crate::__wasm::exports::restart_policy::__export_kennel_plugin_restart_policy_0_1_0_cabi!(
            Component with_types_in $crate::__wasm::exports::restart_policy
        );
    };
    (event_sink) => {
        $crate::__wasm::exports::event_sink::__export_kennel_plugin_event_sink_0_1_0_cabi!(
            Component with_types_in $crate::__wasm::exports::event_sink
        );
    };
}

impl From<types::Target> for Target {
    fn from(target: types::Target) -> Target {
        let types::Target { service, instance, pid, uptime_ms, restarts, usage, labels } = target;
        let usage = usage.map(|usage| {
            let types::Usage { memory_bytes, cpu_ms, threads, open_fds } = usage;
            Usage { memory_bytes, cpu_ms, threads, open_fds }
        });
        let uptime = std::time::Duration::from_millis(uptime_ms);
        Target { service, instance, pid, uptime, restarts, usage, labels }
    }
}

impl From<types::SavedState> for Saved {
    fn from(types::SavedState { version, bytes }: types::SavedState) -> Saved {
        Saved { version, bytes }
    }
}

/// What is to be kept instead of `before`: none where that is the same.
fn changed(before: Option<Saved>, after: Option<Saved>) -> Option<types::SavedState> {
    if before == after {
        return None;
    }
    after.map(|Saved { version, bytes }| types::SavedState { version, bytes })
}

/// As milliseconds, which end at 49 days.
fn millis(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// As milliseconds.
fn long_millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
