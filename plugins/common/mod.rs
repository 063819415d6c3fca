//! What the tests of the stock plugins share: real servers of their own, plain sockets, and
//! bytes that are random but the same each time.

#![allow(dead_code)]

pub(crate) mod noise;
pub(crate) mod server;
pub(crate) mod socket;
