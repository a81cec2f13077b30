//! HTTP for machines: `/metrics`, `/livez`, `/readyz`, `/status`. Read-only.
//!
//! Guarantees: at most 100 answers a second cost more than a word; what comes beyond that is refused and counted, the probes never are.

use super::metrics::Metrics;
use super::status::Board;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// Requests for `/metrics` and `/status` that are answered in one second.
pub const MOST_A_SECOND: u32 = 100;

/// What the handlers see.
#[derive(Clone)]
pub struct Shared {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Status.
    pub board: Arc<Board>,
    /// The application's name.
    pub app: Arc<str>,
    /// Bytes that rows may take while they wait.
    pub memory_limit: u64,
}

/// Answers given in the running second.
#[derive(Default)]
struct Pace(Mutex<(i64, u32)>);

impl Pace {
    /// Counts a request; false if the second has had enough.
    fn admits(&self, now_ms: i64) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now_ms / 1_000;
        *running = if running.0 == second { (second, running.1.saturating_add(1)) } else { (second, 1) };
        running.1 <= MOST_A_SECOND
    }
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
    let pace = (Arc::new(Pace::default()), shared.metrics.clone());
    Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(async |State(s): State<Shared>| axum::Json(s.board.view(&s.app, s.memory_limit))))
        .route_layer(from_fn_with_state(pace, paced))
        .route("/livez", get(async |State(s): State<Shared>| probe(s.board.alive(now_ms()), "alive", "a member's loop hangs")))
        .route("/readyz", get(async |State(s): State<Shared>| probe(s.board.ready(), "ready", s.board.waits_for())))
        .with_state(shared)
}

async fn paced(State((pace, metrics)): State<(Arc<Pace>, Arc<Metrics>)>, request: Request, next: Next) -> Response {
    if pace.admits(now_ms()) {
        return next.run(request).await;
    }
    metrics.refused_request();
    let why = format!("more than {MOST_A_SECOND} requests in this second; ask less often\n");
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], why).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render()).into_response()
}

fn probe(ok: bool, yes: &'static str, no: impl Into<String>) -> (StatusCode, String) {
    if ok { (StatusCode::OK, yes.to_string()) } else { (StatusCode::SERVICE_UNAVAILABLE, no.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_hundred_answers() {
        let pace = Pace::default();
        assert!((0..MOST_A_SECOND).all(|i| pace.admits(5_000 + i64::from(i))));
        assert!(!pace.admits(5_999));
        assert!(pace.admits(6_000), "the next second begins anew");
    }
}
