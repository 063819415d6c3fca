//! Who does what a plugin asks for: in unit tests the script of the test.

use std::time::Duration;

use crate::host::{Exchange, Output, ProbeError, Request, Response, Rotate};
use crate::testing::Script;

pub(crate) use crate::testing::log;

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
