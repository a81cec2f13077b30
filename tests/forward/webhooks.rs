//! Webhooks: each event once, whatever becomes of the receivers and of the process.

use crate::alerts_topic::{PATIENCE, Scene, TOPIC};
use crate::receiver::{Process, Receiver, Reply, Request, nobody};
use crate::wait::within;
use crate::{NOW, event};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn start(scene: &Scene, flags: &[&str]) -> Process {
    Process(scene.command("forward", flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts"))
}

/// Ends it as Kubernetes does: what it has said, and its exit code.
fn stopped(mut process: Process) -> Output {
    let id = process.0.id() as i32;
    // SAFETY: a signal to our own child, which has not been waited for.
    unsafe { libc::kill(id, libc::SIGTERM) };
    let code = within(PATIENCE, || process.0.try_wait().expect("a child")).expect("it ends when it is asked to");
    let mut stderr = Vec::new();
    std::io::Read::read_to_end(&mut process.0.stderr.take().expect("piped"), &mut stderr).expect("text");
    Output { status: code, stdout: Vec::new(), stderr }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ids(receiver: &Receiver) -> Vec<String> {
    receiver.seen().iter().map(|r| r.header("webhook-id").to_string()).collect()
}

/// Without repeats.
fn first_times(receiver: &Receiver) -> Vec<String> {
    let mut all = ids(receiver);
    let mut seen = BTreeSet::new();
    all.retain(|id| seen.insert(id.clone()));
    all
}

/// Waits until it has been told `expected`, in this order and nothing else.
fn is_told(receiver: &Receiver, expected: &[&str]) {
    within(PATIENCE, || (ids(receiver).len() >= expected.len()).then_some(()));
    assert_eq!(ids(receiver), expected);
}

/// Waits until the place that is kept for webhook `name` in partition 0 is behind all that it has been told.
fn is_kept(scene: &Scene, name: &str, events: i64) {
    let place = || {
        scene.broker.with(|cluster| {
            let position = cluster.fetch_offset(&format!("shop-webhook-{name}"), &(TOPIC.to_string(), 0), true);
            position.ok().flatten().map(|p| p.offset)
        })
    };
    within(PATIENCE, || place().filter(|p| *p >= events)).unwrap_or_else(|| panic!("kept: {:?}", place()));
}

fn signed(request: &Request, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret).expect("base64"));
    let text = format!("{}.{}.{}", request.header("webhook-id"), request.header("webhook-timestamp"), request.text);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, text.as_bytes())))
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a path")
}

#[test]
fn each_event_is_sent_once_as_tail_shows_it_and_signed_with_the_secret_of_the_moment() {
    let (scene, receiver) = (Scene::new(), Receiver::start(&[]));
    let (secret, first, second) = (scene.dir.path().join("secret"), STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
    std::fs::write(&secret, format!("whsec_{first}\n")).expect("written");
    let old = event("old", 0, "FIRING", "INFO", SignedDuration::from_hours(2));
    scene.publish(&[(0, &event("a", 0, "FIRING", "INFO", NOW)), (0, b"no event"), (0, &old)], true);
    scene.publish(&[(0, &event("given-up", 0, "FIRING", "INFO", NOW))], false);
    let hook = format!("{}/hooks/7?token=hidden", receiver.address);
    let forward = start(&scene, &["--webhook", &hook, "--webhook-secret-file", path(&secret)]);
    is_told(&receiver, &["a-1/0"]);
    std::fs::write(&secret, &second).expect("written");
    scene.publish(&[(0, &event("a", 1, "FIRING", "CRITICAL", NOW)), (0, &event("a", 2, "RESOLVED", "CRITICAL", NOW))], true);
    is_told(&receiver, &["a-1/0", "a-1/1", "a-1/2"]);
    let seen = receiver.seen();
    let tail = scene.said("tail", &["-o", "json"]).out;
    let shown: Vec<&str> = tail.lines().filter(|l| l.contains("\"alert_id\":\"a-1\"")).collect();
    assert_eq!(seen.iter().map(|r| r.text.as_str()).collect::<Vec<_>>(), shown);
    for (request, secret) in seen.iter().zip([&first, &second, &second]) {
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/hooks/7?token=hidden", "application/json"));
        assert_eq!(request.header("webhook-signature"), signed(request, secret));
        let sent: i64 = request.header("webhook-timestamp").parse().expect("seconds");
        assert!((Timestamp::now().as_second() - sent).abs() < 120, "{sent}");
    }
    let end = stopped(forward);
    let said = said(&end);
    assert_eq!(end.status.code(), Some(0), "{said}");
    assert!(said.contains("3 event(s) taken, 0 refused, 1 too old to be told, 1 record(s) passed over"), "{said}");
    assert!(said.contains(&receiver.address) && !said.contains("hidden") && !said.contains(&first), "{said}");
}

#[test]
fn one_that_fails_in_every_way_gets_all_in_order_and_holds_nobody_up() {
    let (scene, well, absent) = (Scene::new(), Receiver::start(&[]), nobody());
    let ill = Receiver::start(&[Reply::Status(500), Reply::CutOff, Reply::Status(429), Reply::CutBody, Reply::Held]);
    scene.publish(&[(0, &event("a", 0, "FIRING", "INFO", NOW)), (0, &event("b", 0, "FIRING", "INFO", NOW))], true);
    let hooks = format!("ill={},well={},absent=http://{absent}", ill.address, well.address);
    let _forward = start(&scene, &["--webhook", &hooks]);
    is_told(&well, &["a-1/0", "b-1/0"]);
    // three times in vain; then the answer is cut off behind its status, which is enough
    is_told(&ill, &["a-1/0", "a-1/0", "a-1/0", "a-1/0", "b-1/0"]);
    scene.publish(&[(0, &event("a", 1, "RESOLVED", "INFO", NOW))], true);
    is_told(&well, &["a-1/0", "b-1/0", "a-1/1"]);
    assert_eq!(first_times(&ill).len(), 2, "it has not answered yet");
    ill.release();
    within(PATIENCE, || (first_times(&ill).len() == 3).then_some(()));
    assert_eq!(first_times(&ill), ["a-1/0", "b-1/0", "a-1/1"]);
    let back = Receiver::at(TcpListener::bind(absent).expect("the same port"), &[]);
    is_told(&back, &["a-1/0", "b-1/0", "a-1/1"]);
}

#[test]
fn what_is_refused_for_good_is_set_aside_and_the_next_event_goes_on() {
    let (scene, receiver) = (Scene::new(), Receiver::start(&[Reply::Status(400), Reply::Status(200), Reply::Status(410)]));
    let refused = scene.dir.path().join("refused.jsonl");
    scene.publish(&[(1, &event("a", 0, "FIRING", "INFO", NOW)), (1, &event("a", 1, "FIRING", "CRITICAL", NOW))], true);
    let flags = ["--webhook", &format!("chat={}", receiver.address), "--refused", path(&refused)];
    let forward = start(&scene, &flags);
    is_told(&receiver, &["a-1/0", "a-1/1"]);
    scene.publish(&[(1, &event("a", 2, "RESOLVED", "CRITICAL", NOW))], true);
    is_told(&receiver, &["a-1/0", "a-1/1", "a-1/2"]);
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&refused).unwrap_or_default();
        text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    };
    let lines = within(PATIENCE, || Some(lines()).filter(|l| l.len() == 2)).expect("two lines");
    let shown = |l: &Value| format!("{} {} {} {} {}", l["webhook"], l["topic"], l["partition"], l["offset"], l["status"]);
    assert_eq!(lines.iter().map(shown).collect::<Vec<_>>(), [r#""chat" "shop.alerts" 1 0 400"#, r#""chat" "shop.alerts" 1 3 410"#]);
    assert_eq!(lines[0]["event"], receiver.seen()[0].json());
    let end = stopped(forward);
    let said = said(&end);
    assert!(said.contains("answers with status 400 (why): it refuses alert a-1/0 (shop.alerts[1]@0), which is not sent again"), "{said}");
    assert!(said.contains("1 event(s) taken, 2 refused"), "{said}");
}

#[test]
fn a_new_webhook_begins_with_the_last_hour_and_an_old_one_where_it_was() {
    let (scene, receiver) = (Scene::new(), Receiver::start(&[]));
    let written = |before: SignedDuration| Some((Timestamp::now() - before).as_millisecond());
    let (long, short) = (SignedDuration::from_hours(3), SignedDuration::from_mins(10));
    // both were fresh when they were written
    scene.publish_at(&[(0, &event("long-ago", 0, "FIRING", "INFO", long))], true, written(long));
    scene.publish_at(&[(0, &event("just-now", 0, "FIRING", "INFO", short))], true, written(short));
    let flags = ["--webhook", &format!("chat={}", receiver.address)];
    let forward = start(&scene, &flags);
    is_told(&receiver, &["just-now-1/0"]);
    is_kept(&scene, "chat", 3);
    drop(forward); // killed
    // written while nobody told, and told hours later: the end of an episode whose beginning lies before the place
    scene.publish_at(
        &[(0, &event("just-now", 1, "FIRING", "CRITICAL", short)), (1, &event("other", 0, "FIRING", "INFO", NOW))],
        true,
        None,
    );
    scene.publish(&[(0, &event("just-now", 2, "RESOLVED", "CRITICAL", long))], true);
    let _forward = start(&scene, &flags);
    within(PATIENCE, || (ids(&receiver).len() >= 4).then_some(()));
    let mut all = ids(&receiver);
    all.sort();
    assert_eq!(all, ["just-now-1/0", "just-now-1/1", "just-now-1/2", "other-1/0"]);
}

#[test]
fn no_event_is_lost_however_often_the_process_is_killed() {
    let (scene, receiver) = (Scene::new(), Receiver::start(&[]));
    let flags = ["--webhook", &format!("chat={}", receiver.address)];
    let mut expected = Vec::new();
    let mut process = start(&scene, &flags);
    for round in 0..6 {
        let events: Vec<Vec<u8>> = (0..5).map(|i| event(&format!("e{round}{i}"), 0, "FIRING", "INFO", NOW)).collect();
        scene.publish(&events.iter().map(|e| (0, e.as_slice())).collect::<Vec<_>>(), true);
        expected.extend((0..5).map(|i| format!("e{round}{i}-1/0")));
        // in the middle of its work: between an answer and the place behind it, as often as not
        let new = || ids(&receiver).iter().filter(|id| id.starts_with(&format!("e{round}"))).count();
        within(PATIENCE, || (new() > round % 3).then_some(())).unwrap_or_else(|| panic!("round {round}: {:?}", ids(&receiver)));
        drop(process);
        process = start(&scene, &flags);
    }
    within(PATIENCE, || expected.iter().all(|id| ids(&receiver).contains(id)).then_some(()));
    drop(process);
    assert_eq!(first_times(&receiver), expected, "each of them, in order");
}

#[test]
fn once_tells_what_has_come_since_the_last_time() {
    let (scene, receiver, absent) = (Scene::new(), Receiver::start(&[]), nobody());
    scene.publish(&[(0, &event("a", 0, "FIRING", "INFO", NOW))], true);
    let once = |hook: &str| scene.said("forward", &["--once", "--webhook", hook]);
    let here = format!("chat={}", receiver.address);
    let first = once(&here);
    assert_eq!(first.code, Some(0), "{}", first.err);
    assert_eq!(once(&here).code, Some(0));
    is_told(&receiver, &["a-1/0"]);
    scene.publish(&[(0, &event("a", 1, "FIRING", "CRITICAL", NOW)), (0, &event("a", 2, "RESOLVED", "CRITICAL", NOW))], true);
    let away = once(&format!("chat=http://{absent}"));
    assert!(away.code == Some(1) && away.err.contains("not told: webhook chat"), "{}", away.err);
    assert_eq!(once(&here).code, Some(0));
    is_told(&receiver, &["a-1/0", "a-1/1", "a-1/2"]);
    let refusing = Receiver::start(&[Reply::Status(404)]);
    scene.publish(&[(0, &event("b", 0, "FIRING", "INFO", NOW))], true);
    let refused = once(&format!("chat={}", refusing.address));
    assert!(refused.code == Some(1) && refused.err.contains("which refused 1 event(s)"), "{}", refused.err);
    assert_eq!(once(&here).code, Some(0), "what was refused is dealt with");
    assert_eq!(ids(&receiver).len(), 3);
}

#[test]
fn flags_that_can_not_work_are_said_at_start() {
    let scene = Scene::new();
    let refused = |flags: &[&str], code: i32, words: &str| {
        let said = scene.said("forward", flags);
        assert!(said.code == Some(code) && said.err.contains(words), "{flags:?}: {:?} {}", said.code, said.err);
    };
    refused(&["--once"], 2, "--webhook");
    refused(&["--webhook", "chat.example/hooks"], 1, "NAME=https://HOST/PATH");
    refused(&["--webhook", "chat=http://a,chat=http://b"], 1, "two webhooks are called chat");
    let secret = scene.dir.path().join("secret");
    std::fs::write(&secret, "hunter2").expect("written");
    refused(&["--webhook", "http://a", "--webhook-secret-file", path(&secret)], 1, "openssl rand -base64 32");
    refused(&["--webhook", "http://a", "--refused", path(scene.dir.path())], 1, "can't be written");
}

/// Needs python3: `cargo test --test forward -- --ignored`.
#[test]
#[ignore = "needs python3; .ci/run runs it"]
fn the_example_in_the_documents_checks_a_signature() {
    let docs = include_str!("../../docs/alerts.md");
    let example = docs.split("```python\n").nth(1).and_then(|d| d.split("```").next()).expect("an example in Python");
    let run = |code: &str| Command::new("python3").args(["-c", code]).output().expect("python3 starts");
    let ended = run(example);
    assert!(ended.status.success(), "{}", said(&ended));
    let forged = example.replace(r#""sequence":0"#, r#""sequence":1"#);
    assert!(forged != example && said(&run(&forged)).contains("AssertionError"), "the example notices a body that was changed");
}
