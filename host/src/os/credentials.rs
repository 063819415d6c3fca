//! Who a service runs as: from names in services.yaml to numbers for the kernel.
//!
//! Everything is looked up before the process is created. The supplementary groups
//! belong to the answer: a process that changes only its uid keeps root's groups.

use std::ffi::{CString, OsString};
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};

use super::cause::Cause;

/// The identity a process is given, all numbers known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// Supplementary groups, `gid` among them.
    pub groups: Vec<u32>,
    /// Login name, or the uid in digits when the user database has none.
    pub name: String,
    /// Home directory, `/` when the user database has none.
    pub home: PathBuf,
    /// Login shell, `/bin/sh` when the user database has none.
    pub shell: PathBuf,
}

/// Why a user or group cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CredentialsError {
    /// The user database has no such name.
    #[error("user \"{0}\" does not exist")]
    UnknownUser(String),
    /// The group database has no such name.
    #[error("group \"{0}\" does not exist")]
    UnknownGroup(String),
    /// A uid without an entry in the user database has no group of its own.
    #[error("user \"{0}\" is not in the user database, so its group must be given too")]
    NoGroup(String),
    /// Only root may run a process as somebody else.
    #[error(
        "cannot run as user \"{user}\", group {gid}: the supervisor runs as uid {own} and is not root"
    )]
    NotRoot {
        /// The user that was asked for.
        user: String,
        /// The group that was asked for.
        gid: u32,
        /// The supervisor's own effective uid.
        own: u32,
    },
    /// The database could not be read.
    #[error("cannot look up {what} \"{name}\": {cause}")]
    Lookup {
        /// `user` or `group`.
        what: &'static str,
        /// The name looked for.
        name: String,
        /// What the system said.
        cause: Cause,
    },
}

impl Credentials {
    /// Looks up `user` (name or uid; `None`: the supervisor's own) and `group` (name or
    /// gid; `None`: the user's primary group). Only digits are a number, never a name.
    ///
    /// Reads the user database, which may ask the network: not for the driver's thread.
    ///
    /// # Errors
    /// When a name is unknown, or differs from the supervisor's own and that is not root.
    pub fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Self, CredentialsError> {
        let own_uid = geteuid();
        let written = user.map_or_else(|| own_uid.to_string(), str::to_owned);
        let entry = look_up_user(&written)?;
        let uid = match (&entry, number(&written)) {
            (Some(entry), _) => entry.uid,
            (None, Some(uid)) => Uid::from_raw(uid),
            (None, None) => return Err(CredentialsError::UnknownUser(written)),
        };
        let gid = match (group, &entry) {
            (Some(group), _) => look_up_group(group)?,
            (None, Some(entry)) => entry.gid,
            (None, None) if uid == own_uid => getegid(),
            (None, None) => return Err(CredentialsError::NoGroup(written)),
        };
        if !own_uid.is_root() && (uid != own_uid || gid != getegid()) {
            let own = own_uid.as_raw();
            return Err(CredentialsError::NotRoot { user: written, gid: gid.as_raw(), own });
        }
        let groups = match &entry {
            Some(entry) => supplementary(&entry.name, gid)?,
            None => vec![gid.as_raw()],
        };
        let (name, home, shell) = match entry {
            Some(entry) => (entry.name, entry.dir, entry.shell),
            None => (uid.to_string(), PathBuf::new(), PathBuf::new()),
        };
        let or = |path: PathBuf, default: &str| {
            if path.as_os_str().is_empty() { PathBuf::from(default) } else { path }
        };
        Ok(Self {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            groups,
            name,
            home: or(home, "/"),
            shell: or(shell, "/bin/sh"),
        })
    }

    /// The variables that name the user to a program: `HOME`, `USER`, `LOGNAME`, `SHELL`
    /// (`environ(7)`).
    #[must_use]
    pub fn env(&self) -> [(OsString, OsString); 4] {
        [
            ("HOME".into(), self.home.clone().into()),
            ("USER".into(), self.name.clone().into()),
            ("LOGNAME".into(), self.name.clone().into()),
            ("SHELL".into(), self.shell.clone().into()),
        ]
    }
}

/// `text` as an id: digits only, and not the number that means "unchanged" to the kernel.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&id| id != u32::MAX)
}

fn look_up_user(written: &str) -> Result<Option<User>, CredentialsError> {
    let found = match number(written) {
        Some(uid) => User::from_uid(Uid::from_raw(uid)),
        None => User::from_name(written),
    };
    found.map_err(|errno| CredentialsError::Lookup {
        what: "user",
        name: written.to_owned(),
        cause: Cause(errno),
    })
}

fn look_up_group(written: &str) -> Result<Gid, CredentialsError> {
    if let Some(gid) = number(written) {
        return Ok(Gid::from_raw(gid));
    }
    match Group::from_name(written) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(CredentialsError::UnknownGroup(written.to_owned())),
        Err(errno) => Err(CredentialsError::Lookup {
            what: "group",
            name: written.to_owned(),
            cause: Cause(errno),
        }),
    }
}

fn supplementary(name: &str, gid: Gid) -> Result<Vec<u32>, CredentialsError> {
    let error = |errno| CredentialsError::Lookup {
        what: "groups of user",
        name: name.to_owned(),
        cause: Cause(errno),
    };
    let name = CString::new(name).map_err(|_| error(nix::errno::Errno::EINVAL))?;
    let groups = getgrouplist(&name, gid).map_err(error)?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_or_group_is_named() {
        let error = Credentials::resolve(Some("nobdy"), None).unwrap_err();
        assert_eq!(error.to_string(), "user \"nobdy\" does not exist");
        let error = Credentials::resolve(None, Some("wheeel")).unwrap_err();
        assert_eq!(error.to_string(), "group \"wheeel\" does not exist");
    }

    #[test]
    fn a_user_has_home_name_and_shell() {
        let own = geteuid().to_string();
        let credentials = Credentials::resolve(Some(&own), None).unwrap();
        assert_eq!(credentials.uid, geteuid().as_raw());
        assert!(credentials.groups.contains(&credentials.gid));
        let env = credentials.env();
        assert_eq!(env[0].0, "HOME");
        assert!(env.iter().all(|(_, value)| !value.is_empty()));
        assert_eq!(credentials, Credentials::resolve(None, None).unwrap());
    }

    #[test]
    fn a_uid_without_an_entry_needs_a_group_and_then_has_no_other() {
        if !geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let error = Credentials::resolve(Some("54321"), None).unwrap_err();
        assert_eq!(error, CredentialsError::NoGroup("54321".into()));
        let credentials = Credentials::resolve(Some("54321"), Some("54322")).unwrap();
        assert_eq!((credentials.uid, credentials.gid), (54321, 54322));
        assert_eq!(credentials.groups, [54322]);
        assert_eq!(credentials.home, PathBuf::from("/"));
    }

    #[test]
    fn only_root_runs_a_process_as_somebody_else() {
        if geteuid().is_root() {
            eprintln!("skipped: needs a user other than root");
            return;
        }
        let error = Credentials::resolve(Some("0"), None).unwrap_err();
        assert!(matches!(error, CredentialsError::NotRoot { .. }), "{error}");
    }

    #[test]
    fn the_number_that_means_unchanged_is_no_id() {
        assert_eq!(number("4294967295"), None);
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("+1"), None);
        assert_eq!(number(""), None);
    }
}
