//! Kafka's default partitioner for records with a key.
//!
//! Guarantees: the same partition as the Java client's for every key (the two share topics). Fixed for ever.

use crate::engine::types::Partition;

/// The partition of a key among `count` partitions.
///
/// ```
/// # use driftline::{engine::types::Partition, log::partitioner::partition_of};
/// // murmur2("21") = -973932308; (-973932308 & 0x7fffffff) = 1173551340; 1173551340 mod 7 = 3
/// assert_eq!(partition_of(b"21", 7), Partition(3));
/// ```
pub fn partition_of(key: &[u8], count: u32) -> Partition {
    let positive = murmur2(key) as u32 & 0x7fff_ffff;
    Partition((positive % count.max(1)) as i32)
}

/// MurmurHash2 (32 bits, little endian) with Kafka's seed.
pub fn murmur2(bytes: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    #[test]
    fn murmur2_agrees_with_kafkas_own_test() {
        // the cases of Kafka's UtilsTest.testMurmur2
        let cases: [(&str, i32); 6] = [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ];
        for (text, expected) in cases {
            assert_eq!(murmur2(text.as_bytes()), expected, "{text}");
        }
    }
}
