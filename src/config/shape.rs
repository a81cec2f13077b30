//! Keys and types: the typed tree against the schema.
//!
//! Guarantees: every unknown key, wrong type and missing required key is reported, not just the first; what is left over
//! (`Shaped::value`) deserialises without an error, so that contradictions can be reported in the same run.
//! Never: knows a key by name; all it knows is the schema.

use super::nearest::{advice, nearest};
use super::tree::{Entry, Kind, Node, Place};
use super::{bytes, duration, raw};
use serde_json::{Map, Value, json};
use std::fmt;

/// The place of a setting in the tree, such as `segments.by[0][1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl Path {
    /// The whole file.
    pub fn root() -> Path {
        Path::default()
    }
    /// One step down a map.
    pub fn key(mut self, key: &str) -> Path {
        self.push_key(key);
        self
    }
    /// One step down a list.
    pub fn index(mut self, index: usize) -> Path {
        self.push_index(index);
        self
    }
    /// Down several maps.
    pub fn of(keys: &[&str]) -> Path {
        Path(keys.iter().map(|k| Step::Key(k.to_string())).collect())
    }
    /// One step down a map, in place.
    pub fn push_key(&mut self, key: &str) {
        self.0.push(Step::Key(key.to_string()));
    }
    /// One step down a list, in place.
    pub fn push_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }
    /// Back up.
    pub fn pop(&mut self) {
        self.0.pop();
    }
    /// The path one step up.
    pub fn parent(&self) -> Path {
        Path(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The place to mark: a scalar itself, of anything larger its key; the nearest that was typed if it was not.
    pub fn place(&self, root: &Node) -> Place {
        let (mut node, mut place) = (root, Place { width: 1, ..root.place });
        for step in &self.0 {
            let found = match (step, &node.kind) {
                (Step::Key(key), Kind::Map(_)) => node.entry(key).map(|e| (&e.value, e.place)),
                (Step::Index(i), Kind::List(items)) => items.get(*i).map(|n| (n, n.place)),
                _ => None,
            };
            let Some((next, at)) = found else { return place };
            (node, place) = (next, at);
        }
        if matches!(node.kind, Kind::Scalar { .. }) && !node.is_null() { node.place } else { place }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A mistake in keys or types.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// The setting.
    pub path: Path,
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// What fits, and what doesn't.
pub struct Shaped {
    /// The part that fits, typed.
    pub value: Value,
    /// The rest.
    pub misfits: Vec<Misfit>,
}

/// Compares the tree with the schema.
pub fn shape(root: &Node, schema: &Value) -> Shaped {
    let mut shaper = Shaper { schema, misfits: Vec::new(), path: Path::root() };
    let value = shaper.node(root, schema).unwrap_or_else(|| json!({}));
    Shaped { value, misfits: shaper.misfits }
}

struct Shaper<'s> {
    schema: &'s Value,
    misfits: Vec<Misfit>,
    path: Path,
}

impl<'s> Shaper<'s> {
    fn misfit(&mut self, place: Place, message: String, hint: String) {
        if self.misfits.len() >= super::load::MAX_MISTAKES {
            return; // enough to work on
        }
        self.misfits.push(Misfit { path: self.path.clone(), place, message, hint });
    }

    /// Follows references and picks the alternative that the node's kind asks for.
    fn resolve(&self, mut schema: &'s Value, node: &Node) -> &'s Value {
        loop {
            if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
                schema = &self.schema["$defs"][name];
            } else if let Some(choices) = schema["anyOf"].as_array() {
                let choices: Vec<&Value> = choices.iter().map(|c| self.resolve(c, node)).collect();
                schema = choices.iter().copied().max_by_key(|c| fitness(c, node)).expect("anyOf has alternatives");
            } else {
                return schema;
            }
        }
    }

    /// The typed value of a node; `None` if it does not fit, which was reported, or if it is null.
    fn node(&mut self, node: &Node, schema: &'s Value) -> Option<Value> {
        if node.is_null() || matches!(node.kind, Kind::Unknown) {
            return None;
        }
        let schema = self.resolve(schema, node);
        match &node.kind {
            Kind::Map(_) if accepts(schema, "object") => Some(self.map(node, schema)),
            Kind::List(items) if accepts(schema, "array") => {
                let mut values = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    self.path.push_index(i);
                    values.extend(self.node(item, &schema["items"]));
                    self.path.pop();
                }
                Some(Value::Array(values))
            }
            Kind::Scalar { text, plain } => match scalar(text, *plain, schema) {
                Ok(value) => Some(value),
                Err(problem) => {
                    self.misfit(node.place, format!("{}: {}", self.path, problem.0), problem.1);
                    None
                }
            },
            _ => {
                let found = if matches!(node.kind, Kind::Map(_)) { "a map" } else { "a list" };
                let place = Place { width: 1, ..node.place };
                self.misfit(place, format!("{}: {} is wanted here, found {found}", self.path, wanted(schema)), String::new());
                None
            }
        }
    }

    fn map(&mut self, node: &Node, schema: &'s Value) -> Value {
        let Kind::Map(entries) = &node.kind else { return json!({}) };
        let known = schema["properties"].as_object();
        let mut result = Map::new();
        for entry in entries {
            let inner = known.and_then(|k| k.get(&entry.key)).or(schema.get("additionalProperties").filter(|a| !a.is_boolean()));
            self.path.push_key(&entry.key);
            match inner {
                Some(inner) => {
                    if let Some(value) = self.node(&entry.value, inner) {
                        result.insert(entry.key.clone(), value);
                    }
                }
                None => {
                    let keys = known.into_iter().flat_map(|k| k.keys()).map(String::as_str);
                    let owner = self.path.parent().to_string();
                    let of = if owner.is_empty() { "the configuration".to_string() } else { owner };
                    let message = format!("unknown key \"{}\" in {of}", entry.key);
                    self.misfit(entry.place, message, advice(&entry.key, keys));
                }
            }
            self.path.pop();
        }
        self.required(node, schema, &result);
        Value::Object(result)
    }

    fn required(&mut self, node: &Node, schema: &Value, present: &Map<String, Value>) {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for key in required.filter(|key| !present.contains_key(*key)) {
            let properties = || schema["properties"].as_object().into_iter().flat_map(|p| p.keys()).map(String::as_str);
            let there = |e: &Entry| e.key == key && !e.value.is_null();
            let misspelt = |e: &Entry| !properties().any(|p| p == e.key) && nearest(&e.key, properties()) == Some(key);
            if matches!(&node.kind, Kind::Map(entries) if entries.iter().any(|e| there(e) || misspelt(e))) {
                continue; // reported already
            }
            let about = schema["properties"][key]["description"].as_str().unwrap_or("").lines().next().unwrap_or("");
            let place = Place { width: 1, ..node.place };
            self.path.push_key(key);
            self.misfit(place, format!("{} is missing", self.path), about.to_string());
            self.path.pop();
        }
    }
}

fn accepts(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(several) => several.iter().any(|k| k == kind),
        _ => kind == "string" && ["enum", "const", "oneOf"].iter().any(|word| schema.get(word).is_some()),
    }
}

/// How well an alternative suits a node.
fn fitness(schema: &Value, node: &Node) -> usize {
    let scalar = ["string", "number", "integer", "boolean"];
    match &node.kind {
        Kind::Scalar { .. } => usize::from(scalar.iter().any(|k| accepts(schema, k))),
        Kind::List(_) => usize::from(accepts(schema, "array")),
        Kind::Map(entries) if accepts(schema, "object") => {
            1 + 2 * entries.iter().filter(|e| !schema["properties"][&e.key].is_null()).count()
        }
        Kind::Map(_) | Kind::Unknown => 0,
    }
}

/// The words of an enum: `enum: [..]`, or one `const` per alternative.
fn words(schema: &Value) -> Option<Vec<&str>> {
    let listed = schema["enum"].as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
    listed.or_else(|| {
        let all = schema["oneOf"].as_array()?;
        all.iter().map(|c| c["const"].as_str()).collect()
    })
}

fn wanted(schema: &Value) -> String {
    if words(schema).is_some() {
        return "a word".to_string();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|k| *k != "null").and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match (kind, schema["format"].as_str()) {
        (_, Some(duration::FORMAT)) => "a length of time, such as 15m,",
        (_, Some(bytes::FORMAT)) => "an amount of memory, such as 512MiB,",
        (_, Some(raw::TIME)) => "a time, such as 2026-01-31T08:00:00Z,",
        (Some("object"), _) => "a map of settings",
        (Some("array"), _) => "a list",
        (Some("integer"), _) => "a whole number",
        (Some("number"), _) => "a number",
        (Some("boolean"), _) => "true or false",
        _ => "text",
    }
    .to_string()
}

/// Reads a scalar as the schema wants it, or says why not (message, hint).
fn scalar(text: &str, plain: bool, schema: &Value) -> Result<Value, (String, String)> {
    let unexpected = |hint: &str| (format!("{} is wanted here, found \"{text}\"", wanted(schema)), hint.to_string());
    if let Some(words) = words(schema) {
        let known = words.iter().copied();
        return if words.contains(&text) { Ok(json!(text)) } else { Err((format!("\"{text}\" is not known here"), advice(text, known))) };
    }
    if accepts(schema, "string") {
        let verdict = match schema["format"].as_str() {
            Some(duration::FORMAT) => duration::parse(text).map(drop),
            Some(bytes::FORMAT) => bytes::parse(text).map(drop),
            Some(raw::TIME) => raw::Time::parse(text).map(drop),
            _ => Ok(()),
        };
        return verdict.map(|()| json!(text)).map_err(|message| (message, String::new()));
    }
    let number = accepts(schema, "integer") || accepts(schema, "number");
    if number && !plain {
        return Err(unexpected("remove the quotes"));
    }
    if accepts(schema, "integer") {
        let digits = text.replace('_', "");
        let value = digits.parse::<i64>().map_err(|_| unexpected(""))?;
        return in_range(value, schema).map(|()| json!(value)).map_err(|message| (message, String::new()));
    }
    if accepts(schema, "number") {
        let value: f64 = text.replace('_', "").parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| unexpected(""))?;
        return Ok(json!(value));
    }
    match text {
        "true" | "false" if accepts(schema, "boolean") => Ok(json!(text == "true")),
        _ => Err(unexpected("")),
    }
}

/// The range that the field's integer type can hold.
fn in_range(value: i64, schema: &Value) -> Result<(), String> {
    let (low, high) = match schema["format"].as_str() {
        Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i64::MAX),
        _ => (i64::MIN, i64::MAX),
    };
    if (low..=high).contains(&value) { Ok(()) } else { Err(format!("{value} is out of range: {low} to {high}")) }
}
