//! What a plugin remembers: handed in by the host before a call, handed back after it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json;

/// What a plugin remembers from call to call. It survives a trap, a recycled instance, an upgrade
/// of the plugin and a restart of the supervisor. At most 64 KiB as JSON.
///
/// ```
/// use kennel_plugin::prelude::*;
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Seen { failures: u32 }
///
/// impl State for Seen {}
/// ```
pub trait State: Serialize + DeserializeOwned + Default {
    /// The version of this schema. A state of another version goes through
    /// [`migrate`](State::migrate).
    const VERSION: u32 = 1;

    /// Makes a state of what another version of the plugin saved, as JSON; none begins anew.
    fn migrate(version: u32, saved: &[u8]) -> Option<Self> {
        let (_, _) = (version, saved);
        None
    }
}

impl State for () {}

/// A state as the host keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The version of the schema of `bytes`.
    pub version: u32,
    /// The state as JSON.
    pub bytes: Vec<u8>,
}

impl Saved {
    /// What is handed back to the host; none for a plugin that remembers nothing.
    pub fn of<S: State>(state: &S) -> Option<Saved> {
        if size_of::<S>() == 0 {
            return None;
        }
        let bytes = json::to_vec(state).expect("a state can be written as JSON");
        Some(Saved { version: S::VERSION, bytes })
    }

    /// What a call begins with: the saved state, a migrated one, or a new one.
    pub fn open<S: State>(saved: Option<&Saved>) -> S {
        let Some(Saved { version, bytes }) = saved else { return S::default() };
        let state = if *version == S::VERSION {
            // Over a value, as a configuration is: less code than straight from text.
            json::from_slice(bytes).ok().and_then(|value: json::Value| S::deserialize(&value).ok())
        } else {
            S::migrate(*version, bytes)
        };
        state.unwrap_or_default()
    }
}
