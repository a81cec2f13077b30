//! HTTP for machines: `/metrics`, `/livez`, `/readyz`, `/status`. Read-only.
//!
//! Guarantees: at most 100 answers a second cost more than a word; what comes beyond that is refused and counted, the probes never are. At
//! most 256 connections; who says nothing for half a minute, or sends a request's head byte by byte, is cut off.
//! Never: answers `/metrics` and `/status` without the token, if there is one. Comes from: `metrics`, `status`; `door` says who may see them.

use super::door::{Door, guarded};
use super::metrics::Metrics;
use super::status::Board;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Requests for `/metrics` and `/status` that are answered in one second.
pub const MOST_A_SECOND: u32 = 100;
/// Connections at a time.
pub const MOST_CONNECTIONS: usize = 256;
/// A TLS handshake takes no longer than this.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Nor does the wait for a request's head, the next one of a connection included.
const HEAD: Duration = Duration::from_secs(30);
/// Before the next attempt, when the system has no connection to give (no file handles are left).
const PAUSE: Duration = Duration::from_millis(100);

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
pub async fn serve(address: SocketAddr, shared: Shared, door: Door) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(accept(listener, shared, Arc::new(door)));
    Ok(bound)
}

async fn accept(listener: TcpListener, shared: Shared, door: Arc<Door>) {
    let (room, pages) = (Arc::new(Semaphore::new(MOST_CONNECTIONS)), router(shared.clone(), door.clone()));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::debug!("HTTP: {e}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            shared.metrics.refused_request();
            continue;
        };
        let (door, pages) = (door.clone(), pages.clone());
        tokio::spawn(async move {
            answer(stream, &door, pages).await;
            drop(place);
        });
    }
}

async fn answer(stream: TcpStream, door: &Door, pages: Router) {
    let Some(tls) = door.tls() else { return talk(stream, pages).await };
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, pages).await,
        Ok(Err(e)) => tracing::debug!("HTTP: no TLS with a client: {e}"),
        Err(_) => tracing::debug!("HTTP: a client did not finish its TLS handshake"),
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, pages: Router) {
    let mut http = http1::Builder::new();
    let connection = http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    if let Err(e) = connection.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages)).await {
        tracing::debug!("HTTP: {e}");
    }
}

fn router(shared: Shared, door: Arc<Door>) -> Router {
    let pace = (Arc::new(Pace::default()), shared.metrics.clone());
    Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(async |State(s): State<Shared>| axum::Json(s.board.view(&s.app, s.memory_limit))))
        .route_layer(from_fn_with_state(door, guarded))
        .route_layer(from_fn_with_state(pace, paced)) // the outer one: guesses are counted, too
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
