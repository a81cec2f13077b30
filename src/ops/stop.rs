//! SIGTERM and SIGINT: somebody asks the process to stop.
//!
//! Guarantees: a signal is noticed once somebody waits for it; until then it ends the process as it does any other.
//! Never: stops anything itself. Comes from: the system. Goes to: `service`, `cli::forward`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Ends with the first signal.
pub async fn signalled() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
}

/// True from the first signal on.
pub fn asked() -> std::io::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(signalled());
        asked.store(true, Ordering::Relaxed);
    })?;
    Ok(stop)
}
