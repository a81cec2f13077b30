//! How soon are changes found on streams as they are? Under the settings of a large fleet with a week of reference, through the real detect code.
//!
//!     cargo run --release --example power
//!
//! A line per change: mean delay in panes of a minute, changes that were not found in time (within a day, or while they grow), alarms before
//! the change. Exit code 1 if a line misses what stands in it.

#[path = "../tests/kit/each.rs"]
mod each;
#[allow(dead_code)] // the budget has more kinds of streams
#[path = "../tests/kit/fleet.rs"]
mod fleet;
#[path = "../tests/kit/offline.rs"]
mod offline;
#[path = "../tests/kit/split_mix.rs"]
mod split_mix;

use each::each;
use fleet::{DAY, Member, Reference, Setting, Values, Wave};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Streams for each change; each changes at another time of day.
const STREAMS: u64 = 200;

/// A change of the mean, in standard deviations of an event.
#[derive(Clone, Copy)]
enum Change {
    Jump(f64),
    /// To so much within so many panes.
    Ramp(f64, i64),
}

impl Change {
    fn at(self, pane: i64) -> f64 {
        match self {
            Change::Jump(by) => by,
            Change::Ramp(to, panes) => to * pane.min(panes) as f64 / panes as f64,
        }
    }

    /// It has to be found within so many panes.
    fn in_time(self) -> i64 {
        match self {
            Change::Jump(_) => DAY,
            Change::Ramp(_, panes) => panes,
        }
    }
}

/// Panes until a stream alarms after the change, if that is in time; `Err` if it did before.
fn delay(setting: Setting, seed: u64, change: Change) -> Result<Option<i64>, ()> {
    let definitions = setting.definitions();
    let mut member = Member::grown(setting, seed, &definitions);
    let quiet = DAY + seed as i64 * 601 % DAY;
    if (0..quiet).any(|_| member.close(0.0).is_some()) {
        return Err(());
    }
    Ok((1..=change.in_time()).find(|pane| member.close(change.at(*pane)).is_some()))
}

fn main() -> ExitCode {
    let wave = Wave { swing: 0.1, tau: 0.05, rho: 0.53 };
    let setting = Setting { values: Values::Normal, wave, reference: Reference::Days(7), events: 600.0, tides: false };
    println!("{} ({STREAMS} streams a line, budget of one false alarm a day for 2,000)", setting.name());
    let lines = [
        ("a jump of .25 sigma", Change::Jump(0.25), 6.0),
        ("a jump of .1 sigma", Change::Jump(0.1), 45.0),
        ("a ramp to .5 sigma in 500 panes", Change::Ramp(0.5, 500), 250.0),
        (".02 sigma a day for 30 days", Change::Ramp(0.6, 30 * DAY), 15.0 * DAY as f64),
    ];
    let mut missed_the_aim = false;
    for (name, change, aim) in lines {
        let delays = each(STREAMS, |seed| delay(setting, seed, change));
        let early = delays.iter().filter(|d| d.is_err()).count();
        let found: Vec<i64> = delays.iter().flatten().flatten().copied().collect();
        let missed = delays.len() - early - found.len();
        let mean = found.iter().sum::<i64>() as f64 / found.len().max(1) as f64;
        let fails = mean > aim || missed > 0;
        missed_the_aim |= fails;
        println!(
            "{name:<34} {mean:6.1} panes (aim {aim}), slowest {}, not in time {missed}, alarms before {early}{}",
            found.iter().max().copied().unwrap_or(0),
            if fails { "  MISSED" } else { "" }
        );
    }
    if missed_the_aim { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
