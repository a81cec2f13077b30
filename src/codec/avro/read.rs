//! The walk over a value's bytes.

use super::{Avro, Leaf, MAX_DEPTH, MAX_ELEMENTS, MAX_FIELDS, Role, Sink, Step, Stop, Type, TypeIx, Width, decimal, undecodable};
use crate::codec::event::Doubles;
use crate::codec::plan::NodeIx;
use crate::codec::scalar::Scalar;
use std::borrow::Cow;

pub(super) fn read<'a>(avro: &Avro, bytes: &'a [u8], sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
    let mut walk = Walk::new(avro, bytes, sink);
    walk.value(avro.root, Role::ROOT)?;
    walk.input.ended()
}

/// Bytes, and how far they are read. Never reads past the end.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn stop(&self, what: &str) -> Stop {
        undecodable(self.at, what)
    }

    /// Whether everything was read.
    pub(super) fn ended(&self) -> Result<(), Stop> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.stop(&format!("{left} bytes are left over; was it written with another schema?"))),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Stop> {
        match self.bytes[self.at..].get(..n) {
            Some(taken) => {
                self.at += n;
                Ok(taken)
            }
            None => Err(self.stop("the value ends too early")),
        }
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Stop> {
        if let Some(byte) = self.bytes.get(self.at).filter(|b| **b < 0x80) {
            self.at += 1; // lengths and branches, mostly
            return Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let Some(byte) = self.bytes.get(self.at) else { return Err(self.stop("the value ends too early")) };
            self.at += 1;
            value |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
            if shift > 63 {
                return Err(self.stop("an integer has more than ten bytes"));
            }
        }
    }

    #[inline]
    fn double(&mut self) -> Result<f64, Stop> {
        Ok(f64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    #[inline]
    fn int(&mut self) -> Result<i32, Stop> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| self.stop("an int has more than 32 bits"))
    }

    #[inline]
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| self.stop("a length is negative"))?;
        self.take(length)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, Stop> {
        let bytes = self.sized()?;
        if bytes.is_ascii() {
            // SAFETY: ASCII is UTF-8. Most texts of most records are short ids and codes, for which this is much the shorter way
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).map_err(|_| self.stop("a text is not UTF-8"))
    }
}

/// How far a walk has come, and what it may still meet.
pub(super) struct Walk<'w, 's, 'a> {
    pub(super) avro: &'w Avro,
    pub(super) input: Input<'a>,
    sink: &'w mut Sink<'s, 'a>,
    depth: usize,
    elements: usize,
    fields: usize,
}

impl<'w, 's, 'a> Walk<'w, 's, 'a> {
    /// At the beginning of a value.
    pub(super) fn new(avro: &'w Avro, bytes: &'a [u8], sink: &'w mut Sink<'s, 'a>) -> Walk<'w, 's, 'a> {
        Walk { avro, input: Input { bytes, at: 0 }, sink, depth: 0, elements: 0, fields: 0 }
    }

    #[inline]
    pub(super) fn value(&mut self, ty: TypeIx, role: Role) -> Result<(), Stop> {
        let avro: &'w Avro = self.avro;
        match &avro.types[ty.0 as usize] {
            Type::Leaf(leaf) if role.is_skip() => self.skip(leaf),
            Type::Leaf(leaf) => {
                let scalar = self.leaf(leaf)?;
                self.sink.put(role, scalar)
            }
            Type::Union(variants) => {
                let index = self.input.long()?;
                let variant = usize::try_from(index).ok().and_then(|i| variants.get(i));
                let Some(variant) = variant else { return Err(self.no_branch()) };
                // only unions can nest without a byte of structure around them
                self.value(*variant, role)
            }
            nested => {
                // not by `deeper`: a closure here is a function of its own, and a call for each field
                self.enter()?;
                self.nested(nested, role)?;
                self.depth -= 1;
                Ok(())
            }
        }
    }

    #[cold]
    fn no_branch(&self) -> Stop {
        self.input.stop("a union has no such branch")
    }

    #[inline]
    fn enter(&mut self) -> Result<(), Stop> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.input.stop("more than 64 levels")) } else { Ok(()) }
    }

    /// The branch of a union with so many.
    #[inline]
    pub(super) fn branch(&mut self, variants: usize) -> Result<usize, Stop> {
        let index = self.input.long()?;
        let branch = usize::try_from(index).ok().filter(|i| *i < variants);
        branch.ok_or_else(|| self.no_branch())
    }

    /// One level further in.
    #[inline]
    pub(super) fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.enter()?;
        let found = inside(self)?;
        self.depth -= 1;
        Ok(found)
    }

    /// A record with so many fields begins.
    #[inline]
    pub(super) fn begin_record(&mut self, fields: usize) -> Result<(), Stop> {
        self.fields += fields;
        if self.fields > MAX_FIELDS { Err(self.input.stop("more than 4,000,000 fields")) } else { Ok(()) }
    }

    fn nested(&mut self, ty: &'w Type, role: Role) -> Result<(), Stop> {
        match ty {
            Type::Record(steps) => {
                self.sink.put_object(role)?;
                self.begin_record(steps.len())?;
                steps.iter().try_for_each(|step| self.step(step))
            }
            Type::Array(items) => {
                self.sink.put_list(role)?;
                self.blocks(|walk| walk.value(*items, Role::SKIP))
            }
            Type::List { node, plain, picks } => {
                self.sink.put_list(role)?;
                let mut count = 0;
                self.blocks(|walk| {
                    count += 1;
                    walk.element(*node, count - 1, *plain, picks)
                })?;
                self.sink.end_list(*node, count)
            }
            Type::Map(values) => {
                self.sink.put_object(role)?;
                self.blocks(|walk| {
                    walk.input.text()?;
                    walk.value(*values, Role::SKIP)
                })
            }
            Type::Entries { node, plain, deeper } => {
                self.sink.put_object(role)?;
                self.sink.plan.begin(*node);
                self.blocks(|walk| {
                    let at = walk.input.at;
                    let key = walk.input.sized()?;
                    let role = match walk.sink.plan.expected(*node) {
                        Some(expected) if expected.as_bytes() == key => walk.sink.plan.accept(*node),
                        _ => {
                            let key = std::str::from_utf8(key).map_err(|_| undecodable(at, "a key is not UTF-8"))?;
                            walk.sink.plan.find(*node, key)?
                        }
                    };
                    walk.sink.enter(role);
                    let ty = deeper.iter().find(|d| Some(d.0) == role.node).map_or(*plain, |d| d.1);
                    walk.value(ty, role)
                })
            }
            Type::Leaf(_) | Type::Union(_) => unreachable!("leaves and unions are not nested"),
        }
    }

    /// An element of a list. One that several look for is walked several times.
    fn element(&mut self, node: NodeIx, index: usize, plain: TypeIx, picks: &'w [TypeIx]) -> Result<(), Stop> {
        let (start, counts, mut walked) = (self.input.at, (self.elements, self.fields), false);
        for (k, ty) in picks.iter().enumerate() {
            if let Some(role) = self.sink.choose(node, index, k)? {
                self.input.at = start;
                (self.elements, self.fields) = counts;
                self.value(*ty, role)?;
                self.sink.chosen(node, index, k);
                walked = true;
            }
        }
        if !walked {
            self.value(plain, Role::SKIP)?;
        }
        self.sink.end_element(node, index)
    }

    #[inline]
    fn step(&mut self, step: &'w Step) -> Result<(), Stop> {
        match step {
            Step::Skip(leaf) => self.skip(leaf),
            Step::Slot(leaf, slot) => {
                let scalar = match leaf {
                    // most slots are these: read here, their values need not go through memory
                    Leaf::Text => Scalar::Text(Cow::Borrowed(self.input.text()?)),
                    Leaf::Long => Scalar::Integer(self.input.long()?, None),
                    Leaf::Double => Scalar::Number(self.input.double()?, None),
                    other => self.leaf(other)?,
                };
                self.sink.put_slot(*slot, scalar);
                Ok(())
            }
            Step::Doubles { first, count } => {
                let (numbers, _) = self.input.take(8 * count)?.as_chunks();
                self.sink.put_doubles(Doubles { first: *first, numbers })
            }
            Step::Value(ty, role) => self.value(*ty, *role),
        }
    }

    /// The blocks of a list or map; a negative count is followed by the block's size in bytes, which is not needed.
    pub(super) fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        loop {
            let mut count = self.input.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.input.long()?;
                count = count.checked_neg().ok_or_else(|| self.input.stop("a count is out of range"))?;
            }
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            self.elements = self.elements.saturating_add(count);
            if self.elements > MAX_ELEMENTS {
                return Err(self.input.stop("more than 100,000 elements"));
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    #[inline]
    pub(super) fn leaf(&mut self, leaf: &'w Leaf) -> Result<Scalar<'a>, Stop> {
        let input = &mut self.input;
        Ok(match leaf {
            Leaf::Null => Scalar::Null,
            Leaf::Bool => Scalar::Bool(bool(input)?),
            Leaf::Int => Scalar::Integer(i64::from(input.int()?), None),
            Leaf::Long => Scalar::Integer(input.long()?, None),
            Leaf::Instant(tick, Width::Int) => Scalar::Instant(i64::from(input.int()?), *tick),
            Leaf::Instant(tick, Width::Long) => Scalar::Instant(input.long()?, *tick),
            Leaf::Float => Scalar::Number(f64::from(f32::from_le_bytes(input.take(4)?.try_into().expect("four bytes"))), None),
            Leaf::Double => Scalar::Number(input.double()?, None),
            Leaf::Text => Scalar::Text(Cow::Borrowed(input.text()?)),
            Leaf::Enum(symbols) => Scalar::Text(Cow::Borrowed(symbol(input, symbols)?)),
            Leaf::Decimal { scale, size } => {
                let bytes = sized_or(input, *size)?;
                Scalar::Number(decimal::number(bytes, *scale as i64), None)
            }
            Leaf::BigDecimal => {
                let bytes = input.sized()?;
                let number = decimal::big(bytes).ok_or_else(|| input.stop("a decimal is damaged"))?;
                Scalar::Number(number, None)
            }
            Leaf::UuidText => {
                let text = input.text()?;
                let uuid = apache_avro::Uuid::parse_str(text).map_err(|_| input.stop("a uuid is damaged"))?;
                // one uuid has one text, however it was written
                let usual = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
                Scalar::Text(if usual { Cow::Borrowed(text) } else { Cow::Owned(uuid.to_string()) })
            }
            Leaf::UuidBytes { size } => {
                let bytes = sized_or(input, *size)?;
                let uuid = apache_avro::Uuid::from_slice(bytes).map_err(|_| input.stop("a uuid has not 16 bytes"))?;
                Scalar::Text(Cow::Owned(uuid.to_string()))
            }
            Leaf::Bytes => {
                input.sized()?;
                Scalar::Other("bytes")
            }
            Leaf::Fixed(size) => {
                input.take(*size)?;
                Scalar::Other("bytes")
            }
        })
    }

    /// Over a leaf. What is cheap to check is checked: damage shows early.
    #[inline]
    fn skip(&mut self, leaf: &'w Leaf) -> Result<(), Stop> {
        let input = &mut self.input;
        match leaf {
            Leaf::Null => {}
            Leaf::Bool => drop(bool(input)?),
            Leaf::Int | Leaf::Instant(_, Width::Int) => drop(input.int()?),
            Leaf::Long | Leaf::Instant(_, Width::Long) => drop(input.long()?),
            Leaf::Float => drop(input.take(4)?),
            Leaf::Double => drop(input.take(8)?),
            Leaf::Text | Leaf::Bytes | Leaf::UuidText | Leaf::BigDecimal => drop(input.sized()?),
            Leaf::Fixed(size) => drop(input.take(*size)?),
            Leaf::Enum(symbols) => drop(symbol(input, symbols)?),
            Leaf::Decimal { size, .. } | Leaf::UuidBytes { size } => drop(sized_or(input, *size)?),
        }
        Ok(())
    }
}

#[inline]
fn bool(input: &mut Input<'_>) -> Result<bool, Stop> {
    match input.take(1)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(input.stop("a truth value is neither 0 nor 1")),
    }
}

fn symbol(input: &mut Input<'_>, symbols: &[&'static str]) -> Result<&'static str, Stop> {
    let index = input.int()?;
    let symbol = usize::try_from(index).ok().and_then(|i| symbols.get(i));
    symbol.copied().ok_or_else(|| input.stop("an enum has no such symbol"))
}

fn sized_or<'a>(input: &mut Input<'a>, size: Option<usize>) -> Result<&'a [u8], Stop> {
    match size {
        Some(size) => input.take(size),
        None => input.sized(),
    }
}
