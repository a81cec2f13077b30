//! Does the false-alarm budget hold? Fleets of streams in which nothing changes go through the real detect code: panes in, alerts out, the
//! lifecycle included.
//!
//!     cargo run --release --example budget                 # all settings
//!     cargo run --release --example budget -- --quick      # a tenth of the days
//!     cargo run --release --example budget -- ar 7d        # settings whose line holds all these words
//!
//! A line per setting: false alarms allowed and found, the bound (allowed + 3 sigma), what else is known. Exit code 1 if one is above it.

#[path = "../tests/kit/split_mix.rs"]
mod split_mix;

use driftline::config::load_text;
use driftline::engine::alert::{Alert, Reason};
use driftline::engine::baseline::edges::{categories, numeric_edges};
use driftline::engine::definitions::{BaselineRule, Definitions};
use driftline::engine::detect::stream::{Form, Observed, Rules, Stream, StreamKey};
use driftline::engine::summary::category::{Categories, CategoryCounts};
use driftline::engine::summary::numeric::{NumericBins, NumericEdges};
use driftline::engine::types::PaneId;
use split_mix::SplitMix64;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

const CONFIG: &str = "\
app: budget
kafka: { brokers: nowhere }
predictions: { topic: p }
outcomes: { topic: o }
models: { m: { task: binary, positive: yes } }
panes: { size: 1m }
baseline: { from: 1970-01-01T00:00:00Z, to: END }
budget: { false_alarms: 1, per: 1d, streams: 2000 }
alerts: { reminder: 3650d }
";
/// Panes a day: panes of a minute.
const DAY: i64 = 1_440;
/// The fleet that the budget is for.
const FLEET: u32 = 2_000;
/// Streams that are simulated, for as many days as give the fleet's stream-days in 30.
const STREAMS: u64 = 200;

/// Random numbers, and the second normal one of a pair.
struct Draw(SplitMix64, Option<f64>);

impl Draw {
    /// In (0, 1).
    fn unit(&mut self) -> f64 {
        self.0.inside()
    }
    fn normal(&mut self) -> f64 {
        if let Some(second) = self.1.take() {
            return second;
        }
        let (radius, angle) = ((-2.0 * self.unit().ln()).sqrt(), std::f64::consts::TAU * self.unit());
        self.1 = Some(radius * angle.sin());
        radius * angle.cos()
    }
    /// By inversion; of larger means the rounded normal.
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (mut left, mut part, mut k) = (self.unit(), (-mean).exp(), 0);
        while left > part && k < 200 {
            left -= part;
            k += 1;
            part *= mean / k as f64;
        }
        k
    }
}

/// How values are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    Normal,
    T3,
    Lognormal,
    Exponential,
    /// Scores with two decimals and ties at both ends.
    Ties,
    Rate(f64),
    Categories(usize),
}

/// How their mean wanders, in standard deviations.
#[derive(Clone, Copy, Debug, Default)]
struct Wave {
    swing: f64,
    tau: f64,
    rho: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reference {
    Panes200,
    Days(i64),
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    values: Values,
    wave: Wave,
    reference: Reference,
    /// Events a pane; by day and night if `tides`.
    events: f64,
    tides: bool,
}

impl Setting {
    fn name(&self) -> String {
        let wave = match self.wave {
            Wave { swing, tau, rho } if swing > 0.0 && tau > 0.0 => format!("swing {swing} + ar {tau} {rho}"),
            Wave { swing, .. } if swing > 0.0 => format!("swing {swing}"),
            Wave { tau, rho, .. } if tau > 0.0 => format!("ar {tau} {rho}"),
            _ => "independent".into(),
        };
        let reference = match self.reference {
            Reference::Panes200 => "200 panes".into(),
            Reference::Days(days) => format!("{days}d"),
        };
        let events = format!("{}{}", self.events, if self.tides { " by day and night" } else { "" });
        format!("{:<16} {wave:<22} reference {reference:<9} events {events}", format!("{:?}", self.values).to_lowercase())
    }

    fn definitions(&self) -> Definitions {
        let panes = match self.reference {
            Reference::Panes200 => 200,
            Reference::Days(days) => days * DAY,
        };
        let to = jiff::Timestamp::from_second(panes * 60).expect("a time");
        load_text("the fleet's configuration", &CONFIG.replace("END", &to.to_string()), &|_| None, Path::new("."))
            .expect("no mistakes")
            .definitions
    }
}

/// One stream's values, pane by pane.
struct Source {
    setting: Setting,
    draw: Draw,
    phase: f64,
    state: f64,
    pane: i64,
}

impl Source {
    fn new(setting: Setting, seed: u64) -> Source {
        let mut draw = Draw(SplitMix64(seed.wrapping_mul(0x5851_f42d_4c95_7f2d)), None);
        let (phase, state) = (draw.unit() * std::f64::consts::TAU, setting.wave.tau * draw.normal());
        Source { setting, draw, phase, state, pane: 0 }
    }

    /// Events of the next pane, and the mean of their values.
    fn next(&mut self) -> (f64, f64) {
        let wave = self.setting.wave;
        let angle = std::f64::consts::TAU * (self.pane % DAY) as f64 / DAY as f64;
        self.pane += 1;
        if wave.tau > 0.0 {
            self.state = wave.rho * self.state + wave.tau * (1.0 - wave.rho * wave.rho).sqrt() * self.draw.normal();
        }
        let tide = if self.setting.tides { 1.0 + 0.9 * angle.sin() } else { 1.0 };
        (self.setting.events * tide, wave.swing * (angle + self.phase).sin() + self.state)
    }

    fn value(&mut self, mean: f64) -> f64 {
        let d = &mut self.draw;
        match self.setting.values {
            Values::Normal => mean + d.normal(),
            Values::T3 => mean * 1.7 + d.normal() / ((0..3).map(|_| d.normal().powi(2)).sum::<f64>() / 3.0).sqrt(),
            Values::Lognormal => (mean + d.normal()).exp(),
            Values::Exponential => -d.unit().ln() * mean.exp(),
            Values::Ties => (100.0 / (1.0 + (-3.0 * (mean + d.normal())).exp())).round() / 100.0,
            Values::Rate(_) | Values::Categories(_) => unreachable!("counted, not measured"),
        }
    }
}

/// Φ, from a table of 4,096 steps of 1/256: within 5e-7.
fn normal_below(x: f64) -> f64 {
    static TABLE: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let exact = |x: f64| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
        (0..=4_097).map(|i| exact(f64::from(i) / 256.0 - 8.0)).collect()
    });
    let at = (x.clamp(-8.0, 8.0) + 8.0) * 256.0;
    let (i, part) = (at as usize, at.fract());
    TABLE[i] * (1.0 - part) + TABLE[i + 1] * part
}

impl Values {
    /// The part of the values that lies below `cut` when their mean has wandered to `mean`: what `Source::value` draws.
    fn below(self, cut: f64, mean: f64) -> f64 {
        match self {
            Values::Normal => normal_below(cut - mean),
            Values::T3 => {
                let t = (cut - mean * 1.7) / 3f64.sqrt();
                0.5 + (t / (1.0 + t * t) + t.atan()) / std::f64::consts::PI
            }
            Values::Lognormal => {
                if cut > 0.0 {
                    normal_below(cut.ln() - mean)
                } else {
                    0.0
                }
            }
            Values::Exponential => 1.0 - (-cut.max(0.0) * (-mean).exp()).exp(),
            Values::Ties => {
                // below the cut are the scores whose hundredths are
                let score = ((100.0 * cut).ceil() - 0.5) / 100.0;
                if score <= 0.0 {
                    0.0
                } else if score >= 1.0 {
                    1.0
                } else {
                    normal_below((score / (1.0 - score)).ln() / 3.0 - mean)
                }
            }
            Values::Rate(_) | Values::Categories(_) => unreachable!("counted, not measured"),
        }
    }
}

/// What a pane of a stream is drawn from.
enum Shape {
    /// Bins, and the part of values in each at the mean that comes with them.
    Numeric(NumericEdges, (f64, Vec<f64>)),
    Categories(Categories, Vec<f64>),
    Rate(f64),
}

impl Shape {
    fn of(setting: Setting, seed: u64) -> Shape {
        match setting.values {
            Values::Rate(p) => Shape::Rate(p),
            Values::Categories(k) => {
                let weights: Vec<f64> = (0..k).map(|i| 1.0 / (i + 1) as f64).collect();
                let sum: f64 = weights.iter().sum();
                let counts = weights.iter().enumerate().map(|(i, w)| (format!("{i:04}"), (1e7 * w / sum) as u64)).collect();
                Shape::Categories(categories(1, &counts), weights.iter().map(|w| w / sum).collect())
            }
            _ => {
                // as the plan would have them: 32 values of each of the first 200 panes
                let mut source = Source::new(setting, seed);
                let sample: Vec<f64> = (0..200)
                    .flat_map(|_| {
                        let (_, mean) = source.next();
                        (0..32).map(|_| source.value(mean)).collect::<Vec<_>>()
                    })
                    .collect();
                Shape::Numeric(numeric_edges(1, &sample), (f64::NAN, Vec::new()))
            }
        }
    }

    /// Closes the next pane of a stream.
    fn close(
        &mut self,
        source: &mut Source,
        bins: &mut NumericBins,
        pane: PaneId,
        stream: &mut Stream,
        rules: &Rules<'_>,
        out: &mut Vec<Alert>,
    ) {
        let (events, mean) = source.next();
        match self {
            Shape::Rate(p) => {
                let n = source.draw.poisson(events).max(1);
                let p = *p;
                let rate = (p + mean * (p * (1.0 - p)).sqrt()).clamp(p * 0.1, 0.99);
                let k = source.draw.poisson(n as f64 * rate).min(n);
                stream.close(pane, &Observed::Rate { n, k }, rules, out);
            }
            Shape::Categories(categories, weights) => {
                let mut counts = CategoryCounts::empty(categories.pinned.len());
                for (i, w) in weights.iter().enumerate() {
                    // the first category wanders
                    let share = if i == 0 { w * (1.0 + mean) } else { *w };
                    counts.counts[i] = source.draw.poisson(events * share);
                    counts.n += counts.counts[i];
                }
                stream.close(pane, &Observed::Categorical(&counts, categories), rules, out);
            }
            Shape::Numeric(edges, (at, parts)) => {
                bins.reset(edges.bins());
                if *at != mean {
                    let mut last = 0.0;
                    let below = edges.cuts.iter().map(|c| source.setting.values.below(*c, mean)).chain([1.0]);
                    *parts = below.map(|b| (b - std::mem::replace(&mut last, b)).max(0.0)).collect();
                    *at = mean;
                }
                for (count, part) in bins.counts.iter_mut().zip(parts.iter()) {
                    *count = source.draw.poisson(events * part);
                    bins.n += *count;
                }
                if bins.n > 0 {
                    stream.close(pane, &Observed::Numeric(bins, edges), rules, out);
                }
            }
        }
    }
}

/// False alarms of a setting, by stream.
fn alarms(setting: Setting, streams: u64, days: i64) -> Vec<(u64, BTreeMap<String, u64>)> {
    let definitions = setting.definitions();
    let rules = Rules { definitions: &definitions, definition_hash: "" };
    let form = match setting.values {
        Values::Rate(_) => Form::Rate,
        Values::Categories(_) => Form::Categorical,
        _ => Form::Numeric,
    };
    let BaselineRule::Range { to, .. } = definitions.baseline else { unreachable!("a range") };
    let start = definitions.pane.pane_of(to).0;
    let one = |seed: u64| {
        let mut shape = Shape::of(setting, seed);
        let mut source = Source::new(setting, seed);
        let key = StreamKey { model: "m".into(), version: None, segment: BTreeMap::new(), signal: "feature:x".into(), form };
        let (mut stream, mut bins, mut out) = (Stream::new(key), NumericBins::empty(0), Vec::new());
        let (mut found, mut by) = (0, BTreeMap::new());
        for pane in 0..start + days * DAY {
            shape.close(&mut source, &mut bins, PaneId(pane), &mut stream, &rules, &mut out);
            for alert in out.drain(..).filter(|a| a.reason == Reason::Opened) {
                found += 1;
                *by.entry(alert.detector).or_default() += 1;
            }
        }
        (found, by)
    };
    let (next, found) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|s| *s <= streams) {
                    let stream = one(seed);
                    found.lock().expect("no thread panics").push(stream);
                }
            });
        }
    });
    found.into_inner().expect("no thread panics")
}

fn settings() -> Vec<Setting> {
    use Reference::{Days, Panes200};
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
    all
}

fn main() -> ExitCode {
    let (mut words, mut streams, mut days) = (Vec::new(), STREAMS, 30 * i64::from(FLEET) / STREAMS as i64);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|a| a.parse::<u64>().ok()).expect("a number");
        match argument.as_str() {
            "--quick" => days /= 10,
            "--streams" => streams = number(),
            "--days" => days = number() as i64,
            _ => words.push(argument),
        }
    }
    let settings: Vec<Setting> = settings().into_iter().filter(|s| words.iter().all(|w| s.name().contains(w.as_str()))).collect();
    println!("{streams} streams for {days} days with the thresholds of {FLEET}: one false alarm a day for all of those");
    let mut failed = 0;
    for setting in &settings {
        let began = Instant::now();
        let found = alarms(*setting, streams, days);
        let allowed = streams as f64 * days as f64 / f64::from(FLEET);
        let (all, most) = (found.iter().map(|f| f.0).sum::<u64>(), found.iter().map(|f| f.0).max().unwrap_or(0));
        let mut by: BTreeMap<&str, u64> = BTreeMap::new();
        found.iter().flat_map(|f| &f.1).for_each(|(d, n)| *by.entry(d).or_default() += n);
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
