//! What a configuration means, and how mistakes are reported.

use super::place::names;
use super::settings::*;
use super::{Diagnostics, load, load_text, schema};
use crate::codec::framing::Framing;
use crate::codec::shape::Referred;
use crate::engine::definitions::{BaselineRule, Fairness, Task, Tolerance};
use crate::engine::types::{EventTime, PaneSize, Span};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MINIMAL: &str = "\
app: shop
kafka: { brokers: 'localhost:9092' }
predictions: { topic: p }
outcomes: { topic: o }
models:
  fraud: { task: binary, positive: fraud }
";

mod kafka;
mod limits;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn no_env(_: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Settings, Diagnostics> {
    load_text("driftline.yaml", text, &no_env, &project(""))
}

fn fine(text: &str) -> Settings {
    read(text).unwrap_or_else(|e| panic!("{e}"))
}

/// The complaints about MINIMAL plus `more`.
fn complaints(more: &str) -> String {
    read(&format!("{MINIMAL}{more}")).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
}

fn with_predictions(fields: &str) -> String {
    MINIMAL.replace("predictions: { topic: p }", &format!("predictions:\n  topic: p\n{fields}"))
}

#[test]
fn the_example_means_what_it_says() {
    let env = |name: &str| (name == "DRIFTLINE_BROKERS").then(|| "kafka-1:9092,kafka-2:9092".to_string());
    let text = std::fs::read_to_string(project("examples/car-loan.yaml")).unwrap();
    let settings = load_text("car-loan.yaml", &text, &env, &project("examples")).unwrap_or_else(|e| panic!("{e}"));
    let path = |name: &str| Some(FieldSource::Path(names([name])));
    assert_eq!(settings.kafka.brokers, "kafka-1:9092,kafka-2:9092");
    assert_eq!(settings.predictions.topic, "car-loan.predictions");
    let fields = &settings.predictions.fields;
    assert_eq!(fields.request_id, Some(FieldSource::Key));
    assert_eq!(fields.event_time, Some((path("timestamp").unwrap(), TimeUnit::Millis)));
    assert_eq!(fields.model, Some(FieldSource::Const("car-loan".to_string())));
    assert_eq!((&fields.score, &fields.label), (&path("y_pred_proba"), &path("y_pred")));
    let features = fields.features.clone().unwrap();
    assert_eq!((features.path.len(), features.exclude.join(" ")), (0, "id timestamp y_pred y_pred_proba".to_string()));
    assert_eq!(settings.outcomes.fields.label, path("repaid"));
    let rules = &settings.definitions;
    assert_eq!(rules.join.lateness, [Span::hours(1); 2]);
    assert_eq!((rules.join.window, rules.join.early, rules.join.duplicates), (Span::days(15), Span::minutes(1), Span::hours(1)));
    assert_eq!(rules.models["car-loan"].positive.as_deref(), Some("1"));
    assert_eq!(rules.dimensions, ["salary_range", "size_of_downpayment"]);
    assert_eq!(rules.pane, PaneSize(Span::hours(6)));
    let range = BaselineRule::Range { from: EventTime(1_514_764_800_000), to: EventTime(1_540_922_400_000) };
    assert_eq!(rules.baseline, range);
    assert_eq!((rules.budget.false_alarms, rules.budget.per), (1.0, Span::days(3650)));
    assert_eq!(settings.alerts, Alerts { topic: "car-loan.alerts".to_string(), format: AlertFormat::Json });
    assert_eq!(settings.http.map(|http| http.listen), Some("127.0.0.1:9464".parse().unwrap()));
}

#[test]
fn with_our_own_schemas_no_fields_are_needed() {
    for format in ["json", "avro"] {
        let settings = fine(&format!(
            "{}segments: {{ by: [[country], [channel, country]] }}\n",
            MINIMAL.replace("topic: p", &format!("topic: p, format: {format}")).replace("topic: o", &format!("topic: o, format: {format}"))
        ));
        let fields = &settings.predictions.fields;
        assert_eq!(fields.request_id, Some(FieldSource::Path(names(["request_id"]))));
        assert_eq!(fields.version, Some(FieldSource::Path(names(["model_version"]))));
        assert_eq!(fields.dimensions["country"], FieldSource::Path(names(["segments", "country"])));
        assert_eq!(settings.definitions.dimensions, ["channel", "country"]);
        assert_eq!(settings.outcomes.fields.value, Some(FieldSource::Path(names(["value"]))));
    }
}

#[test]
fn defaults_are_those_of_the_design() {
    let settings = fine(MINIMAL);
    let rules = &settings.definitions;
    assert_eq!(rules.pane, PaneSize(Span::seconds(60)));
    assert_eq!(rules.join.lateness, [Span::seconds(60); 2]);
    assert_eq!((rules.join.window, rules.join.settle, rules.join.hold), (Span::hours(24), Span::hours(1), Span::hours(24)));
    assert_eq!((rules.budget.false_alarms, rules.budget.per, rules.streams_cap), (1.0, Span::days(1), 4096));
    assert_eq!(rules.tolerance, Tolerance::default());
    assert_eq!((rules.reminder, rules.baseline), (Span::hours(24), BaselineRule::Learn { span: Span::days(7) }));
    assert_eq!(
        (settings.idle_timeout, settings.silence_after, settings.max_ahead),
        (Span::seconds(30), Span::minutes(15), Span::minutes(5))
    );
    assert_eq!(settings.epoch, EpochLimits { records: 500_000, time: Span::seconds(10) });
    assert_eq!((settings.summaries_partitions, settings.replication, settings.max_series), (8, -1, 2000));
    assert_eq!((settings.instance.as_str(), settings.threads), ("0", Threads { join: 1, detect: 1 }));
    assert_eq!((settings.alerts.topic.as_str(), settings.start_from), ("shop.alerts", StartFrom::Earliest));
    assert_eq!(settings.http.map(|http| http.listen), Some("127.0.0.1:9464".parse().unwrap()), "other machines only when told");
    assert_eq!(rules.model("fraud").task, Task::Binary);
    assert_eq!(rules.model("other").task, Task::Unknown);
}

#[test]
fn all_mistakes_come_out_in_one_run() {
    let text = "\
app: shop
kafka: { broker: 'localhost:9092' }
predictions:
  topic: ${PREDICTIONS}
  lateness: 5
  fields:
    dimensions: { country: country, channel: channel }
outcomes: { topic: o, format: xml }
models:
  fraud: { task: binary }
panes: { size: 7s }
segments:
  by: [[contry], [channel]]
threads: { join: many }
";
    let expected = "\
driftline.yaml:2: unknown key \"broker\" in kafka
    2 | kafka: { broker: 'localhost:9092' }
      |          ^^^^^^ did you mean \"brokers\"? known: brokers, client, secrets
driftline.yaml:4: the environment variable PREDICTIONS is not set; set it, or give a default: ${PREDICTIONS:-...}
    4 |   topic: ${PREDICTIONS}
      |          ^^^^^^^^^^^^^^
driftline.yaml:5: predictions.lateness: \"5\" has no unit; write for example 250ms, 90s, 15m, 1h, 15d or 10y
    5 |   lateness: 5
      |             ^
driftline.yaml:8: outcomes.format: \"xml\" is not known here
    8 | outcomes: { topic: o, format: xml }
      |                               ^^^ known: json, avro, registry
driftline.yaml:10: model \"fraud\" is binary, but which class is positive is not said
   10 |   fraud: { task: binary }
      |   ^^^^^ add for example positive: \"1\"
driftline.yaml:11: panes.size 7s does not divide a day
   11 | panes: { size: 7s }
      |                ^^ hours of the day could not be compared; use for example 10s, 60s, 15m, 1h, 6h or 1d
driftline.yaml:13: segments.by names \"contry\", which is no dimension of predictions
   13 |   by: [[contry], [channel]]
      |         ^^^^^^ did you mean \"country\"? known: channel, country
driftline.yaml:14: threads.join: a whole number is wanted here, found \"many\"
   14 | threads: { join: many }
      |                  ^^^^
";
    assert_eq!(format!("{}\n", read(text).unwrap_err()), expected);
}

#[test]
fn machines_get_the_same_as_people() {
    let json: Value = serde_json::from_str(&read("apps: x\n").unwrap_err().to_json()).unwrap();
    let first = &json["diagnostics"].as_array().unwrap().iter().find(|d| d["path"] == "apps").unwrap();
    assert_eq!((first["line"].as_u64(), first["column"].as_u64(), first["width"].as_u64()), (Some(1), Some(1), Some(4)));
    assert!(first["hint"].as_str().unwrap().starts_with("did you mean \"app\"?"));
}

#[test]
fn contradictions_are_found() {
    for (more, expected) in [
        ("join: { window: 1h, early: 2h }", "join.early 2h is longer"),
        ("join: { duplicates: 30d }", "much longer than the window"),
        ("baseline: { from: 2026-02-01T00:00:00Z, to: 2026-01-01T00:00:00Z }", "baseline.to is not after"),
        ("baseline: { from: 2026-02-01T00:00:00Z }", "baseline.to is not"),
        ("baseline: { learn: 7d, from: 2026-01-01T00:00:00Z, to: 2026-02-01T00:00:00Z }", "keep one of them"),
        ("baseline: { file: b.bin }", "write models.NAME.baseline: FILE"),
        ("baseline: { from: yesterday }", "\"yesterday\" is no time"),
        ("budget: { false_alarms: 0 }", "must be more than 0"),
        ("budget: { false_alarms: -1 }", "must be more than 0"),
        ("tolerance: { psi: -0.1 }", "tolerance.psi must not be negative"),
        ("threads: { join: 0 }", "threads.join is 0: it must be 1 to 256"),
        ("summaries: { partitions: 257 }", "summaries.partitions is 257: it must be 1 to 256"),
        ("topics: { replication: 0 }", "topics.replication is 0"),
        ("http: { listen: here }", "no address with a port"),
        ("http: { tls: { cert_file: tests/fixtures/tls/first.pem } }", "http.tls.key_file is missing"),
        ("http: { tls: { cert_file: nowhere.pem, key_file: tests/fixtures/tls/first.key } }", "nowhere.pem can't be read"),
        (
            "http: { tls: { cert_file: tests/fixtures/tls/second.pem, key_file: tests/fixtures/tls/first.key } }",
            "first.key is not the key of the certificate",
        ),
        ("http: { tls: { cert_file: Cargo.toml, key_file: tests/fixtures/tls/first.key } }", "Cargo.toml holds no certificate"),
        ("http: { token: { file: nowhere } }", "nowhere can't be read"),
        ("alerts: { topic: p }", "alerts.topic \"p\" is the topic of predictions, too"),
        ("alerts: { topic: shop.journal }", "driftline's own journal"),
        ("panes: { size: 2ms }", "at least 1s"),
        ("panes: { size: 25h }", "does not divide a day"),
        ("segments: { by: [[]] }", "is empty"),
        ("silence_after: 10s", "silence_after must be at least 30s"),
        ("epoch: { time: 5m }", "at most 1m"),
        ("memory: { limit: 1MiB }", "at least 16MiB"),
        ("instance: 'a b'", "other characters"),
        ("revision: -1", "out of range"),
        ("metrics: { max_series: \"100\" }", "remove the quotes"),
        ("start_from: earlyest", "did you mean \"earliest\"?"),
        ("panes: [1]", "a map of settings is wanted here, found a list"),
        ("app: twice", "for the second time; the first is in line 1"),
    ] {
        let said = complaints(&format!("{more}\n"));
        assert!(said.contains(expected), "{more} said:\n{said}");
        assert_eq!(said.matches("driftline.yaml:").count(), 1, "{more} said:\n{said}");
    }
}

#[test]
fn fields_that_cannot_be_are_refused() {
    for (fields, expected) in [
        ("    score: key", "a number is needed"),
        ("    score: header:x", "a number is needed"),
        ("    request_id: { const: x }", "a constant makes no sense here"),
        ("    label: timestamp", "write { path: timestamp }"),
        ("    label: a..b", "\"a..b\" is no path"),
        ("    request_id: 'header:'", "the header has no name"),
        ("    model: { const: frauds }", "did you mean \"fraud\"?"),
        ("    score: { pth: x }", "unknown key \"pth\""),
        ("    event_time: { path: t, unit: milis }", "did you mean \"millis\"?"),
    ] {
        let said = read(&with_predictions(&format!("  fields:\n{fields}\n"))).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
        assert!(said.contains(expected), "{fields} said:\n{said}");
    }
    let odd =
        fine(&with_predictions("  fields: { label: { path: [a, b.c] }, features: input.*, event_time: { header: t, unit: micros } }\n"));
    let fields = odd.predictions.fields;
    assert_eq!(fields.label, Some(FieldSource::Path(names(["a", "b.c"]))));
    assert_eq!(fields.features, Some(Features { path: names(["input"]), exclude: Vec::new(), names: Vec::new() }));
    assert_eq!(fields.event_time, Some((FieldSource::Header("t".to_string()), TimeUnit::Micros)));
}

#[test]
fn paths_are_compared_with_the_avro_schema() {
    let folder = tempfile::tempdir().unwrap();
    let schema = r#"{"type":"record","name":"P","fields":[
        {"name":"id","type":"string"},{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"input","type":["null",{"type":"record","name":"I","fields":[{"name":"amount","type":"double"},{"name":"country","type":"string"}]}]}]}"#;
    std::fs::write(folder.path().join("p.avsc"), schema).unwrap();
    let text = |exclude: &str, id: &str| {
        with_predictions(&format!(
            "  format: {{ avro: {{ schema: p.avsc, framing: confluent }} }}\n  fields:\n    request_id: {id}\n    event_time: at\n    \
             model: {{ const: fraud }}\n    features: {{ path: input.*, exclude: [{exclude}] }}\n    dimensions: {{ country: input.country }}\n"
        ))
    };
    let settings = load_text("d.yaml", &text("country", "id"), &no_env, folder.path()).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(settings.predictions.format, Format::Avro { framing: Framing::Confluent, .. }));
    assert_eq!(settings.predictions.fields.score, None, "a default that the schema does not have is absent");
    let said = load_text("d.yaml", &text("contry", "idd"), &no_env, folder.path()).unwrap_err().to_string();
    assert!(said.contains("exclude names \"contry\"") && said.contains("did you mean \"country\"?"), "{said}");
    assert!(said.contains("the schema has no \"idd\"") && said.contains("did you mean \"id\"?"), "{said}");
    let said = load_text("d.yaml", &text("country", "id\n    score: input.country"), &no_env, folder.path()).map(drop);
    assert!(said.is_err_and(|e| e.to_string().contains("a number is needed, the schema has string")));
    let said = read(&text("country", "id")).unwrap_err().to_string();
    assert!(said.contains("p.avsc can't be read"), "{said}");
}

#[test]
fn paths_are_compared_with_the_protobuf_message_of_a_proto_file_or_of_compiled_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let main = "syntax = \"proto3\"; package shop; import \"in/types.proto\"; import \"google/protobuf/timestamp.proto\";
        message P { string id = 1; google.protobuf.Timestamp at = 2; Input input = 3; int32 score = 4; bool late = 5; }";
    let types = "syntax = \"proto3\"; package shop; message Input { double amount = 1; string country = 2; }";
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("in/types.proto"), types).unwrap();
    std::fs::write(folder.path().join("p.proto"), main).unwrap();
    let compiled = crate::codec::protobuf::Schema::of_text(main, &[Referred { name: "in/types.proto".into(), text: types.into() }]);
    std::fs::write(folder.path().join("p.desc"), compiled.unwrap().to_set()).unwrap();
    let text = |format: &str, exclude: &str, id: &str| {
        with_predictions(&format!(
            "  format: {{ protobuf: {{ {format} }} }}\n  fields:\n    request_id: {id}\n    event_time: at\n    \
             model: {{ const: fraud }}\n    features: {{ path: input.*, exclude: [{exclude}] }}\n    dimensions: {{ country: input.country }}\n"
        ))
    };
    let said = |text: &str| load_text("d.yaml", text, &no_env, folder.path()).unwrap_err().to_string();
    for file in ["p.proto", "p.desc"] {
        let format = format!("descriptors: {file}, message: shop.P, framing: confluent");
        let settings = load_text("d.yaml", &text(&format, "country", "id"), &no_env, folder.path()).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(&settings.predictions.format, Format::Protobuf { confluent: true, message, .. } if message == "shop.P"));
        assert!(settings.predictions.fields.score.is_some() && settings.predictions.fields.version.is_none(), "defaults that it has");
        let said_of = |exclude: &str, id: &str| said(&text(&format, exclude, id));
        assert!(said_of("contry", "id").contains("exclude names \"contry\""));
        assert!(said_of("contry", "idd").contains("the schema has no \"idd\""));
        assert!(said_of("country", "id\n    score: late").contains("a number is needed, the schema has bool"));
        assert!(said(&text(&format!("descriptors: {file}, message: shop.Q"), "country", "id")).contains("has no message \"shop.Q\""));
    }
    std::fs::write(folder.path().join("alone.proto"), "import \"gone.proto\"; message P {}").unwrap();
    for (file, words) in
        [("none.desc", "can't be read"), ("alone.proto", "gone.proto"), ("in", "can't be read"), ("d.yaml", "can't be read")]
    {
        let said = said(&text(&format!("descriptors: {file}, message: P"), "country", "id"));
        assert!(said.contains(file) && said.contains(words), "{said}");
    }
    std::fs::write(folder.path().join("text.desc"), main).unwrap();
    assert!(said(&text("descriptors: text.desc, message: shop.P", "country", "id")).contains("is no descriptor set"));
    assert!(said(&text("message: shop.P", "country", "id")).contains("descriptors"));
}

#[test]
fn properties_that_results_depend_on_are_refused() {
    let text = |client: &str| MINIMAL.replace("brokers: 'localhost:9092'", &format!("brokers: 'a:1', client: {{ {client} }}"));
    for name in ["isolation.level", "enable.auto.commit", "transactional.id", "group.id", "partition.assignment.strategy"] {
        let said = read(&text(&format!("{name}: x"))).unwrap_err().to_string();
        assert!(said.contains(&format!("driftline sets \"{name}\" itself")), "{said}");
    }
    let said = read(&text("sasl.password: hunter2")).unwrap_err().to_string();
    assert!(said.contains("kafka.secrets"), "{said}");
    let settings = fine(&text("fetch.min.bytes: 65536, api.version.request: true, client.rack: eu-1"));
    assert_eq!(settings.kafka.client["fetch.min.bytes"], "65536");
    assert_eq!(settings.kafka.client["api.version.request"], "true");
}

#[test]
fn secrets_are_read_and_never_shown() {
    use secrecy::ExposeSecret;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hunter2\n").unwrap();
    let env = |name: &str| (name == "KEY").then(|| "swordfish".to_string());
    let secrets = "secrets: { sasl.password: { file: password }, ssl.key.password: { env: KEY } }";
    let text = MINIMAL.replace("brokers: 'localhost:9092'", &format!("brokers: 'a:1', {secrets}"));
    let settings = load_text("d.yaml", &text, &env, folder.path()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(settings.kafka.secrets["sasl.password"].expose_secret(), "hunter2");
    assert_eq!(settings.kafka.secrets["ssl.key.password"].expose_secret(), "swordfish");
    let shown = format!("{settings:?} {:#?}", settings.kafka);
    assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
    let said = load_text("d.yaml", &text, &no_env, &folder.path().join("none")).unwrap_err().to_string();
    assert!(said.contains("the environment variable KEY is not set") && said.contains("can't be read"), "{said}");
}

#[test]
fn listen_off_switches_http_off() {
    assert_eq!(fine(&format!("{MINIMAL}http: {{ listen: off }}\n")).http.map(|http| http.listen), None);
}

#[test]
fn aliases_and_merge_keys_work_and_are_bounded() {
    let text = format!("{MINIMAL}tolerance: &t {{ psi: 0.1 }}\n").replace("fraud: { task", "a: &a { task");
    let text = text.replace("positive: fraud }\n", "positive: fraud }\n  b: { <<: *a, positive: yes }\n");
    let settings = fine(&text);
    assert_eq!(settings.definitions.models["b"].positive.as_deref(), Some("yes"));
    let bomb = (0..30).fold("a0: &a0 [x]\n".to_string(), |t, i| format!("{t}a{}: &a{} [*a{i}, *a{i}]\n", i + 1, i + 1));
    assert!(read(&bomb).unwrap_err().to_string().contains("more than 20000 values"));
}

/// What a configuration with `more` is refused for.
fn refusal(more: &str) -> String {
    let started = std::time::Instant::now();
    let said = complaints(more);
    assert!(started.elapsed().as_secs() < 10 && said.len() < 100_000, "{} bytes of complaints", said.len());
    said
}

#[test]
fn a_configuration_has_a_largest_size() {
    let text = |n: usize| format!("{MINIMAL}#{}", "x".repeat(n - MINIMAL.len() - 1));
    assert!(read(&text(1 << 20)).is_ok());
    assert!(read(&text((1 << 20) + 1)).unwrap_err().to_string().contains("more than 1 MiB"));
    let level = |n: usize| format!("x: {}{}", "[".repeat(n), "]".repeat(n));
    assert!(!refusal(&level(63)).contains("levels") && refusal(&level(64)).contains("more than 64 levels"));
    let deep = refusal(&level(100_000));
    assert!(deep.contains("more than 64 levels") || deep.contains("this is not YAML"), "{deep}"); // the parser has a limit of its own
    assert!(refusal(&format!("x:\n  {}a", "- ".repeat(100_000))).contains("more than 64 levels"));
    let values = |n: usize| format!("x: [{}]", "a,".repeat(n));
    assert!(!refusal(&values(19_975)).contains("values (") && refusal(&values(19_976)).contains("more than 20000 values"));
    let copies = |n: usize| format!("x: &x {}\ny: [{}]", "t".repeat(1 << 19), "*x,".repeat(n));
    assert!(!refusal(&copies(5)).contains("of text") && refusal(&copies(6)).contains("more than 4 MiB of text"));
    let key = |n: usize| format!("? {}\n: 1", "k".repeat(n)); // YAML itself limits keys that need no question mark
    assert!(!refusal(&key(1_024)).contains("a key of") && refusal(&key(1_025)).contains("a key of more than 1024 bytes"));
}

#[test]
fn what_is_protected_is_known_and_has_a_key_that_nobody_guesses() {
    for (more, said) in [
        ("protect: { key: { env: KEY } }", "protect names nothing"),
        ("protect: { request_id: true }", "key"),
        ("protect: { request_id: true, key: { env: SHORT } }", "`openssl rand -hex 32`"),
        ("protect: { dimensions: [contry], key: { env: KEY } }\nsegments: { by: [[country]] }", "did you mean \"country\"?"),
        (
            "protect: { dimensions: [sex], key: { env: KEY } }\nfairness: [{ groups: [sex], reference: { sex: m } }]",
            "reference names a value of \"sex\"",
        ),
    ] {
        let env = |name: &str| Some(if name == "SHORT" { "0123456789abcde" } else { "0123456789abcdef" }.to_string());
        let refused = load_text("d.yaml", &format!("{MINIMAL}{more}\n"), &env, Path::new("")).expect_err(more).to_string();
        assert!(refused.contains(said), "{more}: {refused}");
    }
}

#[test]
fn a_hundred_mistakes_are_enough() {
    let wrong = |n: usize| (0..n).map(|i| format!("x{i}: 1\n")).collect::<String>();
    let shown = |n: usize| refusal(&wrong(n)).matches("unknown key").count();
    assert_eq!([shown(99), shown(100), shown(101), shown(9_000)], [99, 100, 100, 100]);
    assert!(refusal(&wrong(101)).contains("there may be more") && !refusal(&wrong(99)).contains("there may be more"));
    // all of them in one line
    assert!(refusal(&format!("x: {{{}}}", (0..9_000).map(|i| format!("x{i}: 1, ")).collect::<String>())).contains("unknown key"));
}

#[test]
fn paths_dimensions_and_segments_have_limits() {
    let path = |names: usize, bytes: usize| format!("  fields: {{ score: {} }}", vec!["n".repeat(bytes); names].join("."));
    let verdict = |text: &str| read(&with_predictions(text)).map(drop).map_err(|e| e.to_string());
    assert_eq!(verdict(&path(32, 256)), Ok(()));
    assert!(verdict(&path(33, 1)).unwrap_err().contains("at most 32 names of at most 256 bytes"));
    assert!(verdict(&path(1, 257)).unwrap_err().contains("at most 32 names of at most 256 bytes"));
    let dimensions =
        |n: usize| format!("  fields: {{ dimensions: {{ {} }} }}", (0..n).map(|i| format!("d{i}: d{i}, ")).collect::<String>());
    assert_eq!(verdict(&dimensions(32)), Ok(()));
    assert!(verdict(&dimensions(33)).unwrap_err().contains("33 dimensions"));
    let pairs = (0..32).flat_map(|i| (0..i).map(move |j| format!("[d{i}, d{j}], ")));
    let by = |n: usize| format!("{}segments: {{ by: [{}] }}", with_predictions(&dimensions(32)), pairs.clone().take(n).collect::<String>());
    assert!(read(&by(64)).is_ok());
    assert!(read(&by(65)).unwrap_err().to_string().contains("segments.by has 65 entries"));
}

#[test]
fn nothing_is_longer_than_ten_thousand_years() {
    assert!(read(&format!("{MINIMAL}alerts: {{ reminder: 10000y }}\n")).is_ok());
    assert!(complaints("alerts: { reminder: 87600001h }").contains("nothing may be longer than 10,000 years"));
}

#[test]
fn files_that_a_configuration_names_have_a_largest_size() {
    let folder = tempfile::tempdir().unwrap();
    let verdict = |bytes: usize| {
        std::fs::write(folder.path().join("secret"), "x".repeat(bytes)).unwrap();
        let text = MINIMAL.replace("'localhost:9092'", "'localhost:9092', secrets: { sasl.password: { file: secret } }");
        load_text("d.yaml", &text, &no_env, folder.path()).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(verdict(1 << 20), Ok(()));
    assert!(verdict((1 << 20) + 1).unwrap_err().contains("more than 1 MiB"));
    let endless = MINIMAL.replace("topic: p }", "topic: p, format: { avro: { schema: /dev/zero } } }");
    assert!(read(&endless).unwrap_err().to_string().contains("more than 1 MiB"));
    assert!(load(Path::new("/dev/zero")).unwrap_err().to_string().contains("more than 1 MiB"));
}

#[test]
fn what_is_no_configuration_is_refused_in_plain_words() {
    assert!(read("").unwrap_err().to_string().contains("empty"));
    assert!(read("a: [").unwrap_err().to_string().contains("this is not YAML"));
    assert!(read("- a\n").unwrap_err().to_string().contains("found a list"));
    assert!(read("app: a\n---\napp: b\n").unwrap_err().to_string().contains("second document"));
    assert!(load(Path::new("/nowhere/driftline.yaml")).unwrap_err().to_string().contains("can't be read"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z:\\[\\]{}&*$!#|> \n\"'-]{0,80}") {
        let _ = read(&text);
    }

    #[test]
    fn no_damage_to_a_configuration_makes_the_reader_panic(at in 0usize..2000, with in "[\\PC\n]{0,3}") {
        let mut text = std::fs::read_to_string(project("examples/car-loan.yaml")).unwrap();
        let at = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap();
        text.insert_str(at, &with);
        let _ = read(&text);
    }
}

#[test]
fn the_schema_in_the_repository_is_the_schema_of_the_program() {
    let path = project("schemas/config.schema.json");
    let now = schema::config_schema_text();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == now, "run: driftline schema > schemas/config.schema.json");
}

/// Every key of the configuration with its dotted path and its default, if that is no map.
fn keys(schema: &Value, root: &Value, prefix: &str, found: &mut BTreeMap<String, Option<String>>) {
    let named = schema["$ref"].as_str().map(|name| &root["$defs"][name.trim_start_matches("#/$defs/")]);
    for schema in [Some(schema), named].into_iter().flatten() {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{prefix}{name}");
            keys(inner, root, &format!("{path}."), found);
            let default = inner.get("default").filter(|d| !d.is_object() && !d.is_array());
            let default = default.map(|d| d.as_str().map_or(d.to_string(), str::to_string));
            // the same shapes everywhere: written once, in the page's section on fields
            let shape = ["path", "map", "const", "header", "unit"].contains(&name.as_str()) && path.contains(".fields.");
            found.insert(if shape { format!("FIELD.{name}") } else { path }, default);
        }
        for inner in schema["anyOf"].as_array().into_iter().flatten() {
            keys(inner, root, prefix, found);
        }
        if schema["additionalProperties"].is_object() {
            keys(&schema["additionalProperties"], root, &format!("{prefix}NAME."), found);
        }
        if schema["items"].is_object() {
            keys(&schema["items"], root, &format!("{}[].", prefix.trim_end_matches('.')), found);
        }
    }
}

#[test]
fn the_reference_page_has_a_row_with_the_default_for_every_key() {
    let root = schema::config_schema();
    let (mut found, page) = (BTreeMap::new(), std::fs::read_to_string(project("docs/configuration.md")).unwrap_or_default());
    keys(&root, &root, "", &mut found);
    assert!(found.len() > 80, "{found:?}");
    let absent: Vec<String> = found
        .iter()
        .filter(|(key, default)| {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            !row.is_some_and(|row| default.as_ref().is_none_or(|d| row.contains(&format!("`{d}`"))))
        })
        .map(|(key, default)| format!("{key} (default {default:?})"))
        .collect();
    assert!(absent.is_empty(), "docs/configuration.md has no row, or another default, for: {absent:#?}");
    let stale: Vec<&str> =
        page.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).filter(|k| !found.contains_key(*k)).collect();
    assert!(stale.is_empty(), "docs/configuration.md has rows for keys that are gone: {stale:?}");
}

#[test]
fn groups_that_are_compared_are_segments_and_need_known_dimensions() {
    let fair = with_predictions("  fields: { dimensions: { gender: user.gender, age: user.age } }\n");
    let read = fine(&format!(
        "{fair}fairness:\n  - groups: [gender]\n    reference: {{ gender: m }}\n  - {{ groups: [gender, age], ratio: 0.7 }}\n"
    ));
    let of = |groups: &[&str], reference: Option<&str>, ratio| Fairness {
        groups: groups.iter().map(|g| g.to_string()).collect(),
        reference: reference.map(|value| vec![value.to_string()]),
        ratio,
        difference: 0.1,
    };
    assert_eq!(read.definitions.fairness, [of(&["gender"], Some("m"), 0.8), of(&["age", "gender"], None, 0.7)]);
    assert_eq!(read.definitions.segments, [vec!["age".to_string(), "gender".into()], vec!["gender".into()]]);
    assert_eq!(read.definitions.dimensions, ["age", "gender"]);
    // with our own schemas a dimension is found by its name
    assert_eq!(fine(&format!("{MINIMAL}fairness: [ {{ groups: [gender] }} ]\n")).definitions.dimensions, ["gender"]);
    let of_fair = |more: &str| super::tests::read(&format!("{fair}{more}")).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
    for (typed, said) in [
        ("fairness: [ { groups: [gendr] } ]\n", "gendr"),
        ("fairness: [ { ratio: 0.7 } ]\n", "names no groups"),
        ("fairness: [ { groups: [gender], ratio: 80 } ]\n", "ratio is 80: it must be 0 to 1"),
        ("fairness: [ { groups: [gender] }, { groups: [gender] } ]\n", "compared by an earlier entry"),
        ("fairness: [ { groups: [gender], reference: { age: old } } ]\n", "not among the groups"),
        ("fairness: [ { groups: [gender, age], reference: { age: old } } ]\n", "no value for gender"),
    ] {
        assert!(of_fair(typed).contains(said), "{typed}: {}", of_fair(typed));
    }
    let entries = |n: usize| (0..n).map(|i| format!("  - groups: [g{i}]\n")).collect::<String>();
    assert_eq!(fine(&format!("{MINIMAL}fairness:\n{}", entries(16))).definitions.fairness.len(), 16);
    assert!(complaints(&format!("fairness:\n{}", entries(17))).contains("17 entries; at most 16"));
}
