//! Avro's bytes by hand: what a test writes must not come from the code that it tries.

/// A whole number: zigzag, seven bits a byte.
pub fn long(n: i64) -> Vec<u8> {
    let (mut z, mut out) = (((n << 1) ^ (n >> 63)) as u64, Vec::new());
    while z > 0x7f {
        out.push(z as u8 | 0x80);
        z >>= 7;
    }
    out.push(z as u8);
    out
}

/// A text: its length and its bytes.
pub fn text(t: &str) -> Vec<u8> {
    [long(t.len() as i64), t.as_bytes().to_vec()].concat()
}
