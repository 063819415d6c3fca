//! What concerns the supervisor as a whole: reload, plan, upgrade, shutdown.

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
use crate::upgrade::TRIAL;

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
    let file = absolute_path(&params, "file")?;
    let plan = context.handle.plan(file).await?;
    Ok(Json(wire::Plan::from(&plan)))
}

fn absolute_path(params: &Params, name: &str) -> Result<Option<PathBuf>, Problem> {
    let path = params.one(name).map(PathBuf::from);
    match path.as_ref().filter(|path| !path.is_absolute()) {
        None => Ok(path),
        Some(path) => {
            let shown = quoted(&path.to_string_lossy());
            let error = format!("{name} is {shown}, which is no absolute path");
            Err(Problem::bad_request(error).hint("start it with /"))
        }
    }
}

pub(crate) async fn upgrade(
    State(context): State<Context>,
    Pairs(pairs): Pairs,
    known: &'static [Param],
) -> Result<Json<wire::Upgrade>, Problem> {
    let params = Params::check(pairs, known)?;
    let patience = params.duration("timeout")?.unwrap_or(TRIAL);
    let tried = context.handle.try_upgrade(absolute_path(&params, "binary")?, patience).await?;
    let binary = tried.program.to_string_lossy().into_owned();
    let answer = wire::Upgrade { binary, version: tried.version.clone() };
    tokio::spawn(async move {
        // It says itself why not.
        let _ = context.handle.give_way(tried).await;
    });
    Ok(Json(answer))
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
