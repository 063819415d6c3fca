//! Looking at services, and verbs on them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::context::{Context, select};
use super::extract::{NameParts, Pairs};
use super::params::Params;
use super::problem::{Problem, quoted};
use super::routes::{Param, VerbName};
use super::wire;
use crate::config::REPLICAS_MAX;
use crate::handle::{Verb, Wait};
use crate::status::{ServiceStatus, Status};

/// How long a verb is waited for when the request does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn status(
    State(context): State<Context>,
    Pairs(pairs): Pairs,
    known: &'static [Param],
) -> Result<Response, Problem> {
    let params = Params::check(pairs, known)?;
    let names = params.all("service");
    let plain = match params.one("format") {
        None | Some("json") => false,
        Some("plain") => true,
        Some(other) => {
            let error = format!("format is {}, which is unknown here", quoted(other));
            return Err(Problem::bad_request(error).hint("write json or plain"));
        }
    };
    let status = if plain { context.glance().await? } else { context.handle.status().await? };
    let services: Vec<_> = select(&status.services, &names)?.into_iter().cloned().collect();
    if plain {
        let lines: Vec<_> = services.iter().map(|s| s.plain_line() + "\n").collect();
        return Ok(
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines.concat()).into_response()
        );
    }
    let status = Status { supervisor: status.supervisor, services };
    Ok(Json(wire::Status::from(&status)).into_response())
}

pub(crate) async fn all(State(context): State<Context>) -> Result<Json<wire::Services>, Problem> {
    let status = context.handle.status().await?;
    Ok(Json(several(status.services.iter())))
}

pub(crate) async fn one(
    State(context): State<Context>,
    name: NameParts,
) -> Result<Response, Problem> {
    let name = name.name();
    let status = context.handle.status().await?;
    let found = select(&status.services, std::slice::from_ref(&name))?;
    Ok(match found.iter().find(|service| service.name == name) {
        Some(instance) => Json(wire::Service::from(*instance)).into_response(),
        None => Json(several(found.into_iter())).into_response(),
    })
}

fn several<'a>(services: impl Iterator<Item = &'a ServiceStatus>) -> wire::Services {
    wire::Services { services: services.map(wire::Service::from).collect() }
}

pub(crate) async fn act_on_one(
    State(context): State<Context>,
    name: NameParts,
    Pairs(pairs): Pairs,
    verb: VerbName,
    known: &'static [Param],
) -> Result<Json<wire::Outcomes>, Problem> {
    let params = Params::check(pairs, known)?;
    carry_out(&context, verb, vec![name.name()], &params).await
}

pub(crate) async fn act(
    State(context): State<Context>,
    Pairs(pairs): Pairs,
    verb: VerbName,
    known: &'static [Param],
) -> Result<Json<wire::Outcomes>, Problem> {
    let params = Params::check(pairs, known)?;
    let names = params.all("service");
    if names.is_empty() {
        return Err(Problem::bad_request("no service is named").hint("add ?service=NAME"));
    }
    carry_out(&context, verb, names, &params).await
}

fn replicas(params: &Params) -> Result<u32, Problem> {
    let Some(number) = params.number("replicas")? else {
        return Err(Problem::bad_request("replicas is missing").hint("add ?replicas=3"));
    };
    match u32::try_from(number) {
        Ok(replicas @ 1..=REPLICAS_MAX) => Ok(replicas),
        Ok(0) => Err(Problem::bad_request("replicas is 0").hint("stop it instead")),
        Ok(_) | Err(_) => {
            Err(Problem::bad_request(format!("replicas is more than {REPLICAS_MAX}")))
        }
    }
}

async fn carry_out(
    context: &Context,
    verb: VerbName,
    names: Vec<String>,
    params: &Params,
) -> Result<Json<wire::Outcomes>, Problem> {
    let verb = match verb {
        VerbName::Start => Verb::Start,
        VerbName::Stop => Verb::Stop,
        VerbName::Restart if params.flag("rolling", false)? => Verb::RollingRestart,
        VerbName::Restart => Verb::Restart,
        VerbName::Scale => Verb::Scale(replicas(params)?),
        VerbName::Reset => Verb::Reset,
        VerbName::Signal => Verb::Signal(params.signal("signal")?),
    };
    let timeout = params.duration("timeout")?;
    let wait = match params.flag("wait", true)? {
        true => Wait::UpTo(timeout.unwrap_or(DEFAULT_TIMEOUT)),
        false => Wait::No,
    };
    let _place = match wait {
        Wait::No => None,
        Wait::UpTo(_) => Some(context.waiter()?),
    };
    let outcomes = context.handle.act(verb, names, wait).await?;
    Ok(Json(wire::Outcomes::new(&outcomes)))
}
