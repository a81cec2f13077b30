//! Records that can't be used: each is said, counted, kept as it was, and the stream goes on.

use crate::kafka::Given;
use crate::kit::Running;
use crate::scene::{Scene, given};
use serde_json::{Value, json};

/// Where and as what a bad record must be found.
struct Bad {
    input: &'static str,
    reason: &'static str,
    words: &'static [&'static str],
}

impl Bad {
    fn prediction(reason: &'static str, words: &'static [&'static str]) -> Bad {
        Bad { input: "predictions", reason, words }
    }

    fn outcome(reason: &'static str, words: &'static [&'static str]) -> Bad {
        Bad { input: "outcomes", reason, words }
    }

    /// Good pairs, the bad record (at offset 3), good pairs again.
    fn happens(&self, what: &str, make: impl Fn(&Scene) -> Given) {
        let scene = Scene::new(what).topics(1);
        let bad = make(&scene);
        scene.write_pairs("before", 0, 3);
        scene.pen.write(&scene.topic(self.input), std::slice::from_ref(&bad));
        scene.write_pairs("after", 100, 3);
        let mut service = scene.run(&[]);
        service.reaches("driftline_joined_total", &[], 6.0);
        service.reaches("driftline_dead_letters_total", &[("input", self.input), ("reason", self.reason)], 1.0);
        self.is_said(&scene, &mut service);
        nothing_is_lost(&mut service, self.input, 7.0);
        service.stop();
        self.is_kept(&scene, &bad);
    }

    fn is_said(&self, scene: &Scene, service: &mut Running) {
        let place = format!("{}[0]@3: ", scene.topic(self.input));
        let said = service.says(&[&place]);
        for word in self.words.iter().copied().chain([scene.topic("dead-letters").as_str()]) {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
        let warnings = service.messages().into_iter().filter(|m| m.0 != "INFO").collect::<Vec<_>>();
        assert_eq!(warnings.len(), 1, "one warning, and nothing else is wrong: {warnings:#?}");
    }

    fn is_kept(&self, scene: &Scene, bad: &Given) {
        let letters = scene.read("dead-letters");
        let [letter] = letters.as_slice() else { panic!("one dead letter: {letters:?}") };
        assert!(letter.value == bad.value, "the bytes are as they were");
        assert_eq!((letter.partition, &letter.key), (0, &bad.key.clone().map(String::into_bytes)));
        let header = |name: &str| letter.headers.get(name).map(String::as_str).unwrap_or_default();
        let topic = scene.topic(self.input);
        assert_eq!(
            ["error.reason", "source.topic", "source.partition", "source.offset"].map(header),
            [self.reason, topic.as_str(), "0", "3"]
        );
        self.words.iter().for_each(|w| assert!(header("error.message").contains(w), "no {w:?} in: {}", header("error.message")));
    }
}

/// Every record has exactly one verdict.
fn nothing_is_lost(service: &mut Running, input: &str, produced: f64) {
    let words: &[&str] = match input {
        "predictions" => &["accepted", "duplicate", "late", "dead_letter"],
        _ => &["duplicate", "conflicting", "orphan", "before_start", "dead_letter"],
    };
    service.until(&format!("{produced} verdicts on {input}"), |me| {
        let judged: f64 = words.iter().map(|w| me.metric("driftline_records_total", &[("input", input), ("verdict", w)])).sum();
        let joined = if input == "outcomes" { me.metric("driftline_joined_total", &[]) } else { 0.0 };
        (judged + joined == produced).then_some(())
    });
    service.reaches("driftline_records_read_total", &[("input", input)], produced);
}

fn changed(mut record: Value, field: &str, value: Value) -> Given {
    record[field] = value;
    given(record.to_string())
}

#[test]
fn bytes_that_are_no_json() {
    Bad::prediction("undecodable", &["byte"]).happens("bytes", |_| given(vec![0u8, 159, 146, 150, b'{', 255]));
}

#[test]
fn a_json_text_that_ends_too_early() {
    Bad::prediction("undecodable", &["byte"]).happens("cut", |s| {
        let whole = s.prediction("cut", 50).to_string();
        given(&whole.as_bytes()[..whole.len() - 9])
    });
}

#[test]
fn a_request_id_that_is_null() {
    Bad::prediction("empty_id", &["request_id", "null"]).happens("null-id", |s| changed(s.prediction("", 50), "request_id", Value::Null));
}

#[test]
fn a_request_id_that_is_empty() {
    Bad::outcome("empty_id", &["request_id", "empty"]).happens("empty-id", |s| given(s.outcome("", 50).to_string()));
}

#[test]
fn a_required_field_that_is_missing() {
    Bad::prediction("missing_field", &["event_time", "absent"]).happens("missing", |s| {
        let mut record = s.prediction("missing", 50);
        record.as_object_mut().expect("an object").remove("event_time");
        given(record.to_string())
    });
}

#[test]
fn an_outcome_that_says_nothing() {
    Bad::outcome("missing_field", &["label", "value"])
        .happens("no-label", |s| given(json!({ "request_id": "before-0", "event_time": s.at(50) }).to_string()));
}

#[test]
fn a_score_that_is_no_number() {
    Bad::prediction("wrong_type", &["score", "high"]).happens("score", |s| changed(s.prediction("score", 50), "score", json!("high")));
}

#[test]
fn nan_in_json_is_no_json() {
    Bad::prediction("undecodable", &["byte"]).happens("json-nan", |s| given(s.prediction("nan", 50).to_string().replace("0.25", "NaN")));
}

#[test]
fn microseconds_where_milliseconds_belong() {
    Bad::prediction("bad_time", &["event_time", "Microseconds?", "unit: micros"])
        .happens("micros", |s| changed(s.prediction("micros", 50), "event_time", json!(s.at(50) * 1_000)));
}

#[test]
fn seconds_where_milliseconds_belong() {
    Bad::outcome("bad_time", &["event_time", "Seconds?", "unit: seconds"])
        .happens("seconds", |s| changed(s.outcome("before-0", 50), "event_time", json!(s.at(50) / 1_000)));
}

#[test]
fn a_time_in_the_future_moves_nothing() {
    Bad::prediction("future", &["event time", "ahead", "max_ahead", "clock", "unit"])
        .happens("future", |s| changed(s.prediction("future", 50), "event_time", json!(s.at(3 * 86_400))));
}

#[test]
fn a_tombstone() {
    Bad::prediction("tombstone", &["null", "deletions"]).happens("tombstone", |_| Given {
        partition: 0,
        key: Some("gone".to_string()),
        value: None,
    });
}

/// 900 kB of text that doesn't compress to nothing.
fn long_text() -> String {
    let mut x = 88_172_645_463_325_252u64;
    let step = move |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        char::from(b'a' + (x % 26) as u8)
    };
    (0..900_000).map(step).collect()
}

#[test]
fn a_bad_record_of_900_kilobytes_is_kept_whole() {
    Bad::prediction("wrong_type", &["score"])
        .happens("long-bad", |s| changed(s.prediction("long", 50), "score", json!({ "text": long_text() })));
}

#[test]
fn a_bad_record_of_5_megabytes_is_kept_whole() {
    Bad::prediction("wrong_type", &["score"])
        .happens("huge-bad", |s| changed(s.prediction("huge", 50), "score", json!({ "text": long_text().repeat(6) })));
}

#[test]
fn a_good_record_of_900_kilobytes_is_joined() {
    let scene = Scene::new("long-good").topics(1);
    scene.write_pairs("before", 0, 3);
    let mut long = scene.prediction("long", 50);
    long["attributes"] = json!({ "text": long_text() });
    scene.write("predictions", [long]);
    scene.write("outcomes", [scene.outcome("long", 51)]);
    scene.write_pairs("after", 100, 3);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], 7.0);
    nothing_is_lost(&mut service, "predictions", 7.0);
    service.stop();
    assert_eq!(scene.read("dead-letters"), []);
}

#[test]
fn duplicates_and_late_records_are_counted_as_what_they_are() {
    let scene = Scene::new("accounts").topics(1);
    scene.write_pairs("a", 1_000, 5);
    scene.write("predictions", [scene.prediction("a-1", 1_001), scene.prediction("late", 10), scene.prediction("b", 1_200)]);
    scene.pen.write(&scene.topic("predictions"), &[given("no json")]);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], 5.0);
    nothing_is_lost(&mut service, "predictions", 9.0);
    let verdict = |word| service.metric("driftline_records_total", &[("input", "predictions"), ("verdict", word)]);
    assert_eq!(["accepted", "duplicate", "late", "dead_letter"].map(verdict), [6.0, 1.0, 1.0, 1.0]);
    service.stop();
}

#[test]
fn thousands_of_bad_records_fill_the_topic_but_not_the_log() {
    let scene = Scene::new("flood").topics(1);
    let flood: Vec<Given> = (0..3_000).map(|i| given(format!("no json {i}"))).collect();
    scene.pen.write(&scene.topic("predictions"), &flood);
    scene.write_pairs("after", 100, 3);
    let mut service = scene.run(&[]);
    service.reaches("driftline_joined_total", &[], 3.0);
    nothing_is_lost(&mut service, "predictions", 3_003.0);
    service.stop();
    let lines = service.messages().iter().filter(|m| m.1.contains("dead-letters")).count();
    assert!((1..=60).contains(&lines), "{lines} lines for 3,000 bad records");
    let kept: Vec<_> = scene.read("dead-letters").into_iter().map(|r| r.value).collect();
    assert_eq!(kept, flood.into_iter().map(|r| r.value).collect::<Vec<_>>());
}
