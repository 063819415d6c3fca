//! What the driver learns of services passes here, so that it can be stopped for a moment.
//!
//! Each process that is made, each word of a service that is read and each exit that is taken
//! has a [`Pass`] from its beginning until the driver has been sent what came of it. Who has
//! closed the gate knows therefore: all that has begun is told, and nothing else begins. What
//! services say meanwhile stays where they have written it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The gate. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<RwLock<()>>);

/// Something is under way until all clones of this are dropped.
#[derive(Clone)]
pub(crate) struct Pass {
    _held: Arc<OwnedRwLockReadGuard<()>>,
}

/// Nothing is under way as long as this lives.
pub(crate) struct Closed {
    _held: OwnedRwLockWriteGuard<()>,
}

impl Gate {
    /// Begins something; waits while the gate is closed or somebody waits to close it.
    pub(crate) async fn enter(&self) -> Pass {
        Pass { _held: Arc::new(self.0.clone().read_owned().await) }
    }

    /// Begins something at once, if the gate is open.
    pub(crate) fn try_enter(&self) -> Option<Pass> {
        Some(Pass { _held: Arc::new(self.0.clone().try_read_owned().ok()?) })
    }

    /// Lets nothing begin any more and returns when nothing is under way; none when that has
    /// not come about within `patience`, and then the gate is open.
    pub(crate) async fn close(&self, patience: Duration) -> Option<Closed> {
        let closing = tokio::time::timeout(patience, self.0.clone().write_owned());
        Some(Closed { _held: closing.await.ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_gate_closes_when_all_that_has_begun_is_told() {
        let gate = Gate::default();
        let pass = gate.enter().await;
        let copy = pass.clone();
        let mut closing = tokio::spawn({
            let gate = gate.clone();
            async move { gate.close(BOUND).await }
        });
        assert!(tokio::time::timeout(SHORT, &mut closing).await.is_err());
        assert!(gate.try_enter().is_none(), "nothing begins while somebody waits");
        drop(pass);
        assert!(tokio::time::timeout(SHORT, &mut closing).await.is_err(), "a copy is left");
        drop(copy);
        let closed = tokio::time::timeout(BOUND, closing).await.unwrap().unwrap().unwrap();
        assert!(tokio::time::timeout(SHORT, gate.enter()).await.is_err());
        drop(closed);
        assert!(gate.try_enter().is_some());
    }

    #[tokio::test]
    async fn a_gate_that_does_not_close_in_time_is_open_again() {
        let gate = Gate::default();
        let pass = gate.enter().await;
        assert!(gate.close(SHORT).await.is_none());
        tokio::time::timeout(BOUND, gate.enter()).await.unwrap();
        drop(pass);
        assert!(gate.close(BOUND).await.is_some());
    }
}
