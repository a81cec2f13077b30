//! JSON's tokens: strings, words, the blanks between them.
//!
//! Guarantees: positions never pass the end of the text; every position between tokens is a character boundary.

use super::Str;
use std::borrow::Cow;

/// What is wrong, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// Nonzero if one of eight bytes is a quote, a backslash or a control character; the lowest such byte is exact.
fn special(word: u64) -> u64 {
    let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, bytes: text.as_bytes(), at: 0 }
    }

    pub(super) fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    /// The next byte that is no blank.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                next => return next.copied(),
            }
        }
    }

    /// Over the byte that was peeked.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.fault(what))
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let there = self.bytes[self.at.min(self.bytes.len())..].starts_with(word.as_bytes());
        if there {
            self.at += word.len();
        }
        there
    }

    /// Takes the string that begins here if it is `name`, which needs no escapes.
    #[inline]
    pub(super) fn take_key(&mut self, name: &str) -> bool {
        let (start, name) = (self.at + 1, name.as_bytes());
        let end = start + name.len();
        let there = self.bytes.get(end) == Some(&b'"') && &self.bytes[start..end] == name;
        if there {
            self.at = end + 1;
        }
        there
    }

    /// From `at` to the next byte that ends or changes a string.
    #[inline]
    fn run(&mut self) -> Result<u8, Fault> {
        while let Some(chunk) = self.bytes.get(self.at..self.at + 8) {
            let found = special(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return Ok(self.bytes[self.at]);
            }
            self.at += 8;
        }
        while let Some(byte) = self.bytes.get(self.at) {
            if *byte < 0x20 || matches!(byte, b'"' | b'\\') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(self.fault("a string has no end"))
    }

    /// The string that begins here.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Str<'a>, Fault> {
        self.at += 1;
        let start = self.at;
        if self.run()? == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        self.escaped(start).map(Cow::Owned)
    }

    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, Fault> {
        let mut text = self.text[start..self.at].to_string();
        loop {
            let from = self.at;
            match self.run()? {
                b'"' => {
                    text.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    text.push_str(&self.text[from..self.at]);
                    text.push(self.escape()?);
                }
                _ => return Err(self.fault("a control character stands in a string")),
            }
        }
    }

    pub(super) fn skip_string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            match self.run()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => drop(self.escape()?),
                _ => return Err(self.fault("a control character stands in a string")),
            }
        }
    }

    /// The escape that begins here.
    fn escape(&mut self) -> Result<char, Fault> {
        let letter = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        Ok(match letter {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => {
                self.at = (self.at - 1).min(self.bytes.len());
                return Err(self.fault("an unknown escape"));
            }
        })
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex()?;
        let code = match first {
            0xD800..=0xDBFF if self.bytes.get(self.at..self.at + 2) == Some(b"\\u") => {
                self.at += 2;
                let second = self.hex()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(self.fault("half of a surrogate pair"));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.fault("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits = self.bytes.get(self.at..self.at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return Err(self.fault("\\u needs four hexadecimal digits")) };
        self.at += 4;
        Ok(digits.iter().fold(0, |code, d| code * 16 + (*d as char).to_digit(16).expect("checked")))
    }

    /// The text between two positions, which are boundaries of tokens.
    pub(super) fn between(&self, start: usize, end: usize) -> &'a str {
        &self.text[start..end]
    }
}
