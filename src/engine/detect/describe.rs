//! From numbers to an alert that a person understands: sides, distances, contributors, one sentence.

use super::category::Groups;
use super::channels::{Content, Detector, Watch};
use super::normal::Z95;
use super::{distance, effect, groups};
use crate::engine::alert::{Alert, Contributor, Side};
use crate::engine::baseline::reference::Observed;
use crate::engine::summary::numeric::NumericEdges;
use crate::engine::types::EventTime;
use std::collections::BTreeMap;

/// Contributors of an alert at most.
const CONTRIBUTORS: usize = 10;

/// Fills what depends on the two sides: `baseline`, `current`, `distances`, `contributors`, `summary`.
pub fn describe(alert: &mut Alert, detector: Detector, watch: &Watch, now: &Content, seen: &Observed<'_>) {
    let before = watch.content(watch.reference());
    alert.baseline = side(&before, seen);
    alert.current = side(now, seen);
    if let (Observed::Gap(_) | Observed::Disparity(_), Content::Groups(groups)) = (seen, now)
        && let [right, wrong, others_right, others_wrong] = groups.counts[..]
    {
        let side = |k: u64, right: u64| side(&Content::Rate { n: k + right, k }, seen);
        (alert.baseline, alert.current) = (side(others_wrong, others_right), side(wrong, right));
        alert.summary = summary(alert, detector, now);
        return;
    }
    let (p, q) = (counts(&before), counts(now));
    let ordered = matches!(seen, Observed::Numeric(..));
    alert.distances = distances(&p, &q, ordered);
    alert.contributors = match (seen, watch.groups()) {
        (Observed::Numeric(_, edges), Some(groups)) => contributors(&p, &q, &groups::labels(groups, edges)),
        (Observed::Categorical(_, categories), _) => {
            let names: Vec<String> = categories.pinned.iter().cloned().chain(["(other)", "(unseen)"].map(str::to_owned)).collect();
            contributors(&p, &q, &names)
        }
        _ => Vec::new(),
    };
    alert.summary = summary(alert, detector, now);
}

fn counts(content: &Content) -> Vec<u64> {
    match content {
        Content::Groups(groups) => groups.counts.clone(),
        Content::Rate { n, k } => vec![n.saturating_sub(*k), *k],
        Content::Volume { .. } => Vec::new(),
    }
}

/// One side in the signal's own unit.
pub(super) fn side(content: &Content, seen: &Observed<'_>) -> Side {
    match (content, seen) {
        (Content::Groups(groups), Observed::Numeric(_, edges)) => mean(groups, edges),
        (Content::Groups(groups), _) => Side { count: groups.counts.iter().sum(), value: None, low: None, high: None },
        (Content::Volume { panes, rows }, _) => {
            let mean = |rows: f64| Some(rows / (*panes).max(1) as f64);
            let half = Z95 * libm::sqrt(*rows as f64 + 0.25 * Z95 * Z95);
            let middle = *rows as f64 + 0.5 * Z95 * Z95;
            Side { count: *rows, value: mean(*rows as f64), low: mean((middle - half).max(0.0)), high: mean(middle + half) }
        }
        (Content::Rate { n, .. }, _) if *n == 0 => Side { count: 0, value: None, low: None, high: None },
        (Content::Rate { n, k }, _) => {
            let (low, high) = effect::wilson(*n as f64, *k as f64);
            Side { count: *n, value: Some(*k as f64 / *n as f64), low: Some(low), high: Some(high) }
        }
    }
}

fn mean(groups: &Groups, edges: &NumericEdges) -> Side {
    let count: u64 = groups.counts.iter().sum();
    if count == 0 {
        return Side { count, value: None, low: None, high: None };
    }
    let n = count as f64;
    let mean = groups.sum as f64 / n;
    let variance = (groups.squares as f64 / n - mean * mean).max(0.0);
    let half = Z95 * libm::sqrt(variance / n);
    let value = |z: f64| Some(edges.value_of(z)).filter(|x| x.is_finite());
    Side { count, value: value(mean), low: value(mean - half), high: value(mean + half) }
}

fn distances(p: &[u64], q: &[u64], ordered: bool) -> BTreeMap<String, f64> {
    if p.is_empty() {
        return BTreeMap::new();
    }
    let mut all = vec![
        ("psi", distance::psi(p, q)),
        ("psi_unbiased", distance::psi_unbiased(p, q)),
        ("js", distance::js(p, q)),
        ("hellinger", distance::hellinger(p, q)),
        ("tvd", distance::tvd(p, q)),
        ("g", distance::g(p, q)),
        ("chi_square", distance::chi_square(p, q)),
    ];
    if ordered {
        all.extend([("ks", distance::ks(p, q)), ("wasserstein", distance::wasserstein(p, q))]);
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The parts of PSI, largest first.
fn contributors(p: &[u64], q: &[u64], names: &[String]) -> Vec<Contributor> {
    let (m, n) = (p.iter().sum::<u64>() as f64, q.iter().sum::<u64>() as f64);
    if m == 0.0 || n == 0.0 {
        return Vec::new();
    }
    let half = 0.5 * p.len() as f64;
    let part = |a: u64, b: u64| {
        let (a, b) = ((a as f64 + 0.5) / (m + half), (b as f64 + 0.5) / (n + half));
        (b - a) * libm::log(b / a)
    };
    let all: f64 = p.iter().zip(q).map(|(a, b)| part(*a, *b)).sum();
    let mut parts: Vec<Contributor> = names
        .iter()
        .zip(p.iter().zip(q))
        .filter(|(_, (a, b))| **a + **b > 0)
        .map(|(what, (a, b))| Contributor {
            what: what.clone(),
            baseline: *a as f64 / m,
            current: *b as f64 / n,
            share: if all > 0.0 { part(*a, *b) / all } else { 0.0 },
        })
        .collect();
    parts.sort_by(|a, b| b.share.total_cmp(&a.share)); // stable: ties stay in the order of the groups
    parts.truncate(CONTRIBUTORS);
    parts
}

/// One sentence with numbers and units.
fn summary(alert: &Alert, detector: Detector, now: &Content) -> String {
    let subject = subject(alert);
    let e = &alert.effect;
    let interval = |factor: f64| format!("95 % interval {} to {}", signed(e.low * factor), signed(e.high * factor));
    let value = |side: &Side| side.value.map_or("unknown".to_owned(), number);
    let percent = |side: &Side| side.value.map_or("unknown".to_owned(), share);
    let what = match detector {
        Detector::Location => format!(
            "{subject}: mean {} instead of {}, shifted by {} sigma ({})",
            value(&alert.current),
            value(&alert.baseline),
            signed(e.value),
            interval(1.0)
        ),
        Detector::Scale => format!(
            "{subject}: spread changed by {} % ({} %), mean {} instead of {}",
            signed(100.0 * e.value),
            interval(100.0),
            value(&alert.current),
            value(&alert.baseline)
        ),
        Detector::Shape | Detector::Mix => {
            let most = alert
                .contributors
                .first()
                .map_or(String::new(), |c| format!(", most of it {} with {} instead of {}", c.what, share(c.current), share(c.baseline)));
            let noun = if detector == Detector::Mix { "mix" } else { "distribution" };
            format!("{subject}: {noun} changed by a PSI of {}{most}", number(e.value))
        }
        Detector::Silence => format!("{subject}: none in {}", panes(now)),
        Detector::Volume => format!(
            "{subject}: {} a pane instead of {}, {} % of what is expected at that time ({} %)",
            value(&alert.current),
            value(&alert.baseline),
            signed(100.0 * e.value),
            interval(100.0)
        ),
        Detector::Version => format!(
            "{subject}: {} instead of {} of older versions in the same panes, {} points ({})",
            percent(&alert.current),
            percent(&alert.baseline),
            signed(e.value),
            interval(1.0)
        ),
        Detector::Disparity => {
            let (size, tolerated) = match e.is_ratio() {
                true => (format!("{} times", number(e.value)), format!("at least {}", number(e.tolerance))),
                false => (format!("{} points", signed(e.value)), format!("at most {}", number(e.tolerance))),
            };
            let interval = format!("95 % interval {} to {}", number(e.low), number(e.high));
            let others = percent(&alert.baseline);
            format!(
                "{subject}: {} against {others} of those it is compared with, {size} ({interval}; {tolerated} is tolerated)",
                percent(&alert.current)
            )
        }
        Detector::Rate | Detector::Errors => format!(
            "{subject}: {} instead of {}, {} points ({})",
            percent(&alert.current),
            percent(&alert.baseline),
            signed(e.value),
            interval(1.0)
        ),
    };
    let since = alert.change_point.map_or(String::new(), |t| format!(" since {}", time(t)));
    format!("{what}{since}; {} events.", number(alert.current.count as f64))
}

/// `amount of fraud (country=FR)`.
pub(super) fn subject(alert: &Alert) -> String {
    let signal = match alert.signal.split_once(':') {
        Some(("feature", name)) => name.to_owned(),
        Some(("null", name)) => format!("Share of missing {name}"),
        Some(("fairness", measure)) => match measure {
            "selection" => "Share given the favourable class".to_owned(),
            "error" => "Error rate".to_owned(),
            "miss_rate" => "Missed share of the positive class".to_owned(),
            "false_positive_rate" => "Share called positive of the other class".to_owned(),
            "underscored" => "Share of the positive class at equal scores".to_owned(),
            "overscored" => "Share of the other class at equal scores".to_owned(),
            other => other.to_owned(),
        },
        Some(("unseen", name)) => format!("Share of never seen values of {name}"),
        _ => match alert.signal.as_str() {
            "score" => "Score".to_owned(),
            "label" => "Predicted class".to_owned(),
            "error" => "Error rate".to_owned(),
            "miss_rate" => "Missed share of the positive class".to_owned(),
            "false_positive_rate" => "Share called positive of the other class".to_owned(),
            "false_discovery_rate" => "Wrong share of those called positive".to_owned(),
            "calibration" => "Score less outcome".to_owned(),
            "abs_error" => "Absolute error".to_owned(),
            "bias" => "Bias".to_owned(),
            "volume" => "Predictions".to_owned(),
            "outliers" => "Share of predictions that lie far out".to_owned(),
            "labels" => "Labels".to_owned(),
            "drill" => "A drill, nothing is wrong: bad share".to_owned(),
            other => other.to_owned(),
        },
    };
    let version = alert.model_version.as_ref().map_or(String::new(), |v| format!(" {v}"));
    let segment: Vec<String> = alert.segment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let segment = if segment.is_empty() { String::new() } else { format!(" ({})", segment.join(", ")) };
    format!("{signal} of {}{version}{segment}", alert.model)
}

fn panes(now: &Content) -> String {
    match now {
        Content::Volume { panes: 1, .. } => "one pane".to_owned(),
        Content::Volume { panes, .. } => format!("{} panes", number(*panes as f64)),
        _ => String::new(),
    }
}

/// RFC 3339 with minutes, as people write it.
pub(super) fn time(t: EventTime) -> String {
    match jiff::Timestamp::from_millisecond(t.0) {
        Ok(stamp) => stamp.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("{} ms", t.0),
    }
}

pub(super) fn share(x: f64) -> String {
    format!("{} %", number(100.0 * x))
}

fn signed(x: f64) -> String {
    if x > 0.0 { format!("+{}", number(x)) } else { number(x) }
}

/// Four significant digits, thousands separated: `12,345`, `0.04213`, `-3.5`, `1.2e-9`.
///
/// ```
/// # use driftline::engine::detect::describe::number;
/// let shown: Vec<String> = [48_801.27, 0.042_134_9, -3.5, 0.0, 1.234_56e-9, 7.0].map(number).into();
/// assert_eq!(shown, ["48,801", "0.04213", "-3.5", "0", "1.235e-9", "7"]);
/// ```
pub fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { "0".into() } else { format!("{x}") };
    }
    let size = x.abs();
    if !(1e-4..1e15).contains(&size) {
        return format!("{x:.3e}");
    }
    let digits = if size >= 1_000.0 { 0 } else { (3 - libm::floor(libm::log10(size)) as i32).max(0) as usize };
    let text = format!("{size:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(c);
    }
    let sign = if x < 0.0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}
