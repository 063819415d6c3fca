//! Every limit of the sandbox that nobody configures, in one place.

use std::time::Duration;

/// Stack of WebAssembly frames within one call, in bytes.
pub(crate) const WASM_STACK_BYTES: usize = 512 * 1024;
/// Stack of one call, host functions included, in bytes.
pub(crate) const STACK_BYTES: usize = 2 * 1024 * 1024;

/// How often a computing plugin is interrupted to see whether it may go on.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// What a plugin may hand to the host in one call of a function, and in its answer, in
/// bytes of host memory.
pub(crate) const TRANSFER_BYTES: usize = 8 * 1024 * 1024;
/// Handles of the component model alive at once in one instance.
pub(crate) const HANDLES: usize = 4096;
/// Resources of the host alive at once in one instance: streams, sockets, pollables.
pub(crate) const RESOURCES: usize = 1024;
/// Core instances of one component.
pub(crate) const CORE_INSTANCES: usize = 256;
/// Tables of one component.
pub(crate) const TABLES: usize = 256;
/// Linear memories of one component.
pub(crate) const MEMORIES: usize = 64;
/// Random bytes in one call of a function.
pub(crate) const RANDOM_BYTES: u64 = 64 * 1024;

/// Probes, commands and writes within one call; the next one is an error to the plugin.
pub(crate) const HOST_CALLS: u32 = 1000;
/// So many more, and the plugin is stopped.
pub(crate) const HOST_CALLS_IGNORED: u32 = 100;
/// Conversations open at once.
pub(crate) const CHANNELS: usize = 8;
/// What one read of a conversation brings at most, in bytes.
pub(crate) const READ_BYTES: u32 = 1024 * 1024;

/// Calls of one plugin that run at once.
pub(crate) const RUNNING: usize = 64;
/// Memory of all instances of one plugin, in instances at their limit.
pub(crate) const FULL_INSTANCES: u64 = 8;

/// Bytes of one message in the log.
pub(crate) const MESSAGE_BYTES: usize = 4096;
/// Fields of one message.
pub(crate) const FIELDS: usize = 16;
/// Bytes of the name of a field.
pub(crate) const FIELD_NAME_BYTES: usize = 64;
/// Bytes of the value of a field.
pub(crate) const FIELD_VALUE_BYTES: usize = 1024;
/// Messages of one call.
pub(crate) const MESSAGES_PER_CALL: u32 = 100;
/// Messages of one plugin in a minute.
pub(crate) const MESSAGES_PER_MINUTE: u32 = 600;

/// Bytes of a line for people.
pub(crate) const LINE_BYTES: usize = 512;
/// Samples of one verdict.
pub(crate) const SAMPLES: usize = 64;
/// Bytes of the name of a sample, and of its unit.
pub(crate) const SAMPLE_NAME_BYTES: usize = 64;
/// Problems of one configuration.
pub(crate) const PROBLEMS: usize = 64;
/// The shortest wait that a plugin may ask for.
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest wait for the next check or delivery.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// Functions of the host end this part of the time before the call does, so that the
/// plugin can still say what happened.
pub(crate) fn reserve(time: Duration) -> Duration {
    (time / 10).min(Duration::from_millis(100))
}
