//! Limits hold: segments, series, memory, requests.

use crate::kafka::unique;
use crate::kit::{PATIENCE, Running, free_port, soon};
use crate::scene::Scene;
use driftline::broker::{Embedded, Options};
use driftline::config::load_text;
use driftline::ops::http::{MOST_A_SECOND, now_ms};
use driftline::ops::metrics::Metrics;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

#[test]
fn ten_thousand_values_of_a_dimension_do_not_become_ten_thousand_segments() {
    const VALUES: i64 = 10_000;
    let scene = Scene::new("segments")
        .with("panes: { size: 60s }\nsegments: { by: [[user]], cap: 50 }\nsilence_after: 60s\nbudget: { streams: 100 }\nmodels: { m: { task: binary, positive: \"1\" } }")
        .inputs("{ topic: TOPIC, fields: { dimensions: { user: segments.user } } }", "{ topic: TOPIC }")
        .topics(1);
    let id = |i: i64| format!("a-{i}");
    scene.write(
        "predictions",
        (0..VALUES).map(|i| {
            let mut record = scene.prediction(&id(i), i / 20);
            record["segments"] = json!({ "user": format!("user-{i}") });
            record
        }),
    );
    scene.write("outcomes", (0..VALUES).map(|i| scene.outcome(&id(i), i / 20 + 1)));
    // time goes on, so that the panes above close
    scene.write_pairs("later", 900, 3);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], (VALUES + 3) as f64);
    service.until("the closed panes' pairs", |me| {
        (me.metric("driftline_labels_total", &[("state", "labelled")]) >= VALUES as f64).then_some(())
    });
    assert_eq!(service.metric("driftline_labels_total", &[("state", "labelled")]), VALUES as f64, "the whole is exact");
    let streams = |me: &crate::kit::Running| {
        ["learning", "watching", "alarming"].iter().map(|p| me.metric("driftline_streams", &[("phase", p)])).sum::<f64>()
    };
    let counted = service.until("streams", |me| Some(streams(me)).filter(|n| *n > 0.0));
    assert!(counted <= 51.0 * 10.0, "{counted} streams for 50 segments and the whole");
    service.says(&["budget.streams is 100", "times as many false alarms", "Set budget.streams"]);
    assert_eq!(service.metric("driftline_budget_streams", &[]), 100.0);
    // each of the other values comes in one input pane and one pair pane
    let refused = service.metric("driftline_refused_segments_total", &[]);
    assert!(refused >= 2.0 * (VALUES - 51) as f64 && refused <= 2.0 * (VALUES + 3) as f64, "{refused} refused");
    let memory = service.memory() >> 20;
    assert!(memory < 400, "{memory} MiB");
    service.stop();
    assert_eq!(scene.counts(), (VALUES as u64 + 3, VALUES as u64 + 3));
}

#[test]
fn series_are_capped_and_the_cap_shows() {
    let scene = Scene::new("series").with("metrics: { max_series: 40 }").topics(2);
    scene.write_pairs("a", 0, 5);
    let mut service = scene.run(&[]);
    service.ready();
    service.until("dropped series", |me| (me.metric("driftline_series_dropped", &[]) > 0.0).then_some(()));
    let count = service.metrics().len();
    assert!(count <= 40, "{count} series");
    service.stop();
}

#[test]
fn the_last_series_within_the_cap_is_shown_and_the_next_is_not() {
    let example = include_str!("../../examples/car-loan.yaml");
    let shown = |max_series: usize| {
        let mut settings = load_text("examples/car-loan.yaml", example, &|_| None, Path::new(".")).expect("the example is right");
        settings.max_series = max_series;
        let page = Metrics::new(&settings).render();
        let lines: Vec<&str> = page.lines().filter(|l| !l.starts_with('#')).collect();
        let dropped = lines.iter().find_map(|l| l.strip_prefix("driftline_series_dropped ")).expect("it is always there");
        (lines.len(), dropped.parse::<usize>().expect("a number"))
    };
    let (all, none) = shown(1_000_000);
    assert!(all > 20 && none == 0, "{all} series, {none} dropped");
    assert_eq!(shown(all), (all, 0));
    let (fewer, dropped) = shown(all - 1);
    assert!(fewer < all && fewer + dropped == all, "{fewer} of {all} series, {dropped} dropped");
}

/// A process that waits for a broker: it has pages already.
fn waiting() -> Running {
    let scene = Scene::on(&format!("127.0.0.1:{}", free_port()), &unique("requests"));
    let mut service = scene.run(&[]);
    service.until("a listener", |me| me.get("/livez"));
    service
}

#[test]
fn a_second_has_a_hundred_pages_and_any_number_of_probes() {
    const MORE: usize = 5;
    let service = waiting();
    let ask = |path: &str, n: usize| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(n);
    let last = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let pages = MOST_A_SECOND as usize + MORE;
    let all = [ask("/livez", 150), ask("/status", pages), ask("/livez", 150), last.to_string()].concat();
    let (mut asked, mut refused) = (0, 0);
    let answers = soon(PATIENCE, "a second in which all are answered", || {
        let before = now_ms() / 1_000;
        soon(PATIENCE, "the next second", || (now_ms() / 1_000 > before).then_some(()));
        let second = now_ms() / 1_000;
        let answers = service.talk(all.as_bytes());
        asked += 1;
        refused += answers.matches("HTTP/1.1 429 ").count();
        (now_ms() / 1_000 == second).then_some(answers)
    });
    let codes: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    let expected = [vec!["200"; 150], vec!["200"; MOST_A_SECOND as usize], vec!["429"; MORE], vec!["200"; 151]].concat();
    assert_eq!(codes, expected);
    assert_eq!(answers.matches("retry-after: 1\r\n").count(), MORE);
    assert!(answers.contains("more than 100 requests in this second"));
    let page = soon(PATIENCE, "the page of a later second", || service.get("/metrics").filter(|a| a.0 == 200)).1;
    let counted = page.lines().find_map(|l| l.strip_prefix("driftline_http_refused_total ")).and_then(|n| n.parse::<usize>().ok());
    assert!(counted >= Some(refused) && refused >= MORE * asked.min(1), "{counted:?} counted, {refused} seen");
}

#[test]
fn the_head_of_a_request_has_a_largest_size() {
    let service = waiting();
    let (begin, end) = ("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Long: ", "\r\n\r\n");
    let head = |bytes: usize| format!("{begin}{}", "x".repeat(bytes - begin.len() - end.len()));
    let whole = service.talk(format!("{}{end}", head(400 << 10)).as_bytes());
    assert!(whole.starts_with("HTTP/1.1 200 "), "{whole}");
    // so many bytes, and no end of it
    let endless = service.talk(format!("{}xxxx", head(408 << 10)).as_bytes());
    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");
    assert_eq!(service.get("/livez").map(|a| a.0), Some(200), "others are answered");
}

#[test]
fn a_request_to_the_embedded_broker_has_a_largest_size() {
    const LARGEST: usize = 100 << 20;
    let broker = Embedded::start(Options::default()).expect("a free port");
    // ApiVersions in a version that nobody knows is answered without looking at the rest
    let answer = |length: usize| {
        let mut stream = TcpStream::connect(broker.address()).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = [&(length as u32).to_be_bytes()[..], &18i16.to_be_bytes(), &99i16.to_be_bytes(), &7_777i32.to_be_bytes()].concat();
        let sent = stream.write_all(&head).and_then(|()| stream.write_all(&vec![0; length - 8]));
        let mut said = [0; 8];
        sent.and_then(|()| stream.read_exact(&mut said)).ok().map(|()| i32::from_be_bytes([said[4], said[5], said[6], said[7]]))
    };
    assert_eq!(answer(LARGEST), Some(7_777));
    assert_eq!(answer(LARGEST + 1), None, "the connection is closed");
}
