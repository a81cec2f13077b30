//! Logs: for people on a terminal, JSON lines otherwise. `DRIFTLINE_LOG` filters as `RUST_LOG` does.

use crate::audit;
use crate::kafka::context::NO_NEWS;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error. `default` is the level without `DRIFTLINE_LOG`. A second call changes nothing.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env("DRIFTLINE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // what changes something outside is told in any case
    let always = [NO_NEWS.to_string(), format!("{}=info", audit::TARGET)];
    let filter = always.iter().filter_map(|d| d.parse().ok()).fold(filter, EnvFilter::add_directive);
    let terminal = std::io::stderr().is_terminal();
    // a full log device must not stop the service: with `log_internal_errors` a failed write would be told on standard error, and panic
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none());
    let started = if terminal { builder.with_target(false).try_init() } else { builder.json().try_init() };
    drop(started);
}
