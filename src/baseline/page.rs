//! A profile as people look at it.
//!
//! Comes from: `build`, or a file. Goes to: standard output.

use super::build::LeftOut;
use crate::engine::baseline::profile::{Profile, Values};
use crate::engine::detect::describe::number;
use serde_json::{Value, json};

/// Lines: what it is, each signal, what is left out.
pub fn page(profile: &Profile, left_out: &[LeftOut]) -> Vec<String> {
    let bytes = profile.to_bytes().len();
    let mut lines = vec![
        format!(
            "baseline {:016x} of {}: {} predictions, {} signals, {bytes} bytes",
            profile.id(),
            profile.model,
            profile.rows,
            profile.signals.len()
        ),
        String::new(),
    ];
    let width = profile.signals.iter().map(|s| s.signal.chars().count()).max().unwrap_or(0).max("signal".len());
    lines.push(format!("{:<width$}  {:>12}  {:>8}  what is normal", "signal", "values", "missing"));
    for s in &profile.signals {
        let present = s.values.present();
        let missing = 100.0 * (profile.rows - present.min(profile.rows)) as f64 / profile.rows as f64;
        lines.push(format!("{:<width$}  {present:>12}  {:>8}  {}", s.signal, format!("{missing:.2} %"), normal(&s.values)));
    }
    if !left_out.is_empty() {
        lines.push(String::new());
        lines.extend(left_out.iter().map(|l| format!("left out: {} ({})", l.signal, l.why)));
    }
    lines
}

/// The same as JSON.
pub fn json(profile: &Profile, left_out: &[LeftOut]) -> Value {
    let signal = |s: &crate::engine::baseline::profile::SignalProfile| {
        let kind = if matches!(s.values, Values::Numbers { .. }) { "numbers" } else { "texts" };
        json!({ "signal": s.signal, "kind": kind, "values": s.values.present(), "normal": normal(&s.values) })
    };
    json!({
        "id": format!("{:016x}", profile.id()), "model": profile.model, "revision": profile.revision, "rows": profile.rows,
        "bytes": profile.to_bytes().len(), "signals": profile.signals.iter().map(signal).collect::<Vec<_>>(),
        "left_out": left_out.iter().map(|l| json!({ "signal": l.signal, "why": l.why })).collect::<Vec<_>>(),
    })
}

fn normal(values: &Values) -> String {
    match values {
        Values::Numbers { edges, bins, .. } => {
            let mean = if bins.n > 0 { edges.value_of(bins.sum as f64 / bins.n as f64) } else { 0.0 };
            let (low, high) = (number(bins.min), number(bins.max));
            format!("mean {}, median {}, {low} to {high}, {} bins", number(mean), number(edges.median), edges.bins())
        }
        Values::Texts { categories, counts, .. } => {
            let share = |n: u64| 100.0 * n as f64 / counts.n.max(1) as f64;
            let largest = categories.pinned.iter().zip(&counts.counts).take(3).map(|(value, n)| format!("{value} {:.1} %", share(*n)));
            let all = categories.pinned.len() + categories.known.len();
            format!("{} ({all} value(s))", largest.collect::<Vec<_>>().join(", "))
        }
    }
}
