//! `driftline tail` against the embedded broker: what a person at a terminal, a script and somebody with a mistake in the configuration see.

use driftline::codec::alert::{Format, decode, encode};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

#[path = "kit/alerts_topic.rs"]
mod alerts_topic;
#[path = "kit/wait.rs"]
mod wait;

use alerts_topic::{PATIENCE, Scene, alert};

fn at(hour: u32, model: &str, severity: &str) -> Vec<u8> {
    alert(
        json!({ "detected_at": format!("2026-03-01T{hour:02}:00:00.000Z"), "model": model, "severity": severity, "summary": format!("at {hour}") }),
    )
}

/// Times of the lines, by which these tests tell events apart.
fn hours(out: &str) -> Vec<&str> {
    out.lines().map(|line| &line[11..13]).collect()
}

#[test]
fn what_is_committed_is_shown_a_line_each_in_order_of_time() {
    let scene = Scene::new();
    let (early, middle, late) = (at(1, "fraud", "INFO"), at(2, "fraud", "CRITICAL"), at(3, "fraud", "WARNING"));
    scene.publish(&[(0, &late), (1, &early)], true);
    scene.publish(&[(0, &at(4, "fraud", "CRITICAL"))], false);
    scene.publish(&[(1, &middle)], true);
    let said = scene.said("tail", &[]);
    assert_eq!((said.code, hours(&said.out)), (Some(0), vec!["01", "02", "03"]), "{}{}", said.out, said.err);
    let expected = "2026-03-01T02:00:00Z CRITICAL FIRING/escalated   fraud channel=web,country=FR feature:amount focus_location \
                    [location 0.625 sigma] at 2";
    assert_eq!(said.out.lines().nth(1), Some(expected));
    assert_eq!(said.err, "");
}

#[test]
fn flags_choose_by_model_severity_and_time() {
    let scene = Scene::new();
    let events = [at(1, "fraud", "CRITICAL"), at(2, "churn", "CRITICAL"), at(3, "fraud", "WARNING"), at(4, "fraud", "INFO")];
    scene.publish(&[(0, &events[0]), (1, &events[1]), (0, &events[2]), (1, &events[3])], true);
    let shown = |flags: &[&str]| scene.said("tail", flags).out.lines().map(|l| l[11..13].to_string()).collect::<Vec<_>>();
    assert_eq!(shown(&["--model", "fraud"]), ["01", "03", "04"]);
    assert_eq!(shown(&["--severity", "warning"]), ["01", "02", "03"]);
    assert_eq!(shown(&["--severity", "CRITICAL", "--model", "fraud"]), ["01"]);
    assert_eq!(shown(&["--since", "2026-03-01T03:00:00Z"]), ["03", "04"]);
    let none = scene.said("tail", &["--model", "spam"]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert!(none.err.contains("holds 4 record(s): none of them matches --model"), "{}", none.err);
}

#[test]
fn json_is_what_was_published_and_avro_becomes_json() {
    let scene = Scene::new();
    let event = at(1, "fraud", "INFO");
    scene.publish(&[(0, &event)], true);
    assert_eq!(scene.said("tail", &["-o", "json"]).out.as_bytes(), [event.as_slice(), b"\n"].concat());

    let scene = Scene::new();
    scene.configure(&scene.broker.address(), "avro");
    let frozen = decode(include_bytes!("fixtures/alert.json"), Format::Json).expect("the fixture is an alert");
    scene.publish(&[(1, &encode(&frozen, Format::Avro).expect("Avro"))], true);
    assert_eq!(scene.said("tail", &["-o", "json"]).out, include_str!("fixtures/alert.json"));
    assert!(scene.said("tail", &[]).out.starts_with("2025-11-24T17:01:00Z CRITICAL FIRING/escalated "));
}

#[test]
fn a_record_that_is_no_alert_is_told_with_its_place_and_the_rest_is_shown() {
    let scene = Scene::new();
    scene.publish(&[(1, b"\xff\x00"), (1, &at(5, "fraud", "INFO")), (1, b"[1]")], true);
    let said = scene.said("tail", &[]);
    assert_eq!((said.code, hours(&said.out)), (Some(0), vec!["05"]));
    for place in ["shop.alerts[1]@0", "shop.alerts[1]@2"] {
        assert!(said.err.contains(place) && said.err.contains("alerts.format"), "{}", said.err);
    }
}

/// A process that follows; killed when dropped.
struct Following(Child, BufReader<ChildStdout>);

impl Following {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("a line");
        line
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn following_shows_what_is_there_and_then_what_comes() {
    let scene = Scene::new();
    scene.publish(&[(0, &at(1, "fraud", "INFO"))], true);
    let mut child = scene.command("tail", &["--follow"]).stdout(Stdio::piped()).spawn().expect("the program starts");
    let out = BufReader::new(child.stdout.take().expect("its output"));
    let mut following = Following(child, out);
    assert!(following.line().contains("at 1"));
    scene.publish(&[(1, &at(9, "fraud", "INFO"))], true);
    assert!(following.line().contains("at 9"));
    scene.broker.pause(true);
    scene.broker.pause(false);
    scene.publish(&[(0, &at(8, "fraud", "INFO"))], true);
    assert!(following.line().contains("at 8"), "an outage of the broker is no end");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let scene = Scene::new();
    scene.publish(&[(0, &at(1, "fraud", "INFO"))], true);
    let mut child = scene.command("tail", &["-f"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(child.stdout.take());
    let ended = wait::within(PATIENCE, || {
        scene.publish(&[(0, &at(2, "fraud", "INFO"))], true);
        child.try_wait().expect("a child")
    });
    child.kill().ok();
    assert_eq!(ended.and_then(|s| s.code()), Some(0));
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("its errors"), &mut err).expect("UTF-8");
    assert_eq!(err, "");
}

#[test]
fn an_empty_topic_says_that_there_is_nothing_yet() {
    let said = Scene::new().said("tail", &[]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert_eq!(said.err, "shop.alerts holds 0 record(s): no alert yet\n");
}

#[test]
fn a_missing_topic_and_an_absent_broker_end_with_what_to_do() {
    let said = Scene::without_topic().said("tail", &[]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    for words in ["topic shop.alerts does not exist", "driftline topics create -c FILE"] {
        assert!(said.err.contains(words), "{}", said.err);
    }
    let scene = Scene::new();
    scene.broker.pause(true);
    let said = scene.said("tail", &["-f"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    for words in [format!("no broker answers at {}", scene.broker.address()).as_str(), "kafka.brokers", "security.protocol"] {
        assert!(said.err.contains(words), "{}", said.err);
    }
}

#[test]
fn a_time_that_is_none_is_refused_with_examples() {
    let said = Scene::without_topic().said("tail", &["--since", "yesterday"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("neither a length of time (30m, 2h, 7d) nor a time (2026-01-31T08:00:00Z)"), "{}", said.err);
}
