//! What a service's `logs:` block says, in checked form.

/// Where the output of a service goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Destination {
    /// To `NAME.log` in the log directory, rotated.
    #[default]
    File,
    /// To the supervisor's own standard output, each line prefixed with the service's name.
    Inherit,
    /// Nowhere: it is read, so that the service never blocks, and thrown away.
    None,
}

/// How the output of one service is kept. The defaults are those of `services.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Where stdout and stderr go.
    pub to: Destination,
    /// A file is rotated before a line would take it past this many bytes.
    pub max_size: u64,
    /// How many rotated files stay beside the current one.
    pub keep: u32,
    /// Whether a line is written with time and stream, or as the bare text.
    pub timestamps: bool,
    /// Bytes per second past which lines are dropped and counted; `None` is no limit.
    pub rate_limit: Option<u64>,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            to: Destination::File,
            max_size: 10 * 1024 * 1024,
            keep: 5,
            timestamps: true,
            rate_limit: None,
        }
    }
}
