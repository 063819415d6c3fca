//! Stock plugin `redis`. Redis answers PING and has loaded its data.
//!
//! ```text
//!  config ──► connect ──► talk: AUTH, PING, INFO at once ──► judge ──► verdict
//!                           └─ resp: commands and answers       └─ info: key:value
//! ```
//!
//! A server that answers is never called dead: what it says of itself makes it degraded, and
//! what it says of our login makes the check impossible. Dead is who refuses the connection,
//! ends it without a word, or is no redis.

#![forbid(unsafe_code)]

pub mod config;
pub mod info;
pub mod judge;
pub mod resp;
pub mod talk;

use kennel_plugin::prelude::*;

use crate::config::Config;
use crate::talk::Wire;

/// The check.
#[derive(Debug)]
pub struct Redis {
    config: Config,
}

impl Redis {
    /// Makes the check over a connection that stands.
    pub fn check_over(&self, wire: &mut dyn Wire) -> Result<Verdict, CheckError> {
        judge::judge(&self.config, talk::talk(&self.config, wire))
    }
}

impl HealthCheck for Redis {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<Redis, Problems> {
        config.check()?;
        Ok(Redis { config })
    }

    fn check(&self, _: &CheckInput, (): &mut (), host: &mut Host) -> Result<Verdict, CheckError> {
        let mut channel = host.connect_to(&self.config.address, None)?;
        if self.config.tls {
            channel.start_tls(self.config.server_name(), &self.config.tls_options(), None)?;
        }
        self.check_over(&mut channel)
    }
}

kennel_plugin::export!(health_check: Redis);
