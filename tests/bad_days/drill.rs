//! `driftline drill` beside a running application: each step is seen, nothing of users' data is touched, and who waits in vain is told why.

use crate::kit::{PATIENCE, driftline, ended};
use crate::scene::Scene;
use crate::wait::within;
use serde_json::Value;
use std::process::Stdio;

fn scene(what: &str) -> Scene {
    let second = "{ topic: TOPIC, lateness: 1s }";
    Scene::new(what).inputs(second, second).with("panes: { size: 1s }\njoin: { window: 10m }").topics(1)
}

#[test]
fn a_drill_fires_and_resolves_beside_the_stream_and_leaves_it_alone() {
    let scene = scene("drill");
    scene.write_pairs("before", 0, 40);
    let mut run = scene.run(&[]);
    run.reaches("driftline_joined_total", &[], 40.0);
    let order = ["drill", "-c", &scene.config(), "--model", "m", "--severity", "warning", "--panes", "3", "-o", "json"];
    let mut drill = driftline(&order).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut seconds = 40;
    let ended = within(PATIENCE, || {
        scene.write_pairs(&format!("at-{seconds}"), seconds, 1); // panes close as event time goes on
        seconds += 1;
        drill.try_wait().expect("a child")
    });
    assert!(ended.expect("the drill ends").success());
    let said = std::io::read_to_string(drill.stdout.take().expect("a pipe")).expect("text");
    let steps: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(steps.iter().map(|s| s["step"].as_str().expect("a step")).collect::<Vec<_>>(), ["ordered", "fires", "resolved", "over"]);
    assert!(steps.is_sorted_by_key(|s| s["after_ms"].as_u64()));

    let id = steps[0]["drill"].as_str().expect("an id");
    let alerts: Vec<Value> =
        scene.read("alerts").iter().map(|a| serde_json::from_slice(a.value.as_ref().expect("a value")).expect("JSON")).collect();
    assert_eq!(alerts.iter().map(|a| a["status"].as_str().expect("a status")).collect::<Vec<_>>(), ["FIRING", "RESOLVED"]);
    let at = |a: &Value| a["detected_at"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time").as_second();
    assert_eq!(at(&alerts[1]) - at(&alerts[0]), 3);
    for alert in &alerts {
        assert_eq!((&alert["labels"]["drill"], &alert["kind"], &alert["model"]), (&id.into(), &"drill".into(), &"m".into()));
        assert_eq!((&alert["severity"], &alert["action"]), (&"WARNING".into(), &"none".into()));
        assert!(alert["summary"].as_str().is_some_and(|s| s.starts_with("A drill, nothing is wrong")), "{alert}");
    }
    run.reaches("driftline_joined_total", &[], seconds as f64);
    assert_eq!(scene.read("predictions").len(), seconds as usize);
    assert!(scene.read("dead-letters").is_empty());
    run.stop();
}

#[test]
fn who_waits_for_a_drill_that_nobody_sees_is_told_where_to_look() {
    let scene = scene("undrilled");
    let exit = ended(&["drill", "-c", &scene.config(), "--timeout", "1s"]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    for word in ["given up after 1 s", "no FIRING event", "do predictions come", "driftline top"] {
        assert!(exit.err.contains(word), "no {word:?} in {}", exit.err);
    }
    assert!(exit.out.contains("ordered"), "{}", exit.out);
}
