//! Stock plugin `quiet-hours`. No restarts at certain times of the day.
