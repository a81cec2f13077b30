//! Two processes that believe to be the same one, and one of which its group believes it.

use crate::kafka::unique;
use crate::kit::{PATIENCE, soon};
use crate::scene::Scene;
use crate::wait::lasts;
use driftline::broker::{Embedded, Options};
use driftline::config::load;
use driftline::engine::types::{Offset, Partition};
use driftline::kafka::log::{KafkaLog, MemberName};
use driftline::log::{Fatal, Log, Polled, TopicIx};
use std::path::Path;
use std::time::Duration;

#[test]
fn the_older_of_two_with_one_name_ends_and_the_younger_goes_on() {
    let scene = Scene::new("twins").topics(1);
    scene.write_pairs("a", 0, 5);
    let mut older = scene.run_as("older.log", &[], &[]);
    older.reaches("driftline_joined_total", &[], 5.0);
    let younger_config = {
        let text = std::fs::read_to_string(scene.config()).expect("the file");
        text.replace(&format!(":{}\"", scene.http), &format!(":{}\"", crate::kit::free_port()))
    };
    let path = scene.file("younger.yaml");
    let port = younger_config.split("127.0.0.1:").last().and_then(|t| t.split('"').next()).and_then(|p| p.parse().ok()).expect("a port");
    std::fs::write(&path, &younger_config).expect("written");
    let command = crate::kit::driftline(&["run", "-c", &path.display().to_string()]);
    let mut younger = crate::kit::Running::start(command, &scene.file("younger.log"), port);
    let exit = older.end(PATIENCE);
    assert_eq!(exit.code, Some(4), "{}", exit.err);
    for word in ["another process", "`instance`", "give each"] {
        assert!(exit.err.contains(word), "no {word:?} in: {}", exit.err);
    }
    younger.ready();
    scene.write_pairs("b", 100, 5);
    younger.reaches("driftline_joined_total", &[], 5.0);
    younger.stop();
    let exit = scene.run_once();
    assert_eq!(exit.code, Some(0), "{}", exit.err);
    let (rows, matched) = scene.counts();
    assert_eq!((rows, matched), (10, 10), "every pair once");
}

fn member(scene: &Scene) -> KafkaLog {
    let settings = load(Path::new(&scene.config())).expect("the configuration is right");
    let name = MemberName { stage: "detect", thread: 0 };
    KafkaLog::open(&settings, &name, vec![settings.topic("summaries")], None).expect("a member")
}

/// The next thing that is no record.
fn next(member: &mut KafkaLog) -> Result<Polled, Fatal> {
    soon(PATIENCE, "a change of assignment", || Some(member.poll(Duration::from_millis(20))).filter(|p| *p != Ok(Polled::Records)))
}

fn owns(member: &mut KafkaLog, change: Polled) {
    assert_eq!(change, Polled::Assigned(vec![Partition(0)]));
    member.start(&[(TopicIx(0), Partition(0), Offset(0))]).expect("started");
}

#[test]
fn a_member_that_is_fenced_after_an_outage_joins_again_and_ends_when_another_takes_its_name() {
    let broker = Embedded::start(Options::default()).expect("a free port");
    let client = "session.timeout.ms: 6000, heartbeat.interval.ms: 100, reconnect.backoff.max.ms: 100";
    let scene = Scene::on(&broker.address(), &unique("fenced")).client(client).topics(1);
    let mut older = member(&scene);
    let change = next(&mut older).expect("partitions");
    owns(&mut older, change);
    broker.pause(true);
    lasts(Duration::from_secs(8)); // the outage: longer than the session
    broker.pause(false);
    // the member's thread has other things to do, as in a commit; its client sends heartbeats, but has forgotten its member id
    lasts(Duration::from_secs(3));
    for why in ["the session ended", "the group fenced the client"] {
        assert_eq!(next(&mut older), Ok(Polled::Lost), "{why}");
        older.release().expect("released");
    }
    let change = next(&mut older).expect("partitions");
    owns(&mut older, change);
    let _younger = member(&scene);
    assert!(next(&mut older).is_err_and(|e| e.0.contains("another process")), "this time it has no excuse");
}
