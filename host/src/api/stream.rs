//! A response body that is written piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc;

/// How many pieces may wait for the client. What produces them waits beyond that, so a
/// slow reader costs a bounded amount of memory.
const PIECES: usize = 4;

/// The end of a streamed body that the client reads.
pub(crate) struct StreamBody {
    pieces: mpsc::Receiver<Bytes>,
    /// Given back when the client is gone or everything was sent.
    _place: Option<tokio::sync::OwnedSemaphorePermit>,
}

/// A body and the way to fill it. It ends when the sender is dropped; when the client is
/// gone, sending fails.
pub(crate) fn stream_body(
    place: Option<tokio::sync::OwnedSemaphorePermit>,
) -> (mpsc::Sender<Bytes>, StreamBody) {
    let (sender, pieces) = mpsc::channel(PIECES);
    (sender, StreamBody { pieces, _place: place })
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
