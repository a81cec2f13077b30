//! Both stages on the in-memory log: members die, come back, and lose the answers to their commits; what is published stays the same.

#[path = "kit/split_mix.rs"]
mod split_mix;

use driftline::codec::wire::{Kind, Reader};
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::join::Limits;
use driftline::engine::partial::{Origin, PartialEntry, encode, read};
use driftline::engine::plan::{Plan, PlanRecord};
use driftline::engine::summary::cell::CellSummary;
use driftline::engine::types::{EpochSeq, Partition};
use driftline::kafka::topics::{Inputs, own_topics};
use driftline::log::Fatal;
use driftline::log::memory::{CommitFault, MemberOptions, MemoryLog, SharedCluster};
use driftline::ops::status::detect_view;
use driftline::stage::detect::DetectStage;
use driftline::stage::join::{JoinStage, Step};
use split_mix::SplitMix64 as Draw;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: i32 = 4;
/// 2023-11-14T00:00:00Z.
const START: i64 = 1_699_920_000_000;
const MINUTE: i64 = 60_000;
const MINUTES: i64 = 460;
/// Minutes in which one country's inputs and labels are different.
const CHANGED: std::ops::Range<i64> = 370..430;
/// From this minute on one prediction a minute lies far out.
const ODD: i64 = 440;
/// Wall clock of a turn.
const TURN: i64 = 60;

const CONFIG: &str = "\
app: shop
kafka: { brokers: 'nowhere:9092' }
predictions: { topic: p }
outcomes: { topic: o }
join: { window: 30m }
models:
  fraud:
    task: binary
    positive: 'yes'
    limits:
      - { signal: error, above: 0.27, over: 20m, for: 5m, clear: 0.2 }
      - { signal: error, above: 0.45, over: 30m, by: [country], severity: critical }
      - { signal: 'unseen:plan', above: 0.05, over: 10m, for: 2m }
      - { signal: volume, above: 400, over: 5m }
segments: { by: [[country]] }
fairness: [ { groups: [country] } ]
outliers: {}
baseline: { from: 2023-11-14T00:00:00Z, to: 2023-11-14T05:40:00Z }
budget: { false_alarms: 1, per: 1h }
summaries: { partitions: 2 }
alerts: { topic: shop.alerts, format: json, reminder: 20m }
";

fn settings() -> Arc<Settings> {
    settings_of(CONFIG)
}

fn settings_of(config: &str) -> Arc<Settings> {
    let mut settings = load_text("shop.yaml", config, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    settings.epoch.records = 120;
    settings.journal = Limits { least: 0, times: 1, per_epoch: 1_000 }; // cleaned all the time
    Arc::new(settings)
}

impl Draw {
    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

/// A cluster two days after the scene, without a record of it.
fn empty_cluster(settings: &Settings) -> SharedCluster {
    let cluster = SharedCluster::new();
    for topic in ["p", "o"] {
        cluster.create_topic(topic, PARTITIONS, &[("retention.ms", "-1")]).expect("made");
    }
    for spec in own_topics(settings, Inputs { partitions: PARTITIONS, max_bytes: 1_048_588 }) {
        let config: Vec<(&str, &str)> = spec.config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        cluster.create_topic(&spec.name, spec.partitions, &config).expect("made");
    }
    cluster.advance(START + 2 * 24 * 60 * MINUTE);
    cluster
}

/// A cluster that holds all predictions and outcomes of the scene, two days after they were made.
fn cluster(settings: &Settings) -> SharedCluster {
    let cluster = empty_cluster(settings);
    let r = &mut Draw(7);
    let mut outcomes = Vec::new();
    let put = |topic: &str, at: i64, id: &str, value: String| {
        cluster.write(topic, None, at, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
    };
    for minute in 0..MINUTES {
        // now and then more than a sample holds
        for i in 0..if minute % 20 == 7 { 500 } else { 16 } {
            let id = format!("{minute}-{i}");
            let at = START + minute * MINUTE + (r.below(70_000) as i64 - 10_000);
            let country = ["FR", "FR", "DE", "AT"][r.below(4) as usize];
            let changed = CHANGED.contains(&minute) && country == "FR";
            let odd = minute >= ODD && i == 3;
            let x = if odd { 50.0 } else { r.unit() + r.unit() + if changed { 1.0 } else { 0.0 } };
            let label = if x > 1.0 { "yes" } else { "no" };
            let plan = ["a", "a", "b", if changed { "z" } else { "c" }][r.below(4) as usize];
            let features = format!(r#"{{"x":{x},"plan":"{plan}"}}"#);
            let segments = format!(r#"{{"country":"{country}"}}"#);
            let value = format!(
                r#"{{"request_id":"{id}","event_time":{at},"model":"fraud","score":{},"label":"{label}","features":{features},"segments":{segments}}}"#,
                x / 3.0
            );
            if r.percent(3) {
                put("p", at, &id, value.clone());
            }
            put("p", at, &id, value);
            let told = at + 30_000 + r.below(8 * 60_000) as i64;
            let wrong = r.percent(if changed { 60 } else { 15 });
            let truth = if (label == "yes") != wrong { "yes" } else { "no" };
            if r.percent(85) {
                outcomes.push((told, id.clone(), truth));
            }
            if r.percent(4) {
                outcomes.push((told + r.below(90 * 60_000) as i64, id, "yes"));
            }
        }
        if minute % 50 == 0 {
            put("p", START + minute * MINUTE, "broken", "{".into());
        }
    }
    outcomes.sort();
    for (at, id, truth) in outcomes {
        put("o", at, &id, format!(r#"{{"request_id":"{id}","event_time":{at},"label":"{truth}"}}"#));
    }
    cluster
}

enum Stage {
    Join(Box<JoinStage>),
    Detect(Box<DetectStage>),
}

/// One pod's thread.
struct Member {
    name: &'static str,
    joins: bool,
    running: Option<(MemoryLog, Stage)>,
    /// Dead until this turn.
    until: u64,
}

impl Member {
    fn start(&mut self, cluster: &SharedCluster, settings: &Arc<Settings>) -> Result<(), Fatal> {
        let (stage, topics, follow, most) = if self.joins {
            let stage = JoinStage::new(settings.clone(), PARTITIONS as u32, true).map_err(Fatal)?;
            (Stage::Join(Box::new(stage)), JoinStage::topics(settings), Some(settings.topic("plan")), 60)
        } else {
            (Stage::Detect(Box::new(DetectStage::new(settings.clone(), true))), DetectStage::topics(settings), None, 40)
        };
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let group = if self.joins { "shop-join" } else { "shop-detect" };
        let options = MemberOptions { follow, most_per_poll: most, ..MemberOptions::new(group, self.name, &topics) };
        self.running = Some((MemoryLog::open(cluster.clone(), options)?, stage));
        Ok(())
    }

    fn step(&mut self) -> Result<Step, Fatal> {
        match &mut self.running {
            Some((log, Stage::Join(s))) => s.step(log, Duration::ZERO),
            Some((log, Stage::Detect(s))) => s.step(log, Duration::ZERO),
            None => Ok(Step::Again),
        }
    }

    /// (epochs that were read again, digests that differed, attempts to commit by how they ended).
    fn counts(&self) -> (usize, u64, BTreeMap<&'static str, u64>) {
        let counters = match &self.running {
            Some((_, Stage::Join(s))) => &s.counters,
            Some((_, Stage::Detect(s))) => &s.counters,
            None => return (0, 0, BTreeMap::new()),
        };
        (counters.restores_ms.len(), counters.digest_mismatches, counters.transactions.clone())
    }
}

/// What happens to members besides their work.
#[derive(Clone, Copy, PartialEq)]
enum Weather {
    Calm,
    /// Kills, long absences and lost answers, drawn from a seed.
    Storm(u64),
    /// The first commit of every member is lost.
    FirstCommitsLost,
}

/// What a subscriber sees in the end.
#[derive(PartialEq)]
struct Published {
    /// Partition, key and value, in order by partition.
    alerts: Vec<(Partition, String, String)>,
    /// By (kind, pane, cell): the merged summary.
    summaries: BTreeMap<String, Vec<u8>>,
    dead_letters: Vec<Option<Vec<u8>>>,
    /// Partition, key and value, in order by partition.
    outliers: Vec<(Partition, String, String)>,
}

#[derive(Default, Debug)]
struct Happened {
    kills: u64,
    fatal: Vec<String>,
    restores: usize,
    digests: u64,
    /// Rows that were copied forward in the journals.
    copies: u64,
    transactions: BTreeMap<&'static str, u64>,
    turns: u64,
    /// Streams on the status pages in the end.
    shown: Vec<serde_json::Value>,
}

impl Happened {
    fn note(&mut self, member: &Member) {
        let (restores, digests, transactions) = member.counts();
        if let Some((_, Stage::Join(s))) = &member.running {
            self.copies += s.tasks().map(|t| t.join.cleaning.copies()).sum::<u64>();
        }
        if let Some((_, Stage::Detect(s))) = &member.running {
            self.shown.extend(detect_view(s)["shown"].as_array().into_iter().flatten().cloned());
        }
        self.restores += restores;
        self.digests += digests;
        transactions.into_iter().for_each(|(word, n)| *self.transactions.entry(word).or_default() += n);
    }
}

fn run(weather: Weather) -> (Published, Happened) {
    let settings = settings();
    run_on(&settings, &cluster(&settings), weather)
}

fn run_on(settings: &Arc<Settings>, cluster: &SharedCluster, weather: Weather) -> (Published, Happened) {
    let member = |name, joins| Member { name, joins, running: None, until: 0 };
    let mut members = vec![member("j0", true), member("d0", false)];
    if weather != Weather::FirstCommitsLost {
        // alone: a second member would lead to a second assignment, and so to a second proposal
        members.extend([member("j1", true), member("d1", false)]);
    }
    let (mut now, mut happened) = (START + 2 * 24 * 60 * MINUTE, Happened::default());
    let r = &mut Draw(if let Weather::Storm(seed) = weather { seed } else { 0 });
    for turn in 0..30_000u64 {
        now += TURN;
        cluster.advance(now);
        let mut finished = 0;
        for m in &mut members {
            if m.running.is_none() && turn >= m.until {
                m.start(cluster, settings).expect("started");
                if let (Weather::FirstCommitsLost, Some((log, _))) = (weather, &mut m.running) {
                    log.fail_next_commit(CommitFault::Unknown { happened: false });
                }
            }
            match m.step() {
                Ok(step) => finished += u64::from(m.running.is_some() && step == Step::Finished),
                Err(Fatal(why)) => {
                    happened.fatal.push(format!("{} in turn {turn}: {why}", m.name));
                    happened.note(m);
                    (m.running, m.until) = (None, turn + 5);
                }
            }
        }
        if finished == members.len() as u64 {
            happened.turns = turn;
            break;
        }
        assert!(turn < 29_999, "no end; so far {happened:?}");
        if matches!(weather, Weather::Storm(_)) && happened.kills < 40 {
            disturb(&mut members, turn, r, &mut happened);
        }
    }
    members.iter().for_each(|m| happened.note(m));
    (published(cluster, settings), happened)
}

fn disturb(members: &mut [Member], turn: u64, r: &mut Draw, happened: &mut Happened) {
    let m = &mut members[r.below(4) as usize];
    let Some((log, _)) = &mut m.running else { return };
    if r.percent(30) {
        let faults = [CommitFault::Aborted, CommitFault::Unknown { happened: true }, CommitFault::Unknown { happened: false }];
        log.fail_next_commit(faults[r.below(3) as usize]);
    }
    if r.percent(5) {
        happened.kills += 1;
        happened.note(m);
        // back at once, soon, or only after the session (45 s) has ended and others have taken over
        (m.running, m.until) = (None, turn + [0, 3, 40, 800][r.below(4) as usize]);
    }
}

fn published(cluster: &SharedCluster, settings: &Settings) -> Published {
    let records = |topic: &str| cluster.read_committed(topic).expect("read");
    let text = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let listed = |topic: &str| records(topic).into_iter().map(|a| (a.partition, text(a.key), text(a.value))).collect();
    let (alerts, outliers) = (listed(&settings.alerts.topic), listed("shop.outliers"));
    let mut plan = Plan::default();
    records("shop.plan").iter().for_each(|r| plan.observe(PlanRecord::read(r.value.as_deref().unwrap()).unwrap()));
    let mut sums: BTreeMap<String, PartialEntry> = BTreeMap::new();
    for record in records("shop.summaries") {
        let bytes = record.value.unwrap();
        let Ok(mut body) = Reader::open_as(&bytes, Kind::Partial) else { continue };
        for entry in read(&mut body).unwrap().entries {
            let (pane, model) = (entry.pane, entry.cell.model.clone());
            let place = format!("{:?} {} {:?}", entry.kind(), pane.0, entry.cell);
            match sums.get_mut(&place) {
                Some(sum) => CellSummary::merge(&mut sum.summary, &entry.summary, |signal| plan.numeric(&model, signal, pane)),
                None => drop(sums.insert(place, entry)),
            }
        }
    }
    let origin = Origin { source: Partition(0), seq: EpochSeq(0), definitions: 0 };
    let bytes = |e: PartialEntry| encode(origin, &e.cell.model.clone(), vec![e]).concat();
    let summaries = sums.into_iter().map(|(place, entry)| (place, bytes(entry))).collect();
    let mut dead_letters: Vec<_> = records("shop.dead-letters").into_iter().map(|d| d.value).collect();
    dead_letters.sort();
    Published { alerts, summaries, dead_letters, outliers }
}

fn assert_same(one: &Published, other: &Published, what: &str) {
    let differs = one.summaries.iter().find(|(place, bytes)| other.summaries.get(*place) != Some(bytes)).map(|d| d.0);
    assert_eq!(differs, None, "{what}: a summary differs");
    assert_eq!(one.summaries.len(), other.summaries.len(), "{what}: more summaries");
    for (i, (a, b)) in one.alerts.iter().zip(&other.alerts).enumerate() {
        assert_eq!(a, b, "{what}: alert {i} differs");
    }
    assert_eq!(one.alerts.len(), other.alerts.len(), "{what}: number of alerts");
    assert!(one.dead_letters == other.dead_letters, "{what}: dead letters");
    assert!(one.outliers == other.outliers, "{what}: outliers");
}

#[test]
fn members_that_die_and_commits_without_answer_change_nothing_that_is_published() {
    let (calm, happened) = run(Weather::Calm);
    assert!(happened.fatal.is_empty() && happened.digests == 0, "{happened:?}");
    let has = |word: &str| calm.alerts.iter().any(|a| a.2.contains(word));
    let missing: Vec<_> =
        ["\"opened\"", "\"recovered\"", "feature:x", "\"error\"", "\"FR\"", "fraud"].into_iter().filter(|w| !has(w)).collect();
    assert!(missing.is_empty(), "no alert with {missing:?} among {}", calm.alerts.len());
    assert_eq!(calm.dead_letters.len(), 10);
    limits_hold_from_the_first_pane_on(&calm);
    let reported: BTreeMap<&str, &str> = calm.outliers.iter().map(|o| (o.1.as_str(), o.2.as_str())).collect();
    assert_eq!(reported.len(), calm.outliers.len(), "each outlier once");
    for minute in ODD..MINUTES {
        let told = reported.get(format!("{minute}-3").as_str()).unwrap_or_else(|| panic!("nothing of {minute}-3 among {reported:#?}"));
        let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
        assert_eq!(
            (told["reasons"][0]["signal"].as_str(), told["reasons"][0]["value"].as_f64()),
            (Some("feature:x"), Some(50.0)),
            "{told}"
        );
        assert!(told["chance"].as_f64() <= Some(0.001) && told["reasons"][0]["usual_high"].as_f64() < Some(3.0), "{told}");
    }
    // 30 minutes of 16 after the change, and one of 500
    let after = |id: &str| id.split_once('-').is_some_and(|(minute, i)| minute.parse::<i64>().unwrap_or(0) >= CHANGED.end && i != "3");
    let usual = reported.keys().filter(|id| after(id)).count();
    assert!(usual <= 10, "{usual} of the 950 others {:#?}", reported.iter().filter(|r| after(r.0)).map(|r| r.1).collect::<Vec<_>>());
    let of_root = |s: &serde_json::Value| s["segment"].as_object().is_some_and(|s| s.is_empty()) && s["signal"] == "feature:x";
    let x: Vec<_> = happened.shown.iter().filter(|s| of_root(s)).collect();
    let [x] = x.as_slice() else { panic!("one stream of all values of x on the status pages, not {x:?}") };
    let smallest = &x["smallest_detectable_within_a_day"];
    // a reference of 340 minutes: what may be the time of day it can't see, which is half a sigma, or a quarter more or less scale
    let least = BTreeMap::from([("sigma", 0.5), ("relative", 0.25), ("psi", 0.25)]);
    let least = smallest["unit"].as_str().and_then(|unit| least.get(unit));
    assert!(x["rung"] == "short" && least.is_some() && smallest["value"].as_f64() > least.copied(), "{x}");
    println!("calm: {} alerts, {} summaries, {happened:?}", calm.alerts.len(), calm.summaries.len());
    let mut answers = BTreeMap::new();
    for seed in 1..=5 {
        let (storm, happened) = run(Weather::Storm(seed));
        println!("storm {seed}: {happened:?}");
        assert!(happened.copies > 100, "the journals were not cleaned: {happened:?}");
        assert!(happened.kills >= 15 && happened.restores > 10, "storm {seed} was none: {happened:?}");
        happened.transactions.iter().for_each(|(word, n)| *answers.entry(*word).or_insert(0) += n);
        assert_eq!((happened.fatal.len(), happened.digests), (0, 0), "storm {seed}: {happened:?}");
        assert_same(&calm, &storm, &format!("storm {seed}"));
    }
    assert!(answers["unknown"] > 10 && answers["aborted"] > 5, "{answers:?}");
}

/// Minutes of 500 predictions are beyond the limit at once, long before there is a reference; errors are where labels are wrong.
fn limits_hold_from_the_first_pane_on(published: &Published) {
    let alerts: Vec<serde_json::Value> = published.alerts.iter().map(|a| serde_json::from_str(&a.2).expect("JSON")).collect();
    let minute = |a: &serde_json::Value| {
        let at = a["detected_at"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).expect("a time");
        (at.as_millisecond() - START) / MINUTE
    };
    let of = |detector: &str, country: Option<&str>, reason: &str| -> Vec<i64> {
        let fits =
            |a: &&serde_json::Value| a["detector"] == detector && a["reason"] == reason && a["segment"]["country"].as_str() == country;
        alerts.iter().filter(fits).map(minute).collect()
    };
    let volume = |reason| of("limit:above=400,over=5m", None, reason);
    // a crowd every twenty minutes, some of it a minute early or late, is in five windows
    assert_eq!((volume("opened").len(), volume("recovered").len()), (23, 23));
    assert!((7..=9).contains(&volume("opened")[0]), "{:?}", volume("opened"));
    let [opened, recovered] = ["opened", "recovered"].map(|reason| of("limit:above=0.27,over=20m,for=5m", None, reason));
    assert!(opened.len() == 1 && CHANGED.contains(&opened[0]) && recovered[..] > opened[..], "{opened:?} {recovered:?}");
    let france = of("limit:above=0.45,over=30m", Some("FR"), "opened");
    assert!(france.len() == 1 && CHANGED.contains(&france[0]), "{france:?}");
    assert!(["DE", "AT"].iter().all(|other| of("limit:above=0.45,over=30m", Some(other), "opened").is_empty()));
    let unseen = of("limit:above=0.05,over=10m,for=2m", None, "opened");
    assert!(unseen.len() == 1 && CHANGED.contains(&unseen[0]), "{unseen:?}");
}

#[test]
fn a_proposal_whose_commit_is_lost_is_made_again() {
    let (published, happened) = run(Weather::FirstCommitsLost);
    assert!(happened.fatal.is_empty() && !published.alerts.is_empty(), "{happened:?}");
}

/// The same events as `CONFIG` reads one by one, several in a record, beside records that do not count.
const IN_BATCHES: &str = "\
predictions:
  topic: p
  when: { kind: response }
  explode: rows
  fields:
    request_id: id
    event_time: at
    model: { const: fraud }
    score: 'out[*2][1]'
    label: { path: 'rows[*].label', map: { '1': 'yes', '0': 'no' } }
    features: 'rows[*].x'
    dimensions: { country: 'rows[*].country' }
outcomes: { topic: o, explode: truth, fields: { request_id: id, event_time: at, label: 'truth[*]' } }
";

/// Batches of predictions and their outcomes: in records of many rows, or in one record for each row.
fn batches(settings: &Settings, together: bool) -> SharedCluster {
    let cluster = empty_cluster(settings);
    let r = &mut Draw(11);
    let put = |topic: &str, at: i64, id: &str, value: String| {
        cluster.write(topic, None, at, Some(id.as_bytes()), Some(value.as_bytes()), &[]).expect("written");
    };
    for minute in 0..90 {
        for batch in 0..6 {
            let (id, at) = (format!("{minute}-{batch}"), START + minute * MINUTE + (r.below(70_000) as i64 - 10_000));
            let told = at + 10_000 + r.below(20 * 60_000) as i64;
            let (mut rows, mut out, mut truth) = (Vec::new(), Vec::new(), Vec::new());
            for row in 0..r.below(7) {
                let (country, x) = (["FR", "DE", "AT"][r.below(3) as usize], r.unit());
                // one row of a batch can't be used, and the others can
                let label = if minute % 30 == 3 && batch == 0 && row == 1 { "[]".to_string() } else { r.below(2).to_string() };
                let said = match label.as_str() {
                    "0" => "\"no\"",
                    "1" => "\"yes\"",
                    bad => bad,
                };
                let observed = if r.percent(30) { "yes" } else { "no" };
                if !together {
                    let fields =
                        format!(r#""event_time":{at},"model":"fraud","score":{x},"label":{said},"features":{{"a":{x},"b":"{country}"}}"#);
                    put("p", at, &id, format!(r#"{{"request_id":"{id}#{row}",{fields},"segments":{{"country":"{country}"}}}}"#));
                    put("o", told, &id, format!(r#"{{"request_id":"{id}#{row}","event_time":{told},"label":"{observed}"}}"#));
                }
                rows.push(format!(r#"{{"label":{label},"country":"{country}","x":{{"a":{x},"b":"{country}"}}}}"#));
                out.push(format!("{},{x}", 1.0 - x));
                truth.push(format!("\"{observed}\""));
            }
            if together {
                put("p", at, &id, format!(r#"{{"kind":"request","id":"{id}","at":"never"}}"#));
                let (rows, out) = (rows.join(","), out.join(","));
                put("p", at, &id, format!(r#"{{"out":[{out}],"rows":[{rows}],"kind":"response","id":"{id}","at":{at}}}"#));
                put("o", told, &id, format!(r#"{{"id":"{id}","at":{told},"truth":[{}]}}"#, truth.join(",")));
            }
        }
    }
    cluster
}

#[test]
fn rows_of_a_record_are_events_like_any_others_whoever_dies() {
    let (single, exploded) = (settings(), settings_of(&CONFIG.replace("predictions: { topic: p }\noutcomes: { topic: o }\n", IN_BATCHES)));
    assert!(exploded.predictions.explode.is_some() && exploded.outcomes.explode.is_some());
    let (mut one_by_one, _) = run_on(&single, &batches(&single, false), Weather::Calm);
    let (calm, _) = run_on(&exploded, &batches(&exploded, true), Weather::Calm);
    assert_eq!((one_by_one.dead_letters.len(), calm.dead_letters.len()), (3, 3));
    assert!(one_by_one.summaries.len() > 200, "{}", one_by_one.summaries.len());
    one_by_one.dead_letters = calm.dead_letters.clone(); // those of a row, and those of its whole record
    assert_same(&one_by_one, &calm, "rows");
    let mut restores = 0;
    let mut short = (*exploded).clone();
    short.epoch.records = 12; // a batch or two an epoch: more of them that can be cut off
    let short = Arc::new(short);
    for seed in 1..=10 {
        let (storm, happened) = run_on(&short, &batches(&short, true), Weather::Storm(seed));
        assert_eq!((happened.fatal.len(), happened.digests), (0, 0), "storm {seed}: {happened:?}");
        restores += happened.restores;
        assert_same(&calm, &storm, &format!("storm {seed} over rows"));
    }
    assert!(restores > 10, "{restores}");
}
