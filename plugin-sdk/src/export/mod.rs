//! The one line that makes a plugin of a crate.

#[cfg(target_family = "wasm")]
pub mod wasm;

use crate::{EventSink, HealthCheck, RestartPolicy};

/// Exports what this crate has, at most one of each kind:
///
/// ```ignore
/// kennel_plugin::export!(health_check: Redis);
/// kennel_plugin::export!(health_check: Probe, event_sink: Tail);
/// ```
///
/// The kinds are `health_check`, `restart_policy` and `event_sink`, each with the type that
/// implements the trait of that name. A plugin of several kinds has one configuration, which
/// each of them reads.
///
/// Where the crate is compiled for something else than Wasm, as for its unit tests, this only
/// sees to it that the types have their traits.
#[macro_export]
macro_rules! export {
    ($($kind:ident: $plugin:ty),+ $(,)?) => {
        $($crate::__is_a!($kind, $plugin);)+
        $crate::__export!($($kind: $plugin),+);
    };
}

/// Nothing to export but for Wasm.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($($ignored:tt)*) => {};
}

/// Does not compile where the trait is missing.
#[doc(hidden)]
#[macro_export]
macro_rules! __is_a {
    (health_check, $plugin:ty) => {
        const _: fn() = $crate::__is_health_check::<$plugin>;
    };
    (restart_policy, $plugin:ty) => {
        const _: fn() = $crate::__is_restart_policy::<$plugin>;
    };
    (event_sink, $plugin:ty) => {
        const _: fn() = $crate::__is_event_sink::<$plugin>;
    };
    ($other:ident, $plugin:ty) => {
        ::std::compile_error!(::std::concat!(
            "there is no kind \"",
            ::std::stringify!($other),
            "\": the kinds are health_check, restart_policy and event_sink"
        ));
    };
}

#[doc(hidden)]
pub fn __is_health_check<T: HealthCheck>() {}
#[doc(hidden)]
pub fn __is_restart_policy<T: RestartPolicy>() {}
#[doc(hidden)]
pub fn __is_event_sink<T: EventSink>() {}
