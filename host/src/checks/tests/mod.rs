//! Probes against real servers.
