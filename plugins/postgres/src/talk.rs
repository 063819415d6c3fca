//! One conversation: TLS where it is wanted, log in, ask, say goodbye.
//!
//! ```text
//!  [SSLRequest ─► S ─► TLS]  Startup ─► R … R(ok) ─► Z   Q ─► D … Z   X
//!                                        └─ password, md5 or SCRAM-SHA-256
//! ```

use kennel_plugin::prelude::*;

use crate::config::Config;
use crate::judge::{judge_login_failure, judge_query_failure};
use crate::login::Login;
use crate::message::{self, Authentication, Failure, Message, NotPostgres, read_message};

/// More than a server may say in one check.
const BYTES_MAX: usize = 1024 * 1024;

/// How much is read at once.
const READ_BYTES: u32 = 16 * 1024;

/// A function that is not there: something that only speaks like PostgreSQL.
const UNDEFINED_FUNCTION: &str = "42883";

const ASK_ROLE: &str = "select pg_catalog.pg_is_in_recovery()";

/// Connections, how many there may be, standbys, and how many seconds a standby is behind.
/// A standby that has replayed all it has received is not behind, however old that is.
const ASK_FIGURES: &str = "select \
    (select sum(numbackends) from pg_catalog.pg_stat_database), \
    pg_catalog.current_setting('max_connections'), \
    (select count(*) from pg_catalog.pg_stat_replication), \
    case when not pg_catalog.pg_is_in_recovery() then null \
    when pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() then 0 \
    else extract(epoch from pg_catalog.clock_timestamp() \
    - pg_catalog.pg_last_xact_replay_timestamp()) end";

/// A connection to a server, as far as a conversation needs it.
pub trait Wire {
    /// Sends all of it.
    fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError>;
    /// Waits for something to read; nothing is the end.
    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError>;
    /// Speaks TLS from here on.
    fn start_tls(&mut self, config: &Config) -> Result<(), ProbeError>;
}

impl Wire for Channel {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        Channel::write(self, bytes, None)
    }

    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        Channel::read(self, max, None)
    }

    fn start_tls(&mut self, config: &Config) -> Result<(), ProbeError> {
        Channel::start_tls(self, config.server_name(), &config.tls_options(), None).map(drop)
    }
}

/// What came out.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// The server wants to know who we are, and that was all we wanted to know.
    AsksWhoWeAre,
    /// We are in, and it answers.
    Answers(Facts),
}

/// What the server says of itself.
#[derive(Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether it takes writes; none where it does not know the question.
    pub primary: Option<bool>,
    /// Connections to all databases.
    pub connections: Option<f64>,
    /// How many there may be.
    pub connections_max: Option<f64>,
    /// How many standbys copy it.
    pub standbys: Option<f64>,
    /// How many seconds a standby is behind.
    pub lag_s: Option<f64>,
}

/// Talks with a server. `nonce` was never used before.
pub fn talk(config: &Config, nonce: String, wire: &mut dyn Wire) -> Result<Found, CheckError> {
    let mut session = Session { wire, heard: Vec::new(), heard_bytes: 0 };
    if config.tls {
        session.begin_tls(config)?;
    }
    if !session.log_in(config, nonce)? {
        return Ok(Found::AsksWhoWeAre);
    }
    let mut facts = Facts::default();
    match session.ask(ASK_ROLE)? {
        Ok(row) => facts.primary = row.first().and_then(|cell| read_role(cell.as_deref())),
        Err(failure) if failure.code == UNDEFINED_FUNCTION => {}
        Err(failure) => return Err(judge_query_failure(&failure)),
    }
    // Whoever is no PostgreSQL, or an old one, has no figures.
    if let Ok(row) = session.ask(ASK_FIGURES)? {
        let number = |at: usize| -> Option<f64> {
            row.get(at)?.as_deref()?.parse().ok().filter(|number: &f64| number.is_finite())
        };
        facts.connections = number(0);
        facts.connections_max = number(1);
        facts.standbys = number(2);
        facts.lag_s = number(3).map(|lag| lag.max(0.0));
    }
    if let Some(query) = &config.query {
        session.ask(query)?.map_err(|failure| judge_query_failure(&failure))?;
    }
    // It answered; whether it hears a goodbye does not matter.
    let _ = session.wire.write(&message::terminate());
    Ok(Found::Answers(facts))
}

fn read_role(cell: Option<&str>) -> Option<bool> {
    match cell? {
        "f" => Some(true),
        "t" => Some(false),
        _ => None,
    }
}

type Row = Vec<Option<String>>;

struct Session<'a> {
    wire: &'a mut dyn Wire,
    heard: Vec<u8>,
    heard_bytes: usize,
}

impl Session<'_> {
    /// Asks for TLS and starts it.
    fn begin_tls(&mut self, config: &Config) -> Result<(), CheckError> {
        self.wire.write(&message::ssl_request())?;
        if !self.listen()? {
            return Err(closed("when asked for TLS"));
        }
        match self.heard.as_slice() {
            b"S" => {
                self.heard.clear();
                Ok(self.wire.start_tls(config)?)
            }
            // What comes in the clear behind a yes was put there by somebody else.
            [b'S', ..] => Err(Verdict::unhealthy("says more than yes when asked for TLS").into()),
            [b'N', ..] => Err(CheckError::not_made(
                "the server speaks no TLS; set \"ssl = on\" there, or leave out \"tls\" here",
            )),
            [b'E', ..] => match self.message()? {
                Message::Error(failure) => Err(judge_login_failure(config, &failure)),
                Message::Authentication(_)
                | Message::Row(_)
                | Message::Ready
                | Message::Other(_) => Err(not_postgres(&self.heard)),
            },
            _ => Err(not_postgres(&self.heard)),
        }
    }

    /// Logs in. False: the server asks who we are, and nobody is configured.
    fn log_in(&mut self, config: &Config, nonce: String) -> Result<bool, CheckError> {
        self.wire.write(&message::startup(config.user(), config.database()))?;
        let mut login = Login::new(config, nonce);
        loop {
            match self.message()? {
                Message::Ready => return Ok(true),
                Message::Error(failure) if config.user.is_none() && is_about_us(&failure) => {
                    return Ok(false);
                }
                Message::Error(failure) => return Err(judge_login_failure(config, &failure)),
                Message::Authentication(asked) => {
                    if config.user.is_none() && asked != Authentication::Ok {
                        return Ok(false);
                    }
                    if let Some(answer) = login.answer(asked)? {
                        self.wire.write(&answer)?;
                    }
                }
                Message::Row(_) | Message::Other(_) => {}
            }
        }
    }

    /// Asks, and gives the first row of the answer.
    fn ask(&mut self, statement: &str) -> Result<Result<Row, Failure>, CheckError> {
        self.wire.write(&message::query(statement))?;
        let mut answer: Option<Result<Row, Failure>> = None;
        loop {
            match self.message_or_end()? {
                Some(Message::Ready) => break,
                Some(Message::Row(row)) => {
                    answer.get_or_insert(Ok(row));
                }
                Some(Message::Error(failure)) => answer = Some(Err(failure)),
                Some(Message::Authentication(_) | Message::Other(_)) => {}
                // An error that ends the connection is the answer.
                None if matches!(answer, Some(Err(_))) => break,
                None => return Err(closed("in the middle of an answer")),
            }
        }
        Ok(answer.unwrap_or_else(|| Ok(Row::new())))
    }

    fn message(&mut self) -> Result<Message, CheckError> {
        self.message_or_end()?.ok_or_else(|| closed("without an answer"))
    }

    /// The next message; none when the connection ends first.
    fn message_or_end(&mut self) -> Result<Option<Message>, CheckError> {
        loop {
            match read_message(&self.heard) {
                Ok(Some((message, length))) => {
                    self.heard.drain(..length);
                    return Ok(Some(message));
                }
                Ok(None) => {}
                Err(NotPostgres) => return Err(not_postgres(&self.heard)),
            }
            if !self.listen()? {
                return if self.heard.is_empty() {
                    Ok(None)
                } else {
                    Err(not_postgres(&self.heard))
                };
            }
        }
    }

    /// Reads on; false at the end.
    fn listen(&mut self) -> Result<bool, CheckError> {
        let more = self.wire.read(READ_BYTES)?;
        self.heard_bytes += more.len();
        if self.heard_bytes > BYTES_MAX {
            return Err(Verdict::unhealthy("says more than a check listens to").into());
        }
        self.heard.extend_from_slice(&more);
        Ok(!more.is_empty())
    }
}

/// Whether it fails for who we say we are: so the server was able to look.
fn is_about_us(failure: &Failure) -> bool {
    failure.code.starts_with("28") || matches!(failure.code.as_str(), "3D000" | "42501")
}

fn closed(when: &str) -> CheckError {
    Verdict::unhealthy(format!("closes the connection {when}")).into()
}

fn not_postgres(heard: &[u8]) -> CheckError {
    let beginning = heard.get(..40).unwrap_or(heard).escape_ascii();
    Verdict::unhealthy(format!("this is no PostgreSQL, it says \"{beginning}\"")).into()
}
