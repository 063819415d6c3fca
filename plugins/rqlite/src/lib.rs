//! Stock plugin `rqlite`. A node is ready; without a leader it is degraded, not dead.
//!
//! ```text
//!  config ──► GET /readyz ──► readyz: what it lacks ──┐
//!         └─► GET /status ──► status: role, figures ──┴──► verdict
//! ```
//!
//! A node that answers at all is not dead: to restart it while it looks for a leader would
//! only make the cluster look longer.

#![forbid(unsafe_code)]

pub mod config;
pub mod readyz;
pub mod status;

use kennel_plugin::prelude::*;

use crate::config::{Config, Role, Wrong};
use crate::readyz::Readiness;
use crate::status::Facts;

/// More than `/readyz` says.
const READYZ_BYTES_MAX: u32 = 16 * 1024;

/// More than `/status` says of a cluster of hundreds of nodes.
const STATUS_BYTES_MAX: u32 = 512 * 1024;

/// The check.
#[derive(Debug)]
pub struct Rqlite {
    config: Config,
}

impl HealthCheck for Rqlite {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<Rqlite, Problems> {
        config.check()?;
        Ok(Rqlite { config })
    }

    fn check(
        &self,
        input: &CheckInput,
        (): &mut (),
        host: &mut Host,
    ) -> Result<Verdict, CheckError> {
        let response = host.http(self.request(&self.readyz(input.budget), READYZ_BYTES_MAX))?;
        let latency_ms = response.latency.as_secs_f64() * 1000.0;
        let readiness = readyz::read(&response);
        let facts = match &readiness {
            Readiness::Ready | Readiness::NotYet(_) | Readiness::NotKnown => {
                self.facts(host.http(self.request("/status", STATUS_BYTES_MAX)))
            }
            Readiness::NotAllowed | Readiness::Strange(_) => Ok(None),
        };
        let verdict = match readiness {
            Readiness::Ready => self.judge_ready(facts?),
            // Why it is not ready matters more than what it says of itself.
            Readiness::NotYet(what) => {
                let facts = facts.ok().flatten().unwrap_or_default();
                with_samples(Verdict::degraded(what).not_ready(), &facts)
            }
            Readiness::NotKnown => self.judge_old(facts?),
            Readiness::NotAllowed => {
                return Err(CheckError::not_made(format!(
                    "may not be asked: HTTP status {}; the user needs the permission \"ready\"",
                    response.status
                )));
            }
            Readiness::Strange(what) => Verdict::unhealthy(what),
        };
        Ok(verdict.sample("latency", latency_ms, "ms"))
    }
}

impl Rqlite {
    /// The node itself waits no longer for its leader than we for it.
    fn readyz(&self, budget: Duration) -> String {
        let patience_ms = (budget.as_millis() / 2).clamp(100, 10_000);
        let sync = if self.config.sync { "&sync" } else { "" };
        format!("/readyz?timeout={patience_ms}ms{sync}")
    }

    fn request(&self, path: &str, max_body: u32) -> Request {
        let mut request = Request::get(self.config.at(path)).max_body(max_body);
        if let (Some(username), Some(password)) = (&self.config.username, &self.config.password) {
            request = request.basic_auth(username, &password.0);
        }
        for (key, value) in [
            ("tls.server-name", &self.config.tls_server_name),
            ("tls.ca-file", &self.config.ca_file),
        ] {
            if let Some(value) = value {
                request = request.option(key, value);
            }
        }
        request
    }

    /// What `/status` says. Where nothing of it is needed, it may as well be silent.
    fn facts(&self, status: Result<Response, ProbeError>) -> Result<Option<Facts>, CheckError> {
        let response = match status {
            Ok(response) if response.status == 200 => response,
            Ok(response) if self.config.needs_status() => {
                return Err(CheckError::not_made(format!(
                    "/status answers with HTTP status {}; \"role\" and \"min_nodes\" need the \
                     permission \"status\"",
                    response.status
                )));
            }
            Err(error) if self.config.needs_status() => return Err(error.into()),
            Ok(_) | Err(_) => return Ok(None),
        };
        match response.json() {
            Ok(document) => Ok(Some(Facts::read(&document))),
            Err(_) if !self.config.needs_status() => Ok(None),
            Err(error) => {
                Err(Verdict::unhealthy(format!("/status is not valid JSON: {error}")).into())
            }
        }
    }

    /// A node that knows no `/readyz` has to say at `/status` that it has a leader.
    fn judge_old(&self, facts: Option<Facts>) -> Verdict {
        let Some(facts) = facts.filter(|facts| facts.state.is_some()) else {
            return Verdict::unhealthy(
                "this is no rqlite: it has no /readyz, and no raft in /status",
            );
        };
        if facts.leader.is_none() && facts.is_leader() != Some(true) {
            return with_samples(Verdict::degraded("has no leader yet").not_ready(), &facts);
        }
        self.judge_ready(Some(facts))
    }

    fn judge_ready(&self, facts: Option<Facts>) -> Verdict {
        let facts = facts.unwrap_or_default();
        with_samples(self.judge_facts(&facts), &facts)
    }

    fn judge_facts(&self, facts: &Facts) -> Verdict {
        let mut concerns = Vec::new();
        let wrong_role = match (self.config.role, facts.is_leader()) {
            (Role::Leader, Some(false)) => Some("is a follower, not the leader"),
            (Role::Follower, Some(true)) => Some("is the leader, not a follower"),
            (Role::Leader | Role::Follower, None) => Some("neither leads nor follows"),
            (Role::Any, _) | (Role::Leader, Some(true)) | (Role::Follower, Some(false)) => None,
        };
        if let Some(what) = wrong_role {
            match self.config.on_wrong_role {
                Wrong::Unhealthy => return Verdict::unhealthy(what),
                Wrong::Degraded => concerns.push(what.to_owned()),
            }
        }
        let nodes = facts.nodes.unwrap_or(0.0);
        if nodes < f64::from(self.config.min_nodes) {
            let (has, wanted) = (nodes as u64, self.config.min_nodes);
            concerns.push(format!("its cluster has {has} of {wanted} nodes"));
        }
        if concerns.is_empty() {
            return Verdict::healthy(match (facts.is_leader(), &facts.leader) {
                (Some(true), _) => "ready; leader".to_owned(),
                (Some(false), Some(leader)) => format!("ready; follower of {leader}"),
                (Some(false), None) | (None, _) => "ready".to_owned(),
            });
        }
        Verdict::degraded(concerns.join("; "))
    }
}

fn with_samples(mut verdict: Verdict, facts: &Facts) -> Verdict {
    let leader = facts.is_leader().map(|leader| f64::from(u8::from(leader)));
    for (name, value, unit) in [
        ("leader", leader, ""),
        ("nodes", facts.nodes, ""),
        ("behind", facts.behind, "entries"),
        ("term", facts.term, ""),
        ("size", facts.size_bytes, "bytes"),
    ] {
        if let Some(value) = value {
            verdict = verdict.sample(name, value, unit);
        }
    }
    verdict
}

kennel_plugin::export!(health_check: Rqlite);
