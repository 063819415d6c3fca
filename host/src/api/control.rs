//! What concerns the supervisor as a whole: reload, plan, shutdown.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::context::Context;
use super::extract::Pairs;
use super::params::Params;
use super::problem::{Problem, quoted};
use super::routes::Param;
use super::wire;
use crate::handle::{ReloadError, ShutdownMode};

pub(crate) async fn reload(State(context): State<Context>) -> Result<Json<wire::Plan>, Problem> {
    let plan = match context.handle.reload().await {
        Err(error @ ReloadError::Invalid(_)) => {
            return Err(Problem::from(error).hint("nothing was changed"));
        }
        plan => plan?,
    };
    Ok(Json(wire::Plan::from(&plan)))
}

pub(crate) async fn plan(
    State(context): State<Context>,
    Pairs(pairs): Pairs,
    known: &'static [Param],
) -> Result<Json<wire::Plan>, Problem> {
    let params = Params::check(pairs, known)?;
    let file = params.one("file").map(PathBuf::from);
    if let Some(file) = file.as_ref().filter(|file| !file.is_absolute()) {
        let error =
            format!("file is {}, which is no absolute path", quoted(&file.to_string_lossy()));
        return Err(Problem::bad_request(error).hint("start it with /"));
    }
    let plan = context.handle.plan(file).await?;
    Ok(Json(wire::Plan::from(&plan)))
}

pub(crate) async fn shutdown(
    State(context): State<Context>,
    Pairs(pairs): Pairs,
    known: &'static [Param],
) -> Result<(StatusCode, Json<wire::Accepted>), Problem> {
    let params = Params::check(pairs, known)?;
    let mode = match params.flag("now", false)? {
        true => ShutdownMode::Now,
        false => ShutdownMode::Orderly,
    };
    context.handle.shutdown(mode).await?;
    Ok((StatusCode::ACCEPTED, Json(wire::Accepted { accepted: true })))
}
