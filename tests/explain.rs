//! `driftline explain` against the embedded broker: an episode on a page, found by what people have at hand.

use driftline::codec::alert::{Format, decode, encode};
use serde_json::{Value, json};
use std::process::Stdio;

#[path = "kit/alerts_topic.rs"]
mod alerts_topic;

use alerts_topic::{Scene, alert};

/// Two alerts that begin alike, and one that does not.
const ONE: &str = "28ecce93372b4d19e4659aa3040bffb1";
const ALIKE: &str = "28ecce00000000000000000000000000";
const OTHER: &str = "aa11ce00000000000000000000000000";

/// An event of the episode of `fingerprint` that opened at an hour.
fn event(fingerprint: &str, opened: u32, sequence: u32, status: &str, reason: &str) -> Vec<u8> {
    let at = |hour: u32| format!("2026-03-01T{hour:02}:00:00.000Z");
    alert(json!({
        "fingerprint": fingerprint, "alert_id": format!("{fingerprint}-{opened}"), "sequence": sequence, "status": status, "reason": reason,
        "opened_at": at(opened), "detected_at": at(opened + sequence)
    }))
}

/// A topic with an episode that is over, a later one of the same fingerprint, and two of others; an event that was given up.
fn scene() -> Scene {
    let scene = Scene::new();
    let (opened, over) = (event(ONE, 1, 0, "FIRING", "opened"), event(ONE, 1, 1, "RESOLVED", "recovered"));
    let (again, worse) = (event(ONE, 5, 0, "FIRING", "opened"), event(ONE, 5, 1, "FIRING", "escalated"));
    let (alike, other) = (event(ALIKE, 2, 0, "FIRING", "opened"), event(OTHER, 3, 0, "FIRING", "opened"));
    scene.publish(&[(0, &opened), (1, &alike), (0, &over), (1, b"no alert"), (0, &again)], true);
    scene.publish(&[(0, &event(ONE, 5, 1, "RESOLVED", "recovered"))], false);
    scene.publish(&[(0, &worse), (1, &other)], true);
    scene
}

#[test]
fn a_beginning_of_a_fingerprint_shows_its_newest_episode_whole() {
    let said = scene().said("explain", &["28ecce9"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for words in ["CRITICAL FIRING  since 2026-03-01 05:00 UTC", "FIRING/opened", "FIRING/escalated", "1 other episode(s)"] {
        assert!(said.out.contains(words), "{words}:\n{}", said.out);
    }
    assert!(!said.out.contains("RESOLVED"), "that was given up, or of the episode before:\n{}", said.out);
    assert!(!said.out.contains('\u{1b}'), "no terminal, no colours");
    assert!(said.out.lines().all(|l| l.chars().count() <= 90), "{}", said.out);
    assert!(said.err.contains("shop.alerts[1]@1 is passed over"), "a record that is no alert is told: {}", said.err);
}

#[test]
fn an_id_shows_that_episode_and_json_prints_its_events_as_published() {
    let scene = scene();
    let id = format!("{ONE}-1");
    let said = scene.said("explain", &[&id]);
    assert!(said.out.starts_with("CRITICAL RESOLVED  2026-03-01 02:00 UTC (recovered), after 1 h\n"), "{}", said.out);
    let said = scene.said("explain", &[&id, "-o", "json"]);
    let events = [event(ONE, 1, 0, "FIRING", "opened"), event(ONE, 1, 1, "RESOLVED", "recovered")];
    let expected: Vec<u8> = events.into_iter().flat_map(|e| [e, b"\n".to_vec()].concat()).collect();
    assert_eq!(said.out.as_bytes(), expected);
}

#[test]
fn several_are_listed_and_an_unknown_one_says_where_to_look() {
    let scene = scene();
    let said = scene.said("explain", &["28ecce"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    let listed: Vec<&str> = said.err.lines().filter(|l| l.starts_with("  28ecce")).map(|l| l.split_whitespace().next().unwrap()).collect();
    assert_eq!(listed, [&format!("{ONE}-5"), "28ecce00", &format!("{ONE}-1")], "{}", said.err);
    let said = scene.said("explain", &["ffff"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    for words in ["no alert in shop.alerts", "\"ffff\"", "7 record(s) read", "driftline tail", "retention"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(scene.said("explain", &[""]).code, Some(2), "an empty variable of a shell is a mistake");
}

#[test]
fn avro_is_read_as_well() {
    let scene = Scene::new();
    scene.configure(&scene.broker.address(), "avro");
    let frozen = decode(include_bytes!("fixtures/alert.json"), Format::Json).expect("the fixture is an alert");
    scene.publish(&[(1, &encode(&frozen, Format::Avro).expect("Avro"))], true);
    let said = scene.said("explain", &["28ec", "-o", "json"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), include_str!("fixtures/alert.json")), "{}", said.err);
    let value: Value = serde_json::from_str(include_str!("fixtures/alert.json")).expect("JSON");
    let said = scene.said("explain", &["28ec"]).out.replace("\n", " ");
    assert!(said.contains(value["summary"].as_str().expect("a sentence")), "{said}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let scene = scene();
    let mut child = scene.command("explain", &[ONE]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(child.stdout.take());
    let said = child.wait_with_output().expect("an end");
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn a_missing_topic_says_what_makes_it() {
    let said = Scene::without_topic().said("explain", &[ONE]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("topic shop.alerts does not exist") && said.err.contains("driftline topics create"), "{}", said.err);
}
