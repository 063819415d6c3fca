//! Every route of the API, once: the router and the OpenAPI document are both made from
//! this table, so they cannot differ.

use axum::Router;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::problem::Problem;
use super::{control, events, logs, metrics, openapi, plugins, probes, services};

/// What handlers work with.
pub(crate) use super::context::Context;

/// The methods in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    Get,
    Post,
}

/// What a successful answer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// JSON of this type of `wire.rs`.
    Json(Shape),
    /// Text of this content type.
    Text(&'static str),
}

/// The types of `wire.rs` that answers have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Status,
    Services,
    /// One service, or all instances of one.
    Service,
    Outcomes,
    Plan,
    Plugins,
    Accepted,
    /// [`wire::Upgrade`](super::wire::Upgrade).
    Upgrade,
    OpenApi,
}

/// One query parameter.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: ParamKind,
    pub(crate) about: &'static str,
}

/// What a query parameter holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ParamKind {
    Flag,
    Number,
    Text,
    /// May be given several times.
    Texts,
}

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) answer: Answer,
    pub(crate) endpoint: Endpoint,
}

/// What answers a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    Status,
    Services,
    Service,
    Logs,
    ServiceLogs,
    Verb(VerbName),
    ServiceVerb(VerbName),
    Reload,
    Shutdown,
    Upgrade,
    Plan,
    Plugins,
    Events,
    Metrics,
    Livez,
    Readyz,
    OpenApi,
}

/// A verb on services, by its name in the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VerbName {
    Start,
    Stop,
    Restart,
    Scale,
    Reset,
    Signal,
}

const fn param(name: &'static str, kind: ParamKind, about: &'static str) -> Param {
    Param { name, kind, about }
}

const SERVICE: Param =
    param("service", ParamKind::Texts, "a service or instance; may be given several times");
const WAIT: Param = param("wait", ParamKind::Flag, "whether to answer only when it is so (true)");
const TIMEOUT: Param = param("timeout", ParamKind::Text, "how long to wait at most (60s)");
const SIGNAL: Param = param("signal", ParamKind::Text, "the signal, by name or number");
const STATUS_FORMAT: Param = param("format", ParamKind::Text, "json (default) or plain");

const ONE: &[Param] = &[WAIT, TIMEOUT];
const SEVERAL: &[Param] = &[SERVICE, WAIT, TIMEOUT];
const ROLLING: Param =
    param("rolling", ParamKind::Flag, "a few instances at a time, as rolling: says (false)");
const REPLICAS: Param = param("replicas", ParamKind::Number, "how many instances, at least 1");
const RESTART_ONE: &[Param] = &[WAIT, TIMEOUT, ROLLING];
const RESTART_SEVERAL: &[Param] = &[SERVICE, WAIT, TIMEOUT, ROLLING];
const SCALE_ONE: &[Param] = &[WAIT, TIMEOUT, REPLICAS];
const SCALE_SEVERAL: &[Param] = &[SERVICE, WAIT, TIMEOUT, REPLICAS];
const LOGS_OF_ONE: &[Param] = &[FOLLOW_LOGS, LINES, SINCE_TIME, LOG_FORMAT];
const LOGS_OF_SEVERAL: &[Param] = &[SERVICE, FOLLOW_LOGS, LINES, SINCE_TIME, LOG_FORMAT];
const FOLLOW_LOGS: Param =
    param("follow", ParamKind::Flag, "whether to go on with what is written from now on (false)");
const LINES: Param = param("lines", ParamKind::Number, "only so many of the last lines");
const SINCE_TIME: Param =
    param("since", ParamKind::Text, "only lines from this time on: RFC 3339, or how long ago");
const LOG_FORMAT: Param = param(
    "format",
    ParamKind::Text,
    "text (default; names stand before lines when there are several services), timed (a time \
     before each line) or ndjson",
);
const EVENT_PARAMS: &[Param] = &[
    param("since", ParamKind::Number, "only events with higher numbers than this"),
    param("last", ParamKind::Number, "of the past, only so many of the last events"),
    param("follow", ParamKind::Flag, "whether to go on with new events (true)"),
    param("format", ParamKind::Text, "sse (default) or ndjson"),
    param("service", ParamKind::Text, "only events of this service or instance"),
    param(
        "kind",
        ParamKind::Texts,
        "only such kinds, * stands for any text; several are alternatives",
    ),
];

const fn get(
    path: &'static str,
    about: &'static str,
    params: &'static [Param],
    answer: Answer,
    endpoint: Endpoint,
) -> Route {
    Route { method: Method::Get, path, about, params, answer, endpoint }
}

const fn post(
    path: &'static str,
    about: &'static str,
    params: &'static [Param],
    shape: Shape,
    endpoint: Endpoint,
) -> Route {
    Route { method: Method::Post, path, about, params, answer: Answer::Json(shape), endpoint }
}

use Answer::{Json, Text};
use Endpoint::{ServiceVerb, Verb};

const TEXT: Answer = Text("text/plain; charset=utf-8");
const OUTCOMES: Shape = Shape::Outcomes;

/// Every route. The name of an instance holds a slash, so what is asked of a service can
/// be asked of `/v1/services/{name}/{index}` too.
pub(crate) const ROUTES: &[Route] = &[
    get(
        "/v1/status",
        "The supervisor and its services",
        &[SERVICE, STATUS_FORMAT],
        Json(Shape::Status),
        Endpoint::Status,
    ),
    get(
        "/v1/services",
        "Every instance of every service",
        &[],
        Json(Shape::Services),
        Endpoint::Services,
    ),
    get(
        "/v1/services/{name}",
        "A service; its instances when there are several",
        &[],
        Json(Shape::Service),
        Endpoint::Service,
    ),
    get(
        "/v1/services/{name}/{index}",
        "One instance",
        &[],
        Json(Shape::Service),
        Endpoint::Service,
    ),
    get(
        "/v1/services/{name}/logs",
        "The output of a service",
        LOGS_OF_ONE,
        TEXT,
        Endpoint::ServiceLogs,
    ),
    get(
        "/v1/services/{name}/{index}/logs",
        "The output of an instance",
        LOGS_OF_ONE,
        TEXT,
        Endpoint::ServiceLogs,
    ),
    get(
        "/v1/logs",
        "The output of several services, or of all",
        LOGS_OF_SEVERAL,
        TEXT,
        Endpoint::Logs,
    ),
    post("/v1/services/{name}/start", "Want it up", ONE, OUTCOMES, ServiceVerb(VerbName::Start)),
    post(
        "/v1/services/{name}/{index}/start",
        "Want it up",
        ONE,
        OUTCOMES,
        ServiceVerb(VerbName::Start),
    ),
    post("/v1/start", "Want them up", SEVERAL, OUTCOMES, Verb(VerbName::Start)),
    post("/v1/services/{name}/stop", "Want it down", ONE, OUTCOMES, ServiceVerb(VerbName::Stop)),
    post(
        "/v1/services/{name}/{index}/stop",
        "Want it down",
        ONE,
        OUTCOMES,
        ServiceVerb(VerbName::Stop),
    ),
    post("/v1/stop", "Want them down", SEVERAL, OUTCOMES, Verb(VerbName::Stop)),
    post(
        "/v1/services/{name}/restart",
        "Want a new run",
        RESTART_ONE,
        OUTCOMES,
        ServiceVerb(VerbName::Restart),
    ),
    post(
        "/v1/services/{name}/{index}/restart",
        "Want a new run",
        RESTART_ONE,
        OUTCOMES,
        ServiceVerb(VerbName::Restart),
    ),
    post("/v1/restart", "Want new runs", RESTART_SEVERAL, OUTCOMES, Verb(VerbName::Restart)),
    post(
        "/v1/services/{name}/scale",
        "Want so many instances of it, until the configuration says another number",
        SCALE_ONE,
        OUTCOMES,
        ServiceVerb(VerbName::Scale),
    ),
    post(
        "/v1/scale",
        "Want so many instances of each",
        SCALE_SEVERAL,
        OUTCOMES,
        Verb(VerbName::Scale),
    ),
    post(
        "/v1/services/{name}/reset",
        "Forget its failures",
        ONE,
        OUTCOMES,
        ServiceVerb(VerbName::Reset),
    ),
    post(
        "/v1/services/{name}/{index}/reset",
        "Forget its failures",
        ONE,
        OUTCOMES,
        ServiceVerb(VerbName::Reset),
    ),
    post("/v1/reset", "Forget their failures", SEVERAL, OUTCOMES, Verb(VerbName::Reset)),
    post(
        "/v1/services/{name}/signal",
        "Send a signal to its main process",
        &[SIGNAL],
        OUTCOMES,
        ServiceVerb(VerbName::Signal),
    ),
    post(
        "/v1/services/{name}/{index}/signal",
        "Send a signal to its main process",
        &[SIGNAL],
        OUTCOMES,
        ServiceVerb(VerbName::Signal),
    ),
    post(
        "/v1/signal",
        "Send a signal to their main processes",
        &[SERVICE, SIGNAL],
        OUTCOMES,
        Verb(VerbName::Signal),
    ),
    post(
        "/v1/reload",
        "Read the configuration again and change what has changed",
        &[],
        Shape::Plan,
        Endpoint::Reload,
    ),
    post(
        "/v1/shutdown",
        "Stop everything and end",
        &[param("now", ParamKind::Flag, "kill everything instead of stopping in order (false)")],
        Shape::Accepted,
        Endpoint::Shutdown,
    ),
    post(
        "/v1/upgrade",
        "Give way to another version of the program, in the same process",
        &[
            param(
                "binary",
                ParamKind::Text,
                "its absolute path (the file this one was started from)",
            ),
            param(
                "timeout",
                ParamKind::Text,
                "how long it may take to say that it can go on (30s)",
            ),
        ],
        Shape::Upgrade,
        Endpoint::Upgrade,
    ),
    get(
        "/v1/plan",
        "What a reload would do",
        &[param("file", ParamKind::Text, "were this absolute path the configuration")],
        Json(Shape::Plan),
        Endpoint::Plan,
    ),
    get(
        "/v1/plugins",
        "The plugins: how they are, and who asks them",
        &[],
        Json(Shape::Plugins),
        Endpoint::Plugins,
    ),
    get(
        "/v1/events",
        "Numbered events as they happen",
        EVENT_PARAMS,
        Text("text/event-stream"),
        Endpoint::Events,
    ),
    get(
        "/metrics",
        "Numbers for OpenMetrics scrapers",
        &[],
        Text(metrics::CONTENT_TYPE),
        Endpoint::Metrics,
    ),
    get("/livez", "Answers while the supervisor works", &[], TEXT, Endpoint::Livez),
    get(
        "/readyz",
        "Answers 200 when every service that should be up is up",
        &[],
        TEXT,
        Endpoint::Readyz,
    ),
    get("/v1/openapi.json", "This description", &[], Json(Shape::OpenApi), Endpoint::OpenApi),
];

/// Makes the router.
pub(crate) fn router(context: Context) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, method_router(route));
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn(super::guard::guard))
        .with_state(context)
}

fn method_router(route: &'static Route) -> MethodRouter<Context> {
    let filter = match route.method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
    };
    let params = route.params;
    match route.endpoint {
        Endpoint::Status => on(filter, move |c, q| services::status(c, q, params)),
        Endpoint::Services => on(filter, services::all),
        Endpoint::Service => on(filter, services::one),
        Endpoint::Logs => on(filter, move |c, q, h| logs::several(c, q, h, params)),
        Endpoint::ServiceLogs => on(filter, move |c, n, q, h| logs::one(c, n, q, h, params)),
        Endpoint::Verb(verb) => on(filter, move |c, q| services::act(c, q, verb, params)),
        Endpoint::ServiceVerb(verb) => {
            on(filter, move |c, n, q| services::act_on_one(c, n, q, verb, params))
        }
        Endpoint::Reload => on(filter, control::reload),
        Endpoint::Shutdown => on(filter, move |c, q| control::shutdown(c, q, params)),
        Endpoint::Upgrade => on(filter, move |c, q| control::upgrade(c, q, params)),
        Endpoint::Plan => on(filter, move |c, q| control::plan(c, q, params)),
        Endpoint::Plugins => on(filter, plugins::plugins),
        Endpoint::Events => on(filter, move |c, q, h| events::events(c, q, h, params)),
        Endpoint::Metrics => on(filter, metrics::metrics),
        Endpoint::Livez => on(filter, probes::livez),
        Endpoint::Readyz => on(filter, probes::readyz),
        Endpoint::OpenApi => on(filter, openapi::document),
    }
}

/// Where something will be that needs more than there is by now.
fn is_planned(path: &str) -> bool {
    ["/", "/v1/failover"].contains(&path)
}

async fn not_found(uri: axum::http::Uri) -> Problem {
    let path = uri.path();
    if is_planned(path) {
        return not_yet(path);
    }
    let near = super::problem::near(path, ROUTES.iter().map(|route| route.path));
    let problem = Problem::new(
        axum::http::StatusCode::NOT_FOUND,
        format!("nothing is at {}", super::problem::quoted(path)),
    );
    match near.first() {
        Some(near) => problem.hint(format!("did you mean \"{near}\"?")),
        None => problem.hint("GET /v1/openapi.json lists what there is"),
    }
}

fn not_yet(path: &str) -> Problem {
    let error = format!("{} is not available yet", super::problem::quoted(path));
    Problem::new(axum::http::StatusCode::NOT_IMPLEMENTED, error)
        .hint("GET /v1/openapi.json lists what there is")
}

async fn wrong_method(uri: axum::http::Uri, method: axum::http::Method) -> Problem {
    if is_planned(uri.path()) {
        return not_yet(uri.path());
    }
    let path = super::problem::quoted(uri.path());
    let other = if method == "GET" { "POST" } else { "GET" };
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} does not take {}", method.as_str()),
    )
    .hint(format!("use {other}"))
}
