//! Resource limits of a process by name, as `limits:` in services.yaml writes them.

use std::fmt;

/// No limit (`RLIM_INFINITY` of `getrlimit(2)`).
pub const UNLIMITED: u64 = u64::MAX;

/// One resource limit of `getrlimit(2)`, in the units that page gives for the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// What is limited.
    pub resource: Resource,
    /// The limit in force; [`UNLIMITED`] for none.
    pub soft: u64,
    /// How far the process may raise the soft limit; [`UNLIMITED`] for no bound.
    pub hard: u64,
}

macro_rules! resources {
    ($($variant:ident = $name:literal, $constant:ident, $what:literal;)*) => {
        /// What a limit of `getrlimit(2)` counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Resource { $(#[doc = $what] $variant,)* }

        impl Resource {
            /// Every resource, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in services.yaml, which is the one of `ulimit` in `limits.conf(5)`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The resource of that name, if there is one.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// The kernel's number of the resource.
            pub(super) const fn number(self) -> u32 {
                match self { $(Self::$variant => libc::$constant as u32,)* }
            }
        }
    };
}

resources! {
    As = "as", RLIMIT_AS, "Address space, bytes.";
    Core = "core", RLIMIT_CORE, "Size of a core dump, bytes.";
    Cpu = "cpu", RLIMIT_CPU, "CPU time, seconds.";
    Data = "data", RLIMIT_DATA, "Data segment, bytes.";
    Fsize = "fsize", RLIMIT_FSIZE, "Size of a file it writes, bytes.";
    Locks = "locks", RLIMIT_LOCKS, "File locks and leases.";
    Memlock = "memlock", RLIMIT_MEMLOCK, "Locked memory, bytes.";
    Msgqueue = "msgqueue", RLIMIT_MSGQUEUE, "POSIX message queues, bytes.";
    Nice = "nice", RLIMIT_NICE, "Ceiling of the nice value, as 20 - nice.";
    Nofile = "nofile", RLIMIT_NOFILE, "Open descriptors.";
    Nproc = "nproc", RLIMIT_NPROC, "Processes of the user.";
    Rss = "rss", RLIMIT_RSS, "Resident memory, bytes; without effect on Linux.";
    Rtprio = "rtprio", RLIMIT_RTPRIO, "Ceiling of the realtime priority.";
    Rttime = "rttime", RLIMIT_RTTIME, "CPU time without a blocking call under realtime scheduling, microseconds.";
    Sigpending = "sigpending", RLIMIT_SIGPENDING, "Queued signals of the user.";
    Stack = "stack", RLIMIT_STACK, "Stack of the main thread, bytes.";
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_found_by_its_name() {
        for &resource in Resource::ALL {
            assert_eq!(Resource::from_name(resource.name()), Some(resource));
        }
        assert_eq!(Resource::from_name("files"), None);
    }
}
