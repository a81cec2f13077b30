//! How much of a window's evidence is chance when panes are not independent: seasons, slow waves, bursts.
//!
//! Sums over windows of real streams vary more than their events say, and the more so the longer the window. The reference has shown
//! how much, at 1, 2, 4 … 1,024 folds (`batches`); evidence is divided by that and pays for how well it is known.
//! - Variance of a window's mean over w folds and n events, in units of one event's: `V = 1/n + U(w)/w`. U never falls; between powers
//!   of two it is linear; beyond the longest window w* of which the reference has five, U/w stays what it is at w* or .01 (a wave of a tenth of
//!   a standard deviation), if more, but V need not be more than it is at w*.
//! - Variance of the reference's mean over F folds and m events: `1/m + U(w*)/F`.
//! - The variance factor `phi` is the sum of both over `1/n + 1/m`: batch means, Conway, Johnson, Maxwell, J. Industrial Engineering 10
//!   (1959); the t-correction `(f+1)/2 ln(1 + 2x/f)` is the likelihood ratio of a variance that is estimated with f degrees of freedom.
//! - f: the part `a = (phi-1)/phi` of the variance is wave, `1/f = (1 - a²)/s + a²/v`.
//!   s is batches - 1, and of half the length's s one half times `(phi'/phi)²`, phi' being the factor there: so much of phi has been seen
//!   on shorter windows (nothing of it if phi grows faster than it did up to there, by 1.5 standard errors of its logarithm).
//!   v counts waves instead of batches, because neighbouring batches of one slow wave say the same. Their correlation is
//!   `r = U(2w)/U(w) - 1` (0 if phi grows by no more than its error), and `v(w) = (2 - r^1.5) v(2w)`, at least 10, at most batches - 1,
//!   which it is for the longest. An AR(1) process of .5 has 1.56 times as many at half the length, by the rule 1.65; one of .98 1.04.
//! - On a reference of less than a day a change smaller than the `allowance` is no evidence at all (it may be the time of day):
//!   `(√x - √(allowed))²`, the triangle inequality for the distance that a likelihood ratio measures.
//!
//! Guarantees: never more evidence than independent events would give. Never: looks at anything after the reference.
//!
//! ```
//! # use driftline::engine::detect::noise::{Noise, Window};
//! let noise = Noise::new(200, 50.0, &[0.02, 0.04, 0.04], 0.0);
//! // 4 folds of 50 events against 200 folds: V = 1/200 + .04/4 = .015, of the reference 1/10,000 + .04/200 = .0003
//! let window = Window { folds: 4, n: 200.0, before: 10_000.0, history: 0 };
//! assert!((noise.phi(&window) - 0.0153 / 0.0051).abs() < 1e-6);
//! // 200 batches of one fold, 100 of two, 50 of four with phi 2, 3, 3: s = 49 + (99 + 199·(2/3)²/2)/2 = 120.61, v = 49, a = 2/3:
//! // 1/f = (5/9)/120.61 + (4/9)/49, f = 73.12; 37.06 ln(1 + 2·(9/3)/73.12)
//! assert!((noise.tempered(9.0, &window) - 2.9224).abs() < 1e-3);
//! assert_eq!(Noise::INDEPENDENT.tempered(9.0, &window), 9.0);
//! ```

use serde::{Deserialize, Serialize};

/// Windows of 1, 2, 4 … 1,024 folds are measured.
pub const SCALES: usize = 11;
/// Batches that a length needs to be measured.
pub const LEAST_BATCHES: u32 = 5;

/// `(f+1)/2 ln(1 + 2x/f)` is at most x or this, whichever is more, for f >= 1: it is concave in x and begins above x, and meets x at 1.256
/// for f = 1 and the sooner the more f.
pub const WORN: f64 = 1.3;

/// Standard errors by which a wave is new.
const SURPRISE: f64 = 1.5;
/// Waves are known as if at least so many had been seen: they are not larger than all that were by any factor.
const LEAST_WAVES: f64 = 10.0;
/// Variance of a wave that nobody has measured, in units of an event's.
const UNKNOWN_WAVE: f64 = 0.01;

/// A window and what it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Folds in the window.
    pub folds: u32,
    /// Events in it.
    pub n: f64,
    /// Events before it: the reference and history.
    pub before: f64,
    /// Folds of that history, without the reference.
    pub history: u32,
}

/// What the reference has shown of one channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Folds of the reference; 0: panes are taken as independent.
    folds: u32,
    /// Events a fold.
    events: f32,
    /// U at 1, 2, 4 … folds, as far as it was measured.
    excess: Vec<f32>,
    /// Degrees of freedom behind each.
    freedom: Vec<f32>,
    /// Squared change, in standard deviations of one event, that is no evidence.
    allowance: f32,
}

impl Noise {
    /// Nothing but the chance of independent events.
    pub const INDEPENDENT: Noise = Noise { folds: 0, events: 0.0, excess: Vec::new(), freedom: Vec::new(), allowance: 0.0 };

    /// A reference of `folds` with `events` each; `excess` at 1, 2, 4 … folds may fall, what is kept does not.
    pub fn new(folds: u32, events: f64, excess: &[f64], allowance: f64) -> Noise {
        let mut noise = Noise { folds, events: events as f32, allowance: allowance as f32, ..Noise::INDEPENDENT };
        let own = |scale: usize| f64::from((folds >> scale).max(1) - 1);
        let (mut phi, mut growth, mut shared) = (1.0, 1.0, 0.0);
        let mut found: Vec<(f64, f64)> = Vec::with_capacity(SCALES);
        for (scale, u) in excess.iter().take(scales(folds)).enumerate() {
            let (before, measured) = (phi, 1.0 + events * u);
            let surprise = libm::log(measured / (phi * growth)) * libm::sqrt(0.5 * own(scale));
            phi = measured.max(before);
            // a new wave is known from these batches alone
            let seen = if surprise < SURPRISE { 0.5 * (before / phi) * (before / phi) } else { 0.0 };
            shared = own(scale) + seen * shared;
            growth = (phi / before).min(2.0);
            found.push((phi, shared));
        }
        let (mut waves, mut longer) = (f64::INFINITY, 1.0);
        noise.freedom = vec![0.0; found.len()];
        for (scale, (phi, shared)) in found.iter().enumerate().rev() {
            // growth within its error is none
            let grows = libm::log(longer / phi) * libm::sqrt(0.5 * own(scale + 1)) > 1.0;
            let correlation = if grows { ((longer - 1.0) / (phi - 1.0) - 1.0).clamp(0.0, 1.0) } else { 0.0 };
            waves = own(scale).min((waves * (2.0 - correlation * libm::sqrt(correlation))).max(LEAST_WAVES));
            let wave = (phi - 1.0) / phi;
            noise.freedom[scale] = (1.0 / ((1.0 - wave * wave) / shared + wave * wave / waves)) as f32;
            longer = *phi;
        }
        noise.excess = found.iter().map(|(phi, _)| ((phi - 1.0) / events) as f32).collect();
        noise
    }

    /// By how much the variance of the difference between a window's mean and the mean before it exceeds that of independent events.
    pub fn phi(&self, w: &Window) -> f64 {
        if self.folds == 0 {
            return 1.0;
        }
        let before = 1.0 / w.before + self.longest_excess() / (f64::from(self.folds) + f64::from(w.history));
        ((self.variance(w.folds, w.n) + before) / (1.0 / w.n + 1.0 / w.before)).max(1.0)
    }

    /// The evidence, in nats, that is left of what independent events would give.
    pub fn tempered(&self, nats: f64, w: &Window) -> f64 {
        let phi = self.phi(w);
        self.certain(nats / phi, phi, w)
    }

    /// The same for evidence that has paid for phi already.
    pub fn certain(&self, nats: f64, phi: f64, w: &Window) -> f64 {
        if self.folds == 0 || nats == 0.0 {
            return nats;
        }
        let freedom = self.freedom(w.folds);
        let known = (freedom + 1.0) * 0.5 * libm::log1p(2.0 * nats / freedom);
        if self.allowance == 0.0 {
            return known;
        }
        let allowed = 0.5 * f64::from(self.allowance) / (1.0 / w.n + 1.0 / w.before) / phi;
        let left = (libm::sqrt(nats) - libm::sqrt(allowed)).max(0.0);
        ((freedom + 1.0) * 0.5 * libm::log1p(2.0 * left * left / freedom)).min(known)
    }

    /// The change, in standard deviations of an event, at which windows of `folds` with `n` events show `nats` of evidence on average.
    pub fn visible(&self, nats: f64, w: &Window) -> f64 {
        let variance = (1.0 / w.n + 1.0 / w.before) * self.phi(w);
        if self.folds == 0 {
            return libm::sqrt(2.0 * nats.max(0.0) * variance);
        }
        let freedom = self.freedom(w.folds);
        let needed = 0.5 * freedom * libm::expm1(2.0 * nats.max(0.0) / (freedom + 1.0));
        libm::sqrt(2.0 * needed * variance) + libm::sqrt(f64::from(self.allowance))
    }

    /// Folds of the longest window that the reference has measured; 0 if none.
    fn longest(&self) -> u32 {
        (1u32 << self.excess.len()) >> 1
    }

    fn longest_excess(&self) -> f64 {
        self.excess.last().map_or(0.0, |u| f64::from(*u))
    }

    fn variance(&self, folds: u32, n: f64) -> f64 {
        let longest = self.longest().max(1);
        if folds > longest {
            // nothing is known of longer windows: they may be one wave
            let wave = self.longest_excess() / f64::from(longest);
            let there = 1.0 / (f64::from(self.events) * f64::from(longest)) + wave;
            return there.min(1.0 / n + wave.max(UNKNOWN_WAVE)).max(1.0 / n);
        }
        let scale = folds.max(1).ilog2() as usize;
        let at = |i: usize| self.excess.get(i).map_or_else(|| self.longest_excess(), |u| f64::from(*u));
        let part = f64::from(folds.max(1)) / f64::from(1u32 << scale) - 1.0;
        1.0 / n + (at(scale) * (1.0 - part) + at(scale + 1) * part) / f64::from(folds.max(1))
    }

    fn freedom(&self, folds: u32) -> f64 {
        let scale = folds.max(1).next_power_of_two().ilog2() as usize;
        f64::from(*self.freedom.get(scale).or(self.freedom.last()).unwrap_or(&1.0))
    }
}

/// How many lengths of window a reference of so many folds can measure.
pub fn scales(folds: u32) -> usize {
    (0..SCALES).take_while(|k| folds >> k >= LEAST_BATCHES).count()
}
