//! Limits hold: segments, series, memory.

use crate::scene::Scene;
use serde_json::json;

#[test]
fn ten_thousand_values_of_a_dimension_do_not_become_ten_thousand_segments() {
    const VALUES: i64 = 10_000;
    let scene = Scene::new("segments")
        .with("panes: { size: 60s }\nsegments: { by: [[user]], cap: 50 }\nsilence_after: 60s\nmodels: { m: { task: binary, positive: \"1\" } }")
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
