//! Tags, varints and lengths, as all messages are made of them.
//!
//! Guarantees: never reads past the end it was given; what is passed over is complete.

use super::{MAX_GROUPS, undecodable};
use crate::codec::plan::Stop;

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Eight,
    Sized,
    Four,
    Group,
    GroupEnd,
}

impl Wire {
    /// In words, for complaints.
    pub(super) fn word(self) -> &'static str {
        match self {
            Wire::Varint => "a varint",
            Wire::Eight => "8 bytes",
            Wire::Sized => "bytes with their length",
            Wire::Four => "4 bytes",
            Wire::Group | Wire::GroupEnd => "a group",
        }
    }
}

/// Where a value lies in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Bytes of a record, how far they are read, and where what is read ends.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) end: usize,
}

impl<'a> Input<'a> {
    pub(super) fn of(bytes: &'a [u8], part: Part) -> Input<'a> {
        Input { bytes, at: part.from, end: part.to }
    }

    pub(super) fn stop(&self, what: &str) -> Stop {
        undecodable(self.at, what)
    }

    #[inline]
    pub(super) fn ended(&self) -> bool {
        self.at >= self.end
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        let bytes = &self.bytes[self.at..self.end];
        let (mut value, mut shift) = (0u64, 0u32);
        for (n, byte) in bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if *byte < 0x80 {
                self.at += n + 1;
                return Ok(value);
            }
            shift += 7;
        }
        Err(self.stop(if bytes.len() < 10 { "the value ends too early" } else { "an integer has more than ten bytes" }))
    }

    /// The number of a field, and how it is written.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, Wire), Stop> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Eight,
            2 => Wire::Sized,
            3 => Wire::Group,
            4 => Wire::GroupEnd,
            5 => Wire::Four,
            _ => return Err(self.stop("there is no such way to write a field")),
        };
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 => Ok((number, wire)),
            _ => Err(self.stop("there is no field with such a number")),
        }
    }

    /// Over a value; where it lies, without its length.
    #[inline]
    pub(super) fn pass(&mut self, number: u32, wire: Wire) -> Result<Part, Stop> {
        let from = self.at;
        match wire {
            Wire::Varint => drop(self.varint()?),
            Wire::Eight => self.advance(8)?,
            Wire::Four => self.advance(4)?,
            Wire::Sized => {
                let length = self.varint()?;
                let from = self.at;
                self.advance(length)?;
                return Ok(Part { from, to: self.at });
            }
            Wire::Group => self.group(number)?,
            Wire::GroupEnd => return Err(self.stop("a group ends that has not begun")),
        }
        Ok(Part { from, to: self.at })
    }

    #[inline]
    fn advance(&mut self, n: u64) -> Result<(), Stop> {
        match usize::try_from(n).ok().filter(|n| *n <= self.end - self.at) {
            Some(n) => {
                self.at += n;
                Ok(())
            }
            None => Err(self.stop("the value ends too early")),
        }
    }

    /// Over a group, and the groups in it.
    fn group(&mut self, number: u32) -> Result<(), Stop> {
        let (mut open, mut depth) = ([0; MAX_GROUPS], 1);
        open[0] = number;
        while depth > 0 {
            match self.tag()? {
                (number, Wire::GroupEnd) if number == open[depth - 1] => depth -= 1,
                (_, Wire::GroupEnd) => return Err(self.stop("another group ends than has begun")),
                (_, Wire::Group) if depth == MAX_GROUPS => return Err(self.stop("groups nest more than 64 deep")),
                (number, Wire::Group) => {
                    open[depth] = number;
                    depth += 1;
                }
                (number, wire) => drop(self.pass(number, wire)?),
            }
        }
        Ok(())
    }
}

/// Zig-zag: small negative numbers are short.
pub(super) fn signed(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Takes the message indexes off that Confluent's framing has between the id and the value; `on` gets each, outermost first. One byte 0 stands for
/// the first message of the schema.
pub fn indexes(bytes: &[u8], mut on: impl FnMut(usize)) -> Result<&[u8], String> {
    let mut input = Input { bytes, at: 0, end: bytes.len() };
    let mut next = || input.varint().ok().map(signed).and_then(|n| usize::try_from(n).ok()).map(|n| (n, input.at));
    let wrong = "the value has no message indexes after the schema id, as Confluent's serialisers write them for Protobuf";
    let (count, mut at) = next().ok_or(wrong)?;
    if count == 0 {
        on(0);
        return Ok(&bytes[at..]);
    }
    if count > MAX_GROUPS {
        return Err(format!("{wrong}: a message can't lie {count} messages deep"));
    }
    for _ in 0..count {
        let (index, after) = next().ok_or(wrong)?;
        on(index);
        at = after;
    }
    Ok(&bytes[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
        let mut path = Vec::new();
        indexes(bytes, |index| path.push(index)).map(|rest| (path, rest))
    }

    #[test]
    fn one_zero_byte_is_the_first_message_and_others_are_counted_zig_zag() {
        // by hand: 2 zig-zag is 4, 1 is 2, 0 is 0, 64 is 128 = 0x80 0x01
        assert_eq!(path(&[0, 9]), Ok((vec![0], &[9u8][..])));
        assert_eq!(path(&[2, 2, 9]), Ok((vec![1], &[9u8][..])));
        assert_eq!(path(&[4, 2, 0]), Ok((vec![1, 0], &[][..])));
        assert_eq!(path(&[2, 0x80, 1, 7]), Ok((vec![64], &[7u8][..])));
        for wrong in [&[][..], &[1], &[4, 2], &[2, 1], &[0x80], &[0xfe, 0xff, 0xff, 0xff, 0x0f]] {
            assert!(path(wrong).is_err(), "{wrong:?}");
        }
    }

    fn passed(bytes: &[u8]) -> Result<usize, Stop> {
        let mut input = Input { bytes, at: 0, end: bytes.len() };
        let (number, wire) = input.tag()?;
        input.pass(number, wire).map(|_| input.at)
    }

    #[test]
    fn groups_are_passed_over_64_deep() {
        // field 1: begin 0x0b, end 0x0c
        let nested = |n: usize| [vec![0x0b; n], vec![0x0c; n]].concat();
        assert_eq!(passed(&nested(64)), Ok(128));
        assert!(passed(&nested(65)).unwrap_err().detail.contains("64 deep"));
        assert_eq!(passed(&[0x0b, 0x10, 5, 0x1a, 1, 9, 0x0c]), Ok(7), "with fields in it");
        for wrong in [&[0x0b][..], &[0x0b, 0x14], &[0x0c], &[0x0b, 0x1a, 9, 0x0c]] {
            assert!(passed(wrong).is_err(), "{wrong:?}");
        }
    }
}
