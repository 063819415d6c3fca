//! Log lines; the host limits their rate and size.

use crate::target::{Attributes, Severity};

/// Writes a line to the supervisor's log: severity, message, fields.
///
/// ```
/// use kennel_plugin::prelude::*;
///
/// let role = "primary";
/// log!(Info, "answered");
/// log!(Warn, "answered as {role}", latency_ms = 1200, role);
/// ```
#[macro_export]
macro_rules! log {
    ($severity:ident, $message:literal $(, $key:ident $(= $value:expr)?)* $(,)?) => {
        $crate::write_log(
            $crate::Severity::$severity,
            ::std::format!($message),
            ::std::vec![$((
                ::std::string::String::from(::std::stringify!($key)),
                ::std::string::ToString::to_string(&$crate::__field!($key $(= $value)?)),
            )),*],
        )
    };
}

/// The value of a field of [`log!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __field {
    ($key:ident) => {
        $key
    };
    ($key:ident = $value:expr) => {
        $value
    };
}

/// Writes a line to the supervisor's log. [`log!`](crate::log!) is shorter.
pub fn write_log(severity: Severity, message: String, fields: Attributes) {
    crate::backend::log(severity, message, fields);
}
