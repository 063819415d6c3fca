//! What probes of a plugin are answered in a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use kennel_wasm::model::Attributes;
use kennel_wasm::probe::{ExecOutput, HttpResponse, ProbeError};
use serde::Deserialize;

use super::scenario::{Pattern, Period};

/// The answer to one probe: what the plugin should ask, and what it is told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Answer {
    // What is asked: one of these.
    http: Option<String>,
    tcp: Option<String>,
    unix: Option<String>,
    connect: Option<String>,
    exec: Option<Vec<String>>,
    append: Option<String>,
    /// HTTP: how it should be asked.
    pub(super) method: Option<String>,
    /// HTTP: headers that the request should have.
    pub(super) with: BTreeMap<String, String>,
    /// What should be sent: the body, the bytes, the lines.
    pub(super) expects: Option<Pattern>,

    /// It fails with this instead.
    pub(super) fails: Option<FailureName>,
    /// What the failure says of itself.
    detail: Option<String>,
    /// Whether the plugin can be content without it: then its failure is none of the
    /// service.
    pub(super) optional: bool,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: Option<Bytes>,
    json: Option<serde_json::Value>,
    latency: Option<Period>,
    ext: BTreeMap<String, String>,
    /// TCP and Unix sockets: what comes back.
    says: Option<Bytes>,
    /// Conversations, line by line.
    talk: Vec<Turn>,
    exit_code: Option<i32>,
    stdout: Option<Bytes>,
    stderr: Option<Bytes>,
}

/// Bytes as text, or as hexadecimal digits.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Bytes {
    Text(String),
    Hex { hex: String },
}

/// One turn of a conversation.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Turn {
    /// What the plugin should write.
    Expects(Pattern),
    /// What the other side says.
    Says(Bytes),
    /// TLS begins, with this name.
    Tls(String),
    /// The other side fails to answer in time, or breaks off.
    Fails(FailureName),
}

/// A failure of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FailureName {
    Denied,
    Timeout,
    Dns,
    Connect,
    Tls,
    Protocol,
    TooLarge,
    Other,
}

impl FailureName {
    pub(super) fn error(self, detail: &str) -> ProbeError {
        let detail = detail.to_owned();
        match self {
            FailureName::Denied => ProbeError::Denied(detail),
            FailureName::Timeout => ProbeError::Timeout,
            FailureName::Dns => ProbeError::Dns(detail),
            FailureName::Connect => ProbeError::Connect(detail),
            FailureName::Tls => ProbeError::Tls(detail),
            FailureName::Protocol => ProbeError::Protocol(detail),
            FailureName::TooLarge => ProbeError::TooLarge,
            FailureName::Other => ProbeError::Other(detail),
        }
    }
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Http(String),
    Tcp(String),
    Unix(String),
    Connect(String),
    Exec(Vec<String>),
    Append(String),
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asked::Http(url) => write!(f, "http {url}"),
            Asked::Tcp(authority) => write!(f, "tcp {authority}"),
            Asked::Unix(path) => write!(f, "unix {path}"),
            Asked::Connect(to) => write!(f, "connect {to}"),
            Asked::Exec(command) => write!(f, "exec {}", command.join(" ")),
            Asked::Append(path) => write!(f, "append {path}"),
        }
    }
}

/// What it is told.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Http(HttpResponse),
    /// Of TCP and Unix sockets.
    Bytes(Vec<u8>),
    Exec(ExecOutput),
    Talk(Vec<Turn>),
    /// There is nothing to tell.
    Done,
    Fails(ProbeError),
    /// It never comes.
    Never,
}

impl Answer {
    /// What is asked; exactly one must be said.
    pub(super) fn kind(&self) -> Result<Asked, String> {
        let asked = [
            self.http.clone().map(Asked::Http),
            self.tcp.clone().map(Asked::Tcp),
            self.unix.clone().map(Asked::Unix),
            self.connect.clone().map(Asked::Connect),
            self.exec.clone().map(Asked::Exec),
            self.append.clone().map(Asked::Append),
        ];
        let mut asked = asked.into_iter().flatten();
        match (asked.next(), asked.next()) {
            (Some(asked), None) => Ok(asked),
            (Some(_), Some(_)) | (None, Some(_) | None) => {
                Err("an answer is to one of http, tcp, unix, connect, exec and append".to_owned())
            }
        }
    }

    /// What the plugin is told.
    pub(super) fn reply(&self) -> Result<Reply, String> {
        if let Some(failure) = self.fails {
            let detail = self.detail.as_deref().unwrap_or("as the scenario says");
            return Ok(Reply::Fails(failure.error(detail)));
        }
        Ok(match self.kind()? {
            Asked::Http(_) => Reply::Http(self.http_response()?),
            Asked::Tcp(_) | Asked::Unix(_) => Reply::Bytes(bytes(self.says.as_ref())?),
            Asked::Connect(_) => Reply::Talk(self.talk.clone()),
            Asked::Exec(_) => Reply::Exec(ExecOutput {
                exit_code: Some(self.exit_code.unwrap_or(0)),
                stdout: bytes(self.stdout.as_ref())?,
                stderr: bytes(self.stderr.as_ref())?,
            }),
            Asked::Append(_) => Reply::Done,
        })
    }

    fn http_response(&self) -> Result<HttpResponse, String> {
        let body = match &self.json {
            Some(value) => value.to_string().into_bytes(),
            None => bytes(self.body.as_ref())?,
        };
        Ok(HttpResponse {
            status: self.status.unwrap_or(200),
            headers: pairs(&self.headers),
            body,
            latency: self.latency.map_or(Duration::from_millis(1), |Period(latency)| latency),
            ext: pairs(&self.ext),
        })
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Attributes {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The bytes that are meant; none are no bytes.
pub(super) fn bytes(written: Option<&Bytes>) -> Result<Vec<u8>, String> {
    match written {
        None => Ok(Vec::new()),
        Some(Bytes::Text(text)) => Ok(text.clone().into_bytes()),
        Some(Bytes::Hex { hex }) => {
            let digits: Vec<char> = hex.chars().filter(|letter| !letter.is_whitespace()).collect();
            let byte = |pair: &[char]| {
                let text: String = pair.iter().collect();
                let whole = (pair.len() == 2).then(|| u8::from_str_radix(&text, 16).ok());
                whole.flatten().ok_or_else(|| format!("\"{hex}\" are no hexadecimal digits"))
            };
            digits.chunks(2).map(byte).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_pairs_of_hexadecimal_digits() {
        let hex = |text: &str| bytes(Some(&Bytes::Hex { hex: text.to_owned() }));
        assert_eq!(bytes(Some(&Bytes::Text("a\r\n".to_owned()))), Ok(b"a\r\n".to_vec()));
        assert_eq!(hex("52 00 ff"), Ok(vec![0x52, 0, 0xff]));
        assert!(hex("520").is_err());
        assert!(hex("zz").is_err());
        assert_eq!(bytes(None), Ok(Vec::new()));
    }
}
