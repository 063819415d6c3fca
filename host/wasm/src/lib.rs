//! The plugin runtime of Kennel.
