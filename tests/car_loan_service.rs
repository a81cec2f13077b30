//! The whole service on real-shaped data whose truth is known (data/car-loan/README.md).

use driftline::broker::{Embedded, Options};
use driftline::cli::demo::{fill, settings};
use driftline::cli::demo_data::load;
use driftline::codec::wire::{Kind, Reader as Body};
use driftline::config::settings::Settings;
use driftline::engine::partial;
use driftline::engine::summary::cell::Counts;
use driftline::engine::types::{EventTime, PaneSize, Partition, Span};
use driftline::kafka::reader::Reader;
use driftline::ops::service::{AtEnd, Service, Stages};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

/// 2019-03-31 03:00 UTC: the world changes.
const CHANGE: &str = "2019-03-31T03:00:00Z";

fn ms(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn days(n: i64) -> i64 {
    n * 86_400_000
}

#[test]
fn the_demo_finds_what_changed_in_time_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alerts.jsonl");
    let out = Command::new(env!("CARGO_BIN_EXE_driftline")).args(["demo", "--once", "--alerts"]).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let alerts: Vec<Value> = std::fs::read_to_string(&file).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let opened: Vec<&Value> = alerts.iter().filter(|a| a["reason"] == "opened").collect();
    let root: BTreeMap<&str, &Value> =
        opened.iter().filter(|a| a["segment"].as_object().unwrap().is_empty()).map(|a| (a["signal"].as_str().unwrap(), *a)).collect();
    let change = ms(CHANGE);
    let found = |signal: &str| {
        ms(root.get(signal).unwrap_or_else(|| panic!("{signal} is not reported: {:?}", root.keys()))["detected_at"].as_str().unwrap())
    };
    for signal in ["feature:car_value", "feature:salary_range", "feature:repaid_loan_on_prev_car", "feature:loan_length"] {
        let point = ms(root[signal]["change_point"].as_str().unwrap());
        assert!((point - change).abs() <= days(2), "{signal}: change point {}", root[signal]["change_point"]);
        assert!(found(signal) - change <= days(5), "{signal}: found {}", root[signal]["detected_at"]);
    }
    for signal in ["score", "error"] {
        assert!(found(signal) - change <= days(45), "{signal}: found {}", root[signal]["detected_at"]);
    }
    assert!(found("calibration") - change <= days(20), "calibration: found {}", root["calibration"]["detected_at"]);
    for signal in ["feature:debt_to_income_ratio", "feature:driver_tenure", "feature:size_of_downpayment"] {
        assert!(!root.contains_key(signal), "{signal} has not changed");
    }
    for alert in &opened {
        let at = ms(alert["detected_at"].as_str().unwrap());
        assert!(at > change, "reported before the change: {alert}");
        assert!(at < ms("2019-08-29T00:00:00Z"), "reported because the data ends: {alert}");
    }
}

/// (pairs, errors) of the pair panes in `[from, to)`, from all published partials.
fn errors(settings: &Settings, from: i64, to: i64) -> (u64, u64) {
    let reader = Reader::new(&settings.kafka, "test", None).unwrap();
    let size: PaneSize = settings.definitions.pane;
    let (mut pairs, mut errors) = (0, 0);
    for p in 0..settings.summaries_partitions {
        reader
            .scan(&settings.topic("summaries"), Partition(p), None, &mut |r| {
                let (kind, mut body) = Body::open(r.value.unwrap()).unwrap();
                if kind == Kind::Partial as u8 {
                    for e in partial::read(&mut body).unwrap().entries {
                        let start = size.start(e.pane);
                        if let Counts::Pair(c) = e.summary.counts
                            && (EventTime(from)..EventTime(to)).contains(&start)
                        {
                            pairs += c.errors.n();
                            errors += c.errors.k();
                        }
                    }
                }
                true
            })
            .unwrap();
    }
    (pairs, errors)
}

#[test]
fn correct_predictions_summed_from_published_summaries_are_exact() {
    let broker = Embedded::start(Options::default()).unwrap();
    let mut settings = settings(&broker.address(), false).unwrap_or_else(|e| panic!("{e:?}"));
    settings.definitions.pane = PaneSize(Span::hours(1));
    settings.http = None;
    fill(&settings, &load(false).unwrap()).unwrap_or_else(|e| panic!("{e:?}"));
    Service::start(Arc::new(settings.clone()), Stages { join: true, detect: true }, AtEnd::Exit).unwrap().wait().unwrap();
    let (begin, change, end) = (ms("2018-10-30T18:00:00Z"), ms(CHANGE), ms("2020-01-01T00:00:00Z"));
    let (pairs, wrong) = errors(&settings, begin, change);
    assert_eq!((pairs - wrong, pairs), (23_596, 25_000));
    let (pairs, wrong) = errors(&settings, change, end);
    assert_eq!((pairs - wrong, pairs), (22_896, 25_000));
}
