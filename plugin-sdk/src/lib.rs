//! Write plugins for the Kennel process supervisor.
