//! Looking at plugins.

use axum::Json;
use axum::extract::State;

use super::context::Context;
use super::wire;

/// Answers from memory: neither the driver nor a plugin is asked.
pub(crate) async fn plugins(State(context): State<Context>) -> Json<wire::Plugins> {
    let plugins = context.handle.plugins.status();
    let sinks = context.handle.sinks.all();
    Json(wire::Plugins {
        plugins: plugins.iter().map(wire::Plugin::from).collect(),
        sinks: sinks.iter().map(wire::Sink::from).collect(),
    })
}
