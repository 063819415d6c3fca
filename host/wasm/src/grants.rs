//! What a plugin may do. Everything is denied unless it stands here.

/// What the operator allows a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `host:port` or `CIDR:port`; the port may be `*`.
    pub net: Vec<String>,
    /// Origins, as `https://hooks.example.com`.
    pub http: Vec<String>,
    /// Paths of Unix sockets.
    pub unix: Vec<String>,
    /// Paths of files that may be appended to.
    pub files: Vec<String>,
    /// Run commands as the user of the service.
    pub exec: bool,
    /// A restart policy may declare a service failed.
    pub give_up: bool,
}
