//! What is wrong with a configuration, for people and for machines.

use serde::Serialize;
use std::fmt;

/// One mistake: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1; 0 if the mistake has no place.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that are marked.
    pub width: usize,
    /// The setting, such as `segments.by[0][1]`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do; empty if the message says it.
    pub hint: String,
    /// The line's text.
    pub snippet: String,
}

/// The mistakes of a configuration, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// Sorted by place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Sorts, and forgets repetitions.
    pub fn new(mut diagnostics: Vec<Diagnostic>) -> Diagnostics {
        diagnostics.sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
        diagnostics.dedup();
        diagnostics.truncate(super::load::MAX_MISTAKES);
        Diagnostics { diagnostics }
    }

    /// For `-o json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("diagnostics are plain text and numbers")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.message)?;
            return if self.hint.is_empty() { Ok(()) } else { write!(f, "\n   {}", self.hint) };
        }
        writeln!(f, "{}:{}: {}", self.file, self.line, self.message)?;
        let number = format!("{:>5}", self.line);
        writeln!(f, "{number} | {}", self.snippet)?;
        let indent: String = self.snippet.chars().take(self.column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "      | {indent}{}", "^".repeat(self.width.clamp(1, 80)))?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " {}", self.hint) }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.diagnostics.iter().enumerate() {
            write!(f, "{}{diagnostic}", if i == 0 { "" } else { "\n" })?;
        }
        if self.diagnostics.len() == super::load::MAX_MISTAKES {
            write!(f, "\n{} mistakes are shown; there may be more", super::load::MAX_MISTAKES)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
