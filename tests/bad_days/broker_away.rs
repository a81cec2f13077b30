//! A broker that is not there yet, or not there any more for a while.

use crate::kafka::{Given, unique};
use crate::kit::{Running, free_port};
use crate::scene::{Scene, given};
use crate::wait::lasts;
use driftline::broker::{Downfall, Embedded, NewTopic, Options};
use serde_json::json;
use std::sync::OnceLock;
use std::time::Duration;

/// The alerts' fingerprints hold the application's name: the same for all, each on a broker of its own.
const APP: &str = "outage";
/// Panes of a second of event time, ten pairs in each.
const PANES: i64 = 460;
/// From this pane on the model errs and its scores move.
const CHANGE: i64 = 430;

/// A configuration whose history of `PANES` short panes raises alerts.
fn scene(broker: &str, app: &str) -> Scene {
    Scene::on(broker, app)
        .with("panes: { size: 1s }\nmodels: { m: { task: binary, positive: \"1\" } }\nbudget: { false_alarms: 100, per: 1d }")
        .with("baseline: { learn: 400s }")
        .inputs("{ topic: TOPIC, lateness: 1s }", "{ topic: TOPIC, lateness: 1s }")
        .beginning(1_790_000_000_000)
}

/// Ten pairs in each pane of `panes`: (predictions, outcomes).
fn history(scene: &Scene, panes: std::ops::Range<i64>) -> (Vec<Given>, Vec<Given>) {
    let (mut predictions, mut outcomes) = (Vec::new(), Vec::new());
    for pane in panes {
        for i in 0..10 {
            let (id, noise) = (format!("{pane}-{i}"), ((pane * 10 + i) * 7_919 % 100) as f64 / 100.0);
            let late = pane >= CHANGE;
            let mut p = scene.prediction(&id, pane);
            p["score"] = json!(noise + if late { 1.5 } else { 0.0 });
            p["features"] = json!({ "amount": noise * 10.0 + if late { 30.0 } else { 0.0 } });
            let mut o = scene.outcome(&id, pane);
            o["label"] = json!(if late && i % 2 == 0 { "0" } else { "1" });
            predictions.push(given(p.to_string()));
            outcomes.push(given(o.to_string()));
        }
    }
    (predictions, outcomes)
}

fn write(scene: &Scene, panes: std::ops::Range<i64>) {
    let (predictions, outcomes) = history(scene, panes);
    scene.pen.send(&scene.topic("predictions"), &predictions);
    scene.pen.send(&scene.topic("outcomes"), &outcomes);
}

/// Keys and values of all alerts; accepted predictions and pairs in the summaries.
type Results = (Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>, (u64, u64));

/// What subscribers have, without wall time and offsets.
fn results(scene: &Scene) -> Results {
    (scene.read("alerts").into_iter().map(|r| (r.key, r.value)).collect(), scene.counts())
}

/// The results of a quiet day, once for all tests.
fn undisturbed() -> &'static Results {
    static QUIET: OnceLock<Results> = OnceLock::new();
    QUIET.get_or_init(|| {
        let broker = Embedded::start(Options::default()).expect("a free port");
        let scene = scene(&broker.address(), APP).topics(1);
        write(&scene, 0..PANES);
        scene.pen.drain();
        let exit = scene.run_once();
        assert_eq!(exit.code, Some(0), "{}", exit.err);
        results(&scene)
    })
}

/// The outage outlasts it: the client forgets its member id and may be told `fenced` by the broker that is back, though nobody else has
/// the name (in `instances` it surely is).
const SHORT_SESSION: &str = "session.timeout.ms: 6000, heartbeat.interval.ms: 500, reconnect.backoff.max.ms: 300";
/// Longer than that.
const SOME_SECONDS: Duration = Duration::from_secs(8);

/// Half of the history, then the other half while the broker is away (`arm` before it is sent, `outage` after): results are those
/// of a quiet day.
fn survives(client: &str, arm: impl Fn(&Embedded), outage: impl Fn(&Embedded, &mut Running)) {
    let broker = Embedded::start(Options::default()).expect("a free port");
    let scene = scene(&broker.address(), APP).client(client).topics(1);
    write(&scene, 0..PANES / 2);
    scene.pen.drain();
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], (PANES / 2 * 10) as f64);
    arm(&broker);
    write(&scene, PANES / 2..PANES);
    outage(&broker, &mut service);
    scene.pen.drain();
    service.reaches("driftline_joined_total", &[], (PANES * 10) as f64);
    stays_calm(&service);
    service.stop();
    assert_eq!(scene.run_once().code, Some(0), "a last run closes the last panes");
    let (alerts, counts) = results(&scene);
    let (expected, expected_counts) = undisturbed();
    assert!(!expected.is_empty(), "the scene raises alerts");
    let pairs = (PANES * 10) as u64;
    assert_eq!((counts, *expected_counts), ((pairs, pairs), (pairs, pairs)), "every pair once");
    assert_eq!(alerts, *expected, "the same alerts, each once");
}

/// The outage is said once, and little else.
fn stays_calm(service: &Running) {
    let warnings: Vec<_> = service.messages().into_iter().filter(|m| m.0 == "WARN" || m.0 == "ERROR").map(|m| m.1).collect();
    assert!(warnings.len() <= 4, "some words, not many: {warnings:#?}");
    assert_eq!(warnings.iter().filter(|m| m.contains("no broker answers")).count(), 1, "{warnings:#?}");
    assert!(!service.log().contains("panicked"), "{}", service.log());
}

#[test]
fn a_broker_that_is_away_for_a_minute() {
    survives(
        "",
        |_| {},
        |broker, service| {
            broker.pause(true);
            lasts(Duration::from_secs(60)); // the length of the outage is what is tested
            assert_eq!(service.get("/livez").map(|a| a.0), Some(200));
            broker.pause(false);
        },
    );
}

#[test]
fn a_broker_that_goes_before_a_commit() {
    survives(SHORT_SESSION, |broker| broker.go_down_at_next_commit(Downfall::BeforeCommit), back_after_some_seconds);
}

#[test]
fn a_broker_that_goes_after_a_commit() {
    survives(
        SHORT_SESSION,
        |broker| broker.go_down_at_next_commit(Downfall::AfterCommit),
        |broker, service| {
            back_after_some_seconds(broker, service);
            service.says(&["brokers answer again"]);
        },
    );
}

fn back_after_some_seconds(broker: &Embedded, service: &mut Running) {
    service.says(&["no broker answers"]);
    lasts(SOME_SECONDS); // the length of the outage
    broker.pause(false);
}

#[test]
fn a_stop_while_the_broker_is_away_is_a_stop() {
    let (app, broker) = (unique("stop-away"), Embedded::start(Options::default()).expect("a free port"));
    let scene = Scene::on(&broker.address(), &app).topics(1);
    scene.write_pairs("a", 0, 100);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], 100.0);
    broker.go_down_at_next_commit(Downfall::BeforeCommit);
    scene.write_pairs("b", 200, 100);
    service.says(&["no broker answers"]);
    service.stop();
    assert!(service.said(&["not committed", "the next start does them again"]).is_some(), "{}", service.log());
    broker.pause(false);
    assert_eq!(scene.run_once().code, Some(0));
    assert_eq!(scene.counts(), (200, 200), "every pair once");
}

#[test]
fn a_broker_that_comes_after_the_service() {
    let port = free_port();
    let scene = Scene::on(&format!("127.0.0.1:{port}"), &unique("early-bird"));
    let mut service = scene.run(&[]);
    service.says(&["no broker answers at", &scene.brokers, "trying again", "kafka.brokers"]);
    lasts(Duration::from_secs(4)); // more than one attempt
    let told = service.messages().iter().filter(|m| m.1.contains("no broker answers")).count();
    assert_eq!(told, 1, "said once: {}", service.log());
    assert!(service.messages().iter().filter(|m| m.0 != "INFO").count() <= 3, "{}", service.log());
    // topics must be there before driftline sees the broker: make them while it can't get in
    let broker = Embedded::start(Options { port: Some(port), ..Options::default() }).expect("the port is still free");
    broker.with(|cluster| {
        for spec in scene.all_topics(1) {
            let topic = NewTopic { name: spec.name, partitions: spec.partitions, replication: 1, settings: spec.config };
            cluster.create_topic(topic, false).expect("a topic");
        }
    });
    scene.write_pairs("a", 0, 5);
    service.reaches("driftline_joined_total", &[], 5.0);
    service.stop();
}
