//! Waiting: for a condition, or for the length of a fault. Tests sleep nowhere else.

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

/// Lets a fault last, where its length is what is tested: an outage, a freeze, a moment drawn at random, a tick of a gauge.
#[allow(dead_code)] // not all who wait have faults
pub fn lasts(how_long: Duration) {
    std::thread::sleep(how_long);
}
