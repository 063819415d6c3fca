//! Questions that load balancers and monitors ask.

use axum::extract::State;
use kennel_core::{Health, State as ServiceState, Wanted};

use super::context::Context;
use super::problem::Problem;
use super::wire;
use crate::status::ServiceStatus;

/// How many services are named when not all are ready.
const NAMED: usize = 5;

/// Whether the loop that supervises answers.
pub(crate) async fn livez(State(context): State<Context>) -> Result<&'static str, Problem> {
    context.glance().await?;
    Ok("ok\n")
}

/// Whether everything that should be up is.
pub(crate) async fn readyz(State(context): State<Context>) -> Result<&'static str, Problem> {
    let status = context.glance().await?;
    if status.supervisor.stopping {
        return Err(Problem::busy("the supervisor is shutting down"));
    }
    let late: Vec<String> = status
        .services
        .iter()
        .filter(|service| !is_as_wanted(service))
        .map(|service| format!("{} {}", service.name, condition(service)))
        .collect();
    match late.len() {
        0 => Ok("ok\n"),
        count => {
            let more = count.saturating_sub(NAMED);
            let mut error = late[..count - more].join(", ");
            if more > 0 {
                error.push_str(&format!(", and {more} more"));
            }
            Err(Problem::busy(error).hint("GET /v1/status says why"))
        }
    }
}

fn is_as_wanted(service: &ServiceStatus) -> bool {
    match (service.wanted, service.state) {
        (Wanted::Down, _) | (Wanted::Up, ServiceState::Done) => true,
        (Wanted::Up, ServiceState::Up) => service.health != Health::Unhealthy,
        (
            Wanted::Up,
            ServiceState::Down
            | ServiceState::Waiting
            | ServiceState::Starting
            | ServiceState::Stopping
            | ServiceState::Backoff
            | ServiceState::Failed,
        ) => false,
    }
}

fn condition(service: &ServiceStatus) -> String {
    if service.state == ServiceState::Up {
        format!("is {}", service.health)
    } else {
        wire::State::from(service.state).phrase().to_owned()
    }
}
