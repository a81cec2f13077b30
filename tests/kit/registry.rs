//! A schema registry in the test's process: Confluent's API as far as readers use it, and every way in which it can fail.
#![allow(dead_code)] // not all who ask fail in every way

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What it has and how it behaves.
#[derive(Default)]
pub struct Script {
    /// What is behind a path.
    pages: BTreeMap<String, Value>,
    /// The `Authorization` that it wants to see.
    pub wants: Option<String>,
    /// Everybody gets this status instead of an answer.
    pub fails_with: Option<u16>,
    /// Who asks for this path gets this status.
    pub fails_at: Option<(String, u16)>,
    /// Time that each answer takes.
    pub slow: Duration,
    /// Paths that were asked for, in order.
    pub asked: Vec<String>,
}

/// The registry; gone when dropped.
pub struct FakeRegistry {
    pub url: String,
    script: Arc<Mutex<Script>>,
    _runtime: tokio::runtime::Runtime,
}

impl FakeRegistry {
    pub fn start() -> FakeRegistry {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let script = Arc::new(Mutex::new(Script::default()));
        let app = Router::new().fallback(answer).with_state(script.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        FakeRegistry { url, script, _runtime: runtime }
    }

    /// To look at, or to change.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no handler panics")
    }

    /// A schema by its id; Avro goes without its type, as registries send it.
    pub fn has(&self, id: u32, kind: &str, schema: &str) {
        self.has_with(id, kind, schema, json!([]));
    }

    /// The same with references: `[{ "name": ..., "subject": ..., "version": ... }]`.
    pub fn has_with(&self, id: u32, kind: &str, schema: &str, references: Value) {
        self.script().pages.insert(format!("/schemas/ids/{id}"), page(kind, schema, references));
    }

    /// A version of a subject.
    pub fn has_version(&self, subject: &str, version: i64, schema: &str, references: Value) {
        self.script().pages.insert(format!("/subjects/{subject}/versions/{version}"), page("AVRO", schema, references));
    }

    /// How often a schema was asked for.
    pub fn asked_for(&self, id: u32) -> usize {
        let path = format!("/schemas/ids/{id}");
        self.script().asked.iter().filter(|a| **a == path).count()
    }
}

fn page(kind: &str, schema: &str, references: Value) -> Value {
    let mut page = json!({ "schema": schema });
    if kind != "AVRO" {
        page["schemaType"] = json!(kind);
    }
    if references.as_array().is_some_and(|r| !r.is_empty()) {
        page["references"] = references;
    }
    page
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, uri: Uri, headers: HeaderMap, _: Bytes) -> Response {
    let (slow, answer) = {
        let mut script = script.lock().expect("no handler panics");
        script.asked.push(uri.path().to_string());
        (script.slow, decide(&script, uri.path(), &headers))
    };
    tokio::time::sleep(slow).await;
    answer
}

fn decide(script: &Script, path: &str, headers: &HeaderMap) -> Response {
    let at = script.fails_at.as_ref().filter(|at| at.0 == path).map(|at| at.1);
    if let Some(status) = script.fails_with.or(at) {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    let refusal = |status: StatusCode, code: i64, message: &str| {
        let body = json!({ "error_code": code, "message": message }).to_string();
        (status, [(header::CONTENT_TYPE, "application/vnd.schemaregistry.v1+json")], body).into_response()
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    if script.wants.is_some() && script.wants.as_deref() != shown {
        return refusal(StatusCode::UNAUTHORIZED, 40101, "Unauthorized");
    }
    match script.pages.get(path) {
        Some(page) => page.to_string().into_response(),
        None => refusal(StatusCode::NOT_FOUND, 40403, "Schema not found"),
    }
}
