//! Giving way to a successor in the same process.
//!
//! The loop comes to rest: what has happened by now is taken and written down, and what happens
//! from now on is the successor's to find. A process that ends stays a zombie for it.

use std::time::Duration;

use kennel_core::Course;
use tokio::sync::oneshot;

use super::Driver;
use crate::os;
use crate::state::Parcel;

/// How long the loop rests at most. To execute a program takes milliseconds.
const REST: Duration = Duration::from_secs(10);

/// Where what is passed on goes, and who says that nobody takes over.
pub(super) type Handing = (oneshot::Sender<Option<Parcel>>, oneshot::Receiver<String>);

impl Driver {
    /// Passes on what goes with the services and rests. Returns when there is no successor.
    pub(super) async fn hand_over(
        &mut self,
        reply: oneshot::Sender<Option<Parcel>>,
        failed: oneshot::Receiver<String>,
    ) {
        if self.core.view().course() == Course::ShuttingDown {
            let _ = reply.send(None);
            return;
        }
        os::leave_to_successor(true);
        while let Ok(fact) = self.incoming.try_recv() {
            self.take_fact(fact);
            self.settle();
        }
        let sockets = self.sockets.carried();
        let parcel = Parcel { sockets, notify: self.runs.notify_sockets() };
        let _ = reply.send(Some(parcel));
        let why = match tokio::time::timeout(REST, failed).await {
            Ok(Ok(why)) => why,
            Ok(Err(_)) | Err(_) => "nobody has taken over".to_owned(),
        };
        os::leave_to_successor(false);
        tracing::error!("cannot upgrade: {why}");
        self.news.not_upgraded(why);
    }
}
