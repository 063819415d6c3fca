//! What is answered to the server's question who we are.

use kennel_plugin::prelude::*;

use crate::config::Config;
use crate::md5;
use crate::message::{self, Authentication};
use crate::scram::{Begun, Proven, Trouble};

/// The SASL mechanism that is spoken.
const MECHANISM: &str = "SCRAM-SHA-256";

/// How far a login has come.
pub(crate) struct Login<'a> {
    config: &'a Config,
    step: Step,
}

enum Step {
    /// Nothing was asked yet.
    New(Begun),
    /// The password was sent, as it is or as a digest.
    Told,
    /// A SASL exchange has begun.
    Begun(Begun),
    /// Ours is proven; the server's proof is yet to come.
    Proven(Proven),
    /// Both are.
    Done,
}

impl Login<'_> {
    /// With a nonce that was never used before.
    pub(crate) fn new(config: &Config, nonce: String) -> Login<'_> {
        Login { config, step: Step::New(Begun::new(nonce)) }
    }

    /// What is sent in answer; nothing where the server wants nothing more.
    pub(crate) fn answer(&mut self, asked: Authentication) -> Result<Option<Vec<u8>>, CheckError> {
        let step = std::mem::replace(&mut self.step, Step::Done);
        let (next, answer) = match (asked, step) {
            (Authentication::Ok, step @ (Step::New(_) | Step::Told | Step::Done)) => (step, None),
            (Authentication::Cleartext, Step::New(_)) => {
                (Step::Told, Some(message::password(self.password()?)))
            }
            (Authentication::Md5(salt), Step::New(_)) => {
                let proof = md5::proof(self.config.user(), self.password()?, salt);
                (Step::Told, Some(message::password(&proof)))
            }
            (Authentication::Sasl(mechanisms), Step::New(begun)) => {
                if !mechanisms.iter().any(|mechanism| mechanism == MECHANISM) {
                    return Err(unspoken(&mechanisms.join(", ")));
                }
                self.password()?;
                let answer = message::sasl_initial(MECHANISM, &begun.message());
                (Step::Begun(begun), Some(answer))
            }
            (Authentication::SaslContinue(challenge), Step::Begun(begun)) => {
                let (answer, proven) =
                    begun.prove(self.password()?, &challenge).map_err(in_trouble)?;
                (Step::Proven(proven), Some(message::sasl_response(&answer)))
            }
            (Authentication::SaslFinal(signature), Step::Proven(proven)) => {
                proven.check(&signature).map_err(in_trouble)?;
                (Step::Done, None)
            }
            (Authentication::Unknown(kind), Step::New(_)) => {
                return Err(unspoken(mechanism_name(kind)));
            }
            (
                Authentication::Ok
                | Authentication::Cleartext
                | Authentication::Md5(_)
                | Authentication::Sasl(_)
                | Authentication::SaslContinue(_)
                | Authentication::SaslFinal(_)
                | Authentication::Unknown(_),
                _,
            ) => return Err(wrong("asks out of turn")),
        };
        self.step = next;
        Ok(answer)
    }

    fn password(&self) -> Result<&str, CheckError> {
        let password = self.config.password.as_ref().map(|secret| secret.0.as_str());
        password.ok_or_else(|| {
            CheckError::not_made(format!(
                "the server wants a password for \"{}\", set \"password\"",
                self.config.user()
            ))
        })
    }
}

fn unspoken(what: &str) -> CheckError {
    CheckError::not_made(format!(
        "the server wants {what} for this login, which the check does not speak; \
         let scram-sha-256, md5, password or trust stand in pg_hba.conf"
    ))
}

fn mechanism_name(kind: u32) -> &'static str {
    match kind {
        2 => "Kerberos",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => "something unknown",
    }
}

fn wrong(what: &str) -> CheckError {
    Verdict::unhealthy(format!("breaks the rules of a login: {what}")).into()
}

fn in_trouble(trouble: Trouble) -> CheckError {
    match trouble {
        Trouble::Protocol(what) => wrong(what),
        Trouble::TooMuchWork(iterations) => CheckError::not_made(format!(
            "this password has {iterations} SCRAM iterations, too many for a check; \
             give it a user with fewer (scram_iterations)"
        )),
        Trouble::Impostor => {
            CheckError::not_made("the server does not know the password: it may be another one")
        }
    }
}
