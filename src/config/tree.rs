//! YAML as a tree that remembers where everything was typed.
//!
//! Guarantees: at most 64 levels, 20,000 values and 4 MiB of text, aliases and variables included; duplicate keys and unset variables
//! are reported, all of them.
//! Never: guesses types; a scalar keeps its text, and `shape` reads it as what it must be.

use super::expand::Marked;
use super::shape::Path;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span as Range};
use std::collections::BTreeMap;

/// Values that a configuration may have: aliases can make many of few.
pub const MAX_NODES: usize = 20_000;
/// Maps and lists inside each other: the reader calls itself for each.
pub const MAX_DEPTH: usize = 64;
/// Bytes of a key.
pub const MAX_KEY: usize = 1_024;
/// Bytes of all texts, once aliases and variables are replaced.
pub const MAX_TEXT: usize = 4 << 20;

/// Where something was typed: line from 1, column from 1, width in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// Width; 1 for what spans several lines.
    pub width: usize,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text, with placeholders replaced; `plain` without quotes, so that it may be a number, `true` or null.
    Scalar {
        /// The text.
        text: String,
        /// True without quotes.
        plain: bool,
    },
    /// A scalar that could not be expanded, which was reported: it is there, but nobody knows what it is.
    Unknown,
    /// A list.
    List(Vec<Node>),
    /// Entries in the order typed.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its place.
    pub place: Place,
    /// The value.
    pub value: Node,
}

/// A complaint that needs no schema.
pub struct Fault {
    /// The setting.
    pub path: Path,
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl Node {
    /// True for nothing, `~` and `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entry of a map.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.key == key),
            _ => None,
        }
    }
}

/// Parses the marked text.
pub fn parse(marked: &Marked) -> (Option<Node>, Vec<Fault>) {
    let mut reader = Reader {
        events: Parser::new_from_str(&marked.text),
        marked,
        anchors: BTreeMap::new(),
        size: Size::default(),
        depth: 0,
        faults: Vec::new(),
        path: Path::root(),
    };
    let root = match reader.document() {
        Ok(root) => root,
        Err(fault) => {
            reader.faults.push(fault);
            None
        }
    };
    (root, reader.faults)
}

struct Reader<'a> {
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    marked: &'a Marked,
    anchors: BTreeMap<usize, Node>,
    size: Size,
    depth: usize,
    faults: Vec<Fault>,
    path: Path,
}

/// What a tree takes in memory.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, more: Size) {
        self.nodes += more.nodes;
        self.text += more.text;
    }
}

fn place(range: &Range) -> Place {
    let width = if range.start.line() == range.end.line() { range.end.col().saturating_sub(range.start.col()).max(1) } else { 1 };
    Place { line: range.start.line(), column: range.start.col() + 1, width }
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range), Fault> {
        loop {
            return match self.events.next() {
                Some(Ok((Event::Comment(..), _))) => continue,
                Some(Ok(event)) => Ok(event),
                Some(Err(e)) => {
                    let at = e.marker();
                    let place = Place { line: at.line(), column: at.col() + 1, width: 1 };
                    Err(self.fault(place, format!("this is not YAML: {}", e.info())))
                }
                None => Ok((Event::StreamEnd, Range::default())),
            };
        }
    }

    fn fault(&self, place: Place, message: String) -> Fault {
        Fault { path: self.path.clone(), place, message }
    }

    fn document(&mut self) -> Result<Option<Node>, Fault> {
        let mut root = None;
        loop {
            let (event, range) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self.fault(place(&range), "a second document begins here; one file is one application".to_string()));
                }
                Event::DocumentStart(..) => {
                    let (event, range) = self.next()?;
                    root = Some(self.node(event, range)?);
                }
                _ => return Ok(root),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, range: Range) -> Result<Node, Fault> {
        let here = place(&range);
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(here, format!("more than {MAX_DEPTH} levels of maps and lists")));
        }
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, _) => (anchor, self.scalar(&text, style, here)),
            Event::SequenceStart(_, anchor, _) => (anchor, self.list()?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map()?),
            Event::Alias(anchor) => {
                self.depth -= 1;
                return Ok(Node { place: here, kind: self.alias(anchor, here)? });
            }
            _ => return Err(self.fault(here, "a value is missing here".to_string())),
        };
        self.depth -= 1;
        let node = Node { place: here, kind };
        self.grow(Size { nodes: 1, text: text_of(&node) }, here)?;
        if anchor > 0 {
            self.grow(size(&node), here)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// What an alias refers to, once more.
    fn alias(&mut self, anchor: usize, here: Place) -> Result<Kind, Fault> {
        let Some(known) = self.anchors.get(&anchor) else {
            return Err(self.fault(here, "an alias that contains itself".to_string()));
        };
        let more = size(known);
        self.grow(more, here)?;
        Ok(self.anchors[&anchor].kind.clone())
    }

    /// Counts what is about to be kept, and refuses what is too much.
    fn grow(&mut self, more: Size, here: Place) -> Result<(), Fault> {
        self.size += more;
        let Size { nodes, text } = self.size;
        if nodes > MAX_NODES {
            return Err(self.fault(here, format!("more than {MAX_NODES} values (each alias counts as what it refers to)")));
        }
        if text > MAX_TEXT {
            return Err(self.fault(here, format!("more than {} MiB of text (each alias counts as what it refers to)", MAX_TEXT >> 20)));
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, here: Place) -> Kind {
        let plain = style == ScalarStyle::Plain;
        match self.marked.expand(text) {
            None => Kind::Scalar { text: text.to_string(), plain },
            Some(Ok(text)) => Kind::Scalar { text, plain },
            Some(Err(complaints)) => {
                for message in complaints {
                    let fault = self.fault(here, message);
                    self.faults.push(fault);
                }
                Kind::Unknown
            }
        }
    }

    fn list(&mut self) -> Result<Kind, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, range) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Kind::List(items));
            }
            self.path.push_index(items.len());
            items.push(self.node(event, range)?);
            self.path.pop();
        }
    }

    fn map(&mut self) -> Result<Kind, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (event, range) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                merged.retain(|m| !lines.contains_key(&m.key));
                entries.extend(merged);
                return Ok(Kind::Map(entries));
            }
            let here = place(&range);
            let key = match self.node(event, range)?.kind {
                Kind::Scalar { text, .. } => text,
                _ => return Err(self.fault(here, "a key must be text".to_string())),
            };
            if key.len() > MAX_KEY {
                return Err(self.fault(here, format!("a key of more than {MAX_KEY} bytes")));
            }
            self.path.push_key(&key);
            let (event, range) = self.next()?;
            let value = self.node(event, range)?;
            if key == "<<" {
                merged.extend(entries_of(value));
            } else if let Some(first) = lines.get(&key) {
                let message = format!("\"{key}\" is here for the second time; the first is in line {first}");
                let fault = self.fault(here, message);
                self.faults.push(fault);
            } else {
                lines.insert(key.clone(), here.line);
                entries.push(Entry { key, place: here, value });
            }
            self.path.pop();
        }
    }
}

/// Entries of a map or of a list of maps (YAML's merge key).
fn entries_of(node: Node) -> Vec<Entry> {
    match node.kind {
        Kind::Map(entries) => entries,
        Kind::List(nodes) => nodes.into_iter().flat_map(entries_of).collect(),
        Kind::Scalar { .. } | Kind::Unknown => Vec::new(),
    }
}

fn text_of(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { text, .. } => text.len(),
        _ => 0,
    }
}

fn size(node: &Node) -> Size {
    let mut all = Size { nodes: 1, text: text_of(node) };
    match &node.kind {
        Kind::Scalar { .. } | Kind::Unknown => {}
        Kind::List(items) => items.iter().for_each(|item| all += size(item)),
        Kind::Map(entries) => entries.iter().for_each(|e| {
            all += size(&e.value);
            all.text += e.key.len();
        }),
    }
    all
}
