//! Somebody edits the file of a running application and restarts it.

use crate::kit::Running;
use crate::scene::Scene;
use serde_json::{Value, json};

const FIRST: &str = "panes: { size: 1s }\njoin: { window: 10m }\nsegments: { by: [[country]] }";
const FURTHER: &str =
    "panes: { size: 1s }\njoin: { window: 10m }\nsegments: { by: [[country], [city]] }\nbudget: { false_alarms: 3, per: 1d }";

fn scene(what: &str) -> Scene {
    let second = "{ topic: TOPIC, lateness: 1s }";
    Scene::new(what).inputs(second, second).with(FIRST).topics(1)
}

/// A prediction a second with its place, and what came of it.
fn write(scene: &Scene, seconds: std::ops::Range<i64>) {
    let id = |s: i64| format!("at-{s}");
    let placed = |s: i64| {
        let mut value = scene.prediction(&id(s), s);
        value["segments"] = json!({ "country": "FR", "city": "Lyon" });
        value
    };
    scene.write("predictions", seconds.clone().map(placed));
    scene.write("outcomes", seconds.map(|s| scene.outcome(&id(s), s + 1)));
}

fn versions(run: &Running) -> Vec<Value> {
    let status = run.status().unwrap_or_default();
    let members = status["members"].as_object().cloned().unwrap_or_default();
    let monitors = members.values().filter_map(|m| m["state"]["monitors"].as_array()).flatten();
    monitors.flat_map(|m| m["versions"].as_array().cloned().unwrap_or_default()).collect()
}

/// What `check --connect` says before anything is restarted.
fn told(scene: &Scene, level: &str, text: &str) {
    let exit = crate::kit::ended(&["check", "-c", &scene.config(), "--connect", "-o", "json"]);
    let said: Value = serde_json::from_str(exit.out.trim()).expect("JSON");
    let findings = said["findings"].as_array().expect("findings");
    let fits = |f: &&Value| f["level"] == level && f["text"].as_str().is_some_and(|t| t.contains(text));
    assert!(findings.iter().any(|f| fits(&f)), "no {level} {text:?} in {findings:#?}");
}

/// Both stages of a process may propose: a join that has not read the plan yet does not know that it need not.
fn counted(run: &mut Running, reason: &str) {
    let labels = [("reason", reason)];
    run.until("a proposal that was not adopted", |me| (me.metric("driftline_definitions_stale_total", &labels) >= 1.0).then_some(()));
}

#[test]
fn a_segment_by_a_further_dimension_begins_at_the_pane_that_is_named() {
    let mut scene = scene("further");
    write(&scene, 0..40);
    let mut first = scene.run(&[]);
    first.reaches("driftline_joined_total", &[], 40.0);
    first.stop();

    told(&scene, "fine", "the definitions are those in force");
    scene.rewrite(FURTHER);
    told(&scene, "note", "segments.by, budget differ from the definitions in force");
    let mut second = scene.run(&[]);
    second.says(&["segments.by, budget differ from the definitions in force", "no input has reached yet"]);
    second.says(&["version 2 of the definitions", "holds for inputs from"]);
    second.reaches("driftline_budget_false_alarms_per_day", &[], 3.0);
    let from = second.until("the second version", |run| versions(run).iter().find(|v| v["version"] == 2)?["inputs_from_ms"].as_i64());
    assert!((scene.at(100)..scene.at(300)).contains(&from), "{} s after the beginning", (from - scene.at(0)) / 1_000);
    write(&scene, 40..400);
    second.reaches("driftline_joined_total", &[], 360.0);
    second.stop();
    let once = scene.run_once();
    assert_eq!(once.code, Some(0), "{}", once.err);
    let entries: Vec<_> = scene.summaries().into_iter().flat_map(|p| p.entries).filter(|e| !e.cell.model.is_empty()).collect();
    assert!(entries.iter().any(|e| e.pane.0 * 1_000 == from));
    for e in entries.iter().filter(|e| e.summary.counts.kind() == driftline::engine::types::PaneKind::Input) {
        let known: &[&str] = if e.pane.0 * 1_000 < from { &["FR"] } else { &["FR", "Lyon"] };
        assert_eq!(e.cell.values, known, "in the pane that begins at {}", e.pane.0);
    }
    scene.rewrite(FIRST);
    let mut older = scene.run(&[]);
    older.says(&["segments are watched by city", "books its predictions as city=(none)", "newer file"]);
    older.stop();
}

#[test]
fn an_older_file_stays_out_and_says_how_to_come_back() {
    let mut scene = scene("older");
    write(&scene, 0..20);
    let mut run = scene.run(&[]);
    run.reaches("driftline_joined_total", &[], 20.0);
    run.stop();
    scene.rewrite(&format!("{FIRST}\nalerts: {{ reminder: 2h }}"));
    let mut run = scene.run(&[]);
    run.says(&["alerts.reminder differ", "with the next pane"]);
    run.says(&["version 2 of the definitions"]);
    run.stop();

    scene.rewrite(FIRST);
    let mut run = scene.run(&[]);
    run.says(&["others have replaced", "revision: 1"]);
    counted(&mut run, "superseded");
    run.stop();
    scene.rewrite(&format!("{FIRST}\nrevision: 1"));
    let mut run = scene.run(&[]);
    run.says(&["version 3 of the definitions"]);
    run.stop();
}

#[test]
fn what_cannot_change_is_named_and_everything_stays_as_it_was() {
    let mut scene = scene("fixed");
    write(&scene, 0..20);
    let mut run = scene.run(&[]);
    run.reaches("driftline_joined_total", &[], 20.0);
    run.stop();
    scene.rewrite(&FURTHER.replace("10m", "11m"));
    told(&scene, "wrong", "join.window");
    let mut run = scene.run(&[]);
    run.says(&["join.window", "can't change in a running application", "another `app`"]);
    counted(&mut run, "fixed");
    write(&scene, 20..40);
    run.reaches("driftline_joined_total", &[], 20.0);
    let known = run.until("a monitor", |run| Some(versions(run)).filter(|known| !known.is_empty()));
    assert!(run.said(&["version 2 of the definitions"]).is_none() && known.len() == 1, "{known:?}");
    run.stop();
}

/// Watched closely, with what else is said of the model.
fn watching(rules: &str) -> String {
    format!(
        "panes: {{ size: 1s }}\njoin: {{ window: 10m }}\nbaseline: {{ learn: 150s }}\nalerts: {{ format: json }}\n\
         budget: {{ false_alarms: 50, per: 1d }}\nmodels: {{ m: {{ task: binary, positive: '1'{rules} }} }}"
    )
}

/// Ten predictions a second, with a score around `score`; one outcome.
fn score(scene: &Scene, seconds: std::ops::Range<i64>, score: f64) {
    let scored = |s: i64, i: i64| {
        let mut value = scene.prediction(&format!("at-{s}-{i}"), s);
        value["score"] = json!(score + ((s * 7 + i * 3) % 10) as f64 / 100.0);
        value
    };
    scene.write("predictions", seconds.clone().flat_map(|s| (0..10).map(move |i| (s, i))).map(|(s, i)| scored(s, i)));
    scene.write("outcomes", seconds.map(|s| scene.outcome(&format!("at-{s}-0"), s)));
}

/// Events about the score: what was said, and of when (ms).
fn said_of_score(scene: &Scene) -> Vec<(String, i64)> {
    said_where(scene, |a| a["signal"] == "score")
}

fn said_where(scene: &Scene, of: impl Fn(&Value) -> bool) -> Vec<(String, i64)> {
    let alerts = scene.read("alerts").into_iter().filter_map(|r| serde_json::from_slice::<Value>(&r.value?).ok());
    let text = |a: &Value, name: &str| a[name].as_str().unwrap_or_default().to_owned();
    let ms = |a: &Value| text(a, "detected_at").parse::<jiff::Timestamp>().map_or(0, |t| t.as_millisecond());
    alerts.filter(of).map(|a| (text(&a, "reason"), ms(&a))).collect()
}

#[test]
fn an_alert_ends_where_its_change_is_accepted_and_the_new_normal_raises_none() {
    let mut scene = scene("accepted");
    scene.rewrite(&watching(""));
    score(&scene, 0..440, 0.2);
    score(&scene, 440..500, 0.6);
    let mut run = scene.run(&[]);
    run.until("an alert", |_| said_of_score(&scene).iter().any(|(reason, _)| reason == "opened").then_some(()));
    run.stop();

    let accepted = jiff::Timestamp::from_millisecond(scene.at(520)).expect("a time").to_string();
    scene.rewrite(&watching(&format!(", accepted: {{ predictions: '{accepted}' }}")));
    told(&scene, "note", "models.NAME.accepted differ");
    let mut run = scene.run(&[]);
    run.says(&["version 2 of the definitions"]);
    score(&scene, 500..780, 0.6);
    run.reaches("driftline_joined_total", &[], 280.0);
    run.stop();
    let said = said_of_score(&scene);
    assert!(said.len() > 1 && said.last() == Some(&("accepted".to_owned(), scene.at(520))), "{said:?}");
    // what was normal once is a change now
    score(&scene, 780..840, 0.2);
    assert_eq!(scene.run_once().code, Some(0));
    assert_eq!(said_of_score(&scene)[said.len()].0, "opened");
}

/// Events of a limit: what was said, and of when (ms).
fn said_of_limit(scene: &Scene) -> Vec<(String, i64)> {
    said_where(scene, |a| a["detector"] == "limit:above=50,over=10s,for=5s")
}

#[test]
fn a_limit_that_is_added_needs_no_reference_and_ends_with_the_file_that_no_longer_has_it() {
    let mut scene = scene("limited");
    scene.rewrite(&watching(""));
    score(&scene, 0..40, 0.2);
    let mut run = scene.run(&[]);
    run.reaches("driftline_joined_total", &[], 40.0);
    run.stop();

    // ten predictions a second are a hundred in ten
    scene.rewrite(&watching(", limits: [ { signal: volume, above: 50, over: 10s, for: 5s } ]"));
    told(&scene, "note", "models.NAME.limits differ");
    let mut run = scene.run(&[]);
    run.says(&["version 2 of the definitions"]);
    score(&scene, 40..80, 0.2);
    run.until("an alert", |_| (!said_of_limit(&scene).is_empty()).then_some(()));
    run.stop();
    let said = said_of_limit(&scene);
    // `over` is whole ten seconds after the version holds, and five seconds later it has lasted for long enough
    let [(opened, at)] = &said[..] else { panic!("one event: {said:?}") };
    assert!(opened == "opened" && (scene.at(40 - 5 + 14)..=scene.at(40 + 14)).contains(at), "{said:?} after {}", scene.at(0));

    // what was in force before comes back with a higher revision alone
    scene.rewrite(&format!("{}\nrevision: 1", watching("")));
    let mut run = scene.run(&[]);
    run.says(&["version 3 of the definitions"]);
    score(&scene, 80..120, 0.2);
    run.until("its end", |_| (said_of_limit(&scene).len() > 1).then_some(()));
    run.stop();
    assert_eq!(said_of_limit(&scene)[1].0, "redefined");
    // a reference of 150 seconds is complete nowhere, so nothing else has been said
    assert_eq!(said_where(&scene, |_| true).len(), 2);
}
