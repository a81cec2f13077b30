//! Numbers that are none: Avro can carry NaN and infinities. They are data, not dead letters.

use crate::kafka::Given;
use crate::scene::Scene;
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use driftline::engine::summary::form::NumericForm;
use std::collections::HashMap;

const PREDICTION: &str = include_str!("../../schemas/prediction.avsc");
const OUTCOME: &str = include_str!("../../schemas/outcome.avsc");

fn optional(value: Option<Value>) -> Value {
    value.map_or(Value::Union(0, Box::new(Value::Null)), |v| Value::Union(1, Box::new(v)))
}

fn record(schema: &Schema, fields: Vec<(&str, Value)>) -> Given {
    let fields = fields.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
    let bytes =
        GenericDatumWriter::builder(schema).build().and_then(|w| w.write_value_to_vec(Value::Record(fields))).expect("it fits the schema");
    Given { partition: 0, key: Some("k".to_string()), value: Some(bytes) }
}

fn prediction(schema: &Schema, id: &str, time: i64, score: f64, amount: f64) -> Given {
    let text = |t: &str| Value::String(t.to_string());
    let features = HashMap::from([("amount".to_string(), Value::Union(1, Box::new(Value::Double(amount))))]);
    record(
        schema,
        vec![
            ("request_id", text(id)),
            ("event_time", Value::TimestampMillis(time)),
            ("model", text("m")),
            ("model_version", optional(None)),
            ("score", optional(Some(Value::Double(score)))),
            ("label", optional(Some(text("1")))),
            ("class_scores", optional(None)),
            ("features", Value::Map(features)),
            ("segments", Value::Map(HashMap::new())),
            ("attributes", Value::Map(HashMap::new())),
        ],
    )
}

fn outcome(schema: &Schema, id: &str, time: i64) -> Given {
    record(
        schema,
        vec![
            ("request_id", Value::String(id.to_string())),
            ("event_time", Value::TimestampMillis(time)),
            ("label", optional(Some(Value::String("1".to_string())))),
            ("value", optional(None)),
            ("revision", Value::Int(0)),
            ("weight", Value::Double(1.0)),
            ("source", optional(None)),
            ("attributes", Value::Map(HashMap::new())),
        ],
    )
}

/// (values, NaN, beyond all bounds) of a signal in everything published.
fn census(scene: &Scene, signal: &str) -> (u64, u64, u64) {
    let mut sum = (0, 0, 0);
    for entry in scene.summaries().iter().flat_map(|p| &p.entries) {
        let Some(form) = entry.summary.signals.get(signal).and_then(|s| s.numeric.as_ref()) else { continue };
        let (n, nan, beyond) = match form {
            NumericForm::Rows(v) => {
                (v.len(), v.iter().filter(|x| x.is_nan()).count() as u64, v.iter().filter(|x| x.is_infinite()).count() as u64)
            }
            NumericForm::Bins { bins, .. } => ((bins.n + bins.nan) as usize, bins.nan, bins.clipped),
            NumericForm::Learning { n, nan, .. } => ((n + nan) as usize, *nan, 0),
            NumericForm::Mixed { .. } => panic!("one source can't disagree with itself"),
        };
        sum = (sum.0 + n as u64, sum.1 + nan, sum.2 + beyond);
    }
    sum
}

/// Twelve predictions a pane; bins exist from about pane 270 on. Three of each pane from 300 on, and one NaN in the first ten.
#[test]
fn nan_and_infinity_are_counted_as_what_they_are() {
    const PANES: i64 = 320;
    let (ours, theirs) = (Schema::parse_str(PREDICTION).expect("a schema"), Schema::parse_str(OUTCOME).expect("a schema"));
    let scene = Scene::new("nan")
        .with("panes: { size: 1s }\nbaseline: { learn: 400s }")
        .inputs("{ topic: TOPIC, format: avro, lateness: 1s }", "{ topic: TOPIC, format: avro, lateness: 1s }")
        .topics(1);
    let (mut predictions, mut outcomes) = (Vec::new(), Vec::new());
    for pane in 0..PANES {
        for i in 0..12 {
            let (id, noise) = (format!("{pane}-{i}"), ((pane * 12 + i) * 7_919 % 1_000) as f64);
            let amount = match (pane, i) {
                (0..10, 0) | (300.., 0) => f64::NAN,
                (300.., 1) => f64::INFINITY,
                (300.., 2) => f64::NEG_INFINITY,
                _ => noise,
            };
            let score = if pane >= 300 && i == 3 { f64::NAN } else { noise / 1_000.0 };
            predictions.push(prediction(&ours, &id, scene.at(pane), score, amount));
            outcomes.push(outcome(&theirs, &id, scene.at(pane)));
        }
    }
    scene.pen.write(&scene.topic("predictions"), &predictions);
    scene.pen.write(&scene.topic("outcomes"), &outcomes);
    let exit = scene.run_once();
    assert_eq!(exit.code, Some(0), "{}", exit.err);
    assert_eq!(scene.read("dead-letters"), []);
    let all = (PANES * 12) as u64;
    assert_eq!(scene.counts(), (all, all));
    assert_eq!(census(&scene, "feature:amount"), (all, 30, 40), "values, NaN, infinities");
    assert_eq!(census(&scene, "score"), (all, 20, 0), "values, NaN, infinities");
}

#[test]
fn bytes_that_are_not_of_the_avro_schema_become_a_dead_letter() {
    let ours = Schema::parse_str(PREDICTION).expect("a schema");
    let scene = Scene::new("avro-cut").inputs("{ topic: TOPIC, format: avro }", "{ topic: TOPIC }").topics(1);
    let whole = prediction(&ours, "cut", scene.at(0), 0.5, 1.0);
    let cut = Given { value: whole.value.clone().map(|v| v[..v.len() / 2].to_vec()), ..whole.clone() };
    scene.pen.write(&scene.topic("predictions"), &[cut.clone(), whole]);
    scene.write("outcomes", [scene.outcome("cut", 1)]);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], 1.0);
    service.reaches("driftline_dead_letters_total", &[("input", "predictions"), ("reason", "undecodable")], 1.0);
    service.says(&[&format!("{}[0]@0: ", scene.topic("predictions"))]);
    service.stop();
    assert_eq!(scene.read("dead-letters").into_iter().map(|r| r.value).collect::<Vec<_>>(), [cut.value]);
}
