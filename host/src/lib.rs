//! Kennel: an embeddable process supervisor.

#[cfg(not(target_os = "linux"))]
compile_error!("Kennel supervises processes through pidfds and needs Linux 5.10 or later");

pub mod config;
pub mod journal;
pub mod logs;
pub mod os;
