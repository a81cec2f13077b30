//! When somebody who did not take something is told again.
//!
//! Guarantees: after a second at first, then after twice as long each time up to a longest wait; never sooner than was asked for.
//! Never: gives up. Comes from, goes to: who tells.

use std::time::Duration;

const SOON: Duration = Duration::from_secs(1);

/// The waits after failures.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Before any failure.
    pub fn up_to(longest: Duration) -> Backoff {
        Backoff { next: SOON, longest }
    }

    /// The wait after one more failure; the other side has asked for `asked`.
    pub fn failed(&mut self, asked: Duration) -> Duration {
        let wait = self.next.max(asked);
        self.next = (self.next * 2).min(self.longest);
        wait
    }

    /// It went well.
    pub fn over(&mut self) {
        self.next = SOON;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_shorter_than_asked_for() {
        let mut backoff = Backoff::up_to(Duration::from_secs(5));
        let mut waits = |asked: [u64; 5]| asked.map(|s| backoff.failed(Duration::from_secs(s)).as_secs());
        assert_eq!(waits([0; 5]), [1, 2, 4, 5, 5]);
        backoff.over();
        let mut waits = |asked: [u64; 3]| asked.map(|s| backoff.failed(Duration::from_secs(s)).as_secs());
        assert_eq!(waits([0, 30, 0]), [1, 30, 4]);
    }
}
