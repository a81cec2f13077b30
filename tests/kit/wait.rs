//! Waiting for a condition, never for time alone.

use std::time::{Duration, Instant};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// Tries until `attempt` gives something; nothing if it has not after `patience`.
pub fn within<T>(patience: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let done = attempt();
        if done.is_some() || began.elapsed() > patience {
            return done;
        }
        std::thread::sleep(PAUSE);
    }
}
