//! JSON's numbers.
//!
//! Guarantees: the double nearest to the text (as `str::parse`); a number too large for a double is refused, as serde_json does.

use super::lex::{Fault, Lexer};
use crate::codec::scalar::Scalar;

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

/// A number's parts, as far as they fit.
struct Parts {
    start: usize,
    negative: bool,
    /// Its digits as one integer; wrong if there are more than 19 that count.
    mantissa: u64,
    digits: u32,
    fraction: i32,
    exponent: i32,
    whole: bool,
}

impl<'a> Lexer<'a> {
    /// The number that begins here.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Scalar<'a>, Fault> {
        let parts = self.parts()?;
        let text = || self.between(parts.start, self.at);
        if parts.whole && parts.digits <= 18 {
            let value = parts.mantissa as i64;
            return Ok(Scalar::Integer(if parts.negative { -value } else { value }, Some(text())));
        }
        if parts.whole
            && let Ok(value) = text().parse()
        {
            return Ok(Scalar::Integer(value, Some(text())));
        }
        let value = self.double(&parts)?;
        Ok(Scalar::Number(value, parts.whole.then(text)))
    }

    /// Over the number that begins here.
    pub(super) fn skip_number(&mut self) -> Result<(), Fault> {
        let parts = self.parts()?;
        // only a large exponent or very many digits can be too large
        if parts.exponent.saturating_add(parts.digits as i32) > 300 {
            self.double(&parts)?;
        }
        Ok(())
    }

    fn double(&self, parts: &Parts) -> Result<f64, Fault> {
        let power = parts.exponent.saturating_sub(parts.fraction);
        if parts.digits <= 19 && parts.mantissa <= 1 << 53 && power.unsigned_abs() <= 22 {
            // both are exact, so one rounding makes the nearest double
            let scale = POWERS[power.unsigned_abs() as usize];
            let value = if power < 0 { parts.mantissa as f64 / scale } else { parts.mantissa as f64 * scale };
            return Ok(if parts.negative { -value } else { value });
        }
        let fault = Fault { at: parts.start, what: "a number is out of range" };
        self.between(parts.start, self.at).parse().ok().filter(|x: &f64| x.is_finite()).ok_or(fault)
    }

    #[inline]
    fn parts(&mut self) -> Result<Parts, Fault> {
        let start = self.at;
        let negative = self.bytes[start] == b'-';
        self.at += usize::from(negative);
        let mut parts = Parts { start, negative, mantissa: 0, digits: 0, fraction: 0, exponent: 0, whole: true };
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => drop(self.digits(&mut parts)),
            _ => return Err(self.fault("a number has no digits")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            parts.whole = false;
            parts.fraction = self.digits(&mut parts);
            if parts.fraction == 0 {
                return Err(self.fault("digits are missing after the point"));
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            parts.whole = false;
            parts.exponent = self.exponent()?;
        }
        Ok(parts)
    }

    /// Adds digits to the mantissa; returns how many there were.
    #[inline]
    fn digits(&mut self, parts: &mut Parts) -> i32 {
        let rest = &self.bytes[self.at..];
        let mut mantissa = parts.mantissa;
        // zeros before the first other digit do not count
        let (mut count, mut zeros) = (0, 0);
        for digit in rest.iter().map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
            zeros += usize::from(mantissa == 0 && count <= 19);
        }
        let counted = if parts.digits > 0 { count } else { count - zeros };
        parts.mantissa = mantissa;
        parts.digits = parts.digits.saturating_add(u32::try_from(counted).unwrap_or(u32::MAX));
        self.at += count;
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    fn exponent(&mut self) -> Result<i32, Fault> {
        let negative = self.bytes.get(self.at) == Some(&b'-');
        if let Some(b'+' | b'-') = self.bytes.get(self.at) {
            self.at += 1;
        }
        let start = self.at;
        let mut value = 0i32;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = value.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("digits are missing in the exponent"));
        }
        Ok(if negative { -value } else { value })
    }
}
