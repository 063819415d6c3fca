//! In unit tests: the script of the test.

use std::time::Duration;

use crate::host::{Exchange, Output, ProbeError, Request, Response, Rotate};
use crate::testing::Script;

pub(crate) use crate::testing::{Spoken as Talk, log};

#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) script: Script,
}

impl Backend {
    pub(crate) fn http(&mut self, request: Request) -> Result<Response, ProbeError> {
        self.script.http(request)
    }

    pub(crate) fn tcp(&mut self, to: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        self.script.tcp(to, exchange)
    }

    pub(crate) fn unix(&mut self, path: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        self.script.unix(path, exchange)
    }

    pub(crate) fn connect(
        &mut self,
        to: &str,
        _timeout: Option<Duration>,
    ) -> Result<Talk, ProbeError> {
        self.script.connect(to)
    }

    pub(crate) fn connect_unix(
        &mut self,
        path: &str,
        _timeout: Option<Duration>,
    ) -> Result<Talk, ProbeError> {
        self.script.connect_unix(path)
    }

    pub(crate) fn exec(
        &mut self,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<Output, ProbeError> {
        self.script.exec(command, timeout)
    }

    pub(crate) fn append(
        &mut self,
        path: &str,
        bytes: &[u8],
        rotate: Rotate,
    ) -> Result<(), ProbeError> {
        self.script.append(path, bytes, rotate)
    }
}
