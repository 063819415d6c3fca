//! The task that reads the notification socket of one run.
//!
//! It ends when the last [`Flush`] is dropped, which is when the run is over. Nothing is read
//! while the [`Gate`] is closed, unless for somebody who has passed it.
//!
//! Who spoke while nothing was read may have ended since, though it waited longer than any
//! helper has to. So what lies in the socket then counts by the user who sent it: the kernel
//! keeps that with each message.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::RunId;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::super::launch::{Descent, Job};
use super::super::{Fact, Facts};
use super::family::{Family, Proc, Registry, Standing};
use super::heard::{Heard, NewMain};
use super::ignored::Ignored;
use super::message::{self, MESSAGE_BYTES_MAX, Message, Word};
use crate::gate::{Gate, Pass};
use crate::os::{Cgroup, Datagram, NotifySocket, Process, proc};

/// How many messages are read at a time.
const BATCH: usize = 64;

/// How long lies between the beginnings of two batches.
const PACE: Duration = Duration::from_millis(10);

/// How often a socket is looked at that cannot be watched.
const POLL: Duration = Duration::from_millis(100);

/// How many batches somebody waits for at most who wants to know all that was said.
const FLUSH_BATCHES: u32 = 32;

/// How many batches can have come while nothing was read: a socket has room for
/// `net.unix.max_dgram_qlen` messages, for which systemd has 512.
const UNHEARD_BATCHES: u32 = 8;

/// Keeps a listener at work, and asks it to read what has come by now.
#[derive(Clone)]
pub(in super::super) struct Flush(mpsc::Sender<Asker>, Arc<NotifySocket>);

/// Somebody who waits until all that has come by now was taken.
struct Asker {
    pass: Pass,
    done: oneshot::Sender<()>,
}

impl Flush {
    /// The socket that it listens to.
    pub(in super::super) fn socket(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }

    /// Returns when all that was said before this call has been taken by the driver; of a
    /// service that goes on and on, a good deal of it.
    pub(in super::super) async fn flush(&self, pass: &Pass) {
        let (done, is_done) = oneshot::channel();
        if self.0.send(Asker { pass: pass.clone(), done }).await.is_ok() {
            // An error means that the listener is gone: there is nothing to wait for.
            let _ = is_done.await;
        }
    }
}

/// Listens to the run whose process is `spawned`.
pub(super) fn start(
    job: &Job,
    spawned: i32,
    cgroup: Option<Cgroup>,
    descent: &Descent,
    socket: NotifySocket,
    gate: &Gate,
) -> Flush {
    let own_pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let mut family = Family::new(own_pid, spawned, job.mark()).within(cgroup);
    let is_taken_over = match descent {
        Descent::Started => false,
        Descent::TakenOver { named } => {
            family = family.taken_over();
            if let Some(named) = named {
                family.adopt(named.pid(), &Proc);
            }
            true
        }
    };
    let mut judge = Judge::new(family, spawned);
    if is_taken_over {
        judge.has_not_read();
    }
    begin(job.run, socket, judge, gate.clone(), job.facts.clone())
}

fn begin(run: RunId, socket: NotifySocket, judge: Judge, gate: Gate, facts: Facts) -> Flush {
    let (flush, flushes) = mpsc::channel(4);
    let socket = Arc::new(socket);
    tokio::spawn(listen(run, Arc::clone(&socket), judge, gate, facts, flushes));
    Flush(flush, socket)
}

async fn listen(
    run: RunId,
    socket: Arc<NotifySocket>,
    mut judge: Judge,
    gate: Gate,
    facts: Facts,
    mut flushes: mpsc::Receiver<Asker>,
) {
    let watch = NotifySocket::watch(Arc::clone(&socket));
    if let Err(error) = &watch {
        tracing::warn!("cannot watch what run {run} says, it is looked at now and then: {error}");
    }
    let watch = watch.ok();
    let mut waiting: Vec<Asker> = Vec::new();
    let mut batches_waited = 0;
    let mut is_drained = false;
    loop {
        if is_drained {
            tokio::select! {
                () = readable(watch.as_ref()) => {}
                flush = flushes.recv() => match flush {
                    Some(flush) => waiting.push(flush),
                    None => break,
                },
            }
        }
        match flushes.try_recv() {
            Ok(flush) => waiting.push(flush),
            Err(mpsc::error::TryRecvError::Disconnected) => break,
            Err(mpsc::error::TryRecvError::Empty) => {}
        }
        let pass = match waiting.last() {
            Some(asker) => asker.pass.clone(),
            None => match gate.try_enter() {
                Some(pass) => pass,
                None => {
                    judge.has_not_read();
                    tokio::select! {
                        pass = gate.enter() => pass,
                        flush = flushes.recv() => match flush {
                            Some(flush) => {
                                let pass = flush.pass.clone();
                                waiting.push(flush);
                                pass
                            }
                            None => break,
                        },
                    }
                }
            },
        };
        let begun = Instant::now();
        let reading = Arc::clone(&socket);
        let read = tokio::task::spawn_blocking(move || {
            let batch = judge.read(&reading);
            (judge, batch)
        });
        // An error means that the runtime ends.
        let Ok((back, batch)) = read.await else { return };
        judge = back;
        is_drained = batch.is_drained;
        if !take(run, batch, &facts).await {
            return;
        }
        batches_waited += 1;
        if is_drained || batches_waited >= FLUSH_BATCHES {
            batches_waited = 0;
            for asker in waiting.drain(..) {
                // Who asked may have gone.
                let _ = asker.done.send(());
            }
        }
        drop(pass);
        tokio::time::sleep_until(begun + PACE).await;
    }
    // Closing removes a path, which may wait for a disk.
    drop(watch);
    drop(tokio::task::spawn_blocking(move || drop(socket)));
}

/// Returns when there may be something to read.
async fn readable(watch: Option<&AsyncFd<Arc<NotifySocket>>>) {
    match watch {
        Some(watch) => match watch.readable().await {
            // Before the socket is read, so that what comes later shows again.
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => tokio::time::sleep(POLL).await,
        },
        None => tokio::time::sleep(POLL).await,
    }
}

/// Has the driver take a batch, then lets barriers fall; false: there is no driver any more.
async fn take(run: RunId, batch: Batch, facts: &Facts) -> bool {
    let Batch { words, messages, main, ignored, barriers, is_drained: _ } = batch;
    if !words.is_empty() || ignored.count > 0 {
        let (taken, is_taken) = oneshot::channel();
        let heard = Heard { words, messages, main, ignored, taken };
        if facts.send(Fact::Notified(run, heard)).is_err() {
            return false;
        }
        // An error means that the driver has ended meanwhile, or dropped it: taken too.
        let _ = is_taken.await;
    }
    if !barriers.is_empty() {
        // Somebody may have sent a descriptor whose close hangs.
        drop(tokio::task::spawn_blocking(move || drop(barriers)));
    }
    true
}

/// What was read at a time.
struct Batch {
    words: Vec<Word>,
    /// How many messages they came in.
    messages: u64,
    main: Option<NewMain>,
    ignored: Ignored,
    /// Descriptors of barriers, to be closed when all before was taken.
    barriers: Vec<OwnedFd>,
    /// Whether nothing more was there.
    is_drained: bool,
}

/// Who decides what counts.
struct Judge {
    family: Family,
    spawned: i32,
    /// The main process as it was named last.
    main: i32,
    /// How many batches may still come from when nothing was read.
    unheard: u32,
    buffer: Vec<u8>,
}

impl Judge {
    fn new(family: Family, spawned: i32) -> Judge {
        Judge { family, spawned, main: spawned, unheard: 0, buffer: vec![0; MESSAGE_BYTES_MAX + 2] }
    }

    /// Nothing was read for a while.
    fn has_not_read(&mut self) {
        self.unheard = UNHEARD_BATCHES;
    }

    /// What the sender of a message is to the run.
    fn standing(&mut self, message: &Datagram) -> Standing {
        let Some(pid) = message.sender else { return Standing::Stranger };
        let standing = self.family.standing(pid, &Proc);
        let could_be_seen = self.unheard == 0 || standing != Standing::Gone;
        if !could_be_seen && message.uid.is_some() && message.uid == proc::owner(self.spawned).ok()
        {
            return Standing::Member;
        }
        standing
    }

    /// Reads what there is. Blocks as long as `/proc` does, and as closing descriptors does.
    fn read(&mut self, socket: &NotifySocket) -> Batch {
        let mut batch = Batch {
            words: Vec::new(),
            messages: 0,
            main: None,
            ignored: Ignored::default(),
            barriers: Vec::new(),
            is_drained: false,
        };
        for _ in 0..BATCH {
            let datagram = match socket.receive(&mut self.buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => {
                    batch.is_drained = true;
                    break;
                }
                Err(error) => {
                    tracing::debug!("cannot read a notification: {error}");
                    continue;
                }
            };
            let standing = self.standing(&datagram);
            if standing != Standing::Member {
                batch.ignored.from(datagram.sender, standing);
                continue;
            }
            match message::parse(&self.buffer[..datagram.bytes], datagram.is_cut) {
                Ok(Message::Barrier) => batch.barriers.extend(datagram.descriptors),
                Ok(Message::Words(words)) => {
                    batch.messages += 1;
                    for word in words {
                        self.add(word, &mut batch);
                    }
                }
                Err(why) => batch.ignored.unreadable(why),
            }
        }
        self.unheard = if batch.is_drained { 0 } else { self.unheard.saturating_sub(1) };
        batch
    }

    fn add(&mut self, word: Word, batch: &mut Batch) {
        if let Word::MainPid(pid) = word {
            if pid == self.main {
                return;
            }
            match self.new_main(pid) {
                Ok(main) => batch.main = Some(main),
                Err(why) => return batch.ignored.main_pid(pid, why),
            }
            self.main = pid;
        }
        message::push(&mut batch.words, word);
    }

    fn new_main(&mut self, pid: i32) -> Result<NewMain, &'static str> {
        if pid == self.spawned {
            return Ok(NewMain::Spawned);
        }
        match self.family.standing(pid, &Proc) {
            Standing::Member if Proc.place(pid).is_some() => {}
            Standing::Stranger => return Err("is no part of the service"),
            Standing::Member | Standing::Gone => return Err("does not exist"),
        }
        let adopted = proc::start_time(pid).and_then(|began| Process::adopt(pid, began));
        let Ok(process) = adopted else { return Err("does not exist") };
        self.family.adopt(pid, &Proc);
        Ok(NewMain::Named(Arc::new(process)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, IoSlice, Read as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixDatagram;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;
    use crate::os::{NotifyName, RunMark, StateId};

    const BOUND: Duration = Duration::from_secs(20);

    /// Longer than the listener takes to read on by a multiple: a mistake would show, and a
    /// slow machine makes no test fail.
    const LONG: Duration = Duration::from_millis(200);

    struct Fixture {
        flush: Flush,
        gate: Gate,
        facts: mpsc::UnboundedReceiver<Fact>,
        sender: UnixDatagram,
        _dir: tempfile::TempDir,
    }

    /// A listener to this very process.
    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = NotifySocket::bind(NotifyName::Path(path.clone())).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let mark = RunMark { state: StateId(1), run: 1 };
        let judge = Judge::new(Family::new(-1, pid, mark), pid);
        let (facts_in, facts) = mpsc::unbounded_channel();
        let gate = Gate::default();
        let flush = begin(RunId(1), socket, judge, gate.clone(), facts_in);
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        Fixture { flush, gate, facts, sender, _dir: dir }
    }

    impl Fixture {
        async fn heard(&mut self) -> Heard {
            match tokio::time::timeout(BOUND, self.facts.recv()).await.unwrap() {
                Some(Fact::Notified(RunId(1), heard)) => heard,
                _ => panic!("another fact"),
            }
        }
    }

    #[tokio::test]
    async fn a_barrier_falls_when_the_driver_has_taken_what_came_before() {
        let mut fixture = fixture();
        fixture.sender.send(b"READY=1").unwrap();
        let (reader, writer) = crate::os::ready_pipe().unwrap();
        let writers = [writer.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&writers)];
        let text = [IoSlice::new(b"BARRIER=1")];
        sendmsg::<()>(fixture.sender.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).unwrap();
        drop(writer);
        let mut reader = std::fs::File::from(reader);
        let heard = fixture.heard().await;
        assert_eq!(heard.words, [Word::Ready]);
        let not_yet = reader.read(&mut [0]).unwrap_err();
        assert_eq!(not_yet.kind(), ErrorKind::WouldBlock, "the barrier still stands");
        drop(heard);
        let begun = Instant::now();
        while reader.read(&mut [0]).is_err() {
            assert!(begun.elapsed() < BOUND, "the barrier does not fall");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn nothing_is_read_before_the_driver_has_taken_what_was_read() {
        let mut fixture = fixture();
        fixture.sender.send(b"STATUS=first").unwrap();
        let first = fixture.heard().await;
        // As many as fit; the rest would wait.
        fixture.sender.set_nonblocking(true).unwrap();
        let sent = (0..200).take_while(|_| fixture.sender.send(b"STATUS=x\nWATCHDOG=1").is_ok());
        assert!(sent.count() > 0);
        assert!(tokio::time::timeout(LONG, fixture.facts.recv()).await.is_err());
        drop(first);
        let second = fixture.heard().await;
        assert_eq!(second.words, [Word::Status("x".into()), Word::Alive], "each kind once");
    }

    #[tokio::test]
    async fn a_flush_returns_when_the_driver_has_taken_all_that_had_come() {
        let mut fixture = fixture();
        fixture.sender.send(b"ERRNO=2").unwrap();
        let (flush, pass) = (fixture.flush.clone(), fixture.gate.enter().await);
        let mut flushing = tokio::spawn({
            let pass = pass.clone();
            async move { flush.flush(&pass).await }
        });
        let heard = fixture.heard().await;
        assert_eq!(heard.words, [Word::Errno(2)]);
        assert!(tokio::time::timeout(LONG, &mut flushing).await.is_err(), "it was not taken");
        drop(heard);
        tokio::time::timeout(BOUND, flushing).await.unwrap().unwrap();
        // Without anything to read it returns as well, and so it does when there is nobody.
        tokio::time::timeout(BOUND, fixture.flush.flush(&pass)).await.unwrap();
        drop(fixture.facts);
        fixture.sender.send(b"READY=1").unwrap();
        tokio::time::timeout(BOUND, fixture.flush.flush(&pass)).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_read_while_the_gate_is_closed_but_for_who_has_passed_it() {
        let mut fixture = fixture();
        let pass = fixture.gate.enter().await;
        // It has read for the first time, for which it may have passed the gate.
        tokio::time::timeout(BOUND, fixture.flush.flush(&pass)).await.unwrap();
        let gate = fixture.gate.clone();
        let closing = tokio::spawn(async move { gate.close(BOUND).await });
        while fixture.gate.try_enter().is_some() {
            tokio::task::yield_now().await;
        }
        fixture.sender.send(b"ERRNO=2").unwrap();
        assert!(tokio::time::timeout(LONG, fixture.facts.recv()).await.is_err());
        // An exit that was seen is told with what was said before it.
        let flush = fixture.flush.clone();
        let flushing = tokio::spawn(async move { flush.flush(&pass).await });
        assert_eq!(fixture.heard().await.words, [Word::Errno(2)]);
        tokio::time::timeout(BOUND, flushing).await.unwrap().unwrap();
        let closed = tokio::time::timeout(BOUND, closing).await.unwrap().unwrap();
        fixture.sender.send(b"READY=1").unwrap();
        assert!(tokio::time::timeout(LONG, fixture.facts.recv()).await.is_err());
        drop(closed);
        assert_eq!(fixture.heard().await.words, [Word::Ready]);
    }
}
