//! Stock plugin `rqlite`. An rqlite node is ready; without a leader it is degraded, not dead.
