//! Bugs that can be switched on, one at a time and per thread, to see whether the simulation finds them.
//!
//! Guarantees: a release build without the feature `planted` has none of them: there `planted` is the constant false.
//! Never: on by default; named where it would make a line harder to read than the rule it breaks.
//! Comes from: `tests/sim`. Goes to: the one line each that a bug breaks.

/// A mistake that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// The commit is answered as done when it is in doubt.
    TrustInDoubt,
}

impl Bug {
    /// All of them, with what each does.
    pub const ALL: &'static [(Bug, &'static str)] = &[(Bug::TrustInDoubt, "an ambiguous commit is taken for a commit")];
}

#[cfg(any(debug_assertions, feature = "planted"))]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// True if this bug is switched on in this thread.
    pub fn planted(bug: Bug) -> bool {
        ON.with(Cell::get) == Some(bug)
    }

    /// Switches a bug on in this thread, or all off.
    pub fn plant(bug: Option<Bug>) {
        ON.with(|on| on.set(bug));
    }

    /// Runs `act` with all bugs off.
    pub fn without<T>(act: impl FnOnce() -> T) -> T {
        let before = ON.with(|on| on.replace(None));
        let result = act();
        plant(before);
        result
    }
}

#[cfg(not(any(debug_assertions, feature = "planted")))]
mod switch {
    use super::Bug;

    /// There are no planted bugs in a release build.
    pub const fn planted(_: Bug) -> bool {
        false
    }

    /// Does nothing here.
    pub fn plant(_: Option<Bug>) {}

    /// Runs `act`.
    pub fn without<T>(act: impl FnOnce() -> T) -> T {
        act()
    }
}

pub use switch::{plant, planted, without};
