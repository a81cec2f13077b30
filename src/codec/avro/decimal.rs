//! Decimals as doubles: unscaled big-endian two's complement and a scale.
//!
//! Guarantees: the nearest double up to 16 bytes (38 digits); beyond, correct to about 15 digits.

use super::read::Input;
use std::io::Write;

/// Bytes of a decimal, divided by ten to the `scale`.
pub(super) fn number(bytes: &[u8], scale: i64) -> f64 {
    let fill = if bytes.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let significant = bytes.iter().position(|b| *b != fill).map_or(&bytes[bytes.len()..], |n| &bytes[n..]);
    if significant.len() < 16 {
        let mut wide = [fill; 16];
        wide[16 - significant.len()..].copy_from_slice(significant);
        return scaled(i128::from_be_bytes(wide), scale);
    }
    let power = if scale.unsigned_abs() <= 400 { 10f64.powi(-(scale as i32)) } else { f64::from(u8::from(scale < 0)) * f64::INFINITY };
    let magnitude = bytes.iter().fold(0.0, |x, b| x * 256.0 + f64::from(*b));
    let value = if fill == 0 { magnitude } else { magnitude - 256f64.powi(bytes.len().min(1 << 20) as i32) };
    value * power
}

/// `unscaled / 10^scale`, through text: exact, and rare enough.
fn scaled(unscaled: i128, scale: i64) -> f64 {
    if scale == 0 {
        return unscaled as f64;
    }
    let mut text = [0u8; 80];
    let mut rest = &mut text[..];
    let written = write!(rest, "{unscaled}e{}", -i128::from(scale)).is_ok();
    let left = rest.len();
    let used = text.len() - left;
    if !written {
        return f64::NAN; // 40 digits, "e" and 20 digits fit in 80 bytes
    }
    std::str::from_utf8(&text[..used]).ok().and_then(|t| t.parse().ok()).unwrap_or(f64::NAN)
}

/// A big-decimal: sized unscaled bytes, then the scale.
pub(super) fn big(bytes: &[u8]) -> Option<f64> {
    let mut input = Input { bytes, at: 0 };
    let unscaled = input.sized().ok()?;
    let scale = input.long().ok()?;
    Some(number(unscaled, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_the_nearest_doubles() {
        assert_eq!(number(&[0x30, 0x39], 2), 123.45);
        assert_eq!(number(&[0xff], 1), -0.1);
        assert_eq!(number(&[], 3), 0.0);
        assert_eq!(number(&[0x80], 0), -128.0);
        assert_eq!(number(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], 0), 7.0);
        assert_eq!(number(&[1], -3), 1000.0);
    }

    #[test]
    fn long_ones_are_close() {
        let mut bytes = vec![1];
        bytes.extend([0; 20]);
        assert!((number(&bytes, 0) / 2f64.powi(160) - 1.0).abs() < 1e-14);
        bytes[0] = 0xff;
        bytes[1] = 0;
        assert!((number(&bytes, 0) / -(2f64.powi(160)) - 1.0).abs() < 1e-14);
    }

    #[test]
    fn a_big_decimal_carries_its_scale() {
        assert_eq!(big(&[4, 0x30, 0x39, 4]), Some(123.45));
        assert_eq!(big(&[4, 0x30]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, scale: i64) {
            let _ = (number(&bytes, scale), big(&bytes));
        }
    }
}
