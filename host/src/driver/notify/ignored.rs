//! Messages that do not count: how many, and what the last one was.

use super::family::Standing;
use super::message::Unreadable;

/// Messages of one batch that do not count.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Ignored {
    /// How many.
    pub(crate) count: u64,
    /// Why the last of them does not.
    pub(crate) why: String,
}

impl Ignored {
    fn note(&mut self, why: String) {
        self.count += 1;
        self.why = why;
    }

    /// A message from somebody who may not speak for the run.
    pub(super) fn from(&mut self, sender: Option<i32>, standing: Standing) {
        self.note(match (sender, standing) {
            (Some(pid @ 1..), Standing::Gone) => {
                format!("it came from process {pid}, which had ended before it could be looked at")
            }
            (Some(pid @ 1..), Standing::Stranger | Standing::Member) => {
                format!("it came from process {pid}, which is no part of the service")
            }
            (Some(_) | None, _) => "nobody can tell where it came from".to_owned(),
        });
    }

    /// A message that cannot be read.
    pub(super) fn unreadable(&mut self, why: Unreadable) {
        self.note(format!("it was {why}"));
    }

    /// A `MAINPID` that names somebody else's process, or none.
    pub(super) fn main_pid(&mut self, pid: i32, why: &str) {
        self.note(format!("it named process {pid} as MAINPID, which {why}"));
    }
}
