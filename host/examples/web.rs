//! A web application that supervises its worker process, its background task and its own HTTP
//! server, and shows how they are on /healthz. SIGTERM and Ctrl-C end it in order: requests that
//! are under way are finished, then the worker is stopped.
//!
//!     cargo run -p kennel --example web -- 127.0.0.1:8080
//!     curl http://127.0.0.1:8080/healthz

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use kennel::{Handle, Service, Supervisor, Task, TaskContext};
use tokio::signal::unix::{SignalKind, signal};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[allow(dead_code)] // The test of this example calls `start`.
#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let state = std::env::temp_dir().join(format!("kennel-web-{}", std::process::id()));
    // The signals are the program's: the library touches none. One that comes before all is up is
    // heard then; it does not end the program and leave the worker behind.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let supervisor = start(TcpListener::bind(&address)?, &state).await?;
    println!("listening on {address}");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = supervisor.stopped() => {}
    }
    supervisor.shutdown().await?;
    std::fs::remove_dir_all(state)?;
    Ok(())
}

pub(crate) async fn start(listener: TcpListener, state: &Path) -> Result<Supervisor, Error> {
    let supervisor = Supervisor::builder()
        .state_dir(state)
        .service(Service::shell("worker", "while :; do sleep 1; done"))
        .service(Task::new("sweeper", sweep).depends_on("worker"))
        .start()
        .await?;
    // The server shows the others, so it comes when they are up, and goes before them.
    let handle = supervisor.handle().clone();
    let server =
        Task::new("server", move |context| serve(context, handle.clone(), listener.try_clone()))
            .depends_on("sweeper")
            .stop_within(Duration::from_secs(30));
    supervisor.handle().add(server).await?;
    Ok(supervisor)
}

/// The background task.
async fn sweep(context: TaskContext) -> Result<(), Error> {
    let mut swept = 0;
    while !context.is_cancelled() {
        swept += 1;
        context.status(format!("swept {swept} times"));
        tokio::select! {
            () = context.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
    Ok(())
}

/// What the routes know.
#[derive(Clone)]
struct Application {
    handle: Handle,
    context: TaskContext,
}

/// The server, until it is told to end and the last request is answered.
async fn serve(
    context: TaskContext,
    handle: Handle,
    listener: std::io::Result<TcpListener>,
) -> Result<(), Error> {
    let listener = listener?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let state = Application { handle, context: context.clone() };
    let router = axum::Router::new()
        .route("/healthz", get(healthz))
        .route("/slow", get(slow))
        .with_state(state);
    let cancelled = async move { context.cancelled().await };
    axum::serve(listener, router).with_graceful_shutdown(cancelled).await?;
    Ok(())
}

async fn slow(State(application): State<Application>) -> &'static str {
    application.context.status("answering slowly");
    tokio::time::sleep(Duration::from_secs(1)).await;
    "done\n"
}

async fn healthz(
    State(Application { handle, context: _ }): State<Application>,
) -> (StatusCode, Json<serde_json::Value>) {
    let Ok(status) = handle.status().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::Value::Null));
    };
    let services = status.services.iter().map(|service| {
        let about = serde_json::json!({
            "state": service.state.to_string(),
            "pid": service.pid,
            "restarts": service.restarts,
            "doing": service.status_text,
        });
        (service.name.clone(), about)
    });
    let services: serde_json::Map<_, _> = services.collect();
    let is_ready = status.services.iter().all(|service| service.ready);
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(services.into()))
}
