//! Places in a record's value, as they are typed: `a.b`, `a[0]`, `outputs[name=score].data`, `json(payload).x`, `csv(data)[2]`.
//!
//! ```text
//! place = start step*
//! start = NAME | ("json" | "csv" | "base64") "(" place ")"
//! step  = "." NAME | "[" NUMBER "]" | "[" NAME "=" TEXT "]" | "[*" NUMBER? "]"
//! ```
//! Guarantees: a place is a list of steps, taken one after the other from the value inwards; what is no place is refused with the column
//! and with what is allowed there; a place that was read and shown reads as the same one.
//! Never: evaluates anything. Comes from: `check::fields`. Goes to: `codec::plan`, which makes a tree of all places of a source.

use std::fmt;

/// A step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The entry of an object, record or map with this name.
    Name(String),
    /// This element of a list, from 0.
    Index(usize),
    /// The last element of a list of objects whose entry `name` is `is`, as text.
    Where {
        /// The entry's name.
        name: String,
        /// What it must be.
        is: String,
    },
    /// What a text holds.
    Within(Payload),
    /// The element, or the so many neighbouring elements, of the list that belong to the row of a source that is exploded.
    Row(usize),
}

/// How something is written in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// As JSON.
    Json,
    /// As comma-separated values; elements are the columns of the first line.
    Csv,
    /// As Base64, standard or for URLs, of text.
    Base64,
}

impl Payload {
    /// All of them.
    pub const ALL: [Payload; 3] = [Payload::Json, Payload::Csv, Payload::Base64];

    /// What is typed before the parenthesis.
    pub fn word(self) -> &'static str {
        match self {
            Payload::Json => "json",
            Payload::Csv => "csv",
            Payload::Base64 => "base64",
        }
    }
}

impl From<&str> for Step {
    fn from(name: &str) -> Step {
        Step::Name(name.to_string())
    }
}

/// Names as steps.
pub fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<Step> {
    names.into_iter().map(Step::from).collect()
}

/// What is wrong with a place, and which characters of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first character, from 0.
    pub at: usize,
    /// How many.
    pub width: usize,
    /// What is wrong.
    pub what: String,
    /// What is allowed there.
    pub allowed: &'static str,
}

const NAMES: &str = "names are separated by dots; for a name with other characters in it write { path: [a, \"b c\"] }";
const IN_BRACKETS: &str =
    "[3] is an element by its number from 0, [name=x] the element whose `name` is `x`, [*] the row's element of `explode`";
const CALLS: &str = "json(...), csv(...) and base64(...) say what a text holds";
const AFTER_CSV: &str = "csv(...)[2] is the third column of the first line, csv(...)[*][2] that of the row's line";
const AFTER_ROW: &str = "[*2][0] is the first of the two neighbouring elements that belong to a row";
const AFTER_BASE64: &str = "base64(...) is text: write json(base64(...)).name or csv(base64(...))[0]";

/// Reads a place.
pub fn parse(text: &str) -> Result<Vec<Step>, Fault> {
    let mut reader = Reader { signs: text.chars().collect(), at: 0, steps: Vec::new() };
    reader.place(0)?;
    match reader.peek() {
        None => Ok(reader.steps),
        Some(')') => Err(reader.fault(1, "this parenthesis closes nothing".to_string(), CALLS)),
        Some(_) => Err(reader.fault(1, "nothing can follow here but \".\" or \"[\"".to_string(), IN_BRACKETS)),
    }
}

/// Neighbouring elements that may belong to one row.
pub const MAX_WIDTH: usize = 1_024;
/// Calls within each other that are read; a place has at most 32 steps anyway.
const MAX_CALLS: usize = 32;

struct Reader {
    signs: Vec<char>,
    at: usize,
    steps: Vec<Step>,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.signs.get(self.at).copied()
    }

    fn fault(&self, width: usize, what: String, allowed: &'static str) -> Fault {
        Fault { at: self.at, width, what, allowed }
    }

    fn place(&mut self, calls: usize) -> Result<(), Fault> {
        let start = self.at;
        let name = self.name()?;
        if self.peek() == Some('(') {
            let width = self.at - start;
            let Some(payload) = Payload::ALL.into_iter().find(|p| p.word() == name).filter(|_| calls < MAX_CALLS) else {
                let what = format!("\"{name}(\" is not known here");
                return Err(Fault { at: start, width, what, allowed: CALLS });
            };
            self.at += 1;
            self.place(calls + 1)?;
            if self.peek() != Some(')') {
                return Err(self.fault(1, "\")\" is missing".to_string(), CALLS));
            }
            self.at += 1;
            self.steps.push(Step::Within(payload));
        } else {
            self.steps.push(Step::Name(name));
        }
        while let Some(sign @ ('.' | '[')) = self.peek() {
            let start = self.at;
            self.at += 1;
            let step = if sign == '.' { Step::Name(self.name()?) } else { self.bracket()? };
            let fits = match self.steps.last() {
                Some(Step::Within(Payload::Csv)) if !matches!(step, Step::Index(_) | Step::Row(1)) => Err(AFTER_CSV),
                Some(Step::Row(_)) if self.in_csv() && !matches!(step, Step::Index(_)) => Err(AFTER_CSV),
                Some(Step::Row(width @ 2..)) if !matches!(step, Step::Index(at) if at < *width) => Err(AFTER_ROW),
                Some(Step::Within(Payload::Base64)) => Err(AFTER_BASE64),
                _ => Ok(()),
            };
            if let Err(allowed) = fits {
                let what = "this can't follow here".to_string();
                return Err(Fault { at: start, width: self.at - start, what, allowed });
            }
            self.steps.push(step);
        }
        Ok(())
    }

    /// True after `csv(...)[*]`.
    fn in_csv(&self) -> bool {
        matches!(self.steps[..], [.., Step::Within(Payload::Csv), Step::Row(_)])
    }

    fn name(&mut self) -> Result<String, Fault> {
        let start = self.at;
        while self.peek().is_some_and(|c| !".[]()".contains(c)) {
            self.at += 1;
        }
        let name: String = self.signs[start..self.at].iter().collect();
        let odd = name.is_empty() || name == "*" || name.contains(char::is_whitespace);
        let what = if name.is_empty() { "a name is missing".to_string() } else { format!("\"{name}\" is no name") };
        if odd { Err(Fault { at: start, width: (self.at - start).max(1), what, allowed: NAMES }) } else { Ok(name) }
    }

    /// What stands in brackets, of which the first is read.
    fn bracket(&mut self) -> Result<Step, Fault> {
        let start = self.at;
        while self.peek().is_some_and(|c| c != ']') {
            self.at += 1;
        }
        let text: String = self.signs[start..self.at].iter().collect();
        let width = self.at + 1 - start + usize::from(self.peek().is_some());
        let fault = |what: &str| Fault { at: start - 1, width, what: what.to_string(), allowed: IN_BRACKETS };
        if self.peek().is_none() {
            return Err(fault("\"]\" is missing"));
        }
        let step = match text.split_once('=') {
            Some((name, is)) if !name.trim().is_empty() => Step::Where { name: name.trim().to_string(), is: is.trim().to_string() },
            Some(_) => return Err(fault("the name before \"=\" is missing")),
            None if !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()) => {
                Step::Index(text.parse().expect("few digits"))
            }
            None => match text.strip_prefix('*').map(|width| (width.is_empty(), width.parse())) {
                Some((true, _)) => Step::Row(1),
                Some((false, Ok(width))) if (2..=MAX_WIDTH).contains(&width) => Step::Row(width),
                _ => return Err(fault("this is no element of a list")),
            },
        };
        self.at += 1;
        Ok(step)
    }
}

/// True if the place is another one for each row.
pub fn is_of_row(steps: &[Step]) -> bool {
    steps.iter().any(|s| matches!(s, Step::Row(_)))
}

/// A place as it would be typed; names with odd characters as they are.
pub fn shown(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        text = match step {
            Step::Name(name) if text.is_empty() => name.clone(),
            Step::Name(name) => format!("{text}.{name}"),
            Step::Index(n) => format!("{text}[{n}]"),
            Step::Where { name, is } => format!("{text}[{name}={is}]"),
            Step::Within(payload) => format!("{}({text})", payload.word()),
            Step::Row(1) => format!("{text}[*]"),
            Step::Row(width) => format!("{text}[*{width}]"),
        };
    }
    text
}

/// The steps before the first text that holds something: as far as a schema can say anything.
pub fn outside(steps: &[Step]) -> &[Step] {
    let end = steps.iter().position(|s| matches!(s, Step::Within(_))).unwrap_or(steps.len());
    &steps[..end]
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn where_is(name: &str, is: &str) -> Step {
        Step::Where { name: name.to_string(), is: is.to_string() }
    }

    #[test]
    fn places_are_read_from_the_value_inwards() {
        let within = Step::Within;
        for (text, steps) in [
            ("a", names(["a"])),
            ("a.b-c.@d", names(["a", "b-c", "@d"])),
            ("a[0][12].b", vec!["a".into(), Step::Index(0), Step::Index(12), "b".into()]),
            ("outputs[name=high risk].data", vec!["outputs".into(), where_is("name", "high risk"), "data".into()]),
            ("x[a=b=c][d=]", vec!["x".into(), where_is("a", "b=c"), where_is("d", "")]),
            ("json(p)", vec!["p".into(), within(Payload::Json)]),
            ("csv(a.b)[3]", vec!["a".into(), "b".into(), within(Payload::Csv), Step::Index(3)]),
            (
                "json(base64(a.b)).x[0]",
                vec!["a".into(), "b".into(), within(Payload::Base64), within(Payload::Json), "x".into(), Step::Index(0)],
            ),
            ("json(json(a).b)[0]", vec!["a".into(), within(Payload::Json), "b".into(), within(Payload::Json), Step::Index(0)]),
            ("json", names(["json"])),
            ("a[*].b", vec!["a".into(), Step::Row(1), "b".into()]),
            ("a[*2][1]", vec!["a".into(), Step::Row(2), Step::Index(1)]),
            ("csv(a)[*][3]", vec!["a".into(), within(Payload::Csv), Step::Row(1), Step::Index(3)]),
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&steps), "{text}");
            assert_eq!(shown(&steps), text);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_its_column_and_what_is_allowed() {
        for (text, at, width, what, allowed) in [
            ("", 0, 1, "a name is missing", NAMES),
            ("a..b", 2, 1, "a name is missing", NAMES),
            ("a.b c", 2, 3, "\"b c\" is no name", NAMES),
            ("a.*", 2, 1, "\"*\" is no name", NAMES),
            ("a[-1]", 1, 4, "this is no element of a list", IN_BRACKETS),
            ("a[1", 1, 2, "\"]\" is missing", IN_BRACKETS),
            ("a[]", 1, 2, "this is no element of a list", IN_BRACKETS),
            ("a[=x]", 1, 4, "the name before \"=\" is missing", IN_BRACKETS),
            ("a[0]b", 4, 1, "nothing can follow here but \".\" or \"[\"", IN_BRACKETS),
            ("a]", 1, 1, "nothing can follow here but \".\" or \"[\"", IN_BRACKETS),
            ("xml(a).b", 0, 3, "\"xml(\" is not known here", CALLS),
            ("a.json(b)", 6, 1, "nothing can follow here but \".\" or \"[\"", IN_BRACKETS),
            ("json(a.b", 8, 1, "\")\" is missing", CALLS),
            ("json(a))", 7, 1, "this parenthesis closes nothing", CALLS),
            ("json()", 5, 1, "a name is missing", NAMES),
            ("csv(ä).x", 6, 2, "this can't follow here", AFTER_CSV),
            ("csv(a)[b=c]", 6, 5, "this can't follow here", AFTER_CSV),
            ("csv(a)[*2]", 6, 4, "this can't follow here", AFTER_CSV),
            ("csv(a)[*].b", 9, 2, "this can't follow here", AFTER_CSV),
            ("a[*2].b", 5, 2, "this can't follow here", AFTER_ROW),
            ("a[*2][2]", 5, 3, "this can't follow here", AFTER_ROW),
            ("a[*1]", 1, 4, "this is no element of a list", IN_BRACKETS),
            ("a[*2000]", 1, 7, "this is no element of a list", IN_BRACKETS),
            ("base64(a)[0]", 9, 3, "this can't follow here", AFTER_BASE64),
        ] {
            assert_eq!(parse(text), Err(Fault { at, width, what: what.to_string(), allowed }), "{text}");
        }
        assert!(parse(&format!("{}a{}", "json(".repeat(100_000), ")".repeat(100_000))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same_place(text in "(json\\(|csv\\(|base64\\(){0,2}[a-c.]{1,5}(\\)|\\[[0-9]{1,2}\\]|\\[a=[a-z ]{0,3}\\]|\\.[a-c]){0,5}") {
            if let Ok(steps) = parse(&text) {
                prop_assert_eq!(parse(&shown(&steps)), Ok(steps));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            if let Err(fault) = parse(&text) {
                prop_assert!(fault.width > 0 && fault.at <= text.chars().count());
            }
        }
    }
}
