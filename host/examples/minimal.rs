//! A process and a task under one supervisor, in as few lines as possible.
//!
//!     cargo run -p kennel --example minimal

use std::time::Duration;

use kennel::{Seen, Service, Supervisor};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let state = std::env::temp_dir().join(format!("kennel-minimal-{}", std::process::id()));
    let supervisor = Supervisor::builder()
        .state_dir(&state)
        .service(Service::command("worker", ["sleep", "1000"]))
        .task("counter", |context| async move {
            for number in 1.. {
                context.status(format!("counted to {number}"));
                tokio::select! {
                    () = context.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
            }
        })
        .start()
        .await?;

    let mut events = supervisor.subscribe();
    for outcome in supervisor.handle().restart("worker").await? {
        println!("{}: {}", outcome.name, outcome.message);
    }
    supervisor.shutdown().await?;
    while let Some(Seen::Event(event)) = events.next().await {
        println!("{} {}", event.service.as_deref().unwrap_or("supervisor"), event.message);
    }
    std::fs::remove_dir_all(state)?;
    Ok(())
}
