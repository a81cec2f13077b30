//! Training data as the reference: a file is built, named in the configuration, obeyed once, and what differs from it is told.

use crate::kit::{Exit, ended};
use crate::scene::Scene;
use serde_json::Value;

/// 40 s at ten predictions a second are too few to learn from; these are enough.
const SECONDS: i64 = 420;

fn scene(what: &str) -> Scene {
    let second = "{ topic: TOPIC, lateness: 1s }";
    Scene::new(what).inputs(second, second).with("panes: { size: 1s }\njoin: { window: 1m }\nbaseline: { learn: 4m }").topics(1)
}

fn train(scene: &Scene) -> String {
    let path = scene.file("train.csv");
    let rows: String = (0..2_000).map(|i| format!("{},{},1,{}\n", i, i % 100, (i % 40) as f64 / 40.0)).collect();
    std::fs::write(&path, format!("id,amount,class,p\n{rows}")).expect("a file");
    path.display().to_string()
}

fn build(scene: &Scene, more: &[&str]) -> Exit {
    let (config, train, out) = (scene.config(), train(scene), scene.file("m.baseline").display().to_string());
    let mut arguments = vec!["baseline", "build", "-c", &config, "--model", "m", "--from", &train, "--out", &out];
    arguments.extend(more);
    ended(&arguments)
}

#[test]
fn a_model_that_differs_from_its_training_data_is_told_though_it_never_changed() {
    let mut scene = scene("baseline");
    let built = build(&scene, &["--score", "p", "--label", "class", "--ignore", "id"]);
    assert_eq!(built.code, Some(0), "{}", built.err);
    for words in ["of m: 2000 predictions, 3 signals", "feature:amount", "mean 49.5", "left out: id (ignored)", "1 100.0 %"] {
        assert!(built.out.contains(words), "no {words:?} in {}", built.out);
    }
    assert!(built.err.contains("models: { m: { baseline:"), "{}", built.err);
    let all = |name: &'static str| (0..SECONDS * 10).map(move |i| (format!("{name}-{i}"), i / 10));
    scene.write("predictions", all("a").map(|(id, s)| scene.prediction(&id, s)));
    scene.write("outcomes", all("a").map(|(id, s)| scene.outcome(&id, s + 1)));
    scene.rewrite(
        "panes: { size: 1s }\njoin: { window: 1m }\nbaseline: { learn: 4m }\nmodels: { m: { task: binary, positive: \"1\", baseline: m.baseline } }",
    );
    let given = |exit: &Exit| exit.err.matches("audit: give baseline").count();
    let first = scene.run_once();
    assert_eq!((first.code, given(&first)), (Some(0), 1), "{}", first.err);
    let alerts: Vec<Value> =
        scene.read("alerts").iter().map(|a| serde_json::from_slice(a.value.as_ref().expect("a value")).expect("JSON")).collect();
    let of = |signal: &str| alerts.iter().find(|a| a["signal"] == signal).unwrap_or_else(|| panic!("nothing of {signal} in {alerts:?}"));
    let amount = of("feature:amount");
    assert!(amount["summary"].as_str().is_some_and(|s| s.ends_with("What is normal is a baseline file's.")), "{amount}");
    assert_eq!(amount["baseline"]["count"], 2_000, "{amount}");
    assert!(alerts.iter().all(|a| a["signal"] != "label"), "the class is as in the file");
    let second = scene.run_once();
    assert_eq!((second.code, given(&second)), (Some(0), 0), "a file is obeyed once: {}", second.err);
}

#[test]
fn a_file_is_shown_and_given_by_hand_and_what_is_none_is_told() {
    let scene = scene("baseline-load");
    assert_eq!(build(&scene, &["--score", "p", "--ignore", "id,class"]).code, Some(0));
    let file = scene.file("m.baseline").display().to_string();
    let shown = ended(&["baseline", "show", &file, "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap_or_else(|e| panic!("{e}: {shown:?}"));
    assert_eq!((&shown["model"], &shown["rows"], &shown["signals"][1]["signal"]), (&"m".into(), &2_000.into(), &"score".into()));
    let config = scene.config();
    let loaded = ended(&["baseline", "load", "-c", &config, &file]);
    assert_eq!(loaded.code, Some(0), "{loaded:?}");
    assert!(
        loaded.out.contains(&format!("baseline {} of m in {}[0]@", shown["id"].as_str().expect("an id"), scene.topic("summaries"))),
        "{loaded:?}"
    );
    assert!(loaded.err.contains("audit: give baseline"), "{loaded:?}");

    std::fs::write(scene.file("m.baseline"), "nothing").expect("a file");
    let none = ended(&["baseline", "show", &file]);
    assert!(none.code == Some(1) && none.err.contains("m.baseline: it is no baseline file, or was cut short"), "{none:?}");
    let scene = scene.with("models: { m: { task: binary, positive: \"1\", baseline: m.baseline } }");
    let refused = ended(&["check", "-c", &scene.config()]);
    assert!(refused.code == Some(2) && refused.err.contains("write one with `driftline baseline build`"), "{refused:?}");
    let few = scene.file("few.csv");
    std::fs::write(&few, "amount\n1\n2\n").expect("a file");
    let few = few.display().to_string();
    let refused = ended(&["baseline", "build", "-c", &config, "--model", "m", "--from", &few, "--out", &file]);
    assert!(refused.code == Some(2) || refused.err.contains("2 row(s) are too few"), "{refused:?}");
}

#[test]
fn the_predictions_topic_is_training_data_too() {
    let scene = scene("baseline-topic");
    scene.write("predictions", (0..300).map(|i| scene.prediction(&format!("a-{i}"), i)));
    let (config, out) = (scene.config(), scene.file("m.baseline").display().to_string());
    let from = |model: &str| ended(&["baseline", "build", "-c", &config, "--model", model, "--from-topic", "--out", &out]);
    let built = from("m");
    assert_eq!(built.code, Some(0), "{built:?}");
    for words in ["of m: 300 predictions, 3 signals", "feature:amount", "label", "score"] {
        assert!(built.out.contains(words), "no {words:?} in {}", built.out);
    }
    let none = from("other");
    assert!(
        none.code == Some(1) && none.err.contains("holds no prediction of model \"other\" among its newest: 300 of others"),
        "{none:?}"
    );
}
