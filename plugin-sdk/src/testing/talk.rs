//! The other side of a conversation.

use std::collections::VecDeque;
use std::time::Duration;

use super::script::Script;
use crate::host::ProbeError;
use crate::target::Attributes;

/// What the other side of a conversation says and expects to hear, in order. At the end it is
/// silent, so that reading on is a [`ProbeError::Timeout`], unless it [`closes`](Talk::closes).
///
/// ```
/// use kennel_plugin::testing::Talk;
///
/// Talk::new().says("+OK ready\r\n").expects("QUIT\r\n").closes();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Talk {
    steps: VecDeque<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Expects(Vec<u8>),
    Says(Vec<u8>),
    StartsTls(String, Result<Attributes, ProbeError>),
    Fails(ProbeError),
    Closes,
}

impl Talk {
    /// Silent.
    pub fn new() -> Talk {
        Talk::default()
    }

    fn then(mut self, step: Step) -> Talk {
        self.steps.push_back(step);
        self
    }

    /// Hears exactly this.
    #[must_use]
    pub fn expects(self, bytes: impl AsRef<[u8]>) -> Talk {
        self.then(Step::Expects(bytes.as_ref().to_owned()))
    }

    /// Says this.
    #[must_use]
    pub fn says(self, bytes: impl AsRef<[u8]>) -> Talk {
        self.then(Step::Says(bytes.as_ref().to_owned()))
    }

    /// Speaks TLS from here on, under this name and with these facts.
    #[must_use]
    pub fn starts_tls(self, name: &str, facts: Result<Attributes, ProbeError>) -> Talk {
        self.then(Step::StartsTls(name.to_owned(), facts))
    }

    /// Answers the next call with this error.
    #[must_use]
    pub fn fails(self, error: ProbeError) -> Talk {
        self.then(Step::Fails(error))
    }

    /// Closes the connection.
    #[must_use]
    pub fn closes(self) -> Talk {
        self.then(Step::Closes)
    }
}

/// A conversation that goes on.
#[derive(Debug)]
pub(crate) struct Spoken {
    steps: VecDeque<Step>,
    script: Script,
}

impl Spoken {
    pub(super) fn new(talk: Talk, script: Script) -> Spoken {
        Spoken { steps: talk.steps, script }
    }

    /// Goes on to the next step, which may be an error.
    fn advance(&mut self) -> Result<(), ProbeError> {
        while let Some(Step::Expects(left) | Step::Says(left)) = self.steps.front()
            && left.is_empty()
        {
            self.steps.pop_front();
        }
        match self.steps.front() {
            Some(Step::Fails(error)) => {
                let error = error.clone();
                self.steps.pop_front();
                Err(error)
            }
            Some(Step::Expects(_) | Step::Says(_) | Step::StartsTls(..) | Step::Closes) | None => {
                Ok(())
            }
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8], _: Option<Duration>) -> Result<(), ProbeError> {
        self.advance()?;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            // What was said before and not read yet stays to be read.
            let next = self.steps.iter_mut().find_map(|step| match step {
                Step::Expects(expected) if !expected.is_empty() => Some(expected),
                Step::Expects(_) | Step::Says(_) | Step::StartsTls(..) => None,
                Step::Fails(_) | Step::Closes => None,
            });
            let Some(expected) = next else {
                panic!("the plugin says more than expected: {}", bytes.escape_ascii());
            };
            let count = expected.len().min(bytes.len());
            let (said, rest) = bytes.split_at(count);
            assert!(
                expected.starts_with(said),
                "the plugin says \"{}\" where \"{}\" is expected",
                said.escape_ascii(),
                expected.escape_ascii()
            );
            expected.drain(..count);
            bytes = rest;
        }
        Ok(())
    }

    pub(crate) fn read(&mut self, max: u32, _: Option<Duration>) -> Result<Vec<u8>, ProbeError> {
        self.advance()?;
        match self.steps.front_mut() {
            Some(Step::Says(bytes)) => {
                let count = bytes.len().min(max as usize);
                Ok(bytes.drain(..count).collect())
            }
            Some(Step::Closes) => Ok(Vec::new()),
            Some(Step::Expects(_) | Step::StartsTls(..) | Step::Fails(_)) | None => {
                Err(ProbeError::Timeout)
            }
        }
    }

    pub(crate) fn start_tls(
        &mut self,
        name: &str,
        _: &Attributes,
        _: Option<Duration>,
    ) -> Result<Attributes, ProbeError> {
        self.advance()?;
        match self.steps.pop_front() {
            Some(Step::StartsTls(expected, facts)) => {
                assert_eq!(name, expected, "the plugin starts TLS under another name");
                facts
            }
            other => panic!("the plugin starts TLS where the script has {other:?}"),
        }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        for step in &self.steps {
            if let Step::Expects(left) = step
                && !left.is_empty()
            {
                self.script.unsaid(left.escape_ascii().to_string());
            }
        }
    }
}
