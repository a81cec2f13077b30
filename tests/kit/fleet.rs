//! Fleets of simulated streams: panes whose values are known by construction go through the real detect code.
//!
//! Values of many kinds, means that wander (a daily swing, slow waves) and that a change moves, volumes that come and go by day and night.

use crate::offline;
use crate::split_mix::SplitMix64;
use driftline::engine::alert::{Alert, Reason};
use driftline::engine::baseline::edges::{categories, numeric_edges};
use driftline::engine::baseline::reference::Tally;
use driftline::engine::baseline::volume::Volume;
use driftline::engine::definitions::{BaselineRule, Definitions};
use driftline::engine::detect::stream::{Form, Observed, Rules, Stream, StreamKey};
use driftline::engine::summary::category::{Categories, CategoryCounts};
use driftline::engine::summary::numeric::{NumericBins, NumericEdges};
use driftline::engine::types::PaneId;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One false alarm a day for all of a fleet, which is `FLEET` streams.
const CONFIG: &str = "\
panes: { size: 1m }
baseline: { from: 1970-01-01T00:00:00Z, to: END }
budget: { false_alarms: 1, per: 1d, streams: 2000 }
alerts: { reminder: 3650d }
";
/// The fleet that the budget is for.
pub const FLEET: u32 = 2_000;
/// Panes a day: panes of a minute.
pub const DAY: i64 = 1_440;

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
pub enum Values {
    Normal,
    T3,
    Lognormal,
    Exponential,
    /// Scores with two decimals and ties at both ends.
    Ties,
    Rate(f64),
    Categories(usize),
    /// Rows are counted, not looked at; the logarithm of their number wanders by so much for each standard deviation.
    Volume(f64),
}

/// How their mean wanders, in standard deviations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wave {
    pub swing: f64,
    pub tau: f64,
    pub rho: f64,
}

/// How long it is learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reference {
    Panes200,
    Days(i64),
    /// A file with the rows of 14 other days; how panes vary is learnt for so many days.
    File(i64),
}

/// What the streams of a fleet are like.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub values: Values,
    pub wave: Wave,
    pub reference: Reference,
    /// Events a pane; by day and night if `tides`.
    pub events: f64,
    pub tides: bool,
}

impl Setting {
    /// One line.
    pub fn name(&self) -> String {
        let wave = match self.wave {
            Wave { swing, tau, rho } if swing > 0.0 && tau > 0.0 => format!("swing {swing} + ar {tau} {rho}"),
            Wave { swing, .. } if swing > 0.0 => format!("swing {swing}"),
            Wave { tau, rho, .. } if tau > 0.0 => format!("ar {tau} {rho}"),
            _ => "independent".into(),
        };
        let reference = match self.reference {
            Reference::Panes200 => "200 panes".into(),
            Reference::Days(days) => format!("{days}d"),
            Reference::File(days) => format!("file+{days}d"),
        };
        let events = format!("{}{}", self.events, if self.tides { " by day and night" } else { "" });
        format!("{:<16} {wave:<22} reference {reference:<9} events {events}", format!("{:?}", self.values).to_lowercase())
    }

    /// Definitions with its reference.
    pub fn definitions(&self) -> Definitions {
        let panes = match self.reference {
            Reference::Panes200 => 200,
            Reference::Days(days) | Reference::File(days) => days * DAY,
        };
        let to = jiff::Timestamp::from_second(panes * 60).expect("a time");
        offline::definitions(&CONFIG.replace("END", &to.to_string()))
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
            Values::Rate(_) | Values::Categories(_) | Values::Volume(_) => unreachable!("counted, not measured"),
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
            Values::Rate(_) | Values::Categories(_) | Values::Volume(_) => unreachable!("counted, not measured"),
        }
    }
}

/// What a pane of a stream is drawn from.
enum Shape {
    /// Bins, and the part of values in each at the mean that comes with them.
    Numeric(NumericEdges, (f64, Vec<f64>)),
    Categories(Categories, Vec<f64>),
    Rate(f64),
    Volume(f64),
}

impl Shape {
    fn of(setting: Setting, seed: u64) -> Shape {
        match setting.values {
            Values::Rate(p) => Shape::Rate(p),
            Values::Volume(part) => Shape::Volume(part),
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

    /// What the next pane of a stream holds.
    fn draw(&mut self, source: &mut Source, shift: f64) -> Tally {
        let (events, mean) = source.next();
        let mean = mean + shift;
        match self {
            Shape::Rate(p) => {
                let n = source.draw.poisson(events).max(1);
                let p = *p;
                let rate = (p + mean * (p * (1.0 - p)).sqrt()).clamp(p * 0.1, 0.99);
                let k = source.draw.poisson(n as f64 * rate).min(n);
                Tally::Rate { n, k }
            }
            Shape::Volume(part) => {
                let rows = source.draw.poisson(events * (*part * mean).exp());
                Tally::Volume(Volume::of_pane(rows))
            }
            Shape::Categories(categories, weights) => {
                let mut counts = CategoryCounts::empty(categories.pinned.len());
                for (i, w) in weights.iter().enumerate() {
                    // the first category wanders
                    let share = if i == 0 { w * (1.0 + mean) } else { *w };
                    counts.counts[i] = source.draw.poisson(events * share);
                    counts.n += counts.counts[i];
                }
                Tally::Categorical(counts)
            }
            Shape::Numeric(edges, (at, parts)) => {
                let mut bins = NumericBins::empty(edges.bins());
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
                Tally::Numeric(bins)
            }
        }
    }

    /// A pane as a stream sees it.
    fn seen<'a>(&'a self, tally: &'a Tally) -> Observed<'a> {
        match (self, tally) {
            (Shape::Numeric(edges, _), Tally::Numeric(bins)) => Observed::Numeric(bins, edges),
            (Shape::Categories(categories, _), Tally::Categorical(counts)) => Observed::Categorical(counts, categories),
            (_, Tally::Rate { n, k }) => Observed::Rate { n: *n, k: *k },
            (_, Tally::Volume(volume)) => Observed::Volume(*volume),
            (_, other) => unreachable!("{other:?}"),
        }
    }

    /// What a file counts: the rows of days of the same kind that are not the stream's own.
    fn file(&mut self, setting: Setting, seed: u64) -> Tally {
        let mut source = Source { phase: Source::new(setting, seed).phase, ..Source::new(setting, !seed) };
        let mut all = self.draw(&mut source, 0.0);
        for _ in 1..14 * DAY {
            assert!(all.merge(&self.draw(&mut source, 0.0)), "panes of one kind");
        }
        all
    }
}

/// A stream of a fleet at work.
pub struct Member<'d> {
    shape: Shape,
    source: Source,
    stream: Stream,
    /// What a file gave.
    given: Option<Tally>,
    out: Vec<Alert>,
    pane: i64,
    definitions: &'d Definitions,
}

impl Member<'_> {
    /// At the end of its reference.
    pub fn grown(setting: Setting, seed: u64, definitions: &Definitions) -> Member<'_> {
        let form = match setting.values {
            Values::Rate(_) => Form::Rate,
            Values::Categories(_) => Form::Categorical,
            Values::Volume(_) => Form::Volume,
            _ => Form::Numeric,
        };
        let key = StreamKey { model: "m".into(), version: None, segment: BTreeMap::new(), signal: "feature:x".into(), form };
        let mut shape = Shape::of(setting, seed);
        let given = matches!(setting.reference, Reference::File(_)).then(|| shape.file(setting, seed));
        let mut member =
            Member { shape, given, source: Source::new(setting, seed), stream: Stream::new(key), out: Vec::new(), pane: 0, definitions };
        let BaselineRule::Range { to, .. } = definitions.baseline else { unreachable!("a range") };
        (0..definitions.pane.pane_of(to).0).for_each(|_| assert!(member.close(0.0).is_none(), "an alarm while it learns"));
        member
    }

    /// Closes the next pane, with a mean that a change has moved by so many standard deviations. The detector, if an episode opens.
    pub fn close(&mut self, shift: f64) -> Option<String> {
        let rules = Rules { definitions: self.definitions, definition_hash: "" };
        let (tally, pane) = (self.shape.draw(&mut self.source, shift), PaneId(self.pane));
        let given = self.given.as_ref().map(|given| self.shape.seen(given));
        if tally.weight() > 0 {
            self.stream.close_beside(given, pane, &self.shape.seen(&tally), &rules, &mut self.out);
        }
        self.pane += 1;
        self.out.drain(..).filter(|a| a.reason == Reason::Opened).map(|a| a.detector).next_back()
    }
}
