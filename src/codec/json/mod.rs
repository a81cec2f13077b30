//! JSON: one walk over the bytes that fills the plan's slots and passes over the rest without allocating.
//!
//! Guarantees: accepts exactly what serde_json accepts as one object (but nested at most 64 deep, where serde_json allows
//! 127); numbers are the doubles nearest to their text; the last of equal keys wins; no input makes it panic.
//! Never: allocates, except for text with escapes that is wanted. Comes from: `framing`. Goes to: `found::Found`.

mod lex;
mod number;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod oracle;
#[cfg(test)]
mod tests;

use super::event::Reason;
use super::found::Sink;
use super::plan::{NodeIx, ROOT, Role, Stop};
use super::scalar::Scalar;
use lex::{Fault, Lexer};
use std::borrow::Cow;

/// Nested objects and lists that a value may have.
pub const MAX_DEPTH: usize = 64;

/// Walks a value.
pub fn read<'a>(bytes: &'a [u8], sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
    let text = std::str::from_utf8(bytes).map_err(|e| stop(Fault { at: e.valid_up_to(), what: "the text is not UTF-8" }))?;
    let mut walk = Walk { lexer: Lexer::new(text), sink, depth: 0 };
    walk.document().map_err(|ended| match ended {
        Ended::Fault(fault) => stop(fault),
        Ended::Stop(stop) => stop,
    })
}

/// Walks what a text holds: any value, or nothing. The complaint begins with the place of the text.
pub(super) fn read_within<'a>(text: &'a str, role: Role, sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
    let mut walk = Walk { lexer: Lexer::new(text), sink, depth: 0 };
    walk.within(role).map_err(|ended| match ended {
        Ended::Fault(fault) => Stop {
            reason: Reason::Undecodable,
            detail: format!("json(...): the text is no JSON: {} at byte {} of it", fault.what, fault.at),
        },
        Ended::Stop(stop) => stop,
    })
}

/// A text as a number, if that is all it is.
pub(super) fn number(text: &str) -> Option<Scalar<'_>> {
    let mut lexer = Lexer::new(text);
    let number = match text.as_bytes().first()? {
        b'-' | b'0'..=b'9' => lexer.number().ok()?,
        _ => return None,
    };
    (lexer.at == text.len()).then_some(number)
}

fn stop(fault: Fault) -> Stop {
    Stop { reason: Reason::Undecodable, detail: format!("the value is no JSON object: {} at byte {}", fault.what, fault.at) }
}

enum Ended {
    Fault(Fault),
    Stop(Stop),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Ended {
        Ended::Fault(fault)
    }
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Ended {
        Ended::Stop(stop)
    }
}

struct Walk<'w, 's, 'a> {
    lexer: Lexer<'a>,
    sink: &'w mut Sink<'s, 'a>,
    depth: usize,
}

impl<'a> Walk<'_, '_, 'a> {
    fn document(&mut self) -> Result<(), Ended> {
        if self.lexer.peek() != Some(b'{') {
            return Err(self.lexer.fault("expected `{`").into());
        }
        self.object(ROOT)?;
        match self.lexer.peek() {
            None => Ok(()),
            Some(_) => Err(self.lexer.fault("something follows after the object").into()),
        }
    }

    fn within(&mut self, role: Role) -> Result<(), Ended> {
        if self.lexer.peek().is_none() {
            return Ok(());
        }
        self.entry(role)?;
        match self.lexer.peek() {
            None => Ok(()),
            Some(_) => Err(self.lexer.fault("something follows after the value").into()),
        }
    }

    /// The object that begins here, entry by entry.
    fn object(&mut self, node: NodeIx) -> Result<(), Ended> {
        self.down()?;
        self.lexer.advance();
        self.sink.plan.begin(node);
        if self.lexer.peek() == Some(b'}') {
            self.lexer.advance();
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let role = self.key(node)?;
            self.lexer.expect(b':', "expected `:`")?;
            self.sink.enter(role);
            self.entry(role)?;
            match self.lexer.peek() {
                Some(b',') => self.lexer.advance(),
                Some(b'}') => {
                    self.lexer.advance();
                    self.depth -= 1;
                    return Ok(());
                }
                _ => return Err(self.lexer.fault("expected `,` or `}`").into()),
            }
        }
    }

    #[inline]
    fn key(&mut self, node: NodeIx) -> Result<Role, Ended> {
        if self.lexer.peek() != Some(b'"') {
            return Err(self.lexer.fault("expected a key").into());
        }
        if let Some(name) = self.sink.plan.expected(node)
            && self.lexer.take_key(name)
        {
            return Ok(self.sink.plan.accept(node));
        }
        let key = self.lexer.string()?;
        Ok(self.sink.plan.find(node, &key)?)
    }

    #[inline]
    fn entry(&mut self, role: Role) -> Result<(), Ended> {
        let scalar = match self.lexer.peek() {
            Some(b'{') => {
                self.sink.put_object(role)?;
                return match role.node.filter(|n| self.sink.plan.walks(*n)) {
                    Some(node) => self.object(node),
                    None => self.skip(),
                };
            }
            Some(b'[') => {
                self.sink.put_list(role)?;
                return match role.node.filter(|n| self.sink.plan.lists(*n)) {
                    Some(node) => self.list(node),
                    None => self.skip(),
                };
            }
            Some(_) if role.is_skip() => return self.skip(),
            Some(b'"') => Scalar::Text(self.lexer.string()?),
            Some(b'-' | b'0'..=b'9') => self.lexer.number()?,
            _ => self.word()?,
        };
        Ok(self.sink.put(role, scalar)?)
    }

    /// The list that begins here. An element that several look for is walked several times. Apart, so that `entry` stays small.
    #[inline(never)]
    fn list(&mut self, node: NodeIx) -> Result<(), Ended> {
        self.down()?;
        self.lexer.advance();
        let choices = self.sink.choices(node);
        let mut count = 0;
        if self.lexer.peek() != Some(b']') {
            loop {
                self.lexer.peek();
                let (start, mut walked) = (self.lexer.at, false);
                for k in 0..choices {
                    if let Some(role) = self.sink.choose(node, count, k)? {
                        self.lexer.at = start;
                        self.entry(role)?;
                        self.sink.chosen(node, count, k);
                        walked = true;
                    }
                }
                if !walked {
                    self.skip()?;
                }
                self.sink.end_element(node, count)?;
                count += 1;
                match self.lexer.peek() {
                    Some(b',') => self.lexer.advance(),
                    Some(b']') => break,
                    _ => return Err(self.lexer.fault("expected `,` or `]`").into()),
                }
            }
        }
        self.lexer.advance();
        self.depth -= 1;
        Ok(self.sink.end_list(node, count)?)
    }

    fn word(&mut self) -> Result<Scalar<'a>, Ended> {
        for (word, scalar) in [("true", Scalar::Bool(true)), ("false", Scalar::Bool(false)), ("null", Scalar::Null)] {
            if self.lexer.take_word(word) {
                return Ok(scalar);
            }
        }
        Err(self.lexer.fault("expected a value").into())
    }

    /// Passes over a value, checking it.
    fn skip(&mut self) -> Result<(), Ended> {
        match self.lexer.peek() {
            Some(b'"') => self.lexer.skip_string()?,
            Some(b'-' | b'0'..=b'9') => self.lexer.skip_number()?,
            Some(b'{') => self.skip_entries(b'}', true)?,
            Some(b'[') => self.skip_entries(b']', false)?,
            _ => drop(self.word()?),
        }
        Ok(())
    }

    fn skip_entries(&mut self, close: u8, keys: bool) -> Result<(), Ended> {
        self.down()?;
        self.lexer.advance();
        if self.lexer.peek() == Some(close) {
            self.lexer.advance();
            self.depth -= 1;
            return Ok(());
        }
        loop {
            if keys {
                if self.lexer.peek() != Some(b'"') {
                    return Err(self.lexer.fault("expected a key").into());
                }
                self.lexer.skip_string()?;
                self.lexer.expect(b':', "expected `:`")?;
            }
            self.skip()?;
            match self.lexer.peek() {
                Some(b',') => self.lexer.advance(),
                Some(c) if c == close => {
                    self.lexer.advance();
                    self.depth -= 1;
                    return Ok(());
                }
                _ => return Err(self.lexer.fault("expected `,` or the end of the list or object").into()),
            }
        }
    }

    fn down(&mut self) -> Result<(), Ended> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.lexer.fault("more than 64 levels").into()) } else { Ok(()) }
    }
}

/// A string without escapes is borrowed, another is owned.
type Str<'a> = Cow<'a, str>;
