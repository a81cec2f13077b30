//! Our normal and chi-square distributions (libm alone, the same bits everywhere) against statrs.

use driftline::engine::detect::normal::{chi_square_nats, quantile};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

#[test]
fn normal_quantiles_are_those_of_statrs() {
    let normal = Normal::new(0.0, 1.0).unwrap();
    for i in 1..10_000 {
        let p = f64::from(i) / 10_000.0;
        assert!((quantile(p) - normal.inverse_cdf(p)).abs() < 1e-9, "p = {p}: {} and {}", quantile(p), normal.inverse_cdf(p));
    }
}

#[test]
fn chi_square_tails_are_those_of_statrs_where_those_are_exact() {
    for k in 1..=63 {
        let chi = ChiSquared::new(f64::from(k)).unwrap();
        for i in 1..200 {
            let x = f64::from(i);
            let tail = chi.sf(x);
            if tail > 1e-12 {
                let (ours, theirs) = (chi_square_nats(x, k), -tail.ln());
                assert!((ours - theirs).abs() < 1e-6 * theirs.abs().max(1.0), "k = {k}, x = {x}: {ours} and {theirs}");
            }
        }
    }
}
