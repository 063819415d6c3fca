//! What a program can ask of its supervisor, each as one call that says what really happened.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Events, Supervised};
use crate::handle::{Change, ChangeError, Handle, Outcome, Request, Verb, VerbError, Wait};

/// As long as it takes.
const WAIT: Wait = Wait::UpTo(Duration::MAX);

impl Handle {
    /// Wants a service or an instance up, and with it what it requires; returns when it is. A
    /// oneshot that is done runs again.
    ///
    /// # Errors
    /// [`VerbError::Failed`] when it does not come up, at the first failed attempt; what goes on
    /// after that is up to its restart policy.
    pub async fn start(&self, name: &str) -> Result<Vec<Outcome>, VerbError> {
        self.carry_out(Verb::Start, name).await
    }

    /// Wants a service or an instance down; returns when it is.
    ///
    /// # Errors
    /// [`VerbError::Failed`] when it was wanted up again meanwhile.
    pub async fn stop(&self, name: &str) -> Result<Vec<Outcome>, VerbError> {
        self.carry_out(Verb::Stop, name).await
    }

    /// Wants a new run of a service or an instance; returns when it is up.
    ///
    /// # Errors
    /// As of [`Handle::start`].
    pub async fn restart(&self, name: &str) -> Result<Vec<Outcome>, VerbError> {
        self.carry_out(Verb::Restart, name).await
    }

    /// Forgets the failures of a service or an instance; one that has failed is tried again.
    ///
    /// # Errors
    /// It is unknown, or the supervisor has ended.
    pub async fn reset(&self, name: &str) -> Result<Vec<Outcome>, VerbError> {
        self.carry_out(Verb::Reset, name).await
    }

    /// Wants so many instances of a service, 1 to 1000; returns when all are up.
    ///
    /// # Errors
    /// As of [`Handle::start`]; [`VerbError::Replicas`] for another number.
    pub async fn scale(&self, name: &str, to: u32) -> Result<Vec<Outcome>, VerbError> {
        self.carry_out(Verb::Scale(to), name).await
    }

    async fn carry_out(&self, verb: Verb, name: &str) -> Result<Vec<Outcome>, VerbError> {
        succeeded(self.act(verb, vec![name.to_owned()], WAIT).await?)
    }

    /// Returns when a service or an instance is up, or done, without wanting anything of it.
    ///
    /// # Errors
    /// [`VerbError::Failed`] when it backs off, has failed or was stopped.
    pub async fn until_up(&self, name: &str) -> Result<Vec<Outcome>, VerbError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Await { names: vec![name.to_owned()], reply };
        self.requests.send(request).await.map_err(|_| VerbError::Stopped)?;
        succeeded(answer.await.map_err(|_| VerbError::Stopped)??)
    }

    /// Adds a service while the others run; returns when it is up, or at once if it is not
    /// wanted up.
    ///
    /// # Errors
    /// Everything that is wrong with it; then nothing was changed. [`ChangeError::Failed`] when it
    /// was added and does not come up.
    pub async fn add(&self, service: impl Supervised) -> Result<Vec<Outcome>, ChangeError> {
        self.change(Change::Add(service.define())).await
    }

    /// Changes the service of the same name that the program has described. What runs is
    /// replaced only where that is needed; a task is always, since its code is another. Returns
    /// when it is up.
    ///
    /// # Errors
    /// As of [`Handle::add`].
    pub async fn replace(&self, service: impl Supervised) -> Result<Vec<Outcome>, ChangeError> {
        self.change(Change::Replace(service.define())).await
    }

    /// Stops and removes a service that the program has described; returns when nothing of it
    /// is left.
    ///
    /// # Errors
    /// [`ChangeError::Invalid`] when others need it.
    pub async fn remove(&self, name: &str) -> Result<Vec<Outcome>, ChangeError> {
        self.change(Change::Remove(name.to_owned())).await
    }

    async fn change(&self, change: Change) -> Result<Vec<Outcome>, ChangeError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Change { change: Box::new(change), reply };
        self.requests.send(request).await.map_err(|_| ChangeError::Stopped)?;
        let later = answer.await.map_err(|_| ChangeError::Stopped)??;
        let outcomes = later.await.map_err(|_| ChangeError::Stopped)?;
        outcomes.and_then(succeeded).map_err(|error| match error {
            VerbError::Failed { outcomes } => ChangeError::Failed { outcomes },
            VerbError::UnknownService { name, near: _ } => ChangeError::Unknown { name },
            VerbError::ShuttingDown => ChangeError::ShuttingDown,
            // No change has a number.
            VerbError::Replicas { .. } | VerbError::Stopped => ChangeError::Stopped,
        })
    }

    /// What happens from now on, as a stream that tells how many events it has missed.
    pub fn subscribe(&self) -> Events {
        Events::new(self.journal.clone(), self.ended.clone())
    }

    /// Returns when the supervisor has ended and nothing of it is left, with 0, or with 1 when
    /// a service that gave up wanted it so or the supervisor could not go on. Resolves in any
    /// case, also of one that was never started.
    pub async fn stopped(&self) -> i32 {
        self.ended().await
    }
}

fn succeeded(outcomes: Vec<Outcome>) -> Result<Vec<Outcome>, VerbError> {
    if outcomes.iter().all(|outcome| outcome.success) {
        Ok(outcomes)
    } else {
        Err(VerbError::Failed { outcomes })
    }
}
