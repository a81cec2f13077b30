//! The registry over HTTP: references, credentials, and what each failure means.

use crate::registry::FakeRegistry;
use crate::wait::within;
use crate::{framed, record, settings};
use apache_avro::Schema;
use apache_avro::types::Value;
use driftline::codec::decoder::PredictionDecoder;
use driftline::codec::framing::SchemaId;
use driftline::codec::writers::{Answer, SchemaKind, Schemas, Written};
use driftline::registry::gauges::Gauges;
use driftline::registry::{AtOnce, Registry, probe};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const RECORD: &str = r#"{"type":"record","name":"R","fields":[]}"#;

struct Asked {
    registry: Arc<Registry>,
    gauges: Gauges,
}

/// A reader of a registry; `auth` are further entries of `registry`.
fn reader(fake: &FakeRegistry, auth: &str) -> Asked {
    let gauges = Gauges::default();
    let at = settings(&fake.url, auth, "").registry.expect("a registry");
    Asked { registry: Arc::new(Registry::start(&at, gauges.clone()).expect("a thread")), gauges }
}

impl Asked {
    fn answer(&self, id: u32) -> Result<Arc<Written>, String> {
        let known = within(PATIENCE, || match self.registry.answer(SchemaId(id)) {
            Answer::Unknown => None,
            Answer::Is(schema) => Some(Ok(schema)),
            Answer::Absent(why) => Some(Err(why)),
        });
        known.unwrap_or_else(|| panic!("no answer for {id}: {:?}", self.registry.outage()))
    }

    /// Waits for an outage; what is wrong.
    fn outage(&self, id: u32) -> String {
        assert!(matches!(self.registry.answer(SchemaId(id)), Answer::Unknown));
        within(PATIENCE, || self.registry.outage()).expect("an outage")
    }

    fn count(&self, word: &str) -> u64 {
        self.gauges.requests.with_label_values(&[word]).get()
    }
}

#[test]
fn a_schema_is_asked_for_once_and_kept() {
    let fake = FakeRegistry::start();
    fake.has(1, "AVRO", RECORD);
    fake.has(2, "JSON", "{}");
    fake.has(3, "PROTOBUF", "message M {}");
    let reader = reader(&fake, "");
    for _ in 0..3 {
        let schema = reader.answer(1).expect("a schema");
        assert_eq!((&schema.kind, schema.text.as_str()), (&SchemaKind::Avro, RECORD));
        assert_eq!(reader.answer(2).expect("a schema").kind, SchemaKind::Json);
        assert_eq!(reader.answer(3).expect("a schema").kind, SchemaKind::Protobuf);
    }
    assert_eq!([1, 2, 3].map(|id| fake.asked_for(id)), [1, 1, 1]);
    assert_eq!((reader.count("found"), reader.gauges.schemas.get(), reader.gauges.away_since.get()), (3, 3, 0.0));
}

#[test]
fn types_of_other_subjects_are_fetched_and_read() {
    let money = r#"{"type":"record","name":"Money","namespace":"com.acme","fields":[
        {"name":"amount","type":"double"},{"name":"currency","type":"com.acme.Currency"}]}"#;
    let currency = r#"{"type":"enum","name":"Currency","namespace":"com.acme","symbols":["EUR","USD"]}"#;
    let prediction = r#"{"type":"record","name":"P","namespace":"com.acme","fields":[
        {"name":"request_id","type":"string"},{"name":"event_time","type":"long"},{"name":"model","type":"string"},
        {"name":"segments","type":{"type":"map","values":"Currency"}},{"name":"features","type":"Money"}]}"#;
    let fake = FakeRegistry::start();
    let to =
        |name: &str, version: i64| json!({ "name": format!("com.acme.{name}"), "subject": format!("acme/{name}"), "version": version });
    fake.has_with(9, "AVRO", prediction, json!([to("Money", 2), to("Currency", 1)]));
    fake.has_version("acme%2FMoney", 2, money, json!([to("Currency", 1)]));
    fake.has_version("acme%2FCurrency", 1, currency, json!([]));
    let reader = reader(&fake, "");
    assert_eq!(reader.answer(9).expect("a schema").references.len(), 2, "each once");

    // the oracle writes by the same types, defined where they are first named
    let whole = prediction.replace("\"Currency\"", currency).replace("\"Money\"", money);
    let schema = Schema::parse_str(&whole).expect("one schema");
    let text = |t: &str| Value::String(t.to_string());
    let fields = |all: Vec<(&str, Value)>| Value::Record(all.into_iter().map(|(n, v)| (n.to_string(), v)).collect());
    let euro = Value::Enum(0, "EUR".into());
    let value = fields(vec![
        ("request_id", text("a")),
        ("event_time", Value::Long(1_760_000_000_000)),
        ("model", text("m")),
        ("segments", Value::Map([("country".to_string(), euro.clone())].into())),
        ("features", fields(vec![("amount", Value::Double(12.5)), ("currency", euro)])),
    ]);
    #[allow(deprecated)]
    let bytes = framed(9, &apache_avro::to_avro_datum(&schema, value).expect("the value fits"));
    let settings = settings(&fake.url, "", "");
    let mut decoder =
        PredictionDecoder::with(&settings.predictions, &settings.definitions.dimensions, Some(reader.registry)).expect("a decoder");
    assert!(decoder.ready(&record(&bytes)));
    let event = decoder.decode(&record(&bytes)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        (event.dimensions[0].as_ref(), event.doubles[0].features().next().map(|f| f.1), event.features.len()),
        ("EUR", Some(12.5), 1)
    );
}

#[test]
fn a_reference_that_is_not_there_is_named() {
    let fake = FakeRegistry::start();
    fake.has_with(9, "AVRO", RECORD, json!([{ "name": "X", "subject": "x-value", "version": 4 }]));
    let why = reader(&fake, "").answer(9).expect_err("it can't be had");
    assert!(why.contains("subject \"x-value\" version 4") && why.contains("40403"), "{why}");
}

#[test]
fn what_refers_to_itself_ends() {
    let fake = FakeRegistry::start();
    let itself = json!([{ "name": "R", "subject": "r", "version": 1 }]);
    fake.has_with(9, "AVRO", RECORD, itself.clone());
    fake.has_version("r", 1, RECORD, itself);
    assert_eq!(reader(&fake, "").answer(9).expect("a schema").references.len(), 1);
}

#[test]
fn schemas_of_a_registry_have_a_largest_size() {
    let fake = FakeRegistry::start();
    fake.has(1, "AVRO", &" ".repeat(4 << 20));
    fake.has(2, "AVRO", &" ".repeat((4 << 20) - 100));
    let chain = |from: i64| json!([{ "name": "R", "subject": "r", "version": from }]);
    (1..=257).for_each(|i| fake.has_version("r", i, RECORD, if i < 257 { chain(i + 1) } else { json!([]) }));
    fake.has_with(3, "AVRO", RECORD, chain(1));
    fake.has_with(4, "AVRO", RECORD, chain(2));
    let reader = reader(&fake, "");
    assert!(reader.answer(1).expect_err("too long").contains("more than 4 MiB"));
    assert!(reader.answer(2).is_ok());
    assert!(reader.answer(3).expect_err("too many").contains("more than 256 schemas"));
    assert_eq!(reader.answer(4).expect("a schema").references.len(), 256);
}

#[test]
fn an_id_that_the_registry_does_not_have_is_no_outage() {
    let fake = FakeRegistry::start();
    let reader = reader(&fake, "");
    assert!(reader.answer(404).expect_err("absent").contains("40403"));
    assert_eq!((reader.registry.is_away(), reader.count("absent"), reader.count("failed")), (false, 1, 0));
    assert!(reader.answer(404).is_err() && fake.asked_for(404) == 1, "it is believed for a while");
}

#[test]
fn credentials_are_shown_to_the_registry_and_nobody_else() {
    let fake = FakeRegistry::start();
    fake.has(1, "AVRO", RECORD);
    for (auth, wants) in [
        (", auth: { basic: { user: me, password: { env: PASSWORD } } }", "Basic bWU6c2VjcmV0IG9mIFBBU1NXT1JE"), // me:secret of PASSWORD
        (", auth: { bearer: { env: TOKEN } }", "Bearer secret of TOKEN"),
    ] {
        fake.script().wants = Some(wants.to_string());
        assert!(reader(&fake, auth).answer(1).is_ok(), "{auth}");
        let loaded = settings(&fake.url, auth, "");
        assert_eq!(probe(loaded.registry.as_ref().expect("a registry")), Ok(()));
        assert!(!format!("{loaded:?}").contains("secret of"), "{loaded:?}");
    }
}

#[test]
fn what_is_wrong_at_the_start_is_said_with_the_setting_to_change() {
    let fake = FakeRegistry::start();
    let said =
        |url: &str, auth: &str| probe(settings(url, auth, "").registry.as_ref().expect("a registry")).map_err(|t| (t.lasting, t.why));
    assert_eq!(said(&fake.url, ""), Ok(()), "an id that nobody has is a good answer");
    fake.script().wants = Some("Bearer other".to_string());
    let basic = ", auth: { basic: { user: me, password: { env: PASSWORD } } }";
    for (auth, words) in [
        ("", "set registry.auth"),
        (basic, "correct registry.auth.basic"),
        (", auth: { bearer: { env: T } }", "correct registry.auth.bearer"),
    ] {
        let (lasting, why) = said(&fake.url, auth).expect_err("not let in");
        assert!(lasting && why.contains("401") && why.contains(words) && !why.contains("secret of"), "{why}");
    }
    fake.script().wants = None;
    for (status, lasting, words) in [
        (403, true, "set registry.auth"),
        (404, true, "registry.url"),
        (301, true, "redirect"),
        (400, true, "is registry.url right"),
        (500, false, "status 500"),
        (503, false, "status 503"),
        (429, false, "status 429"),
    ] {
        fake.script().fails_with = Some(status);
        let (is_lasting, why) = said(&fake.url, "").expect_err("a failure");
        assert!(is_lasting == lasting && why.contains(words), "{status}: {why}");
    }
    let secured = fake.url.replace("http:", "https:");
    let (lasting, why) = said(&secured, "").expect_err("it speaks no TLS");
    assert!(lasting && why.contains("registry.ca_file"), "{why}");
    drop(fake);
    let (lasting, why) = said(&secured, "").expect_err("nobody is there");
    assert!(!lasting && why.contains("can't be reached"), "{why}");
}

#[test]
fn a_failing_registry_is_asked_until_it_answers() {
    for (status, words) in [(500, "status 500"), (429, "status 429"), (403, "403"), (404, "registry.url")] {
        let fake = FakeRegistry::start();
        fake.has(1, "AVRO", RECORD);
        fake.script().fails_with = Some(status);
        let reader = reader(&fake, "");
        let news = reader.registry.news();
        let why = reader.outage(1);
        assert!(why.contains(&fake.url) && why.contains(words), "{why}");
        assert!(reader.registry.is_away() && reader.gauges.away_since.get() > 1.0 && reader.registry.news() == news);
        fake.script().fails_with = None;
        assert!(reader.answer(1).is_ok());
        assert!(!reader.registry.is_away() && reader.gauges.away_since.get() == 0.0 && reader.registry.news() > news);
        assert!(reader.registry.outage().is_none() && reader.count("failed") >= 1 && reader.count("found") == 1);
    }
}

#[test]
fn answers_may_take_their_time_but_not_for_ever() {
    let fake = FakeRegistry::start();
    fake.has(1, "AVRO", RECORD);
    fake.script().slow = Duration::from_millis(400);
    assert!(reader(&fake, "").answer(1).is_ok());
    let reader = reader(&fake, ", timeout: 100ms");
    let why = reader.outage(1);
    assert!(why.contains("registry.timeout"), "{why}");
    fake.script().slow = Duration::ZERO;
    assert!(reader.answer(1).is_ok());
}

#[test]
fn who_waits_for_answers_asks_once_and_not_again_after_a_failure() {
    let fake = FakeRegistry::start();
    fake.has(1, "AVRO", RECORD);
    let new = || AtOnce::new(settings(&fake.url, "", "").registry.as_ref().expect("a registry")).expect("a client");
    let reader = new();
    for _ in 0..2 {
        assert!(matches!(reader.answer(SchemaId(1)), Answer::Is(schema) if schema.text == RECORD));
        assert!(matches!(reader.answer(SchemaId(404)), Answer::Absent(why) if why.contains("40403")));
    }
    let other = new();
    (1_000..1_100).for_each(|id| assert!(matches!(other.answer(SchemaId(id)), Answer::Absent(_))));
    let asked = (1_000..1_100).map(|id| fake.asked_for(id)).sum::<usize>();
    assert_eq!((fake.asked_for(1), fake.asked_for(404), asked), (1, 1, 64), "64 ids without a schema are enough");
    fake.script().fails_with = Some(503);
    for _ in 0..2 {
        assert!(matches!(reader.answer(SchemaId(2)), Answer::Unknown));
        assert!(matches!(reader.answer(SchemaId(1)), Answer::Is(_)), "what is known needs no registry");
    }
    let why = reader.trouble().expect("a failure");
    assert!(fake.asked_for(2) == 1 && reader.is_away() && why.contains(&fake.url) && why.contains("status 503"), "{why}");
}
