//! What nobody downstream may see: values are planted in every field that can be protected and in records that can't be read, and looked for in everything
//! that driftline writes, says and shows.

use crate::kafka::{Given, Seen};
use crate::scene::{Scene, given};
use serde_json::{Value, json};

/// Part of every planted text.
const PLANTED: &str = "hush";
/// A planted number.
const SALARY: f64 = 71_234_567.0;
const KEY: &str = "0123456789abcdef";

const RULES: &str = "panes: { size: 1s }\njoin: { window: 10m }\nbaseline: { learn: 150s }\nalerts: { format: json }\n\
     budget: { false_alarms: 50, per: 1d }\nmodels: { m: { task: binary, positive: '1' } }\nsegments: { by: [[branch]] }\noutliers: { share: 0.01 }";

/// Written by the test into the scene's folder, so that the key is a file's.
fn protect(scene: &Scene, more: &str) -> String {
    std::fs::write(scene.file("pseudonyms.key"), format!("{KEY}\n")).expect("a key");
    format!("protect: {{ key: {{ file: pseudonyms.key }}, request_id: true, dimensions: [branch], features: [iban, salary]{more} }}")
}

fn write(scene: &Scene) {
    let prediction = |s: i64, i: i64| {
        let changed = s >= 840;
        let mut value = scene.prediction(&format!("{PLANTED}-id-{s}-{i}"), s);
        value["score"] = json!(if changed { 0.6 } else { 0.2 } + ((s * 7 + i * 3) % 10) as f64 / 100.0);
        value["segments"] = json!({ "branch": format!("{PLANTED}-branch") });
        let amount = if (s, i) == (870, 0) { 1e6 } else { 10.0 + ((s * 3 + i) % 17) as f64 };
        let iban = format!("{PLANTED}-iban-{}", if changed { i % 2 } else { i % 5 });
        value["features"] = json!({ "amount": amount, "iban": iban, "salary": SALARY + (i % 3) as f64 });
        value
    };
    scene.write("predictions", (0..900).flat_map(|s| (0..10).map(move |i| (s, i))).map(|(s, i)| prediction(s, i)));
    scene.write("outcomes", (0..900).map(|s| scene.outcome(&format!("{PLANTED}-id-{s}-0"), s)));
}

/// Records that can't be used, each with something planted.
fn write_bad(scene: &Scene) {
    let wrong = |field: &str, value: Value| {
        let mut prediction = scene.prediction(&format!("{PLANTED}-bad"), 899);
        prediction[field] = value;
        given(prediction.to_string())
    };
    let mut bad: Vec<Given> = vec![
        wrong("request_id", json!([PLANTED])),
        wrong("event_time", json!(format!("{PLANTED}-time"))),
        wrong("score", json!(format!("{PLANTED}-score"))),
        wrong("segments", json!({ "branch": PLANTED.repeat(100) })),
        wrong("features", json!(format!("{PLANTED}-features"))),
        given(format!("{PLANTED} is no JSON")),
        given(format!("{{\"{PLANTED}\": {PLANTED}}}")),
    ];
    for letter in &mut bad {
        letter.key = Some(format!("{PLANTED}-key"));
    }
    scene.pen.write(&scene.topic("predictions"), &bad);
    let mut outcome = scene.outcome(&format!("{PLANTED}-bad"), 899);
    outcome["label"] = json!([PLANTED]);
    scene.write("outcomes", [outcome]);
}

/// How often something planted is in records, in whatever way: as text, or as a number's eight bytes.
fn planted_in(records: &[Seen]) -> usize {
    let numbers = (0..3).map(|i| (SALARY + f64::from(i)).to_le_bytes().to_vec());
    let needles: Vec<Vec<u8>> = numbers.chain([PLANTED.into(), "7123456".into()]).collect();
    let holds = |bytes: &[u8]| needles.iter().any(|n| bytes.windows(n.len()).any(|w| w == n));
    let headers = |r: &Seen| r.headers.iter().any(|(name, value)| holds(name.as_bytes()) || holds(value.as_bytes()));
    let whole = |bytes: &Option<Vec<u8>>| bytes.as_deref().is_some_and(holds);
    records.iter().filter(|r| whole(&r.key) || whole(&r.value) || headers(r)).count()
}

const TOPICS: [&str; 7] = ["journal", "summaries", "plan", "state", "dead-letters", "outliers", "alerts"];

/// All that a run shows: records with something planted a topic, of how many, and its pages and log.
fn shown(what: &str, rules: impl Fn(&Scene) -> String) -> (Scene, Vec<(&'static str, usize, usize)>, String) {
    let segments = "{ topic: TOPIC, lateness: 1s }";
    let mut scene = Scene::new(what).inputs(segments, segments);
    scene.rewrite(&format!("{RULES}\n{}", rules(&scene)));
    let scene = scene.topics(1);
    write(&scene);
    write_bad(&scene);
    let mut run = scene.run(&[]);
    run.reaches("driftline_joined_total", &[], 900.0);
    run.reaches("driftline_dead_letters_total", &[("input", "predictions"), ("reason", "wrong_type")], 3.0);
    run.until("an alert", |_| (scene.read("alerts").len() > 3).then_some(()));
    let pages = ["/metrics", "/status"].map(|page| run.get(page).map(|p| p.1).unwrap_or_default()).concat();
    run.stop();
    let text = format!("{pages}\n{}", run.log());
    let found = TOPICS.map(|topic| {
        let records = scene.read(topic);
        (topic, planted_in(&records), records.len())
    });
    (scene, found.to_vec(), text)
}

#[test]
fn nothing_that_is_protected_is_in_any_topic_page_or_log() {
    let (scene, found, text) = shown("protected", |scene| protect(scene, ""));
    for (topic, planted, records) in &found {
        assert_eq!(*planted, 0, "in {topic}, of {records}");
        assert!(*records > 0, "{topic} is not empty");
    }
    assert!(!text.contains(PLANTED) && !text.contains("7123456"), "{text}");

    let pseudonym = |value: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY.as_bytes());
        ring::hmac::sign(&key, value.as_bytes()).as_ref()[..12].iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let alerts: Vec<Value> = scene.read("alerts").iter().filter_map(|r| serde_json::from_slice(r.value.as_ref()?).ok()).collect();
    let branch = pseudonym(&format!("{PLANTED}-branch"));
    assert!(alerts.iter().any(|a| a["segment"]["branch"] == branch.as_str()), "alerts name the branch by its pseudonym: {alerts:#?}");
    let outlier = scene.read("outliers").into_iter().find_map(|r| r.key).expect("an outlier");
    assert!(outlier.len() == 24 && outlier.iter().all(u8::is_ascii_hexdigit), "{outlier:?}");
    for letter in scene.read("dead-letters") {
        assert_eq!((letter.key, letter.value), (None, None));
        assert!(letter.headers["source.offset"].parse::<i64>().is_ok() && !letter.headers["error.message"].is_empty());
    }
}

/// The search finds what is there: without protection it is nearly everywhere.
#[test]
fn without_protection_all_of_it_is_found() {
    let (_, found, text) = shown("open", |_| String::new());
    for topic in ["plan", "state", "summaries", "dead-letters", "outliers", "alerts"] {
        assert!(found.iter().any(|(t, planted, _)| *t == topic && *planted > 0), "{topic}: {found:?}");
    }
    assert!(text.contains(PLANTED));
}

#[test]
fn dead_letters_hold_the_record_where_that_is_wanted() {
    let (_, found, text) = shown("letters", |scene| protect(scene, ", dead_letters: record"));
    let everywhere_else = found.iter().filter(|(topic, ..)| *topic != "dead-letters").map(|(_, planted, _)| planted).sum::<usize>();
    assert_eq!(everywhere_else, 0, "{found:?}");
    assert!(found.iter().any(|(topic, planted, records)| *topic == "dead-letters" && planted == records), "{found:?}");
    assert!(text.contains("the text \\\"hush-score\\\"") || text.contains("the text \"hush-score\""), "messages quote the value: {text}");
}
