//! The pure supervision logic of Kennel.
