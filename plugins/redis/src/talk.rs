//! One conversation: log in, `PING`, `INFO`, all at once; then read what comes.

use kennel_plugin::prelude::*;

use crate::config::Config;
use crate::resp::{Answer, NotRedis, read_answer, write_command};

/// More than all answers together may be.
const BYTES_MAX: usize = 512 * 1024;

/// How much is read at once.
const READ_BYTES: u32 = 64 * 1024;

/// A connection to a server, as far as a conversation needs it.
pub trait Wire {
    /// Sends all of it.
    fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError>;
    /// Waits for something to read; nothing is the end.
    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError>;
}

impl Wire for Channel {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        Channel::write(self, bytes, None)
    }

    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        Channel::read(self, max, None)
    }
}

/// What the server said, as far as it came.
#[derive(Debug, Default)]
pub struct Said {
    /// To `AUTH`, where that was sent.
    pub auth: Option<Answer>,
    /// To `PING`.
    pub ping: Option<Answer>,
    /// To `INFO`.
    pub info: Option<Answer>,
    /// Why it did not come further; none where it closed the connection.
    pub trouble: Option<CheckError>,
}

/// Says all there is to say and listens.
pub fn talk(config: &Config, wire: &mut dyn Wire) -> Said {
    let mut questions = Vec::new();
    match (&config.username, &config.password) {
        (Some(username), Some(password)) => {
            write_command(&mut questions, &["AUTH", username, &password.0]);
        }
        (None, Some(password)) => write_command(&mut questions, &["AUTH", &password.0]),
        (_, None) => {}
    }
    write_command(&mut questions, &["PING"]);
    write_command(&mut questions, &["INFO"]);
    // A server that is full says so and closes before it has heard anything: what it said is
    // still there to be read.
    let unheard = wire.write(&questions).err();

    let mut listener = Listener { wire, heard: Vec::new() };
    let mut said = Said::default();
    let order = [&mut said.auth, &mut said.ping, &mut said.info];
    for answer in order.into_iter().skip(usize::from(config.password.is_none())) {
        match listener.answer() {
            Ok(Some(heard)) => *answer = Some(heard),
            Ok(None) => break,
            Err(trouble) => {
                said.trouble = Some(trouble);
                break;
            }
        }
    }
    said.trouble = unheard.map(CheckError::from).or(said.trouble);
    said
}

struct Listener<'a> {
    wire: &'a mut dyn Wire,
    heard: Vec<u8>,
}

impl Listener<'_> {
    /// The next answer; none when the connection ends first.
    fn answer(&mut self) -> Result<Option<Answer>, CheckError> {
        loop {
            match read_answer(&self.heard) {
                Ok(Some((answer, length))) => {
                    self.heard.drain(..length);
                    return Ok(Some(answer));
                }
                Ok(None) if self.heard.len() <= BYTES_MAX => {}
                Ok(None) | Err(NotRedis) => return Err(not_redis(&self.heard)),
            }
            let more = self.wire.read(READ_BYTES)?;
            if more.is_empty() {
                return if self.heard.is_empty() { Ok(None) } else { Err(not_redis(&self.heard)) };
            }
            self.heard.extend_from_slice(&more);
        }
    }
}

fn not_redis(heard: &[u8]) -> CheckError {
    let beginning = heard.get(..40).unwrap_or(heard).escape_ascii();
    Verdict::unhealthy(format!("this is no redis, it says \"{beginning}\"")).into()
}
