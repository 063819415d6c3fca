//! The threads that run plugins: each with a runtime of its own, none of it shared with
//! supervision or with the embedding program.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fault::Fault;

/// Threads for the lookups of names that plugins make themselves.
const BLOCKING_THREADS: usize = 2;

/// All of them. They end when this is dropped, and drop what they still run.
pub(crate) struct Workers {
    all: Vec<Worker>,
}

struct Worker {
    handle: Handle,
    load: Arc<AtomicUsize>,
    /// The thread ends when this is dropped.
    _alive: oneshot::Sender<()>,
}

/// A call on one of the threads. It ends when this is dropped.
pub(crate) struct Running<T> {
    task: JoinHandle<Result<T, Fault>>,
}

struct Loaded(Arc<AtomicUsize>);

impl Workers {
    /// Starts so many threads, at least one. `kept` lives as long as any of them.
    pub(crate) fn start<K>(count: usize, kept: &Arc<K>) -> io::Result<Self>
    where
        K: Send + Sync + 'static,
    {
        let one = |number| Worker::start(number, Arc::clone(kept));
        Ok(Self { all: (0..count.max(1)).map(one).collect::<io::Result<_>>()? })
    }

    /// Runs `work` on the thread that has the least to do.
    pub(crate) fn run<T, F>(&self, work: F) -> Running<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let mut least = &self.all[0];
        for worker in &self.all[1..] {
            if worker.load.load(Ordering::Relaxed) < least.load.load(Ordering::Relaxed) {
                least = worker;
            }
        }
        least.load.fetch_add(1, Ordering::Relaxed);
        let loaded = Loaded(Arc::clone(&least.load));
        let task = least.handle.spawn(async move {
            let _loaded = loaded;
            work.await
        });
        Running { task }
    }
}

impl Worker {
    fn start<K: Send + Sync + 'static>(number: usize, kept: Arc<K>) -> io::Result<Self> {
        let (alive, dead) = oneshot::channel::<()>();
        // Built here, so that an error has somewhere to go.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("kennel-plugin-d")
            .build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new().name(format!("kennel-plugin-{number}")).spawn(move || {
            let _kept = kept;
            // What comes is that the sender is gone.
            let _ = runtime.block_on(dead);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, load: Arc::new(AtomicUsize::new(0)), _alive: alive })
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Future for Running<T> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx).map(|ended| match ended {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(Fault::Trap("the host failed".into())),
            // Cancelled: the runtime has ended.
            Err(_) => Err(Fault::Gone),
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
