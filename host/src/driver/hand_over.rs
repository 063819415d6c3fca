//! Giving way to a successor in the same process.
//!
//! The gate is closed by now, so all that was begun is told. The loop takes it and rests: it is
//! written down, and what happens from now on is the successor's to find. A process that ends
//! stays a zombie for it, and what services say stays where they have said it.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::Driver;
use crate::logs::OpenStream;
use crate::state::{CarriedStream, Parcel};

/// How long the loop rests at most. To execute a program takes milliseconds.
const REST: Duration = Duration::from_secs(10);

/// How long a disk or a terminal may hold up who reads output.
const COPIES: Duration = Duration::from_secs(1);

/// Where what is passed on goes, and who says that nobody takes over.
pub(super) type Handing = (oneshot::Sender<Option<Parcel>>, oneshot::Receiver<String>);

impl Driver {
    /// Passes on what goes with the services and rests. Returns when there is no successor.
    pub(super) async fn hand_over(
        &mut self,
        reply: oneshot::Sender<Option<Parcel>>,
        failed: oneshot::Receiver<String>,
    ) {
        if self.is_shutting_down() {
            let _ = reply.send(None);
            return;
        }
        let capture = self.capture.clone();
        // It fails when the runtime ends.
        let Ok(mut resting) = spawn_blocking(move || capture.rest(COPIES)).await else { return };
        // A line that was read may have said that a service is ready.
        while let Ok(fact) = self.incoming.try_recv() {
            self.take_fact(fact);
            self.settle();
        }
        let sockets = self.sockets.carried();
        let streams = resting.streams.drain(..).map(carried).collect();
        let parcel = Parcel { sockets, ears: self.runs.ears(), streams };
        let _ = reply.send(Some(parcel));
        let why = match tokio::time::timeout(REST, failed).await {
            Ok(Ok(why)) => why,
            Ok(Err(_)) | Err(_) => "nobody has taken over".to_owned(),
        };
        tracing::error!("cannot upgrade: {why}");
        self.news.not_upgraded(why);
    }
}

fn carried(stream: OpenStream) -> CarriedStream {
    let OpenStream { service, run, stream, pipe, fd } = stream;
    CarriedStream { instance: service.to_string(), run, stream: stream.name().to_owned(), pipe, fd }
}
