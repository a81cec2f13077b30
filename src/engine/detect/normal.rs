//! The normal and the chi-square distribution with `libm` alone: the same bits on every machine.

use libm::{erfc, exp, log, sqrt};
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::sync::LazyLock;

/// Two-sided 95 % quantile of the standard normal distribution.
pub const Z95: f64 = 1.959_963_984_540_054;

/// The quantile of the standard normal distribution, for 0 < p < 1: Acklam's rational approximation and one step of Halley.
///
/// ```
/// # use driftline::engine::detect::normal::quantile;
/// assert!((quantile(0.975) - 1.959963984540054).abs() < 1e-12); // from tables
/// assert_eq!(quantile(0.5), 0.0);
/// ```
pub fn quantile(p: f64) -> f64 {
    const A: [f64; 6] =
        [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
    const B: [f64; 5] = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572];
    const C: [f64; 6] =
        [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
    const D: [f64; 4] = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416];
    let poly = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = sqrt(-2.0 * log(p));
        poly(&C, q) / (poly(&D, q) * q + 1.0)
    };
    let x = if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        poly(&A, r) * q / (poly(&B, r) * r + 1.0)
    };
    let e = 0.5 * erfc(-x * FRAC_1_SQRT_2) - p;
    let u = e * sqrt(2.0 * PI) * exp(x * x * 0.5);
    x - u / (1.0 + x * u * 0.5)
}

/// No less than `chi_square_nats`, for a fraction of its cost: with s = k/2 >= 1 and y = x/2, P = Γ(s, y)/Γ(s) >= y^(s-1) e^-y / Γ(s). That
/// is greatest at y = s - 1, and what holds there holds for smaller x.
///
/// ```
/// # use driftline::engine::detect::normal::{chi_square_nats, chi_square_nats_bound};
/// for (x, k) in [(0.5, 1), (3.8, 1), (60.0, 1), (3.0, 2), (0.01, 15), (25.0, 15), (90.0, 30)] {
///     assert!(chi_square_nats_bound(x, k) >= chi_square_nats(x, k));
/// }
/// assert!(chi_square_nats_bound(25.0, 15) < chi_square_nats(25.0, 15) + 1.0 && chi_square_nats_bound(0.01, 15) < 2.0);
/// ```
pub fn chi_square_nats_bound(x: f64, k: u32) -> f64 {
    if k < 2 || x <= 0.0 {
        return f64::INFINITY;
    }
    let s = f64::from(k) * 0.5;
    let y = (x * 0.5).max(s - 1.0);
    y - (s - 1.0) * log(y) + ln_gamma_half(k).0
}

/// Whether `chi_square_nats_bound` is below `floor`: mostly seen without a logarithm, as y >= s - 1 has at least that of s - 1.
///
/// ```
/// # use driftline::engine::detect::normal::{chi_square_nats_bound, chi_square_surely_below};
/// for (x, k) in [(0.5, 1), (60.0, 2), (3.0, 2), (0.0, 15), (0.01, 15), (25.0, 15), (90.0, 30), (300.0, 200)] {
///     for floor in [0.0, 1.0, 5.0, 14.0, 20.0, 100.0] {
///         assert_eq!(chi_square_surely_below(x, k, floor), chi_square_nats_bound(x, k) < floor, "{x} {k} {floor}");
///     }
/// }
/// ```
pub fn chi_square_surely_below(x: f64, k: u32, floor: f64) -> bool {
    if k < 2 || x <= 0.0 {
        return false;
    }
    let y = (x * 0.5).max(f64::from(k) * 0.5 - 1.0);
    y + ln_gamma_half(k).1 < floor || chi_square_nats_bound(x, k) < floor
}

/// Of s = k/2: ln Γ(s), and that less (s - 1) ln(s - 1).
fn ln_gamma_half(k: u32) -> (f64, f64) {
    static KNOWN: LazyLock<[(f64, f64); 128]> = LazyLock::new(|| std::array::from_fn(|k| computed(k as u32)));
    fn computed(k: u32) -> (f64, f64) {
        let s = f64::from(k) * 0.5;
        let least = if k > 2 { (s - 1.0) * log(s - 1.0) } else { 0.0 };
        (libm::lgamma(s), libm::lgamma(s) - least)
    }
    KNOWN.get(k as usize).copied().unwrap_or_else(|| computed(k))
}

/// `-ln P(X > x)` of a chi-square distribution with `k` degrees of freedom: the finite sums for whole k, so that it is exact far
/// out in the tail, where Wilson and Hilferty's cube root is not (k = 1, x = 40: 21.8 nats, by the cube root 18.4).
///
/// ```
/// # use driftline::engine::detect::normal::chi_square_nats;
/// assert!((chi_square_nats(3.841458820694124, 1) - 0.05f64.ln().abs()).abs() < 1e-9); // 5 % points from tables
/// assert!((chi_square_nats(18.30703805327515, 10) - 0.05f64.ln().abs()).abs() < 1e-9);
/// assert_eq!(chi_square_nats(5_000.0, 2), 2_500.0); // by hand: exp(-x/2)
/// ```
pub fn chi_square_nats(x: f64, k: u32) -> f64 {
    if x <= 0.0 || k == 0 {
        return 0.0;
    }
    let y = x * 0.5;
    // P = e^-y · (sum of terms); the sum is kept with a scale so that no term overflows
    let (mut term, mut sum, mut j) =
        if k.is_multiple_of(2) { (1.0, 1.0, 1.0) } else { (sqrt(y) * 2.0 / sqrt(PI), scaled_erfc(sqrt(y)), 1.5) };
    let mut scale = 0.0;
    let steps = if k.is_multiple_of(2) { k / 2 - 1 } else { k / 2 };
    for step in 0..steps {
        if k.is_multiple_of(2) || step > 0 {
            term *= y / j;
            j += 1.0;
        }
        sum += term;
        if sum > 1e250 {
            sum *= 1e-250;
            term *= 1e-250;
            scale += 250.0 * std::f64::consts::LN_10;
        }
    }
    (y - log(sum) - scale).max(0.0)
}

/// e^(t²) erfc(t) for t >= 0.
fn scaled_erfc(t: f64) -> f64 {
    if t < 5.0 {
        return exp(t * t) * erfc(t);
    }
    let r = 1.0 / (2.0 * t * t);
    let mut term = 1.0;
    let mut sum = 1.0;
    for i in 1..12 {
        term *= -r * f64::from(2 * i - 1);
        sum += term;
    }
    sum / (t * sqrt(PI))
}
