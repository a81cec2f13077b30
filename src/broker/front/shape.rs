//! Whether a request's lists can be as long as they say.
//!
//! Why: the library's decoder believes the lengths of lists and reserves memory for them: a request of 20 bytes can ask for gigabytes.
//! Guarantees: what passes has every element that its lists announce; what a Kafka client sends passes.
//! Never: judges what a request means, or allocates. Goes to: `connection`, before it decodes.

use kafka_protocol::messages::ApiKey;

/// The body of a request. `b h i l`: 1, 2, 4, 8 bytes; `s`: text with a length of 2 bytes; `B`: bytes with a length of 4;
/// `[..]`: a list with a count of 4. With lengths of 7 bits a byte: `S` text or bytes, `{..}` a list, `T` tagged fields.
fn shape(key: ApiKey, version: i16) -> Option<&'static str> {
    use ApiKey as K;
    Some(match (key, version) {
        (K::Produce, 3..=8) => "shi[s[iB]]",
        (K::Fetch, 4) => "iiiib[s[ili]]",
        (K::Fetch, 5..=6) => "iiiib[s[illi]]",
        (K::Fetch, 7..=8) => "iiiibii[s[illi]][s[i]]",
        (K::Fetch, 9..=10) => "iiiibii[s[iilli]][s[i]]",
        (K::Fetch, 11) => "iiiibii[s[iilli]][s[i]]s",
        (K::ListOffsets, 1) => "i[s[il]]",
        (K::ListOffsets, 2..=3) => "ib[s[il]]",
        (K::ListOffsets, 4..=5) => "ib[s[iil]]",
        (K::Metadata, 0..=3) => "[s]",
        (K::Metadata, 4..=7) => "[s]b",
        (K::Metadata, 8) => "[s]bbb",
        (K::Metadata, 9) => "{ST}bbbT",
        (K::OffsetCommit, 2..=4) => "sisl[s[ils]]",
        (K::OffsetCommit, 5) => "sis[s[ils]]",
        (K::OffsetCommit, 6) => "sis[s[ilis]]",
        (K::OffsetCommit, 7) => "siss[s[ilis]]",
        (K::OffsetFetch, 1..=5) => "s[s[i]]",
        (K::OffsetFetch, 6) => "S{S{i}T}T",
        (K::OffsetFetch, 7) => "S{S{i}T}bT",
        (K::FindCoordinator, 0) => "s",
        (K::FindCoordinator, 1..=2) => "sb",
        (K::FindCoordinator, 3) => "SbT",
        (K::JoinGroup, 0) => "siss[sB]",
        (K::JoinGroup, 1..=4) => "siiss[sB]",
        (K::JoinGroup, 5) => "siisss[sB]",
        (K::JoinGroup, 6) => "SiiSSS{SST}T",
        (K::Heartbeat, 0..=2) => "sis",
        (K::Heartbeat, 3) => "siss",
        (K::Heartbeat, 4) => "SiSST",
        (K::LeaveGroup, 0..=2) => "ss",
        (K::LeaveGroup, 3) => "s[ss]",
        (K::LeaveGroup, 4) => "S{SST}T",
        (K::SyncGroup, 0..=2) => "sis[sB]",
        (K::SyncGroup, 3) => "siss[sB]",
        (K::SyncGroup, 4) => "SiSS{SST}T",
        (K::DescribeGroups, 0..=2) => "[s]",
        (K::DescribeGroups, 3..=4) => "[s]b",
        (K::ListGroups | K::ApiVersions, 0..=2) => "",
        (K::ListGroups, 3) => "T",
        (K::ApiVersions, 3) => "SST",
        (K::CreateTopics, 2..=4) => "[sih[i[i]][ss]]ib",
        (K::CreateTopics, 5) => "{Sih{i{i}T}{SST}T}ibT",
        (K::DeleteTopics, 1..=3) => "[s]i",
        (K::DeleteTopics, 4) => "{S}iT",
        (K::DeleteRecords, 0..=1) => "[s[il]]i",
        (K::InitProducerId, 0..=1) => "si",
        (K::InitProducerId, 2) => "SiT",
        (K::InitProducerId, 3..=4) => "SilhT",
        (K::AddPartitionsToTxn, 0..=2) => "slh[s[i]]",
        (K::AddPartitionsToTxn, 3) => "Slh{S{i}T}T",
        (K::AddOffsetsToTxn, 0..=2) => "slhs",
        (K::AddOffsetsToTxn, 3) => "SlhST",
        (K::EndTxn, 0..=2) => "slhb",
        (K::EndTxn, 3) => "SlhbT",
        (K::TxnOffsetCommit, 0..=1) => "sslh[s[ils]]",
        (K::TxnOffsetCommit, 2) => "sslh[s[ilis]]",
        (K::TxnOffsetCommit, 3) => "SSlhiSS{S{iliST}T}T",
        (K::DescribeConfigs, 1..=2) => "[bs[s]]b",
        (K::DescribeConfigs, 3) => "[bs[s]]bb",
        (K::CreatePartitions, 0..=1) => "[si[[i]]]ib",
        (K::CreatePartitions, 2) => "{Si{{i}T}T}ibT",
        _ => return None,
    })
}

/// How many bytes of a request's body are left behind everything that its shape asks for; `None` if it is not all there.
pub(super) fn left_over(key: ApiKey, version: i16, body: &[u8]) -> Option<usize> {
    let mut walk = Walk { rest: body };
    walk.all(shape(key, version)?.as_bytes())?;
    Some(walk.rest.len())
}

/// Over the header before the body: two lengths, a number, the client's name, perhaps tagged fields.
pub(super) fn body_of(frame: &[u8], header_version: i16) -> Option<&[u8]> {
    let mut walk = Walk { rest: frame };
    walk.all(if header_version >= 2 { b"hhisT" } else { b"hhis" })?;
    Some(walk.rest)
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn all(&mut self, shape: &[u8]) -> Option<()> {
        let mut at = 0;
        while let Some(letter) = shape.get(at) {
            at += 1;
            match letter {
                b'[' | b'{' => {
                    let inner = inner(&shape[at..]);
                    let count = if *letter == b'[' { self.number(4)? } else { self.short()? - 1 };
                    for _ in 0..count {
                        self.all(inner)?;
                    }
                    at += inner.len() + 1;
                }
                letter => self.one(*letter)?,
            }
        }
        Some(())
    }

    fn one(&mut self, letter: u8) -> Option<()> {
        let length = match letter {
            b'b' => 1,
            b'h' => 2,
            b'i' => 4,
            b'l' => 8,
            b's' => self.number(2)?,
            b'B' => self.number(4)?,
            b'S' => self.short()? - 1,
            _ => return self.tagged(),
        };
        self.take(usize::try_from(length).unwrap_or(0)).map(drop) // -1 is nothing
    }

    fn tagged(&mut self) -> Option<()> {
        for _ in 0..self.short()? {
            self.short()?;
            let length = self.short()?;
            self.take(usize::try_from(length).ok()?)?;
        }
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Big-endian, signed.
    fn number(&mut self, bytes: usize) -> Option<i64> {
        let taken = self.take(bytes)?;
        let negative = taken[0] & 0x80 != 0;
        Some(taken.iter().fold(if negative { -1 } else { 0 }, |n, b| n << 8 | i64::from(*b)))
    }

    /// Unsigned, 7 bits a byte, at most five of them.
    fn short(&mut self) -> Option<i64> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= i64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value & i64::from(u32::MAX));
            }
        }
        None
    }
}

/// What stands before the bracket that closes the one before `shape`.
fn inner(shape: &[u8]) -> &[u8] {
    let mut open = 1;
    let closes = |letter: &u8| {
        open += match letter {
            b'[' | b'{' => 1,
            b']' | b'}' => -1,
            _ => 0,
        };
        open == 0
    };
    let end = shape.iter().position(closes).unwrap_or(shape.len());
    &shape[..end]
}

#[cfg(test)]
mod tests {
    use super::super::SERVED;
    use super::*;

    #[test]
    fn every_request_that_is_served_has_a_shape() {
        for (key, low, high) in SERVED {
            (*low..=*high).for_each(|version| assert!(shape(*key, version).is_some(), "{key:?} {version}"));
        }
    }

    #[test]
    fn a_list_needs_its_elements() {
        let body = |count: i32| [&count.to_be_bytes()[..], &[0, 1, b't']].concat();
        assert_eq!(left_over(ApiKey::Metadata, 0, &body(1)), Some(0));
        assert_eq!(left_over(ApiKey::Metadata, 0, &body(0)), Some(3));
        assert_eq!(left_over(ApiKey::Metadata, 0, &body(-1)), Some(3));
        assert_eq!(left_over(ApiKey::Metadata, 0, &body(2)), None);
        assert_eq!(left_over(ApiKey::Metadata, 0, &body(i32::MAX)), None);
        assert_eq!(left_over(ApiKey::Metadata, 9, &[2, 2, b't', 0, 1, 1, 1, 0]), Some(0));
        assert_eq!(left_over(ApiKey::Metadata, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f, 2, b't', 0, 1, 1, 1, 0]), None);
    }
}
