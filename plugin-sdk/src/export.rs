//! The one line that makes a plugin of a crate.

/// Exports what this crate has, a trait of each kind at most:
///
/// ```ignore
/// kennel_plugin::export!(health_check: Redis);
/// kennel_plugin::export!(health_check: Probe, event_sink: Tail);
/// ```
///
/// The kinds are `health_check`, `restart_policy` and `event_sink`. A plugin of several kinds has
/// one configuration, which each of them reads.
#[macro_export]
macro_rules! export {
    ($($kind:ident: $plugin:ty),+ $(,)?) => {
        $($crate::__is_a!($kind, $plugin);)+
    };
}

/// Fails to compile with the name of the trait that is missing.
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
}

#[doc(hidden)]
pub fn __is_health_check<T: crate::HealthCheck>() {}
#[doc(hidden)]
pub fn __is_restart_policy<T: crate::RestartPolicy>() {}
#[doc(hidden)]
pub fn __is_event_sink<T: crate::EventSink>() {}
