//! The end of the driver: what is still to be written is, and whoever waits is told.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Driver, Fact};

/// How long event sinks may take for the last events; the rest comes at the next start.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// How long the last output and the last events may take to reach the disk.
pub(super) const LAST_WRITES: Duration = Duration::from_secs(5);

impl Driver {
    /// The last things: no output is lost, the journal is on disk, then whoever waits for
    /// the end is told.
    pub(super) async fn end(mut self, code: i32) {
        self.waiters.give_up();
        self.run_last_hooks().await;
        let capture = self.capture.clone();
        aside(move || {
            if let Err(error) = capture.shutdown(LAST_WRITES) {
                tracing::warn!("{error}");
            }
        })
        .await;
        self.take_last_facts();
        self.close_table().await;
        let sockets = std::mem::take(&mut self.sockets);
        let cgroups = self.runs.cgroups().ok().cloned();
        aside(move || {
            sockets.close_all();
            if let Some(cgroups) = cgroups {
                cgroups.remove();
            }
        })
        .await;
        self.news.supervisor_stopped(code);
        self.sinks.finish(LAST_EVENTS).await;
        let plugins = self.plugins.clone();
        aside(move || {
            if !plugins.close(LAST_WRITES) {
                tracing::warn!("cannot write what plugins remember within {LAST_WRITES:?}");
            }
        })
        .await;
        let journal = self.news.journal().clone();
        aside(move || {
            if !journal.close(LAST_WRITES) {
                tracing::warn!("cannot finish writing the journal within {LAST_WRITES:?}");
            }
        })
        .await;
        drop(self.holder.take());
        let _ = self.ended.send(Some(code));
    }

    /// What came after the core had ended: output that was lost is told of, and a process
    /// that was made too late is not left behind.
    fn take_last_facts(&mut self) {
        self.incoming.close();
        while let Ok(fact) = self.incoming.try_recv() {
            match fact {
                Fact::Made(_, Ok(made)) => made.kill(),
                Fact::Begun(_, Ok(begun)) => begun.kill(),
                Fact::Log(fact) => self.news.log_fact(&fact),
                Fact::Plugin(fact) => self.news.plugin_fact(&fact),
                Fact::Made(_, Err(_))
                | Fact::Begun(_, Err(_))
                | Fact::Task(..)
                | Fact::Input(_)
                | Fact::RestEnded(..)
                | Fact::Outlived(_)
                | Fact::Unlimited(..)
                | Fact::Notified(..)
                | Fact::WordClosed(..)
                | Fact::Loaded(_)
                | Fact::Prepared(..)
                | Fact::Table(_)
                | Fact::Home(_)
                | Fact::HookEnded(_)
                | Fact::HooksOver
                | Fact::SinksReady(_) => {}
            }
        }
    }
}

/// Does what blocks on a thread of its own, and returns when it is done: at the end all
/// threads for blocking work may be held up by a file system.
pub(super) async fn aside(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("kennel-end".into()).spawn(move || {
        work();
        let _ = done.send(());
    });
    match thread {
        // It fails when the work panicked, which was reported.
        Ok(_) => drop(is_done.await),
        Err(error) => tracing::error!("cannot finish what is still to be written: {error}"),
    }
}
