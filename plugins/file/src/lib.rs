//! Event sink `file`: events as lines of a rotated file.

#![forbid(unsafe_code)]

mod config;
mod line;

use kennel_plugin::prelude::*;

pub use config::Config;

use line::Format;

/// The sink with its configuration.
#[derive(Debug)]
pub struct FileSink {
    path: String,
    format: Format,
    min_severity: Severity,
    rotate: Rotate,
    /// So much is written at once: less than what a file holds.
    chunk_max: usize,
}

impl EventSink for FileSink {
    type Config = Config;

    fn new(config: Config) -> Result<FileSink, Problems> {
        config.check()
    }

    fn deliver(&self, batch: &Batch, host: &mut SinkHost) -> Result<Taken, Failure> {
        let mut chunk = String::new();
        if batch.dropped > 0 {
            chunk.push_str(&self.format.gap(batch.dropped));
        }
        // How many events stand in the file, and how many with those in the chunk.
        let mut written = 0;
        for (seen, event) in (0_u32..).zip(&batch.events) {
            if event.severity < self.min_severity {
                continue;
            }
            let line = self.format.line(event);
            if !chunk.is_empty() && chunk.len() + line.len() > self.chunk_max {
                if let Err(failure) = self.write(&chunk, host) {
                    return if written > 0 { Ok(Taken::First(written)) } else { Err(failure) };
                }
                written = seen;
                chunk.clear();
            }
            chunk.push_str(&line);
        }
        if !chunk.is_empty()
            && let Err(failure) = self.write(&chunk, host)
        {
            return if written > 0 { Ok(Taken::First(written)) } else { Err(failure) };
        }
        Ok(Taken::All)
    }
}

impl FileSink {
    fn write(&self, lines: &str, host: &mut SinkHost) -> Result<(), Failure> {
        host.append(&self.path, lines.as_bytes(), self.rotate).map_err(|error| {
            let why = match error {
                ProbeError::Other(why) => why,
                error => error.to_string(),
            };
            let reason = format!("cannot append to \"{}\": {why}", self.path);
            Failure::retry(Duration::ZERO, reason)
        })
    }
}

kennel_plugin::export!(event_sink: FileSink);
