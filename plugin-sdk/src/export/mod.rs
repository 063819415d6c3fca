//! The one line that makes a plugin of a crate.

#[cfg(target_family = "wasm")]
pub mod wasm;

use crate::{EventSink, HealthCheck, RestartPolicy};

/// Exports what this crate has, at most one of each kind:
///
/// ```
/// # use kennel_plugin::prelude::*;
/// # struct Gate;
/// # impl HealthCheck for Gate {
/// #     type Config = ();
/// #     type State = ();
/// #     fn new((): ()) -> Result<Gate, Problems> { Ok(Gate) }
/// #     fn check(&self, _: &CheckInput, _: &mut (), _: &mut Host) -> Result<Verdict, CheckError> {
/// #         Ok(Verdict::healthy("open"))
/// #     }
/// # }
/// # impl EventSink for Gate {
/// #     type Config = ();
/// #     fn new((): ()) -> Result<Gate, Problems> { Ok(Gate) }
/// #     fn deliver(&self, _: &Batch, _: &mut SinkHost) -> Result<Taken, Failure> { Ok(Taken::All) }
/// # }
/// kennel_plugin::export!(health_check: Gate, event_sink: Gate);
/// ```
///
/// The kinds are `health_check`, `restart_policy` and `event_sink`, each with the type that
/// implements the trait of that name. A plugin of several kinds has one configuration, which
/// each of them reads.
///
/// A type without the trait, or a kind that there is not, does not compile:
///
/// ```compile_fail,E0277
/// struct Nothing;
/// kennel_plugin::export!(restart_policy: Nothing);
/// ```
///
/// ```compile_fail
/// struct Nothing;
/// kennel_plugin::export!(healthcheck: Nothing);
/// ```
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
