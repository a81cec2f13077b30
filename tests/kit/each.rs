//! Many runs on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What `of` says of each seed from 1 on, in no order; on all cores.
pub fn each<T: Send>(seeds: u64, of: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, found) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|s| *s <= seeds) {
                    let said = of(seed);
                    found.lock().expect("no thread panics").push(said);
                }
            });
        }
    });
    found.into_inner().expect("no thread panics")
}
