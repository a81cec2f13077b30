//! How large a change is, with a 95 % interval: what decides whether a significant change is anybody's business.
//!
//! All effects compare a window with the pinned reference. `phi` says by how much the difference varies more than that of independent
//! events (`noise`). The window was chosen because it looks changed, so a fresh effect is
//! a little too large on average.

use super::distance::{psi_error, psi_unbiased};
use super::normal::Z95;
use crate::engine::alert::Effect;
use crate::engine::definitions::Tolerance;
use libm::sqrt;

/// The tolerance of a volume in tolerances of a rate: traffic may vary more than quality.
pub const VOLUME: f64 = 2.0;

fn effect(name: &str, unit: &str, value: f64, error: f64, tolerance: f64) -> Effect {
    Effect { name: name.into(), unit: unit.into(), value, low: value - Z95 * error, high: value + Z95 * error, tolerance }
}

/// Standard error of a difference of two means of unit variance.
fn noise(n: f64, m: f64) -> f64 {
    sqrt(1.0 / n + 1.0 / m)
}

/// Shift of the mean normal score, in reference standard deviations (sigma). `sum` of `n` standardised scores, reference of `m`.
pub fn location(n: f64, sum: f64, m: f64, phi: f64, tolerance: &Tolerance) -> Effect {
    effect("location", "sigma", sum / n, noise(n, m) * sqrt(phi), tolerance.location)
}

/// Relative change of the standard deviation of the normal scores: `√(E a² - (E a)²) - 1`.
/// `squares` and `sum` are the sums of standardised a² and of a over the window, `spread` the reference deviation of a².
pub fn scale(n: f64, [squares, sum]: [f64; 2], (m, spread): (f64, f64), phi: f64, tolerance: &Tolerance) -> Effect {
    let mean = sum / n;
    let deviation = sqrt((1.0 + spread * squares / n - mean * mean).max(0.0));
    let error = spread * 0.5 / deviation.max(0.05) * noise(n, m) * sqrt(phi);
    effect("scale", "relative", deviation - 1.0, error, tolerance.scale)
}

/// Bias-corrected PSI between counts per group.
pub fn mix(window: &[u64], reference: &[u64], phi: f64, tolerance: &Tolerance) -> Effect {
    let [n, m] = [window, reference].map(|counts| counts.iter().sum::<u64>().max(1) as f64);
    let waves = (phi - 1.0) * (1.0 / n + 1.0 / m); // what it is on average although nothing has changed
    effect("psi", "psi", psi_unbiased(reference, window) - waves, psi_error(reference, window) * sqrt(phi), tolerance.psi)
}

/// Difference of two rates in percentage points; the tolerance is the larger of the absolute and the relative one.
/// Interval: Newcombe's from two Wilson intervals (Statistics in Medicine 17, 1998, method 10).
pub fn rate((n, k): (f64, f64), (m, r): (f64, f64), phi: f64, tolerance: &Tolerance) -> Effect {
    let (now, before) = (k / n, r / m);
    let (low, high) = wilson(n / phi, k / phi);
    let (below, above) = wilson(m / phi, r / phi);
    let down = sqrt((now - low) * (now - low) + (above - before) * (above - before));
    let up = sqrt((high - now) * (high - now) + (before - below) * (before - below));
    let points = |x: f64| 100.0 * x;
    Effect {
        name: "rate_difference".into(),
        unit: "points".into(),
        value: points(now - before),
        low: points(now - before - down),
        high: points(now - before + up),
        tolerance: points(tolerance.rate_points.max(tolerance.rate_relative * before)),
    }
}

/// Difference of the error rates of two sides in percentage points, weighted by strata: `excess / weight`, standard error `√variance / weight`.
pub fn gap((variance, excess, weight): (f64, f64, f64), (n, k): (u64, u64), tolerance: &Tolerance) -> Effect {
    let (value, error, others) = (excess / weight, sqrt(variance) / weight, k as f64 / n.max(1) as f64);
    let tolerated = tolerance.rate_points.max(tolerance.rate_relative * others);
    effect("rate_difference", "points", 100.0 * value, 100.0 * error, 100.0 * tolerated)
}

/// Relative change of a volume: `s` rows of an exposure of `n` panes, reference of `r` rows in `m`. Interval: the score interval of a
/// Poisson mean (Garwood's problem; Barker, The American Statistician 56, 2002) of the window, and the reference's own error.
///
/// ```
/// # use driftline::engine::{definitions::Tolerance, detect::effect::volume};
/// // by hand: 40 instead of 100 rows; (40 + 1.9207 ± 1.96·√(40 + .9604))/100 = .2938 to .5446; the reference's error: 1.96·.4/√10,000
/// let e = volume((10.0, 40.0), (1_000.0, 10_000.0), 1.0, &Tolerance::default());
/// assert!((e.value + 0.6).abs() < 1e-12 && (e.low + 0.7065).abs() < 1e-3 && (e.high + 0.4552).abs() < 1e-3);
/// ```
pub fn volume((n, s): (f64, f64), (m, r): (f64, f64), phi: f64, tolerance: &Tolerance) -> Effect {
    let (expected, z2) = (n * r / m, Z95 * Z95);
    let (now, k) = (s / expected, s / phi);
    let middle = (k + 0.5 * z2) * phi / expected;
    let half = Z95 * sqrt(k + 0.25 * z2) * phi / expected;
    let before = Z95 * now * sqrt(phi / r);
    let (down, up) = (now - (middle - half).max(0.0), middle + half - now);
    Effect {
        name: "volume".into(),
        unit: "relative".into(),
        value: now - 1.0,
        low: (now - sqrt(down * down + before * before)).max(0.0) - 1.0,
        high: now + sqrt(up * up + before * before) - 1.0,
        tolerance: VOLUME * tolerance.rate_relative,
    }
}

/// Wilson's 95 % interval of a rate (JASA 22, 1927).
///
/// ```
/// # use driftline::engine::detect::effect::wilson;
/// let (low, high) = wilson(100.0, 10.0); // textbook: .0552 to .1744
/// assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4);
/// ```
pub fn wilson(n: f64, k: f64) -> (f64, f64) {
    let (p, z2) = (k / n, Z95 * Z95);
    let middle = p + z2 / (2.0 * n);
    let half = Z95 * sqrt((p * (1.0 - p)).max(0.0) / n + z2 / (4.0 * n * n));
    (((middle - half) / (1.0 + z2 / n)).max(0.0), ((middle + half) / (1.0 + z2 / n)).min(1.0))
}

/// True if an effect passes its tolerance in the direction that its detector watches.
pub fn beyond(effect: &Effect) -> bool {
    if effect.is_ratio() {
        return effect.value <= effect.tolerance;
    }
    let size = if effect.name == "rate_difference" || effect.name == "psi" { effect.value } else { effect.value.abs() };
    size > 0.0 && size >= effect.tolerance
}
