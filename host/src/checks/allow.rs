//! Who may probe what.

use std::net::IpAddr;

use kennel_wasm::Grants;
use kennel_wasm::grants::{Denied, Endpoint};

/// Decides where a probe may go. It is asked before a name is resolved, after it for each
/// address, and again for each redirect.
pub trait Allow: Send + Sync {
    /// Whether it is worth resolving the name.
    ///
    /// # Errors
    /// What it resolves to does not matter: it may not.
    fn before_dns(&self, endpoint: &Endpoint) -> Result<(), Denied>;

    /// Whether a connection may go to this address, one of those of the name.
    ///
    /// # Errors
    /// It may not.
    fn after_dns(&self, endpoint: &Endpoint, address: IpAddr) -> Result<(), Denied>;
}

/// For built-in checks: where they go is what the operator wrote.
#[derive(Clone, Copy, Debug)]
pub struct AllowAll;

impl Allow for AllowAll {
    fn before_dns(&self, _: &Endpoint) -> Result<(), Denied> {
        Ok(())
    }

    fn after_dns(&self, _: &Endpoint, _: IpAddr) -> Result<(), Denied> {
        Ok(())
    }
}

impl Allow for Grants {
    fn before_dns(&self, endpoint: &Endpoint) -> Result<(), Denied> {
        Grants::before_dns(self, endpoint)
    }

    fn after_dns(&self, endpoint: &Endpoint, address: IpAddr) -> Result<(), Denied> {
        Grants::after_dns(self, endpoint, address)
    }
}
