//! Commands: what operators ask of an application, as records of a model's summaries partition.
//!
//! Guarantees: a command of a later version, or one that can't be obeyed, is none: it is counted and passed over.
//! Never: stops a monitor.
//! Comes from: `driftline drill`, `driftline baseline load`, `driftline run`. Goes to: `monitor`.

use super::baseline::profile::Profile;
use super::drill::Order;
use crate::codec::wire::Reader;

/// The number of a drill among commands.
pub const DRILL: u64 = 1;
/// The number of a baseline among commands.
pub const BASELINE: u64 = 2;

/// A command.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A drill.
    Drill(Order),
    /// What is normal for a model from now on.
    Baseline(Box<Profile>),
}

impl Command {
    /// Reads a command's body.
    pub fn read(r: &mut Reader<'_>) -> Option<Command> {
        match r.uint().ok()? {
            DRILL => Order::read(r).map(Command::Drill),
            BASELINE => Profile::read(r.rest()).map(|profile| Command::Baseline(Box::new(profile))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::wire::{Kind, Writer};

    #[test]
    fn a_command_of_a_later_version_is_none_of_ours() {
        let mut later = Writer::new();
        later.uint(BASELINE + 1);
        let bytes = later.sealed(Kind::Command);
        assert_eq!(Command::read(&mut Reader::open_as(&bytes, Kind::Command).unwrap()), None);
        assert_eq!(Command::read(&mut Reader::new(&[])), None);
    }
}
