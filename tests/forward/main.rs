//! `driftline forward` over the embedded broker: told to an Alertmanager of our own that fails now and then, to the real one, and to webhooks.

#[path = "../kit/alerts_topic.rs"]
mod alerts_topic;
mod receiver;
#[path = "../kit/wait.rs"]
mod wait;
mod webhooks;

use alerts_topic::{PATIENCE, Scene, alert};
use receiver::{Process, Receiver, Reply, nobody};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use wait::within;

/// An event of the episode `name` whose window has just ended.
fn event(name: &str, sequence: u32, status: &str, severity: &str, ended_before: jiff::SignedDuration) -> Vec<u8> {
    let end = (jiff::Timestamp::now() - ended_before).to_string();
    alert(json!({
        "fingerprint": name, "alert_id": format!("{name}-1"), "sequence": sequence, "status": status, "severity": severity,
        "reason": if status == "FIRING" { "opened" } else { "recovered" }, "window_end": end, "opened_at": end, "detected_at": end,
    }))
}

const NOW: jiff::SignedDuration = jiff::SignedDuration::ZERO;

fn start(scene: &Scene, flags: &[&str]) -> Process {
    Process(scene.command("forward", flags).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts"))
}

/// Alerts of the newest request.
fn last(alertmanager: &Receiver) -> Vec<Value> {
    alertmanager.seen().last().and_then(|r| r.json().as_array().cloned()).unwrap_or_default()
}

fn name(alert: &Value) -> (&str, &str) {
    (alert["labels"]["fingerprint"].as_str().unwrap_or_default(), alert["labels"]["severity"].as_str().unwrap_or_default())
}

fn ended(alert: &Value) -> bool {
    alert["endsAt"].as_str().expect("an end").parse::<jiff::Timestamp>().expect("a time") <= jiff::Timestamp::now()
}

#[test]
fn what_fires_is_told_again_and_again_and_then_its_end() {
    let (scene, fake) = (Scene::new(), Receiver::start(&[]));
    scene.publish(
        &[(0, &event("a", 0, "FIRING", "INFO", NOW)), (1, &event("old", 0, "FIRING", "INFO", jiff::SignedDuration::from_hours(2)))],
        true,
    );
    scene.publish(&[(0, &event("given-up", 0, "FIRING", "INFO", NOW))], false);
    let token = scene.dir.path().join("token");
    std::fs::write(&token, "secret\n").expect("written");
    let _forward = start(&scene, &["--alertmanager", &fake.address, "--every", "5s", "--token-file", token.to_str().expect("a path")]);
    let twice = within(PATIENCE, || (fake.seen().len() >= 2).then(|| fake.seen())).expect("told twice");
    for request in &twice {
        assert_eq!((request.path.as_str(), request.header("authorization")), ("/api/v2/alerts", "Bearer secret"));
        let body = request.json();
        let alerts = body.as_array().expect("a list");
        assert_eq!(alerts.iter().map(name).collect::<Vec<_>>(), [("a", "info")], "neither the old one nor what was given up");
        assert!(!ended(&alerts[0]) && alerts[0]["annotations"]["summary"].is_string(), "{alerts:?}");
    }
    scene.publish(&[(0, &event("a", 1, "FIRING", "CRITICAL", NOW))], true);
    let escalated = within(PATIENCE, || Some(last(&fake)).filter(|l| l.len() == 2)).expect("the escalation");
    assert_eq!(escalated.iter().map(|a| (name(a), ended(a))).collect::<Vec<_>>(), [(("a", "critical"), false), (("a", "info"), true)]);
    scene.publish(&[(0, &event("a", 2, "RESOLVED", "CRITICAL", NOW))], true);
    within(PATIENCE, || last(&fake).iter().find(|a| name(a) == ("a", "critical") && ended(a)).cloned()).expect("its end");
}

#[test]
fn one_that_fails_is_told_when_it_is_back_and_holds_nobody_up() {
    let (scene, well, ill) = (Scene::new(), Receiver::start(&[]), Receiver::start(&[503, 500, 429].map(Reply::Status)));
    scene.publish(&[(0, &event("a", 0, "FIRING", "INFO", NOW))], true);
    let both = format!("{},{}", ill.address, well.address);
    let _forward = start(&scene, &["--alertmanager", &both, "--every", "1h"]);
    within(PATIENCE, || (!last(&well).is_empty()).then_some(())).expect("the other one is told at once");
    within(PATIENCE, || (ill.seen().len() == 4).then_some(())).expect("told once more after each error, sooner than in an hour");
    assert_eq!(well.seen().len(), 1);
}

#[test]
fn once_says_whom_it_could_not_tell() {
    let (scene, well) = (Scene::new(), Receiver::start(&[]));
    scene.publish(&[(0, &event("a", 0, "FIRING", "INFO", NOW))], true);
    let run = |addresses: &str| scene.command("forward", &["--once", "--alertmanager", addresses]).output().expect("the program starts");
    assert_eq!(run(&well.address).status.code(), Some(0));
    let nobody = nobody();
    let away = run(&format!("http://{nobody},{}", well.address));
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert_eq!((away.status.code(), well.seen().len()), (Some(1), 2), "{said}");
    assert!(said.contains(&format!("not told: http://{nobody}")) && said.contains("can't be reached"), "{said}");
    let wrong = run("alertmanager:9093");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("write http://HOST:PORT"), "{wrong:?}");
}

/// Needs Alertmanager and amtool: `DRIFTLINE_TEST_ALERTMANAGER=prometheus-alertmanager cargo test --test forward -- --ignored`.
#[test]
#[ignore = "needs Alertmanager; .ci/run runs it"]
fn the_real_alertmanager_shows_what_fires_and_forgets_what_ended() {
    let program = std::env::var("DRIFTLINE_TEST_ALERTMANAGER").expect("the name of the program");
    let scene = Scene::new();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let (config, data) = (scene.dir.path().join("alertmanager.yml"), scene.dir.path().join("data"));
    std::fs::write(&config, "route: { receiver: page }\nreceivers: [ { name: page } ]\n").expect("written");
    let url = format!("http://127.0.0.1:{port}");
    let alertmanager = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _alertmanager = Process(alertmanager.expect("Alertmanager starts"));
    let shown = || {
        let asked =
            Command::new("amtool").args(["alert", "query", "--output=json", "--alertmanager.url", &url]).output().expect("amtool starts");
        serde_json::from_slice::<Vec<Value>>(&asked.stdout).ok()
    };
    within(PATIENCE, shown).expect("Alertmanager answers");
    scene.publish(&[(0, &event("a", 0, "FIRING", "INFO", NOW)), (0, &event("b", 0, "FIRING", "WARNING", NOW))], true);
    let _forward = start(&scene, &["--alertmanager", &url, "--every", "5s"]);
    let names = |alerts: &[Value]| {
        let mut names: Vec<(String, String)> = alerts.iter().map(|a| (name(a).0.to_string(), name(a).1.to_string())).collect();
        names.sort();
        names
    };
    let is = |expected: &[(&str, &str)]| {
        let expected: Vec<(String, String)> = expected.iter().map(|(n, s)| (n.to_string(), s.to_string())).collect();
        within(PATIENCE, || shown().filter(|alerts| names(alerts) == expected))
            .unwrap_or_else(|| panic!("{:?} instead of {expected:?}", shown()))
    };
    let first = is(&[("a", "info"), ("b", "warning")]);
    assert!(first.iter().all(|a| a["annotations"]["summary"].as_str().is_some_and(|s| !s.is_empty())), "{first:?}");
    scene.publish(&[(0, &event("a", 1, "FIRING", "CRITICAL", NOW))], true);
    is(&[("a", "critical"), ("b", "warning")]);
    scene.publish(&[(0, &event("b", 1, "RESOLVED", "WARNING", NOW))], true);
    is(&[("a", "critical")]);
    scene.publish(&[(0, &event("a", 2, "RESOLVED", "CRITICAL", NOW))], true);
    is(&[]);
    a_drill_is_followed_to(&scene, &url);
}

/// With this test in the place of the service: what a drill looks like there is tested in `bad_days`.
fn a_drill_is_followed_to(scene: &Scene, alertmanager: &str) {
    scene.make_topic("shop.summaries", 8);
    let mut drill =
        scene.command("drill", &["--alertmanager", alertmanager, "-o", "json"]).stdout(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(drill.stdout.take().expect("a pipe")).lines();
    let mut step = |expected: &str| {
        let line: Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
        assert_eq!(line["step"], expected, "{line}");
        line
    };
    let id = step("ordered")["drill"].as_str().expect("an id").to_string();
    let event = |sequence, status| {
        let mut event: Value = serde_json::from_slice(&event("d", sequence, status, "INFO", NOW)).expect("JSON");
        event["labels"] = json!({ "drill": id });
        event.to_string().into_bytes()
    };
    scene.publish(&[(0, &event(0, "FIRING"))], true);
    assert_eq!([step("fires"), step("arrived")][1]["alertmanager"], alertmanager);
    scene.publish(&[(0, &event(1, "RESOLVED"))], true);
    ["resolved", "left", "over"].into_iter().for_each(|expected| drop(step(expected)));
    assert!(drill.wait().expect("an end").success());
}
