//! Keys of the configuration, set one by one.

use std::time::Duration;

use serde_json::{Map, Value};

/// Keys and what they are set to.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Keys(pub(crate) Map<String, Value>);

impl Keys {
    /// Sets the key at a dotted path; what stands on the way and is no mapping is replaced.
    pub(crate) fn set(&mut self, path: &str, value: impl Into<Value>) {
        let mut at = &mut self.0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.insert(part.to_owned(), value.into());
                return;
            }
            let inner = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(inner) = inner else { return };
            at = inner;
        }
    }

    /// Sets one entry of the mapping `key`; `name` may have dots in it.
    pub(crate) fn enter(&mut self, key: &str, name: String, value: impl Into<Value>) {
        let map = self.0.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(map) = map {
            map.insert(name, value.into());
        }
    }

    /// Adds to the list `key`.
    pub(crate) fn push(&mut self, key: &str, value: impl Into<Value>) {
        let list = self.0.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(value.into());
        }
    }
}

/// As it is written in a configuration: whole milliseconds, at least one of what is more
/// than nothing.
pub(crate) fn written(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if !duration.is_zero() {
        millis = millis.max(1);
    }
    format!("{millis}ms")
}

/// The methods that everything supervised has.
macro_rules! common_keys {
    () => {
        /// Waits for `name` to be ready before it starts, and stops before `name` stops.
        #[must_use]
        pub fn depends_on(self, name: impl Into<String>) -> Self {
            self.depends_on_when(name, "ready")
        }

        /// Waits for `name` to have run to its end with success, as a oneshot does.
        #[must_use]
        pub fn after(self, name: impl Into<String>) -> Self {
            self.depends_on_when(name, "done")
        }

        fn depends_on_when(mut self, name: impl Into<String>, condition: &str) -> Self {
            self.keys.enter("depends_on", name.into(), condition);
            self
        }

        /// Runs to its end once, and is done then.
        #[must_use]
        pub fn oneshot(self) -> Self {
            self.set("type", "oneshot")
        }

        /// Is there and does not start with the supervisor; [`Handle::start`] starts it.
        ///
        /// [`Handle::start`]: crate::Handle::start
        #[must_use]
        pub fn disabled(self) -> Self {
            self.set("enabled", false)
        }

        /// Has so many instances, 1 to 1000.
        #[must_use]
        pub fn replicas(self, replicas: u32) -> Self {
            self.set("replicas", replicas)
        }

        /// What follows when it ends.
        #[must_use]
        pub fn restart(mut self, restart: Restart) -> Self {
            self.keys.set("restart", restart.keys.0);
            self.own.policy = restart.policy;
            self
        }

        /// Is checked while it is up; may be given several times.
        #[must_use]
        pub fn health(mut self, check: Check) -> Self {
            let (check, own) = check.health();
            self.keys.push("health", check);
            self.own.checks.extend(own);
            self
        }

        /// Is ready when this check passes. Unless said otherwise it is ready when it has run
        /// for a moment.
        #[must_use]
        pub fn ready(mut self, check: Check) -> Self {
            let (check, own) = check.ready();
            // What was said before is said no more.
            self.own
                .checks
                .retain(|before| own.as_ref().is_none_or(|own| own.name() != before.name()));
            self.own.checks.extend(own);
            self.set("ready", check)
        }

        /// Has this label, for people and tools.
        #[must_use]
        pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.keys.enter("labels", name.into(), value.into());
            self
        }

        /// Sets any key that a service has in a configuration file, by its dotted path:
        /// `.set("restart.limit.max", 3)`, `.set("limits.nofile", 65536)`. Values are as in the
        /// file, except that there are no variables.
        #[must_use]
        pub fn set(mut self, path: &str, value: impl Into<serde_json::Value>) -> Self {
            self.keys.set(path, value);
            self
        }
    };
}
pub(super) use common_keys;
