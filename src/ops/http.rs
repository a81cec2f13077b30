//! HTTP for machines: `/metrics`, `/livez`, `/readyz`, `/status`. Read-only.

use super::metrics::Metrics;
use super::status::Board;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// What the handlers see.
#[derive(Clone)]
pub struct Shared {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Status.
    pub board: Arc<Board>,
    /// The application's name.
    pub app: Arc<str>,
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// Binds `address` and serves until the runtime ends. Returns the bound address.
pub async fn serve(address: SocketAddr, shared: Shared) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, router(shared)).await {
            tracing::error!("HTTP: {e}");
        }
    });
    Ok(bound)
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async |State(s): State<Shared>| probe(s.board.alive(now_ms()), "alive", "a member's loop hangs")))
        .route("/readyz", get(async |State(s): State<Shared>| probe(s.board.ready(), "ready", "waiting for partitions or restoring state")))
        .route("/status", get(async |State(s): State<Shared>| axum::Json(s.board.view(&s.app))))
        .with_state(shared)
}

async fn metrics(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render()).into_response()
}

fn probe(ok: bool, yes: &'static str, no: &'static str) -> (StatusCode, &'static str) {
    if ok { (StatusCode::OK, yes) } else { (StatusCode::SERVICE_UNAVAILABLE, no) }
}
