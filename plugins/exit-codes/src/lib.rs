//! Stock plugin `exit-codes`. A table from exit code or signal to what follows.
