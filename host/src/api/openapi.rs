//! The description of the API for programs, made from the route table and the wire types.

use axum::Json;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Answer, Method, Param, ParamKind, ROUTES, Route, Shape};
use super::wire;

pub(crate) async fn document() -> Json<Value> {
    Json(openapi())
}

/// The OpenAPI 3.1 document.
pub(crate) fn openapi() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[method_name(route.method)] = operation;
    }
    // What stands in streams and is no answer of its own.
    let _ = generator.subschema_for::<wire::EventLine>();
    let _ = generator.subschema_for::<wire::LogLine>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kennel",
            "description": "The control API of a Kennel supervisor, on its Unix socket.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://localhost", "description": "by the control socket" }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
    }
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let content = match route.answer {
        Answer::Json(shape) => {
            json!({ "application/json": { "schema": schema(shape, generator) } })
        }
        Answer::Text(content_type) => {
            json!({ content_type: { "schema": { "type": "string" } } })
        }
    };
    let in_path =
        route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = in_path
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .chain(route.params.iter().map(query_parameter))
        .collect();
    let success = if route.answer == Answer::Json(Shape::Accepted) { "202" } else { "200" };
    let error = generator.subschema_for::<wire::Error>();
    json!({
        "operationId": operation_id(route),
        "summary": route.about,
        "parameters": parameters,
        "responses": {
            success: { "description": route.about, "content": content },
            "4XX": {
                "description": "The request cannot be carried out",
                "content": { "application/json": { "schema": error } },
            },
            "5XX": {
                "description": "The supervisor cannot answer now",
                "content": { "application/json": { "schema": error } },
            },
        },
    })
}

/// `get_v1_services_name_logs`
fn operation_id(route: &Route) -> String {
    let path = route.path.replace(['/', '.', '{'], "_").replace('}', "").replace("__", "_");
    format!("{}{path}", method_name(route.method))
}

fn query_parameter(param: &Param) -> Value {
    let schema = match param.kind {
        ParamKind::Flag => json!({ "type": "boolean" }),
        ParamKind::Number => json!({ "type": "integer", "minimum": 0 }),
        ParamKind::Text => json!({ "type": "string" }),
        ParamKind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
    };
    json!({ "name": param.name, "in": "query", "description": param.about, "schema": schema })
}

fn schema(shape: Shape, generator: &mut SchemaGenerator) -> Value {
    match shape {
        Shape::Status => generator.subschema_for::<wire::Status>().to_value(),
        Shape::Services => generator.subschema_for::<wire::Services>().to_value(),
        Shape::Service => {
            let one = generator.subschema_for::<wire::Service>();
            let several = generator.subschema_for::<wire::Services>();
            json!({ "oneOf": [one, several] })
        }
        Shape::Outcomes => generator.subschema_for::<wire::Outcomes>().to_value(),
        Shape::Plan => generator.subschema_for::<wire::Plan>().to_value(),
        Shape::Plugins => generator.subschema_for::<wire::Plugins>().to_value(),
        Shape::Accepted => generator.subschema_for::<wire::Accepted>().to_value(),
        Shape::Upgrade => generator.subschema_for::<wire::Upgrade>().to_value(),
        Shape::OpenApi => json!({ "type": "object" }),
    }
}
