//! The OpenAPI document, made from the tables that make the routes.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::reply;
use super::routes::{Field, LISTS, ROUTES, Route};

/// `GET /api/v1/openapi.json`.
pub async fn document(headers: HeaderMap) -> Response {
    reply::json(&headers, &description())
}

fn description() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        add(&mut paths, &format!("/api/v1{}", route.path), route.method, operation(route));
    }
    let names: Vec<&str> = LISTS.iter().map(|(name, ..)| *name).collect();
    let about: Vec<String> =
        LISTS.iter().map(|(name, command, summary)| format!("{name} (`{command}`): {summary}")).collect();
    let list = json!({
        "summary": "What is known, as a list",
        "description": about.join("\n\n"),
        "parameters": [{
            "name": "name", "in": "path", "required": true, "schema": { "type": "string", "enum": names }
        }],
        "responses": responses("application/json", false),
    });
    add(&mut paths, "/api/v1/list/{name}", "get", list);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "remora",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Errors are {\"error\":{\"kind\",\"message\"}}. Addresses in requests are expressions.",
        },
        "security": [{ "bearer": [] }, { "login": [] }, { "cookie": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "login": { "type": "http", "scheme": "basic" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": "remora-PORT" },
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": { "error": {
                        "type": "object",
                        "required": ["kind", "message"],
                        "properties": { "kind": { "type": "string" }, "message": { "type": "string" } },
                    } },
                },
            },
        },
    })
}

fn add(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let place = paths.entry(path).or_insert_with(|| json!({}));
    if let Some(methods) = place.as_object_mut() {
        methods.insert(method.to_string(), operation);
    }
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "responses": responses(route.answers, route.open),
    });
    if route.open {
        operation["security"] = json!([]);
    }
    if route.method == "post" {
        let required: Vec<&str> = route.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let properties: Map<String, Value> =
            route.fields.iter().map(|field| (field.name.to_string(), schema(field))).collect();
        operation["requestBody"] = json!({
            "required": !route.fields.is_empty(),
            "content": { "application/json": { "schema": {
                "type": "object", "properties": properties, "required": required, "additionalProperties": false
            } } },
        });
    } else {
        let parameters = route.fields.iter().map(|field| {
            json!({ "name": field.name, "in": "query", "required": field.required,
                    "description": field.summary, "schema": schema(field) })
        });
        operation["parameters"] = parameters.collect();
    }
    operation
}

fn schema(field: &Field) -> Value {
    let mut schema = json!({ "type": field.kind, "description": field.summary });
    if !field.choices.is_empty() {
        schema["enum"] = json!(field.choices);
    }
    if let Some((smallest, largest)) = field.range {
        schema["minimum"] = json!(smallest);
        schema["maximum"] = json!(largest);
    }
    schema
}

fn responses(kind: &str, open: bool) -> Value {
    let content =
        if kind == "application/json" { json!({ "schema": {} }) } else { json!({ "schema": { "type": "string" } }) };
    let mut answers = json!({
        "200": { "description": "as asked", "content": { kind: content } },
        "default": {
            "description": "an error",
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
        },
    });
    if !open {
        let content = answers["default"]["content"].clone();
        answers["401"] = json!({ "description": "a token is needed, or to be signed in", "content": content });
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_once() {
        let described = description();
        let paths = described["paths"].as_object().unwrap();
        let count: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!(count, ROUTES.len() + 1);
        assert_eq!(described["paths"]["/api/v1/memory"]["post"]["requestBody"]["required"], true);
    }
}
