//! In a component: the host's imports. Each is called in one place only, so that a plugin
//! imports what it uses and nothing else.

use std::time::Duration;

use crate::bindings::kennel::plugin::{connection, exec, file, log as logging, probe};
use crate::host::{Exchange, Output, ProbeError, Request, Response, Rotate};
use crate::target::{Attributes, Severity};

#[derive(Debug)]
pub(crate) struct Backend;

/// A conversation that the host holds open.
#[derive(Debug)]
pub(crate) struct Talk(connection::Channel);

fn millis(time: Option<Duration>) -> Option<u32> {
    time.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
}

pub(crate) fn log(severity: Severity, message: String, fields: Attributes) {
    let level = match severity {
        Severity::Debug => logging::Severity::Debug,
        Severity::Info => logging::Severity::Info,
        Severity::Warn => logging::Severity::Warn,
        Severity::Error => logging::Severity::Error,
    };
    logging::write(level, &message, &fields);
}

impl From<probe::ProbeError> for ProbeError {
    fn from(error: probe::ProbeError) -> ProbeError {
        match error {
            probe::ProbeError::Denied(grant) => ProbeError::Denied(grant),
            probe::ProbeError::Timeout => ProbeError::Timeout,
            probe::ProbeError::Dns(detail) => ProbeError::Dns(detail),
            probe::ProbeError::Connect(detail) => ProbeError::Connect(detail),
            probe::ProbeError::Tls(detail) => ProbeError::Tls(detail),
            probe::ProbeError::Protocol(detail) => ProbeError::Protocol(detail),
            probe::ProbeError::TooLarge => ProbeError::TooLarge,
            probe::ProbeError::Other(detail) => ProbeError::Other(detail),
        }
    }
}

impl Backend {
    pub(crate) fn http(&mut self, request: Request) -> Result<Response, ProbeError> {
        let Request { method, url, headers, body, timeout, max_body, ext } = request;
        let timeout_ms = millis(timeout);
        let request = probe::HttpRequest { method, url, headers, body, timeout_ms, max_body, ext };
        let probe::HttpResponse { status, headers, body, latency_us, ext } = probe::http(&request)?;
        let latency = Duration::from_micros(latency_us);
        Ok(Response { status, headers, body, latency, ext })
    }

    pub(crate) fn tcp(&mut self, to: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        let Exchange { send, max_read, timeout } = exchange;
        Ok(probe::tcp(to, &send, max_read, millis(timeout))?)
    }

    pub(crate) fn unix(&mut self, path: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        let Exchange { send, max_read, timeout } = exchange;
        Ok(probe::unix(path, &send, max_read, millis(timeout))?)
    }

    pub(crate) fn connect(
        &mut self,
        to: &str,
        timeout: Option<Duration>,
    ) -> Result<Talk, ProbeError> {
        Ok(Talk(connection::tcp(to, millis(timeout))?))
    }

    pub(crate) fn connect_unix(
        &mut self,
        path: &str,
        timeout: Option<Duration>,
    ) -> Result<Talk, ProbeError> {
        Ok(Talk(connection::unix(path, millis(timeout))?))
    }

    pub(crate) fn exec(
        &mut self,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<Output, ProbeError> {
        let exec::Output { exit_code, stdout, stderr } = exec::run(&command, millis(timeout))?;
        Ok(Output { exit_code, stdout, stderr })
    }

    pub(crate) fn append(
        &mut self,
        path: &str,
        bytes: &[u8],
        rotate: Rotate,
    ) -> Result<(), ProbeError> {
        let Rotate { max_bytes, keep } = rotate;
        Ok(file::append(path, bytes, file::Rotate { max_bytes, keep })?)
    }
}

impl Talk {
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        timeout: Option<Duration>,
    ) -> Result<(), ProbeError> {
        Ok(self.0.write(bytes, millis(timeout))?)
    }

    pub(crate) fn read(
        &mut self,
        max: u32,
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>, ProbeError> {
        Ok(self.0.read(max, millis(timeout))?)
    }

    pub(crate) fn start_tls(
        &mut self,
        server_name: &str,
        ext: &Attributes,
        timeout: Option<Duration>,
    ) -> Result<Attributes, ProbeError> {
        Ok(self.0.start_tls(server_name, ext, millis(timeout))?)
    }
}
