//! The walk over a value's bytes.
//!
//! A message is gone through once to see where its wanted fields lie; then they are put in the order of their numbers. So the last of a
//! field wins whatever came before, elements of a list may lie anywhere, and what is not there can have its default value.

use super::wire::{Input, Part, Wire, signed};
use super::{Item, Leaf, MAX_ELEMENTS, MAX_FIELDS, Message, Sink, Step, Stop, What};
use crate::codec::plan::{NodeIx, Role};
use crate::codec::scalar::{Scalar, Tick};
use std::borrow::Cow;
use std::io::Write;

/// Room for what was seen, used again for each value.
#[derive(Debug, Default)]
pub struct Scratch {
    seen: Vec<Seen>,
}

/// Where a field was seen in the message that is being walked.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Where its first tag begins; of a oneof, which of its fields is set.
    first: usize,
    last: Part,
    count: usize,
}

const UNSEEN: Seen = Seen { first: usize::MAX, last: Part { from: 0, to: 0 }, count: 0 };

pub(super) fn read<'a>(root: &Message, bytes: &'a [u8], sink: &mut Sink<'_, 'a>, scratch: &mut Scratch) -> Result<(), Stop> {
    scratch.seen.clear();
    let mut walk = Walk { bytes, sink, scratch, elements: 0, fields: 0 };
    walk.message(root, &[Part { from: 0, to: bytes.len() }], Role::ROOT)
}

/// How much has been seen, and where to put what is found.
struct Walk<'w, 's, 'a> {
    bytes: &'a [u8],
    sink: &'w mut Sink<'s, 'a>,
    scratch: &'w mut Scratch,
    elements: usize,
    fields: usize,
}

/// The places of one field in a message, which may itself lie in several.
struct Occurrences<'p, 'a> {
    number: u32,
    left: usize,
    input: Input<'a>,
    parts: std::slice::Iter<'p, Part>,
}

impl<'p, 'a> Occurrences<'p, 'a> {
    fn of(bytes: &'a [u8], number: u32, seen: Seen, parts: &'p [Part]) -> Occurrences<'p, 'a> {
        let before = parts.partition_point(|part| part.to <= seen.first);
        let mut parts = parts[before..].iter();
        let to = parts.next().map_or(seen.first, |part| part.to);
        Occurrences { number, left: seen.count, input: Input { bytes, at: seen.first, end: to }, parts }
    }
}

impl<'a> Walk<'_, '_, 'a> {
    fn message(&mut self, message: &Message, parts: &[Part], role: Role) -> Result<(), Stop> {
        if !message.transparent {
            self.sink.put_object(role)?;
        }
        let base = self.look(message, parts)?;
        for (at, step) in message.steps.iter().enumerate() {
            let seen = self.seen(message, base, at);
            let role = if message.transparent { role } else { step.role };
            self.step(step, seen, parts, role)?;
        }
        self.scratch.seen.truncate(base);
        Ok(())
    }

    /// Sees where the fields of a message lie; they are remembered from the place on that is returned.
    fn look(&mut self, message: &Message, parts: &[Part]) -> Result<usize, Stop> {
        let base = self.scratch.seen.len();
        self.count(message.steps.len(), parts.first().map_or(0, |part| part.from))?;
        self.scratch.seen.resize(base + message.steps.len() + message.oneofs, UNSEEN);
        let seen = &mut self.scratch.seen[base..];
        for part in parts {
            let (mut input, mut near) = (Input::of(self.bytes, *part), 0);
            while !input.ended() {
                let first = input.at;
                let (number, wire) = input.tag()?;
                let Some(at) = position(&message.steps, number, near) else {
                    input.pass(number, wire)?;
                    continue;
                };
                near = at;
                let step = &message.steps[at];
                if !step.fits(wire) {
                    let what = format!("field \"{}\" is written as {}; was it written by another schema?", step.name, wire.word());
                    return Err(input.stop(&what));
                }
                let last = input.pass(number, wire)?;
                if let Some(oneof) = step.oneof {
                    let chosen = &mut seen[message.steps.len() + usize::from(oneof)].first;
                    if std::mem::replace(chosen, at) != at {
                        seen[at] = UNSEEN;
                    }
                }
                let known = &mut seen[at];
                *known = Seen { first: known.first.min(first), last, count: known.count + 1 };
            }
        }
        Ok(base)
    }

    /// Where field `at` was seen, if it is still set.
    fn seen(&self, message: &Message, base: usize, at: usize) -> Seen {
        let seen = &self.scratch.seen[base..];
        match message.steps[at].oneof {
            Some(oneof) if seen[message.steps.len() + usize::from(oneof)].first != at => UNSEEN,
            _ => seen[at],
        }
    }

    fn step(&mut self, step: &Step, seen: Seen, parts: &[Part], role: Role) -> Result<(), Stop> {
        match &step.what {
            What::Nothing => Ok(()),
            What::One { presence: true, .. } if seen.count == 0 => Ok(()),
            What::One { item: Item::Leaf(leaf), .. } => {
                let scalar = match seen.count {
                    0 => zero(leaf),
                    _ => self.scalar(leaf, seen.last)?,
                };
                match step.slot {
                    Some(slot) => {
                        self.sink.put_slot(slot, scalar);
                        Ok(())
                    }
                    None => self.sink.put(role, scalar),
                }
            }
            What::One { item, .. } => self.one(step.number, item, seen, parts, role),
            What::List { node, plain, picks } => {
                self.sink.put_list(role)?;
                match node {
                    Some(node) => self.list(step.number, seen, parts, *node, plain, picks),
                    None => Ok(()),
                }
            }
            What::Map { node, entry, deeper } => {
                self.sink.put_object(role)?;
                let Some(node) = node else { return Ok(()) };
                self.sink.plan.begin(*node);
                let mut places = Occurrences::of(self.bytes, step.number, seen, parts);
                while let Some((_, part)) = self.next(&mut places)? {
                    self.element(part)?;
                    self.entry(part, *node, entry, deeper)?;
                }
                Ok(())
            }
        }
    }

    /// The value of a field that has one; a message that came several times is all of them together.
    fn one(&mut self, number: u32, item: &Item, seen: Seen, parts: &[Part], role: Role) -> Result<(), Stop> {
        match (seen.count, item) {
            (0, _) => self.item(item, &[], role),
            (2.., Item::Message(_) | Item::Instant) => {
                let mut places = Occurrences::of(self.bytes, number, seen, parts);
                let mut all = Vec::new();
                while let Some((_, part)) = self.next(&mut places)? {
                    self.element(part)?;
                    all.push(part);
                }
                self.item(item, &all, role)
            }
            _ => self.item(item, &[seen.last], role),
        }
    }

    /// A value that lies in these parts; in none if it is a default.
    fn item(&mut self, item: &Item, parts: &[Part], role: Role) -> Result<(), Stop> {
        match item {
            Item::Leaf(leaf) => {
                let scalar = match parts.last() {
                    Some(part) => self.scalar(leaf, *part)?,
                    None => zero(leaf),
                };
                self.sink.put(role, scalar)
            }
            Item::Message(message) => self.message(message, parts, role),
            Item::Instant => {
                let instant = self.instant(parts)?;
                self.sink.put(role, instant)
            }
            Item::Opaque => self.sink.put_object(role),
        }
    }

    fn list(&mut self, number: u32, seen: Seen, parts: &[Part], node: NodeIx, plain: &Item, picks: &[Item]) -> Result<(), Stop> {
        let mut count = 0;
        let mut places = Occurrences::of(self.bytes, number, seen, parts);
        while let Some((wire, part)) = self.next(&mut places)? {
            let way = match plain {
                Item::Leaf(leaf) => leaf.wire(),
                _ => Wire::Sized,
            };
            if wire == way {
                self.pick(part, node, count, picks)?;
                count += 1;
                continue;
            }
            // packed: neighbours without tags
            let mut input = Input::of(self.bytes, part);
            while !input.ended() {
                let part = input.pass(number, way)?;
                self.pick(part, node, count, picks)?;
                count += 1;
            }
        }
        self.sink.end_list(node, count)
    }

    /// An element of a list. One that several look for is walked several times.
    fn pick(&mut self, part: Part, node: NodeIx, index: usize, picks: &[Item]) -> Result<(), Stop> {
        self.element(part)?;
        let elements = self.elements;
        for (k, item) in picks.iter().enumerate() {
            if let Some(role) = self.sink.choose(node, index, k)? {
                self.elements = elements;
                self.item(item, &[part], role)?;
                self.sink.chosen(node, index, k);
            }
        }
        self.sink.end_element(node, index)
    }

    fn entry(&mut self, part: Part, node: NodeIx, entry: &Message, deeper: &[(NodeIx, Item)]) -> Result<(), Stop> {
        let base = self.look(entry, &[part])?;
        let (key, value) = (self.scratch.seen[base], self.scratch.seen[base + 1]);
        self.scratch.seen.truncate(base);
        let [Step { what: What::One { item: Item::Leaf(leaf), .. }, .. }, Step { number, what: What::One { item: plain, .. }, .. }] =
            &*entry.steps
        else {
            return Ok(()); // compiled to a key and a value
        };
        let key = if key.count == 0 { zero(leaf) } else { self.scalar(leaf, key.last)? };
        let mut digits = [0; 24];
        let role = match &key {
            Scalar::Text(key) => self.found(node, key),
            Scalar::Bool(key) => self.found(node, if *key { "true" } else { "false" }),
            Scalar::Integer(key, _) => self.found(node, written(&mut digits, key)),
            _ => return Ok(()), // nothing else is a key
        }?;
        self.sink.enter(role);
        let item = deeper.iter().find(|d| Some(d.0) == role.node).map_or(plain, |d| &d.1);
        self.one(*number, item, value, &[part], role)
    }

    fn found(&mut self, node: NodeIx, key: &str) -> Result<Role, Stop> {
        match self.sink.plan.expected(node) {
            Some(expected) if *expected == *key => Ok(self.sink.plan.accept(node)),
            _ => self.sink.plan.find(node, key),
        }
    }

    /// The next place of a field.
    fn next(&mut self, places: &mut Occurrences<'_, 'a>) -> Result<Option<(Wire, Part)>, Stop> {
        while places.left > 0 {
            while places.input.ended() {
                let Some(part) = places.parts.next() else { return Ok(None) };
                places.input = Input::of(self.bytes, *part);
            }
            let (number, wire) = places.input.tag()?;
            let part = places.input.pass(number, wire)?;
            self.count(1, part.from)?;
            if number == places.number {
                places.left -= 1;
                return Ok(Some((wire, part)));
            }
        }
        Ok(None)
    }

    fn count(&mut self, fields: usize, at: usize) -> Result<(), Stop> {
        self.fields += fields;
        if self.fields > MAX_FIELDS { Err(super::undecodable(at, "more than 4,000,000 fields")) } else { Ok(()) }
    }

    fn element(&mut self, part: Part) -> Result<(), Stop> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS { Err(super::undecodable(part.from, "more than 100,000 elements")) } else { Ok(()) }
    }

    /// Seconds and nanoseconds, which are fields 1 and 2.
    fn instant(&self, parts: &[Part]) -> Result<Scalar<'a>, Stop> {
        let (mut seconds, mut nanos) = (0, 0);
        for part in parts {
            let mut input = Input::of(self.bytes, *part);
            while !input.ended() {
                match input.tag()? {
                    (1, Wire::Varint) => seconds = input.varint()? as i64,
                    (2, Wire::Varint) => nanos = i64::from(input.varint()? as i32),
                    (number, wire) => drop(input.pass(number, wire)?),
                }
            }
        }
        let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(nanos.div_euclid(1_000)));
        let at = parts.first().map_or(0, |part| part.from);
        micros.map(|micros| Scalar::Instant(micros, Tick::Micro)).ok_or_else(|| super::undecodable(at, "a timestamp is out of range"))
    }

    fn varint(&self, part: Part) -> Result<u64, Stop> {
        Input::of(self.bytes, part).varint()
    }

    fn fixed<const N: usize>(&self, part: Part) -> Result<[u8; N], Stop> {
        self.bytes[part.from..part.to].try_into().map_err(|_| super::undecodable(part.from, "a number of fixed length has another"))
    }

    #[inline]
    fn scalar(&self, leaf: &Leaf, part: Part) -> Result<Scalar<'a>, Stop> {
        let whole = |value: i64| Scalar::Integer(value, None);
        Ok(match leaf {
            Leaf::Null => Scalar::Null,
            Leaf::Bool => Scalar::Bool(self.varint(part)? != 0),
            Leaf::Int32 => whole(i64::from(self.varint(part)? as i32)),
            Leaf::Int64 => whole(self.varint(part)? as i64),
            Leaf::Uint32 => whole(i64::from(self.varint(part)? as u32)),
            Leaf::Uint64 { digits } => large(self.varint(part)?, *digits),
            Leaf::Sint32 => whole(i64::from(signed(u64::from(self.varint(part)? as u32)) as i32)),
            Leaf::Sint64 => whole(signed(self.varint(part)?)),
            Leaf::Fixed32 => whole(i64::from(u32::from_le_bytes(self.fixed(part)?))),
            Leaf::Fixed64 { digits } => large(u64::from_le_bytes(self.fixed(part)?), *digits),
            Leaf::Sfixed32 => whole(i64::from(i32::from_le_bytes(self.fixed(part)?))),
            Leaf::Sfixed64 => whole(i64::from_le_bytes(self.fixed(part)?)),
            Leaf::Float => Scalar::Number(f64::from(f32::from_le_bytes(self.fixed(part)?)), None),
            Leaf::Double => Scalar::Number(f64::from_le_bytes(self.fixed(part)?), None),
            Leaf::Text => {
                let text = std::str::from_utf8(&self.bytes[part.from..part.to]);
                Scalar::Text(Cow::Borrowed(text.map_err(|_| super::undecodable(part.from, "a text is not UTF-8"))?))
            }
            Leaf::Bytes => Scalar::Other("bytes"),
            Leaf::Enum(names) => symbol(names, self.varint(part)? as i32),
        })
    }
}

/// The step with this number; mostly it is the same as before, or the next one.
#[inline]
fn position(steps: &[Step], number: u32, near: usize) -> Option<usize> {
    let is = |at: &usize| steps.get(*at).is_some_and(|step| step.number == number);
    let close = Some(near).filter(is).or_else(|| Some(near + 1).filter(is));
    close.or_else(|| steps.binary_search_by_key(&number, |step| step.number).ok())
}

impl Step {
    /// Whether a value that is written so can be its.
    #[inline]
    fn fits(&self, wire: Wire) -> bool {
        match &self.what {
            What::Nothing => true,
            What::One { item: Item::Leaf(leaf), .. } => wire == leaf.wire(),
            What::List { plain: Item::Leaf(leaf), .. } => wire == leaf.wire() || wire == Wire::Sized,
            What::One { .. } | What::List { .. } | What::Map { .. } => wire == Wire::Sized,
        }
    }
}

impl Leaf {
    fn wire(&self) -> Wire {
        match self {
            Leaf::Fixed64 { .. } | Leaf::Sfixed64 | Leaf::Double => Wire::Eight,
            Leaf::Fixed32 | Leaf::Sfixed32 | Leaf::Float => Wire::Four,
            Leaf::Text | Leaf::Bytes => Wire::Sized,
            _ => Wire::Varint,
        }
    }
}

/// What a field has that is not there and can't be missing.
fn zero(leaf: &Leaf) -> Scalar<'static> {
    match leaf {
        Leaf::Null => Scalar::Null,
        Leaf::Bool => Scalar::Bool(false),
        Leaf::Float | Leaf::Double => Scalar::Number(0.0, None),
        Leaf::Text => Scalar::Text(Cow::Borrowed("")),
        Leaf::Bytes => Scalar::Other("bytes"),
        Leaf::Enum(names) => symbol(names, 0),
        _ => Scalar::Integer(0, None),
    }
}

/// The name of an enum's number; one that the schema does not know is itself.
fn symbol(names: &[(i32, &'static str)], number: i32) -> Scalar<'static> {
    match names.binary_search_by_key(&number, |name| name.0) {
        Ok(at) => Scalar::Text(Cow::Borrowed(names[at].1)),
        Err(_) => Scalar::Integer(i64::from(number), None),
    }
}

/// A number that may be larger than `Integer`.
fn large(value: u64, digits: bool) -> Scalar<'static> {
    match i64::try_from(value) {
        Ok(value) => Scalar::Integer(value, None),
        Err(_) if digits => Scalar::Text(Cow::Owned(value.to_string())),
        Err(_) => Scalar::Number(value as f64, None),
    }
}

fn written<'d>(digits: &'d mut [u8; 24], number: &impl std::fmt::Display) -> &'d str {
    let mut rest = &mut digits[..];
    let fits = write!(rest, "{number}").is_ok(); // 20 digits at most
    let left = if fits { rest.len() } else { 24 };
    std::str::from_utf8(&digits[..24 - left]).unwrap_or_default()
}
