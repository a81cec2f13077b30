//! Does the false-alarm budget hold? Fleets of streams in which nothing changes go through the real detect code: panes in, alerts out, the
//! lifecycle included.
//!
//!     cargo run --release --example budget                 # all settings
//!     cargo run --release --example budget -- --quick      # a tenth of the settings, a tenth of the days
//!     cargo run --release --example budget -- ar 7d        # settings whose line holds all these words
//!
//! A line per setting: false alarms allowed and found, the bound (allowed + 3 sigma), what else is known. Exit code 1 if one is above it.

#[path = "../tests/kit/each.rs"]
mod each;
#[path = "../tests/kit/fleet.rs"]
mod fleet;
#[path = "../tests/kit/offline.rs"]
mod offline;
#[path = "../tests/kit/split_mix.rs"]
mod split_mix;

use each::each;
use fleet::{DAY, FLEET, Member, Reference, Setting, Values, Wave};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Streams that are simulated, for as many days as give the fleet's stream-days in 30.
const STREAMS: u64 = 200;

/// False alarms of a stream by detector.
fn alarms(setting: Setting, seed: u64, days: i64) -> BTreeMap<String, u64> {
    let definitions = setting.definitions();
    let (mut member, mut by) = (Member::grown(setting, seed, &definitions), BTreeMap::new());
    (0..days * DAY).filter_map(|_| member.close(0.0)).for_each(|detector| *by.entry(detector).or_default() += 1);
    by
}

fn settings() -> Vec<Setting> {
    use Reference::{Days, File, Panes200};
    let wave = |swing, tau, rho| Wave { swing, tau, rho };
    let waves = [
        wave(0.0, 0.0, 0.0),
        wave(0.05, 0.0, 0.0),
        wave(0.1, 0.0, 0.0),
        wave(0.2, 0.0, 0.0),
        wave(0.0, 0.05, 0.53),
        wave(0.0, 0.1, 0.886),
        wave(0.0, 0.05, 0.98),
        wave(0.1, 0.05, 0.53),
    ];
    let values = [
        Values::T3,
        Values::Lognormal,
        Values::Exponential,
        Values::Ties,
        Values::Rate(0.001),
        Values::Rate(0.01),
        Values::Rate(0.05),
        Values::Rate(0.2),
        Values::Categories(3),
        Values::Categories(16),
        Values::Categories(64),
        // a wave of .1 sigma moves it by 5 %, or by 65 %
        Values::Volume(0.5),
        Values::Volume(5.0),
    ];
    let references = [Panes200, Days(1), Days(7), Days(14)];
    let volumes = [(20.0, false), (100.0, false), (600.0, false), (100.0, true)];
    let mut all = Vec::new();
    for (i, wave) in waves.into_iter().enumerate() {
        for (j, reference) in references.into_iter().enumerate() {
            let (events, tides) = volumes[(i + j) % 4];
            all.push(Setting { values: Values::Normal, wave, reference, events, tides });
        }
    }
    for (i, values) in values.into_iter().enumerate() {
        for (j, reference) in references.into_iter().enumerate() {
            let (events, tides) = volumes[(i + j) % 4];
            let wave = waves[(i + 2 * j) % waves.len()];
            all.push(Setting { values, wave, reference, events, tides });
        }
    }
    // a file says nothing of volumes
    let measured = std::iter::once(Values::Normal).chain(values).filter(|v| !matches!(v, Values::Volume(_)));
    for (i, values) in measured.enumerate() {
        let ((events, tides), wave) = (volumes[i % 4], waves[(3 * i + 7) % waves.len()]);
        all.push(Setting { values, wave, reference: File([1, 7][i % 2]), events, tides });
    }
    all
}

fn main() -> ExitCode {
    let (mut words, mut streams, mut days, mut every) = (Vec::new(), STREAMS, 30 * i64::from(FLEET) / STREAMS as i64, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|a| a.parse::<u64>().ok()).expect("a number");
        match argument.as_str() {
            "--quick" => (days, every) = (days / 10, 10),
            "--streams" => streams = number(),
            "--days" => days = number() as i64,
            _ => words.push(argument),
        }
    }
    let settings: Vec<Setting> =
        settings().into_iter().filter(|s| words.iter().all(|w| s.name().contains(w.as_str()))).step_by(every).collect();
    println!("{streams} streams for {days} days with the thresholds of {FLEET}: one false alarm a day for all of those");
    let mut failed = 0;
    for setting in &settings {
        let began = Instant::now();
        let found = each(streams, |seed| alarms(*setting, seed, days));
        let allowed = streams as f64 * days as f64 / f64::from(FLEET);
        let of_streams = found.iter().map(|by| by.values().sum::<u64>());
        let (all, most) = (of_streams.clone().sum::<u64>(), of_streams.max().unwrap_or(0));
        let mut by: BTreeMap<&str, u64> = BTreeMap::new();
        found.iter().flatten().for_each(|(d, n)| *by.entry(d).or_default() += n);
        let bound = allowed + 3.0 * allowed.sqrt();
        let fails = all as f64 > bound;
        failed += usize::from(fails);
        println!(
            "{} allowed {allowed:.1} found {all} bound {bound:.1}{}  (most in a stream {most}; {by:?}; {:.0} s)",
            setting.name(),
            if fails { "  TOO MANY" } else { "" },
            began.elapsed().as_secs_f64()
        );
    }
    println!("{} settings, {failed} with too many false alarms", settings.len());
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
