//! One stream of one run, cut into lines.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::stat::fstat;

use super::capture::{LineTap, Source};
use super::ledger::{StreamKey, StreamState};
use super::line::{self, Ending, PIECE_MAX};

/// How long a line may stay unfinished before what there is of it is written: a prompt
/// then becomes visible.
pub(crate) const HOLD: Duration = Duration::from_secs(1);

/// The reading end of a pipe with what it takes to continue.
pub(crate) struct Feed {
    pub(crate) service: Arc<str>,
    pub(crate) key: StreamKey,
    /// `None`: an earlier supervisor had it, and nobody has brought it since.
    pub(crate) fd: Option<OwnedFd>,
    pub(crate) tap: Option<LineTap>,
    /// The beginning of a line whose end has not come.
    pub(crate) partial: Vec<u8>,
    /// Since when `partial` is not empty.
    pub(crate) held_at: Option<Instant>,
    /// Whether a timer for `partial` is running; at most one does.
    pub(crate) timer: bool,
    pub(crate) line: LineState,
}

/// What is remembered of the line that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LineState {
    /// A piece of it went out already.
    pub(crate) continues: bool,
    /// It is counted as dropped already.
    pub(crate) counted: bool,
}

/// A line or a piece of one; its text is `head` followed by `tail`.
pub(crate) struct Piece<'a> {
    pub(crate) ending: Ending,
    pub(crate) head: &'a [u8],
    pub(crate) tail: &'a [u8],
}

impl Feed {
    pub(crate) fn new(source: Source) -> Self {
        let Source { service, run, stream, fd, settings: _, tap } = source;
        // Only fails on what is no open file: that one is found out when it is read.
        let pipe = fstat(&fd).map_or(0, |stat| stat.st_ino);
        Feed {
            service,
            key: StreamKey { run, stream, pipe },
            fd: Some(fd),
            tap,
            partial: Vec::new(),
            held_at: None,
            timer: false,
            line: LineState::default(),
        }
    }

    /// A stream of `service` that an earlier supervisor had, as far as it came.
    pub(crate) fn left_behind(service: Arc<str>, state: StreamState, now: Instant) -> Self {
        let StreamState { key, line, owns_open_line: _, partial } = state;
        let held_at = (!partial.is_empty()).then_some(now);
        Feed { service, key, fd: None, tap: None, partial, held_at, timer: false, line }
    }

    /// Goes on where `earlier` stopped, which is the same stream.
    pub(crate) fn continues(&mut self, earlier: Feed) {
        let Feed { service: _, key: _, fd: _, tap: _, partial, held_at, timer, line } = earlier;
        (self.partial, self.held_at, self.timer, self.line) = (partial, held_at, timer, line);
    }
}

/// Cuts `chunk` into lines and gives them to `emit`; what is left over stays in `partial`.
/// Says whether `partial` began anew in this chunk.
pub(crate) fn split(partial: &mut Vec<u8>, chunk: &[u8], mut emit: impl FnMut(Piece<'_>)) -> bool {
    let mut rest = chunk;
    let mut fresh = partial.is_empty();
    while !rest.is_empty() {
        let (mut body, ended) = match line::newline(rest) {
            Some(place) => (&rest[..place], true),
            None => (rest, false),
        };
        rest = &rest[body.len() + usize::from(ended)..];
        while body.len() > PIECE_MAX - partial.len() {
            let (now, later) = body.split_at(PIECE_MAX - partial.len());
            emit(Piece { ending: Ending::Piece, head: partial, tail: now });
            partial.clear();
            fresh = true;
            body = later;
        }
        if ended {
            emit(Piece { ending: Ending::Full, head: partial, tail: body });
            partial.clear();
            fresh = true;
        } else {
            partial.extend_from_slice(body);
        }
    }
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out for `input` given in chunks of `size`.
    fn cut(input: &[u8], size: usize) -> (Vec<(Ending, usize)>, Vec<u8>, Vec<u8>) {
        let (mut shape, mut bytes, mut partial) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in input.chunks(size) {
            split(&mut partial, chunk, |piece| {
                shape.push((piece.ending, piece.head.len() + piece.tail.len()));
                bytes.extend_from_slice(piece.head);
                bytes.extend_from_slice(piece.tail);
                if piece.ending == Ending::Full {
                    bytes.push(b'\n');
                }
            });
        }
        (shape, bytes, partial)
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let mut input = b"one\n\ntwo\0\xff\n".to_vec();
        for len in [PIECE_MAX - 1, PIECE_MAX, PIECE_MAX + 1, 3 * PIECE_MAX, 50_000] {
            input.extend(std::iter::repeat_n(b'x', len));
            input.push(b'\n');
        }
        input.extend_from_slice(b"rest");
        let (shape, bytes, partial) = cut(&input, input.len());
        assert_eq!([&bytes[..], &partial].concat(), input);
        assert_eq!(partial, b"rest");
        assert!(shape.iter().all(|(_, len)| *len <= PIECE_MAX));
        let lines = shape.iter().filter(|(ending, _)| *ending == Ending::Full).count();
        assert_eq!(lines, 8);
        for size in [1, 2, 3, 7, 4096, PIECE_MAX, PIECE_MAX + 1, 65_536] {
            assert_eq!(cut(&input, size), (shape.clone(), bytes.clone(), partial.clone()));
        }
    }
}
