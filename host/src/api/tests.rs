//! The server and the client against each other.
