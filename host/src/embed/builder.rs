//! What a supervisor inside a program is made of.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::Supervisor;
use super::keys::written;
use super::supervisor::Extras;
use super::{Group, Keys, Sink, Supervised, Task};
use crate::config::{self, ConfigErrors, Environment, Written};
use crate::fake_clock::FakeClock;
use crate::hooks::{self, Hook};
use crate::logs::Console;
use crate::supervisor::{Builder, StartError};
use crate::task::{TaskContext, TaskOutput};

/// What becomes of everything that runs when the [`Supervisor`] is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnDrop {
    /// It is killed at once. Dropping waits for that, a second at most.
    /// [`Supervisor::shutdown`] is the way to stop in order.
    #[default]
    Stop,
    /// Supervision goes on for as long as the program does; services outlive it.
    Detach,
}

/// What a supervisor inside a program is made of. Nothing is looked at before
/// [`SupervisorBuilder::start`]; then all that is wrong is told at once.
#[must_use]
pub struct SupervisorBuilder {
    written: Written,
    settings: Keys,
    file: Option<PathBuf>,
    environment: Option<Environment>,
    on_drop: OnDrop,
    console: Option<Console>,
    uses_cgroups: bool,
    hooks: Vec<Hook>,
    clock: Option<FakeClock>,
}

impl SupervisorBuilder {
    pub(crate) fn new() -> SupervisorBuilder {
        SupervisorBuilder {
            written: Written::default(),
            settings: Keys::default(),
            file: None,
            environment: None,
            on_drop: OnDrop::default(),
            console: None,
            uses_cgroups: false,
            hooks: Vec::new(),
            clock: None,
        }
    }

    /// Supervises this too.
    pub fn service(mut self, service: impl Supervised) -> SupervisorBuilder {
        self.written.services.push(service.define());
        self
    }

    /// Supervises a future too, as [`Task::new`] describes.
    pub fn task<F, Fut>(self, name: impl Into<String>, body: F) -> SupervisorBuilder
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: TaskOutput,
    {
        self.service(Task::new(name, body))
    }

    /// Supervises what is in this group too.
    pub fn group(mut self, group: Group) -> SupervisorBuilder {
        let (group, services) = group.define();
        self.written.groups.push(group);
        self.written.services.extend(services);
        self
    }

    /// Gives events to this sink too.
    pub fn sink(mut self, sink: Sink) -> SupervisorBuilder {
        self.written.sinks.push(sink.define());
        self
    }

    /// Supervises the services of this file too, which [`Handle::reload`] reads again.
    ///
    /// [`Handle::reload`]: crate::Handle::reload
    pub fn config_from_file(mut self, file: impl Into<PathBuf>) -> SupervisorBuilder {
        self.file = Some(file.into());
        self
    }

    /// What `${VAR}` in the file is looked up in, instead of the environment of the program.
    pub fn environment(mut self, environment: Environment) -> SupervisorBuilder {
        self.environment = Some(environment);
        self
    }

    /// Names the supervisor, and unless said otherwise its state directory. Unless said
    /// otherwise the name is the file's, or the program's.
    pub fn name(self, name: impl Into<String>) -> SupervisorBuilder {
        self.set("name", name.into())
    }

    /// Keeps state, events and output of services there. Several supervisors of one program
    /// need one each.
    pub fn state_dir(self, dir: impl Into<PathBuf>) -> SupervisorBuilder {
        self.set("state_dir", dir.into().to_string_lossy().into_owned())
    }

    /// Kills what is left when an orderly shutdown has taken that long, counted from the end of
    /// the hooks of [`on_shutdown`](SupervisorBuilder::on_shutdown), which have times of their own.
    pub fn shutdown_timeout(self, timeout: Duration) -> SupervisorBuilder {
        self.set("shutdown_timeout", written(timeout))
    }

    /// Sets any key under `kennel` of a configuration file.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> SupervisorBuilder {
        self.settings.set(key, value);
        self
    }

    /// What becomes of everything that runs when the [`Supervisor`] is dropped.
    pub fn on_drop(mut self, on_drop: OnDrop) -> SupervisorBuilder {
        self.on_drop = on_drop;
        self
    }

    /// Where the output of services with `logs.to: inherit` goes. Unless said otherwise to the
    /// standard output of the program.
    pub fn console(mut self, console: Console) -> SupervisorBuilder {
        self.console = Some(console);
        self
    }

    /// Makes a cgroup for each run where that is possible. This program may be moved to
    /// another cgroup for it, so it is off unless asked for.
    pub fn with_cgroups(mut self) -> SupervisorBuilder {
        self.uses_cgroups = true;
        self
    }

    /// Does this at an orderly shutdown before anything is stopped, so what it needs is still
    /// up: to shut a server down, to leave a load balancer. Hooks run on the tokio runtime on
    /// which the supervisor was started, the last one first, one after the other; one that is
    /// not done within `timeout` is aborted. How each went is told (`supervisor.hook`).
    ///
    /// They also run when a part fails to start, and last when the supervisor ends by itself,
    /// since a service gives up. They do not when the supervisor is dropped, or when somebody
    /// wants everything killed at once, which aborts the one that runs.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let state = tempfile::tempdir()?;
    /// use std::time::Duration;
    /// use kennel::{Service, Supervisor};
    ///
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let app = axum::Router::new();
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let server = tokio::spawn(async move {
    ///     let until = async { drop(stopped.await) };
    ///     axum::serve(listener, app).with_graceful_shutdown(until).await
    /// });
    /// let supervisor = Supervisor::builder()
    /// #   .state_dir(state.path())
    ///     .service(Service::command("database", ["sleep", "1000"]))
    ///     .on_shutdown("http", Duration::from_secs(30), async move || {
    ///         drop(stop);
    ///         server.await?
    ///     })
    ///     .start()
    ///     .await?;
    /// // Requests that are under way are finished, then the database is stopped.
    /// supervisor.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_shutdown<F, Fut>(
        mut self,
        name: impl Into<String>,
        timeout: Duration,
        hook: F,
    ) -> SupervisorBuilder
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: TaskOutput,
    {
        let work = Box::new(move || -> hooks::Work {
            let future = hook();
            Box::pin(async move { future.await.into_result() })
        });
        self.hooks.push(Hook { name: name.into(), timeout, work });
        self
    }

    /// Decides by this clock instead of that of the machine; for tests.
    pub fn clock(mut self, clock: &FakeClock) -> SupervisorBuilder {
        self.clock = Some(clock.clone());
        self
    }

    /// Checks everything, starts it, and returns when all is up.
    ///
    /// Supervision has a thread of its own. Tasks run on the tokio runtime on which this is
    /// called; without tasks none is needed.
    ///
    /// # Errors
    /// Everything that is wrong with what was described; then nothing was started. When a
    /// service fails on its first attempt to start, all that had started is stopped in reverse
    /// order before the error returns. The same when the future is dropped before it is done,
    /// except that all is killed.
    pub async fn start(self) -> Result<Supervisor, StartError> {
        let supervisor = self.launch().await?;
        supervisor.until_all_up().await?;
        Ok(supervisor)
    }

    /// Like [`SupervisorBuilder::start`], and returns as soon as supervision has begun.
    ///
    /// # Errors
    /// Everything that is wrong with what was described; then nothing was started.
    pub async fn launch(mut self) -> Result<Supervisor, StartError> {
        let on_drop = self.on_drop;
        let extras = Extras { hooks: std::mem::take(&mut self.hooks), clock: self.clock.take() };
        Supervisor::launch(move || self.check(), extras, on_drop).await
    }

    fn check(self) -> Result<Builder, ConfigErrors> {
        let SupervisorBuilder {
            mut written,
            settings: Keys(settings),
            file,
            environment,
            on_drop: _,
            console,
            uses_cgroups,
            hooks: _,
            clock: _,
        } = self;
        written.settings = settings;
        // Without one, relative paths cannot mean anything.
        written.directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let environment = environment.unwrap_or_else(Environment::current);
        let loaded = config::load_written(file.as_deref(), &written, &environment)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let mut builder = Builder::of(loaded, file, environment, written);
        if let Some(console) = console {
            builder = builder.console(console);
        }
        Ok(if uses_cgroups { builder } else { builder.without_cgroups() })
    }
}
