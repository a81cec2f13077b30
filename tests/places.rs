//! Fields that lie deeper than a dotted path reaches: elements of lists, texts that hold JSON, columns or Base64, in JSON and in Avro.

use base64::Engine;
use driftline::codec::decoder::{Events, OutcomeDecoder, PredictionDecoder};
use driftline::codec::event::{BadRecord, Prediction, Reason, Value};
use driftline::config::load_text;
use driftline::config::settings::Settings;
use driftline::engine::types::{Offset, Partition};
use driftline::log::{NoHeaders, Record, TopicIx};
use std::collections::BTreeMap;
use std::path::Path;

#[path = "kit/avro.rs"]
mod avro_bytes;
use avro_bytes::{long, text};

const T: i64 = 1_760_000_000_000;

fn load(predictions: &str, folder: &Path) -> Result<Settings, String> {
    let text = format!("app: a\nkafka: {{ brokers: 'b:1' }}\npredictions:\n  topic: p\n{predictions}\noutcomes: {{ topic: o }}\n");
    load_text("d.yaml", &text, &|_| None, folder).map_err(|e| e.to_string())
}

fn record(value: &[u8]) -> Record<'_> {
    let (topic, partition, offset) = (TopicIx(0), Partition(0), Offset(0));
    Record { topic, partition, offset, timestamp: T, append_time: true, key: None, value: Some(value), headers: &NoHeaders }
}

fn decoder(fields: &str) -> PredictionDecoder {
    let settings = load(&format!("  fields: {fields}"), Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    let dimensions: Vec<String> = settings.predictions.fields.dimensions.keys().cloned().collect();
    PredictionDecoder::new(&settings.predictions, &dimensions).unwrap()
}

/// What a prediction says, in words: id, score, label, features.
type Said = (String, Option<f64>, Option<String>, BTreeMap<String, String>);

fn said(decoder: &PredictionDecoder, p: &Prediction<'_>) -> Said {
    let shown = |value: &Value<'_>| match value {
        Value::Null => "null".to_string(),
        Value::Number(x) => x.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Text(text) => format!("{text:?}"),
    };
    let singles = p.features.iter().map(|(ix, v)| (*ix, shown(v)));
    let all = singles.chain(p.doubles.iter().flat_map(|d| d.features()).map(|(ix, x)| (ix, x.to_string())));
    let features = all.map(|(ix, v)| (decoder.feature_name(ix).to_string(), v)).collect();
    (p.request_id.to_string(), p.score, p.label.as_deref().map(str::to_string), features)
}

/// The same from a cold and from a warm decoder.
fn decode(fields: &str, value: &str) -> Result<Said, BadRecord> {
    let mut decoder = decoder(fields);
    let mut once = || {
        let event = decoder.decode(&record(value.as_bytes()))?;
        let words = said(&decoder, &event);
        decoder.recycle(event);
        Ok(words)
    };
    let first = once();
    assert_eq!(first, once(), "a warm decoder says something else");
    first
}

fn features(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

const HEAD: &str = "event_time: at, model: { const: m }";

#[test]
fn elements_are_found_by_number_and_by_name() {
    let fields = format!(
        "{{ request_id: 'ids[1]', {HEAD}, score: 'outputs[name=probability].data[0]', label: 'outputs[name=label].data[0]', features: 'inputs[0].row' }}"
    );
    let value = format!(
        r#"{{"outputs":[{{"data":[0.25,9],"name":"probability","shape":[1]}},{{"name":"label","data":["bad"]}},{{"name":7}},null,[]],
            "ids":["a","b","c"],"at":{T},"inputs":[{{"row":{{"x":1.5,"y":"z"}}}},{{"row":{{"x":2}}}}]}}"#
    );
    let expected = ("b".to_string(), Some(0.25), Some("bad".to_string()), features(&[("x", "1.5"), ("y", "\"z\"")]));
    assert_eq!(decode(&fields, &value), Ok(expected));
}

#[test]
fn of_equal_names_the_last_element_counts_and_what_an_earlier_one_left_is_gone() {
    let fields = format!("{{ request_id: id, {HEAD}, score: 'o[n=x].score', label: 'o[n=x].label' }}");
    let value = format!(r#"{{"id":1,"at":{T},"o":[{{"n":"x","score":1,"label":"first"}},{{"n":"y","score":2}},{{"score":3,"n":"x"}}]}}"#);
    assert_eq!(decode(&fields, &value).map(|said| (said.1, said.2)), Ok((Some(3.0), None)));
    let none = format!(r#"{{"id":1,"at":{T},"o":[{{"n":"z","score":1}}]}}"#);
    assert_eq!(decode(&fields, &none).map(|said| (said.1, said.2)), Ok((None, None)));
}

#[test]
fn the_elements_of_a_list_are_features_by_number_or_by_name() {
    let value = format!(r#"{{"id":1,"at":{T},"row":[1.5,null,"de",[1],true]}}"#);
    let with = |features: &str| decode(&format!("{{ request_id: id, {HEAD}, features: {features} }}"), &value).map(|said| said.3);
    assert_eq!(with("row"), Ok(features(&[("0", "1.5"), ("2", "\"de\""), ("4", "true")])));
    let named = with("{ path: row, names: [amount, age, country, tags, member], exclude: [member] }");
    assert_eq!(named, Ok(features(&[("amount", "1.5"), ("country", "\"de\"")])));
    let wrong = with("{ path: row, names: [amount, age] }").unwrap_err();
    assert_eq!(wrong.reason, Reason::WrongType);
    assert!(wrong.detail.contains("5 elements") && wrong.detail.contains("names has 2"), "{wrong}");
}

#[test]
fn a_list_of_1025_features_is_refused() {
    let list = |n: usize| format!(r#"{{"id":1,"at":{T},"features":[{}]}}"#, vec!["1"; n].join(","));
    let fields = format!("{{ request_id: id, {HEAD} }}");
    assert_eq!(decode(&fields, &list(1024)).unwrap().3.len(), 1024);
    assert_eq!(decode(&fields, &list(1025)).unwrap_err().reason, Reason::TooManyFeatures);
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[test]
fn a_text_may_hold_json() {
    let fields = format!(
        "{{ request_id: 'json(payload).meta.id', {HEAD}, score: 'json(payload).predictions[0][1]', label: 'json(payload).label', \
         features: 'json(payload).instances[0]' }}"
    );
    let inner =
        r#"{"instances":[{"a":1,"s":"grün \"x\""},{"a":2}],"predictions":[[0.1,0.9]],"meta":{"id":12345678901234567890123},"label":"yes"}"#;
    let value = format!(r#"{{"payload":{},"at":{T}}}"#, quoted(inner));
    let expected =
        ("12345678901234567890123".to_string(), Some(0.9), Some("yes".to_string()), features(&[("a", "1"), ("s", "\"grün \\\"x\\\"\"")]));
    assert_eq!(decode(&fields, &value), Ok(expected));
    for (payload, reason, words) in [
        ("\"{\\\"a\\\":}\"", Reason::Undecodable, "json(...): the text is no JSON: expected a value at byte 5 of it"),
        ("\"{} {}\"", Reason::Undecodable, "something follows after the value"),
        ("\"\"", Reason::MissingField, "field \"json(payload).meta.id\" is absent"),
        ("null", Reason::MissingField, "field \"json(payload).meta.id\" is absent"),
        ("{\"meta\":{\"id\":1}}", Reason::MissingField, "field \"json(payload).meta.id\" is absent"),
    ] {
        let bad = decode(&fields, &format!(r#"{{"payload":{payload},"at":{T}}}"#)).unwrap_err();
        assert!(bad.reason == reason && bad.detail.contains(words), "{payload}: {bad:?}");
    }
}

#[test]
fn texts_may_hold_texts() {
    let fields = format!(
        "{{ request_id: id, {HEAD}, score: 'json(base64(a.b)).x[0]', label: 'json(json(twice).inner).label', features: 'json(base64(a.b)).f' }}"
    );
    let inner = r#"{"x":[0.5],"f":{"k":"v","n":3}}"#;
    let twice = format!(r#"{{"inner":{}}}"#, quoted(r#"{"label":"deep"}"#));
    for base64 in [base64::prelude::BASE64_STANDARD.encode(inner), base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(inner)] {
        let value = format!(r#"{{"id":"r","at":{T},"a":{{"b":"{base64}"}},"twice":{}}}"#, quoted(&twice));
        let expected = ("r".to_string(), Some(0.5), Some("deep".to_string()), features(&[("k", "\"v\""), ("n", "3")]));
        assert_eq!(decode(&fields, &value), Ok(expected));
    }
    for (text, words) in [("?", "is no Base64"), ("/w==", "not UTF-8")] {
        let bad = decode(&fields, &format!(r#"{{"id":1,"at":{T},"a":{{"b":"{text}"}}}}"#)).unwrap_err();
        assert!(bad.reason == Reason::Undecodable && bad.detail.contains(words), "{bad:?}");
    }
}

#[test]
fn a_text_may_hold_columns() {
    let fields = format!(
        "{{ request_id: 'csv(line)[0]', {HEAD}, score: 'csv(line)[1]', label: 'csv(line)[2]', \
         features: {{ path: csv(row), names: [a, b, c, d, e, f] }} }}"
    );
    let row = quoted("1.5, 007 ,\"x,\"\"y\"\"\",,.5,nan\nsecond,line");
    let value = format!(r#"{{"line":"00042,0.75,1\n","row":{row},"at":{T}}}"#);
    let columns = features(&[("a", "1.5"), ("b", "\"007\""), ("c", "\"x,\\\"y\\\"\""), ("e", "0.5"), ("f", "NaN")]);
    assert_eq!(decode(&fields, &value), Ok(("00042".to_string(), Some(0.75), Some("1".to_string()), columns)));
    let bad = decode(&fields, &format!(r#"{{"line":"\"open","at":{T}}}"#)).unwrap_err();
    assert!(bad.reason == Reason::Undecodable && bad.detail.contains("a quoted column has no end"), "{bad:?}");
    let bad = decode(&fields, &format!(r#"{{"line":"1,2,3","row":"1,2","at":{T}}}"#)).unwrap_err();
    assert!(bad.reason == Reason::WrongType && bad.detail.contains("2 elements"), "{bad:?}");
}

const AVRO: &str = r#"{"type":"record","name":"Log","fields":[
    {"name":"id","type":"string"},{"name":"at","type":"long"},
    {"name":"outputs","type":{"type":"array","items":["null",{"type":"record","name":"Out","fields":[
        {"name":"data","type":{"type":"array","items":"double"}},{"name":"name","type":"string"}]}]}},
    {"name":"payload","type":["null","string"]},{"name":"raw","type":"bytes"},{"name":"row","type":{"type":"array","items":"double"}}]}"#;

fn doubles(numbers: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    [long(numbers.len() as i64), bytes, long(0)].concat()
}

fn avro(payload: &str) -> Vec<u8> {
    let output = |name: &str, data: &[f64]| [long(1), doubles(data), text(name)].concat();
    let outputs = [long(3), output("other", &[7.0]), long(0), output("probability", &[0.25, 0.75]), long(0)].concat();
    [text("r-1"), long(T), outputs, long(1), text(payload), text(r#"{"label":"yes"}"#), doubles(&[1.0, 2.5])].concat()
}

fn avro_decoder(fields: &str) -> Result<PredictionDecoder, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.avsc"), AVRO).unwrap();
    let settings = load(&format!("  format: {{ avro: {{ schema: log.avsc }} }}\n  fields: {fields}"), folder.path())?;
    Ok(PredictionDecoder::new(&settings.predictions, &[]).unwrap())
}

#[test]
fn places_reach_into_avro_and_its_texts() {
    let fields = format!(
        "{{ request_id: id, {HEAD}, score: 'outputs[name=probability].data[1]', label: json(raw).label, version: 'outputs[0].name', \
         features: {{ path: json(payload).x, exclude: [skip] }} }}"
    );
    let mut decoder = avro_decoder(&fields).unwrap();
    for (payload, found) in [(r#"{"x":{"a":1,"skip":2}}"#, &[("a", "1")][..]), (r#"{"x":[3,4]}"#, &[("0", "3"), ("1", "4")])] {
        let bytes = avro(payload);
        let event = decoder.decode(&record(&bytes)).unwrap();
        assert_eq!(said(&decoder, &event), ("r-1".to_string(), Some(0.75), Some("yes".to_string()), features(found)));
        assert_eq!(event.version.as_deref(), Some("other"));
        decoder.recycle(event);
    }
    let mut rows = avro_decoder(&format!("{{ request_id: id, {HEAD}, features: {{ path: row, names: [p, q] }} }}")).unwrap();
    let bytes = avro("{}");
    let event = rows.decode(&record(&bytes)).unwrap();
    assert_eq!(said(&rows, &event).3, features(&[("p", "1"), ("q", "2.5")]));
}

#[test]
fn places_are_compared_with_the_schema_as_far_as_it_goes() {
    for (fields, words) in [
        ("score: 'outputs[name=p].dta'", "the schema has no \"outputs[name=p].dta\""),
        ("score: 'id[0]'", "the schema has no \"id[0]\""),
        ("score: 'outputs[0].name'", "a number is needed, the schema has string"),
        ("score: json(at).x", "a text is needed, the schema has long"),
        ("label: json(payloads).x", "did you mean \"payload\"?"),
        ("features: csv(nothing)", "the schema has no \"csv(nothing)\""),
    ] {
        let said = avro_decoder(
            &format!("{{ request_id: id, {HEAD}, features: row, {fields} }}").replace(", features: row, features", ", features"),
        )
        .err();
        assert!(said.as_ref().is_some_and(|said| said.contains(words)), "{fields}: {said:?}");
    }
}

#[test]
fn a_mistake_in_a_place_is_marked_where_it_is() {
    let said =
        load("  fields:\n    score: outputs[nme].data\n    label: \"xml(ä).b\"\n    version: csv(v)\n    request_id: topic", Path::new(""))
            .unwrap_err();
    for (line, words) in [
        ("      |                   ^^^^^ [3] is an element", "is no path: this is no element of a list"),
        ("      |             ^^^ json(...), csv(...) and base64(...)", "\"xml(\" is not known here"),
        ("csv(...)[0] is the first", "csv(...) is a list of columns"),
        ("write { path: topic }", "the topic is the same for all records"),
    ] {
        assert!(said.contains(line) && said.contains(words), "{line} {words}:\n{said}");
    }
}

#[test]
fn the_topic_is_a_name() {
    let mut decoder = decoder("{ request_id: id, event_time: at, model: topic, dimensions: { from: topic, field: { path: topic } } }");
    let value = format!(r#"{{"id":1,"at":{T},"topic":"inner"}}"#);
    let event = decoder.decode(&record(value.as_bytes())).unwrap();
    assert_eq!((event.model.as_ref(), event.dimensions.as_slice()), ("p", &["inner".into(), "p".into()][..]));
}

#[test]
fn outcomes_have_places_too() {
    let text = "app: a\nkafka: { brokers: 'b:1' }\npredictions: { topic: p }\noutcomes:\n  topic: o\n  fields: { request_id: 'ids[0]', event_time: at, value: 'csv(base64(truth))[1]' }\n";
    let settings = load_text("d.yaml", text, &|_| None, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    let mut decoder = OutcomeDecoder::new(&settings.outcomes).unwrap();
    let value = format!(r#"{{"ids":["r"],"at":{T},"truth":"{}"}}"#, base64::prelude::BASE64_STANDARD.encode("x,2.5\n"));
    let outcome = decoder.decode(&record(value.as_bytes())).unwrap();
    assert_eq!((outcome.request_id.as_ref(), outcome.value), ("r", Some(2.5)));
}

/// Every row of a record: what it says, or why not.
fn rows(decoder: &mut PredictionDecoder, value: &[u8]) -> Result<Vec<Result<Said, String>>, BadRecord> {
    let record = record(value);
    let Events::Rows(mut rows) = decoder.events(&record, |_| {})? else { panic!("no rows") };
    let mut all = Vec::new();
    for row in 0..rows.count() {
        let event = decoder.row(&record, &mut rows, row);
        all.push(event.map(|event| said(decoder, &event)).map_err(|bad| bad.detail));
    }
    Ok(all)
}

fn exploded(explode: &str, fields: &str) -> PredictionDecoder {
    let settings = load(&format!("  explode: {explode}\n  fields: {fields}"), Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    PredictionDecoder::new(&settings.predictions, &[]).unwrap()
}

fn row(id: &str, score: f64, label: Option<&str>, pairs: &[(&str, &str)]) -> Result<Said, String> {
    Ok((id.to_string(), Some(score), label.map(str::to_string), features(pairs)))
}

#[test]
fn each_element_of_a_list_is_an_event() {
    let fields = format!("{{ request_id: id, {HEAD}, score: 'p[*].score', label: 'l[*]', features: 'p[*].f' }}");
    let mut decoder = exploded("p", &fields);
    // the id comes last, another list is shorter, a second list of the same name replaces the first
    let value = format!(
        r#"{{"p":[{{"score":9,"f":{{"z":9}}}}],"l":["x","y"],"p":[{{"f":{{"a":1,"b":null}},"score":0.5}},{{"score":0.25,"f":{{"a":1,"a":null,"c":"ü"}}}},{{"score":"no"}}],
            "at":{T},"id":7}}"#
    );
    for _ in 0..2 {
        let found = rows(&mut decoder, value.as_bytes()).unwrap();
        assert_eq!(found[..2], [row("7#0", 0.5, Some("x"), &[("a", "1")]), row("7#1", 0.25, Some("y"), &[("c", "\"ü\"")])]);
        assert!(found.len() == 3 && found[2].as_ref().unwrap_err().contains("field \"p[*].score\" is the text \"no\""), "{found:?}");
        assert_eq!(rows(&mut decoder, format!(r#"{{"id":1,"at":{T},"p":[]}}"#).as_bytes()), Ok(vec![]));
    }
    for (list, reason, words) in [
        ("", Reason::MissingField, "field \"p\" is absent: it should be the list of rows"),
        (",\"p\":{}", Reason::WrongType, "field \"p\" is an object"),
        (",\"p\":null", Reason::WrongType, "field \"p\" is null"),
    ] {
        let bad = rows(&mut decoder, format!(r#"{{"id":1,"at":{T}{list}}}"#).as_bytes()).unwrap_err();
        assert!(bad.reason == reason && bad.detail.contains(words), "{bad:?}");
    }
    let nameless = rows(&mut decoder, format!(r#"{{"at":{T},"p":[{{}}]}}"#).as_bytes()).unwrap();
    assert!(nameless[0].as_ref().unwrap_err().contains("field \"id\" is absent"), "{nameless:?}");
}

#[test]
fn neighbours_of_a_flat_list_are_a_row() {
    let fields = format!(
        "{{ request_id: id, {HEAD}, score: 'o[n=p].d[*2][1]', label: 'o[n=c].d[*]', features: {{ path: 'x[*3]', names: [a, b, c], exclude: [b] }} }}"
    );
    let mut decoder = exploded("o[n=p].d[*2]", &fields);
    let value = |p: &str, x: &str| format!(r#"{{"id":"r","at":{T},"o":[{{"d":[{p}],"n":"p"}},{{"n":"c","d":["u","v"]}}],"x":[{x}]}}"#);
    let found = rows(&mut decoder, value("0.9,0.1,0.3,0.7", "1,2,3,4,5,null").as_bytes());
    assert_eq!(found, Ok(vec![row("r#0", 0.1, Some("u"), &[("a", "1"), ("c", "3")]), row("r#1", 0.7, Some("v"), &[("a", "4")])]));
    for (p, x) in [("0.9,0.1,0.3", "1,2,3"), ("0.9,0.1", "1,2,3,4")] {
        let bad = rows(&mut decoder, value(p, x).as_bytes()).unwrap_err();
        assert!(bad.reason == Reason::WrongType && bad.detail.contains("some are missing"), "{bad:?}");
    }
}

#[test]
fn rows_may_lie_in_texts_and_have_ids_and_features_of_their_own_or_in_common() {
    let of_json = format!("{{ request_id: 'json(p).r[*].id', {HEAD}, score: 'json(p).r[*].s', features: common }}");
    let mut decoder = exploded("json(p).r", &of_json);
    let inner = quoted(r#"{"r":[{"id":"a","s":1},{"s":2,"id":"b"}]}"#);
    let value = format!(r#"{{"common":{{"k":"v"}},"at":{T},"p":{inner}}}"#);
    let both = vec![row("a", 1.0, None, &[("k", "\"v\"")]), row("b", 2.0, None, &[("k", "\"v\"")])];
    assert_eq!(rows(&mut decoder, value.as_bytes()), Ok(both));
    let of_lines = format!("{{ request_id: id, {HEAD}, score: 'csv(t)[*][0]', features: {{ path: 'csv(x)[*]', names: [u, v] }} }}");
    let mut decoder = exploded("csv(t)", &of_lines);
    for x in [r#""1,q\n2,\"\"\n""#, r#""1,q\r\n2,""#] {
        let value = format!(r#"{{"id":"r","at":{T},"t":"0.5,9\n0.25,8\n","x":{x}}}"#);
        let found = rows(&mut decoder, value.as_bytes()).unwrap();
        assert_eq!(found[0], row("r#0", 0.5, None, &[("u", "1"), ("v", "\"q\"")]));
        assert!(found.len() == 2 && found[1].as_ref().is_ok_and(|said| said.1 == Some(0.25) && said.3["u"] == "2"), "{found:?}");
    }
}

#[test]
fn rows_lie_in_avro_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log.avsc"), AVRO).unwrap();
    let fields = format!("{{ request_id: id, {HEAD}, score: 'row[*]', features: 'json(payload).x[*]' }}");
    let text = |explode: &str| format!("  format: {{ avro: {{ schema: log.avsc }} }}\n  explode: {explode}\n  fields: {fields}");
    let settings = load(&text("row"), folder.path()).unwrap();
    let mut decoder = PredictionDecoder::new(&settings.predictions, &[]).unwrap();
    let found = rows(&mut decoder, &avro(r#"{"x":[{"a":1},{"a":2,"b":3}]}"#));
    assert_eq!(found, Ok(vec![row("r-1#0", 1.0, None, &[("a", "1")]), row("r-1#1", 2.5, None, &[("a", "2"), ("b", "3")])]));
    assert!(load(&text("rows"), folder.path()).unwrap_err().contains("did you mean \"row\"?"));
}

#[test]
fn a_record_has_at_most_ten_thousand_rows() {
    let mut decoder = exploded("p", &format!("{{ request_id: id, {HEAD}, score: 'p[*]' }}"));
    let value = |n: usize| format!(r#"{{"id":1,"at":{T},"p":[{}]}}"#, vec!["1"; n].join(","));
    assert_eq!(rows(&mut decoder, value(10_000).as_bytes()).unwrap().len(), 10_000);
    let bad = rows(&mut decoder, value(10_001).as_bytes()).unwrap_err();
    assert!(bad.reason == Reason::TooLong && bad.detail.contains("more than 10000 rows"), "{bad:?}");
}

#[test]
fn what_rows_can_t_be_is_refused() {
    for (source, words) in [
        ("  fields: { score: 'p[*]' }", "there is no `explode`"),
        ("  explode: p", "no field has [*]"),
        ("  explode: p\n  fields: { score: 'p[*]', event_time: 'p[*].at' }", "all rows of a record have one time"),
        ("  explode: p\n  fields: { score: 'p[*].q[*]' }", "rows of rows are not possible"),
        ("  explode: 'p[*].q'\n  fields: { score: 'p[*]' }", "rows of rows are not possible"),
        ("  explode: p\n  fields: { score: 'p[*2]' }", "[*2][0] is the first of two"),
        ("  explode: base64(p)\n  fields: { score: 'p[*]' }", "is text, and no list"),
        ("  explode: p\n  when: { 'p[*].k': x }\n  fields: { score: 'p[*]' }", "a record counts or does not"),
    ] {
        let said = load(source, Path::new("")).err().unwrap_or_default();
        assert!(said.contains(words), "{source}: {said}");
    }
}
