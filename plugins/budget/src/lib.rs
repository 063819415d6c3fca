//! Stock plugin `budget`. So many restarts in so much time, then longer pauses, then none.
