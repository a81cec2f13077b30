//! What happened, step by step: a digest of everything, and lines to read if somebody asks for them.

use std::cell::RefCell;
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The trace of one history.
pub struct Trace {
    digest: RefCell<Xxh3>,
    show: bool,
}

impl Trace {
    /// With `show` each line is printed.
    pub fn new(show: bool) -> Trace {
        Trace { digest: RefCell::new(Xxh3::new()), show }
    }

    /// Something happened to `who` at `now_ms`. `what` tells it apart from everything else; `line` is how a reader hears of it.
    pub fn event<L: Display>(&self, now_ms: i64, who: &str, what: impl Hash, line: impl FnOnce() -> L) {
        let mut digest = self.digest.borrow_mut();
        now_ms.hash(&mut *digest);
        who.hash(&mut *digest);
        what.hash(&mut *digest);
        if self.show {
            println!("{:>12.3} {who:<12} {}", (now_ms % 1_000_000_000) as f64 / 1_000.0, line());
        }
    }

    /// True if lines are printed.
    pub fn shows(&self) -> bool {
        self.show
    }

    /// The digest so far.
    pub fn digest(&self) -> u64 {
        self.digest.borrow().finish()
    }
}

/// Digest of many digests, in order.
pub fn combined(digests: impl IntoIterator<Item = u64>) -> u64 {
    let bytes: Vec<u8> = digests.into_iter().flat_map(u64::to_le_bytes).collect();
    xxh3_64(&bytes)
}
