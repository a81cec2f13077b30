//! The canonical binary encoding of driftline's own records: journal, summaries, marks, plan, state.
//!
//! Guarantees: one value has one encoding; every record starts with kind, format version and length of the body; a reader never
//! panics on any bytes and never allocates more than the input's length promises.
//! Never: depends on the machine (all little-endian or varint) or on a hash map's order.

use crate::planted::{Bug, planted};

/// What a record is. The numbers are fixed for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Part of a join task's epoch: what changed in its memory.
    Journal = 1,
    /// Partial summaries of cells of one model.
    Partial = 2,
    /// How far time is certain in one source.
    Mark = 3,
    /// Definitions with their version.
    Definitions = 4,
    /// A pod's proposal of definitions.
    Proposal = 5,
    /// Edges or categories of a signal with the pane they take effect in.
    Edges = 6,
    /// The last closed panes of a summaries partition.
    Progress = 7,
    // 8 and 9 were a chunk of all streams and its head, before the first release; they are not used again
    /// An operator's command.
    Command = 10,
    /// A partition's count of streams (no writer yet).
    Census = 11,
    /// A chunk of detect state: some of the streams of a partition.
    Chunk = 12,
    /// What changes with every epoch of a monitor.
    Head = 13,
    /// What the streams of a partition share.
    Shared = 14,
}

impl Kind {
    /// The format version that this build writes of a kind, and the newest it reads; it reads all before it.
    pub const fn version(self) -> u8 {
        match self {
            // 2: without limits; still written where there are none. 1: streams whose panes were taken as independent
            Kind::Chunk => 3,
            Kind::Partial => 2, // 1: without counts by class; still written where there are none
            // 1: definitions that are a fixed list of fields; still written where that can say them
            Kind::Definitions | Kind::Proposal => 2,
            // 3: without drills (their streams lie as in chunks); still written where there are none. 2: one version of definitions for all panes; 1: the same with
            // definitions of format 1
            Kind::Head => 4,
            Kind::Shared => 2, // 1: without baselines that were given; still written where there are none
            _ => 1,
        }
    }
}

/// The newest version of a kind by its number; 1 for those that this build does not know.
pub const fn newest(kind: u8) -> u8 {
    let grown = [Kind::Chunk, Kind::Partial, Kind::Definitions, Kind::Proposal, Kind::Head, Kind::Shared];
    let mut i = 0;
    while i < grown.len() {
        if kind == grown[i] as u8 {
            return grown[i].version();
        }
        i += 1;
    }
    1
}

/// Events that a record may count. An epoch has at most 10^8.
pub const MOST_EVENTS: u64 = 1 << 40;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The record ends too early.
    #[error("the record ends in the middle of {0}")]
    Short(&'static str),
    /// A value that can't be.
    #[error("{0} can't be")]
    Value(&'static str),
    /// A newer or unknown format: the reader stops rather than guesses.
    #[error("record of kind {kind} has format version {version}; this driftline reads version {newest}: upgrade it")]
    Version {
        /// The kind's number.
        kind: u8,
        /// The version found.
        version: u8,
        /// The newest that can be read.
        newest: u8,
    },
}

/// Builds one record.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    /// The bytes so far.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Puts kind, version and length before `self`'s bytes.
    pub fn sealed(self, kind: Kind) -> Vec<u8> {
        self.sealed_as(kind, kind.version())
    }

    /// The same for content that an older version of the kind can say: then older readers understand it.
    pub fn sealed_as(self, kind: Kind, version: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 6);
        out.push(kind as u8);
        out.push(version);
        out.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }

    /// One byte.
    pub fn byte(&mut self, v: u8) {
        self.bytes.push(v);
    }

    /// Unsigned, 7 bits a byte.
    pub fn uint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.bytes.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.bytes.push(v as u8);
    }

    /// Each as `uint` writes it.
    pub fn uints(&mut self, values: &[u64]) {
        if values.iter().all(|v| *v < 0x80) {
            return self.bytes.extend(values.iter().map(|v| *v as u8)); // mostly so, and much faster
        }
        values.iter().for_each(|v| self.uint(*v));
    }

    /// Signed, zigzag.
    pub fn int(&mut self, v: i64) {
        self.uint(((v << 1) ^ (v >> 63)) as u64);
    }

    /// 128 bits, zigzag, 7 bits a byte.
    pub fn int128(&mut self, v: i128) {
        let mut z = ((v << 1) ^ (v >> 127)) as u128;
        while z >= 0x80 {
            self.bytes.push(z as u8 | 0x80);
            z >>= 7;
        }
        self.bytes.push(z as u8);
    }

    /// 16 bytes.
    pub fn key(&mut self, v: u128) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    /// 8 bytes.
    pub fn fixed64(&mut self, v: u64) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    /// 8 bytes; every NaN is written as the same one.
    pub fn float(&mut self, v: f64) {
        let v = if v.is_nan() { f64::NAN } else { v };
        self.fixed64(v.to_bits());
    }

    /// Length and UTF-8.
    pub fn text(&mut self, v: &str) {
        self.blob(v.as_bytes());
    }

    /// Length and bytes.
    pub fn blob(&mut self, v: &[u8]) {
        self.uint(v.len() as u64);
        self.bytes.extend_from_slice(v);
    }
}

/// Reads one record.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over the bytes of a body.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Opens a record: its kind's number and a reader of its body. Checks version and length.
    pub fn open(bytes: &'a [u8]) -> Result<(u8, Reader<'a>), Malformed> {
        Reader::open_any(bytes).map(|(kind, _, body)| (kind, body))
    }

    /// The same with the format version, for kinds that have had several.
    pub fn open_any(bytes: &'a [u8]) -> Result<(u8, u8, Reader<'a>), Malformed> {
        let [kind, version, a, b, c, d, body @ ..] = bytes else { return Err(Malformed::Short("the record's head")) };
        if !(1..=newest(*kind)).contains(version) && !planted(Bug::AnyVersion) {
            return Err(Malformed::Version { kind: *kind, version: *version, newest: newest(*kind) });
        }
        if body.len() != u32::from_le_bytes([*a, *b, *c, *d]) as usize {
            return Err(Malformed::Value("a length other than the body's"));
        }
        Ok((*kind, *version, Reader { rest: body }))
    }

    /// Opens a record that must be of `kind`.
    pub fn open_as(bytes: &'a [u8], kind: Kind) -> Result<Reader<'a>, Malformed> {
        match Reader::open(bytes)? {
            (k, reader) if k == kind as u8 => Ok(reader),
            _ => Err(Malformed::Value("a record of another kind")),
        }
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        if n > self.rest.len() {
            return Err(Malformed::Short(what));
        }
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1, "a byte")?[0])
    }

    /// Unsigned.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        if let Some((first, rest)) = self.rest.split_first().filter(|(first, _)| **first < 0x80) {
            self.rest = rest;
            return Ok(u64::from(*first)); // mostly so
        }
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            if shift == 63 && b > 1 {
                return Err(Malformed::Value("a number beyond 64 bits"));
            }
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(v);
            }
        }
        Err(Malformed::Value("a number beyond 64 bits"))
    }

    /// A count of events in one record: so small that sums of many records never overflow.
    #[inline]
    pub fn tally(&mut self) -> Result<u64, Malformed> {
        let n = self.uint()?;
        if n > MOST_EVENTS { Err(Malformed::Value("a count of more than 2^40 events")) } else { Ok(n) }
    }

    /// A sum of at most 2^`bits`, either way.
    pub fn sum(&mut self, bits: u32) -> Result<i128, Malformed> {
        let sum = self.int128()?;
        if sum.unsigned_abs() > 1 << bits { Err(Malformed::Value("so large a sum")) } else { Ok(sum) }
    }

    /// Signed.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        let z = self.uint()?;
        Ok((z >> 1) as i64 ^ -((z & 1) as i64))
    }

    /// 128 bits.
    pub fn int128(&mut self) -> Result<i128, Malformed> {
        let mut z = 0u128;
        for shift in (0..128).step_by(7) {
            let b = self.byte()?;
            if shift == 126 && b > 3 {
                return Err(Malformed::Value("a number beyond 128 bits"));
            }
            z |= u128::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok((z >> 1) as i128 ^ -((z & 1) as i128));
            }
        }
        Err(Malformed::Value("a number beyond 128 bits"))
    }

    /// 16 bytes.
    pub fn key(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.take(16, "a key")?.try_into().expect("16 bytes were taken")))
    }

    /// 8 bytes.
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.take(8, "eight bytes")?.try_into().expect("8 bytes were taken")))
    }

    /// 8 bytes; every NaN is read as the same one: values that are sorted by their bits stay sorted when they are written again.
    pub fn float(&mut self) -> Result<f64, Malformed> {
        let v = f64::from_bits(self.fixed64()?);
        Ok(if v.is_nan() { f64::NAN } else { v })
    }

    /// A number of things to come, each at least one byte long.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let n = self.uint()? as usize;
        if n > self.rest.len() { Err(Malformed::Value("a count beyond the record's end")) } else { Ok(n) }
    }

    /// Everything that is left (at most `limit` bytes).
    pub fn rest_of(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        self.take(self.rest.len().min(limit), "the rest")
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.blob()?).map_err(|_| Malformed::Value("text that is not UTF-8"))
    }

    /// Bytes.
    pub fn blob(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.count()?;
        self.take(n, "bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(a: u64, b: i64, c: i128, k: u128, t in ".*", f: f64) {
            let mut w = Writer::new();
            w.uint(a); w.int(b); w.int128(c); w.key(k); w.text(&t); w.float(f);
            let bytes = w.sealed(Kind::Mark);
            let mut r = Reader::open_as(&bytes, Kind::Mark).unwrap();
            prop_assert_eq!(r.uint().unwrap(), a);
            prop_assert_eq!(r.int().unwrap(), b);
            prop_assert_eq!(r.int128().unwrap(), c);
            prop_assert_eq!(r.key().unwrap(), k);
            prop_assert_eq!(r.text().unwrap(), t);
            prop_assert_eq!(r.float().unwrap().to_bits(), f.to_bits());
            prop_assert!(r.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Reader::open(&bytes);
            let mut r = Reader::new(&bytes);
            while !r.is_empty() {
                if r.uint().is_err() || r.int128().is_err() || r.text().is_err() { break }
            }
        }
    }

    #[test]
    fn counts_and_sums_have_limits() {
        let mut w = Writer::new();
        [MOST_EVENTS, MOST_EVENTS + 1].iter().for_each(|n| w.uint(*n));
        [1i128 << 20, -(1 << 20), (1 << 20) + 1, i128::MIN].iter().for_each(|n| w.int128(*n));
        let mut r = Reader::new(&w.bytes);
        assert_eq!(r.tally(), Ok(MOST_EVENTS));
        assert!(r.tally().is_err());
        assert_eq!([r.sum(20).unwrap(), r.sum(20).unwrap()], [1 << 20, -(1 << 20)]);
        assert!(r.sum(20).is_err() && r.sum(126).is_err());
    }

    #[test]
    fn a_nan_is_a_nan() {
        for bits in [0xfff8_0000_0000_0000u64, 0x7ff0_0000_0000_0001, u64::MAX] {
            assert_eq!(Reader::new(&bits.to_le_bytes()).float().unwrap().to_bits(), f64::NAN.to_bits());
        }
    }

    #[test]
    fn an_unknown_version_is_an_error_that_says_upgrade() {
        let mut bytes = Writer::new().sealed(Kind::Head);
        bytes[1] = 9;
        assert!(Reader::open(&bytes).unwrap_err().to_string().contains("upgrade"));
    }
}
