//! Stock plugin `postgres`. PostgreSQL accepts connections and answers.
//!
//! ```text
//!  config ──► connect ──► talk: [TLS], log in, ask ──► judge ──► verdict
//!                           ├─ message: types, lengths, bodies
//!                           └─ login: a password, as it is or proven by md5, scram
//! ```
//!
//! A server that says why it does not serve (it is starting up, it has no room) is degraded,
//! never dead; a login that fails makes the check impossible, for it says nothing of the
//! server. Dead is who refuses the connection, ends it without a word, or is no PostgreSQL.

#![forbid(unsafe_code)]

pub mod config;
pub mod judge;
mod login;
mod md5;
pub mod message;
mod scram;
pub mod talk;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kennel_plugin::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::talk::Wire;

/// The check.
#[derive(Debug)]
pub struct Postgres {
    config: Config,
}

impl Postgres {
    /// Makes the check over a connection that stands.
    pub fn check_over(
        &self,
        input: &CheckInput,
        wire: &mut dyn Wire,
    ) -> Result<Verdict, CheckError> {
        let found = talk::talk(&self.config, nonce(input), wire)?;
        Ok(judge::judge(&self.config, &found))
    }
}

/// A nonce has to be new each time, not secret: time, service and number of the check are.
fn nonce(input: &CheckInput) -> String {
    let CheckInput { target, now_unix_ms, sequence, budget, ext: _ } = input;
    let text = format!(
        "{} {} {:?} {:?} {now_unix_ms} {sequence} {budget:?}",
        target.service, target.instance, target.pid, target.uptime
    );
    BASE64.encode(&Sha256::digest(text.as_bytes())[..24])
}

impl HealthCheck for Postgres {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<Postgres, Problems> {
        config.check()?;
        Ok(Postgres { config })
    }

    fn check(
        &self,
        input: &CheckInput,
        (): &mut (),
        host: &mut Host,
    ) -> Result<Verdict, CheckError> {
        let mut channel = host.connect_to(&self.config.address, None)?;
        self.check_over(input, &mut channel)
    }
}

kennel_plugin::export!(health_check: Postgres);
