//! Proving that one knows a password without sending it: SCRAM-SHA-256 (RFC 5802, RFC 7677)
//! as PostgreSQL speaks it, without channel binding.
//!
//! ```text
//!  we      n,,n=,r=NONCE                          the server knows us from the startup message
//!  server  r=NONCE+MORE,s=SALT,i=ITERATIONS
//!  we      c=biws,r=NONCE+MORE,p=PROOF
//!  server  v=SIGNATURE                            so it knows the password too
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// What a check may spend on one login. PostgreSQL's default is 4096.
const ITERATIONS_MAX: u32 = 100_000;

/// `n,,` in base64: no channel binding.
const NO_BINDING: &str = "biws";

type Hash = [u8; 32];

/// Why an exchange cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server does not keep to the protocol.
    Protocol(&'static str),
    /// It wants more work than a check is allowed to do.
    TooMuchWork(u32),
    /// It does not know the password: it is not the server we think it is.
    Impostor,
}

/// Our first message, and what the rest of the exchange needs.
#[derive(Debug)]
pub(crate) struct Begun {
    bare: String,
    nonce: String,
}

/// Our last message was sent.
#[derive(Debug)]
pub(crate) struct Proven {
    signature: Hash,
}

impl Begun {
    /// With a nonce of printable characters but `,`, never used before.
    pub(crate) fn new(nonce: String) -> Begun {
        Begun { bare: format!("n=,r={nonce}"), nonce }
    }

    /// What is sent first.
    pub(crate) fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the server's first message with the proof.
    pub(crate) fn prove(
        self,
        password: &str,
        server_first: &[u8],
    ) -> Result<(String, Proven), Trouble> {
        let server_first =
            std::str::from_utf8(server_first).map_err(|_| Trouble::Protocol("is no text"))?;
        let challenge = Challenge::read(server_first, &self.nonce)?;
        let salted = salted_password(password.as_bytes(), &challenge.salt, challenge.iterations);
        let without_proof = format!("c={NO_BINDING},r={}", challenge.nonce);
        let signed = format!("{},{server_first},{without_proof}", self.bare);

        let client_key = mac(&salted, &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        let client_signature = mac(&stored_key, &[signed.as_bytes()]);
        let server_key = mac(&salted, &[b"Server Key"]);
        let signature = mac(&server_key, &[signed.as_bytes()]);

        let proof = BASE64.encode(xor(client_key, client_signature));
        Ok((format!("{without_proof},p={proof}"), Proven { signature }))
    }
}

impl Proven {
    /// Whether the server has proven itself too.
    pub(crate) fn check(&self, server_final: &[u8]) -> Result<(), Trouble> {
        let value = std::str::from_utf8(server_final)
            .ok()
            .and_then(|text| text.split(',').next()?.strip_prefix("v="))
            .and_then(|text| BASE64.decode(text).ok())
            .ok_or(Trouble::Protocol("does not end with a signature"))?;
        if value == self.signature { Ok(()) } else { Err(Trouble::Impostor) }
    }
}

/// The server's first message.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Challenge<'a> {
    fn read(text: &'a str, ours: &str) -> Result<Challenge<'a>, Trouble> {
        let mut fields = text.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name));
        let nonce = field("r=")
            .filter(|nonce| nonce.len() > ours.len() && nonce.starts_with(ours))
            .ok_or(Trouble::Protocol("does not go on with our nonce"))?;
        let salt = field("s=")
            .and_then(|text| BASE64.decode(text).ok())
            .filter(|salt| !salt.is_empty())
            .ok_or(Trouble::Protocol("gives no salt"))?;
        let iterations = field("i=")
            .and_then(|count| count.parse().ok())
            .filter(|count| *count > 0)
            .ok_or(Trouble::Protocol("gives no number of iterations"))?;
        if iterations > ITERATIONS_MAX {
            return Err(Trouble::TooMuchWork(iterations));
        }
        Ok(Challenge { nonce, salt, iterations })
    }
}

/// `Hi` of RFC 5802, which is PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Hash {
    let keyed = keyed(password);
    let once = |parts: &[&[u8]]| {
        let mut mac = keyed.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut last: Hash = once(&[salt, &1_u32.to_be_bytes()]);
    let mut result = last;
    for _ in 1..iterations {
        last = once(&[&last]);
        result = xor(result, last);
    }
    result
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key that is longer than a block is hashed first (RFC 2104); no key is refused.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

fn xor(left: Hash, right: Hash) -> Hash {
    std::array::from_fn(|at| left[at] ^ right[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 7677, section 3, where the user stands in the first message.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn begun() -> Begun {
        Begun { bare: format!("n=user,r={NONCE}"), nonce: NONCE.to_owned() }
    }

    #[test]
    fn the_example_of_the_standard_is_proven_and_checked() {
        assert_eq!(begun().message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (last, proven) = begun().prove("pencil", SERVER_FIRST.as_bytes()).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(proven.check(signature), Ok(()));
        let wrong = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=";
        assert!(proven.check(wrong).is_err());
        let other = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95GA=";
        assert_eq!(proven.check(other), Err(Trouble::Impostor));
        for broken in [b"".as_slice(), b"v=", b"e=other-error", b"v=####", b"\xff"] {
            assert!(proven.check(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        for (challenge, trouble) in [
            ("", "does not go on with our nonce"),
            ("r=other,s=W22Z,i=1", "does not go on with our nonce"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=1", "does not go on with our nonce"),
            ("r=rOprNGfwEbeRWgbNEkqOx", "gives no salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=,i=1", "gives no salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=#,i=1", "gives no salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z", "gives no number of iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0", "gives no number of iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=-1", "gives no number of iterations"),
        ] {
            let refused = begun().prove("pencil", challenge.as_bytes()).unwrap_err();
            assert_eq!(refused, Trouble::Protocol(trouble), "{challenge}");
        }
        let refused = begun().prove("pencil", b"\xff").unwrap_err();
        assert_eq!(refused, Trouble::Protocol("is no text"));
    }

    #[test]
    fn a_server_cannot_keep_the_check_busy() {
        let challenge = "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4294967295";
        let refused = begun().prove("pencil", challenge.as_bytes()).unwrap_err();
        assert_eq!(refused, Trouble::TooMuchWork(u32::MAX));
    }
}
