//! Lines for a terminal: texts of users made harmless, wrapped, tables, bars.
//!
//! Guarantees: no line of a sheet is wider than the sheet; no character of a text moves the cursor, turns the writing round or commands the
//! terminal. Both hold for whatever is written on it, since both are done when it is printed.
//! Never: colours unless it is asked to; drops rows of a table (columns that have no room are dropped, the last ones first).
//! Comes from: `cli::explain`, `cli::tail_line`, `cli::top_page`. Goes to: standard output.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;
use unicode_width::UnicodeWidthChar;

/// How a part of a line looks on a terminal: the sequence that switches it on.
pub type Ink = &'static str;
/// As everything else.
pub const PLAIN: Ink = "";
/// Titles.
pub const BOLD: Ink = "\x1b[1m";
/// What is there for comparison.
pub const DIM: Ink = "\x1b[2m";
/// What is over.
pub const GREEN: Ink = "\x1b[32m";
/// Back to normal.
pub const OFF: &str = "\x1b[0m";

/// A terminal that says that it is narrower is not believed.
pub const NARROWEST: usize = 24;

/// Columns of the names of rows.
const NAMES: usize = 11;
/// Between the columns of a table.
const GAP: usize = 2;

/// How a severity looks on a terminal, an unknown one plainly.
pub fn colour(severity: &str) -> Ink {
    match severity {
        "CRITICAL" => "\x1b[1;31m",
        "WARNING" => "\x1b[33m",
        "INFO" => "\x1b[36m",
        _ => PLAIN,
    }
}

/// Columns that the environment says there are (`COLUMNS`), from `NARROWEST` to `widest`, which it is without a word.
pub fn width(widest: usize) -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|c| c.trim().parse().ok());
    said.map_or(widest, |columns: usize| columns.clamp(NARROWEST, widest))
}

/// Whether standard output wants colours.
pub fn coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Characters that a terminal obeys, or that make a text look like another one: controls, ends of lines, directions of writing.
fn commands(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text that no terminal obeys and no reader of lines splits.
pub fn harmless(text: &str) -> Cow<'_, str> {
    match text.contains(commands) {
        true => text.chars().map(|c| if commands(c) { c.escape_default().to_string() } else { c.to_string() }).collect::<String>().into(),
        false => text.into(),
    }
}

/// Columns that a text takes at most.
pub fn columns(text: &str) -> usize {
    // the selector of emoji makes the character before it wide
    text.chars().map(|c| if c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(0) }).sum()
}

/// The beginning of a text that fits, with a sign that something is missing.
pub fn clip(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return text.into();
    }
    let (mut kept, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += columns(c.encode_utf8(&mut [0; 4]));
        if used > width {
            break;
        }
        kept.push(c);
    }
    if width > 0 {
        kept.push('…');
    }
    kept.into()
}

/// A text in lines of at most `width` columns, broken at spaces, and within words that are longer than a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let text = harmless(text);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if !line.is_empty() && columns(&line) + columns(c.encode_utf8(&mut [0; 4])) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

/// A bar of `share` where `full` takes `width` columns: in eighths of a column, and something for everything above 0.
pub fn bar(share: f64, full: f64, width: usize) -> String {
    let part = if full > 0.0 { (share / full).clamp(0.0, 1.0) } else { 0.0 }; // a NaN stays one, and becomes 0
    let eighths = ((part * width as f64 * 8.0).round() as usize).max(usize::from(share > 0.0 && width > 0));
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar
}

/// A value and its interval on an axis from `from` to `to`, `width` columns long.
pub fn whiskers((low, value, high): (f64, f64, f64), (from, to): (f64, f64), width: usize) -> String {
    let last = width.saturating_sub(1);
    let at = |x: f64| match to > from {
        true => ((x - from) / (to - from) * last as f64).round().clamp(0.0, last as f64) as usize,
        false => last / 2,
    };
    let (low, value, high) = (at(low), at(value), at(high));
    let sign = |i: usize| match i {
        _ if i == value => '●',
        _ if i == low => '├',
        _ if i == high => '┤',
        _ if i > low && i < high => '─',
        _ => ' ',
    };
    (0..width).map(sign).collect::<String>().trim_end().to_owned()
}

/// A column of a table.
#[derive(Clone, Copy)]
pub struct Column {
    /// Its title.
    pub head: &'static str,
    /// Numbers end at the same place.
    pub right: bool,
    /// Of what is below the title.
    pub ink: Ink,
}

/// A line of a table.
pub enum Row {
    /// A text for each column.
    Cells(Vec<String>),
    /// The same, the first of which stands out.
    Marked(Ink, Vec<String>),
    /// A remark over all of them.
    Note(String),
}

impl Row {
    /// Its texts by column, if it has columns.
    fn cells(&self) -> Option<&[String]> {
        match self {
            Row::Cells(cells) | Row::Marked(_, cells) => Some(cells),
            Row::Note(_) => None,
        }
    }
}

/// What will be printed.
pub struct Sheet {
    width: usize,
    lines: Vec<Vec<(Ink, String)>>,
}

impl Sheet {
    /// An empty one.
    pub fn new(width: usize) -> Sheet {
        Sheet { width, lines: Vec::new() }
    }

    /// Columns that there are.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One line of parts; what does not fit is cut off.
    pub fn line(&mut self, parts: Vec<(Ink, String)>) {
        self.lines.push(parts);
    }

    /// An empty line and a title.
    pub fn title(&mut self, text: &str) {
        self.lines.push(Vec::new());
        self.prose(BOLD, text);
    }

    /// A text over the whole width.
    pub fn prose(&mut self, ink: Ink, text: &str) {
        self.lines.extend(wrap(text, self.width).into_iter().map(|line| vec![(ink, line)]));
    }

    /// A name and what is to be said about it, in as many lines as it takes.
    pub fn row(&mut self, name: &str, text: &str) {
        let indent = NAMES + 2;
        for (i, line) in wrap(text, self.width.saturating_sub(indent).max(1)).into_iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            self.lines.push(vec![(DIM, format!("  {name:<NAMES$}")), (PLAIN, line)]);
        }
    }

    /// A table of as many of the first columns as there is room for.
    pub fn table(&mut self, shape: &[Column], rows: Vec<Row>) {
        let widths = widths(shape, rows.iter().filter_map(Row::cells));
        let (mut used, mut fit) = (0, 0);
        for width in &widths {
            used += GAP + width;
            fit += usize::from(used <= self.width && fit < shape.len());
        }
        let columns_that_fit = &shape[..fit.max(1).min(shape.len())];
        let padded = |texts: &mut dyn Iterator<Item = (Ink, &str)>| {
            let parts = columns_that_fit.iter().zip(&widths).zip(texts).map(|((c, w), (ink, text))| (ink, pad(text, *w, c.right)));
            parts.collect()
        };
        if shape.iter().any(|c| !c.head.is_empty()) {
            self.lines.push(padded(&mut shape.iter().map(|c| (DIM, c.head))));
        }
        for row in &rows {
            self.lines.push(match row {
                Row::Cells(cells) => padded(&mut shape.iter().map(|c| c.ink).zip(cells.iter().map(String::as_str))),
                Row::Marked(ink, cells) => {
                    let inks = std::iter::once(*ink).chain(shape.iter().skip(1).map(|c| c.ink));
                    padded(&mut inks.zip(cells.iter().map(String::as_str)))
                }
                Row::Note(text) => vec![(DIM, format!("  {text}"))],
            });
        }
    }

    /// The lines, each with its end.
    pub fn print(&self, coloured: bool) -> String {
        let mut out = String::new();
        for parts in &self.lines {
            let (mut left, mut line) = (self.width, String::new());
            for (ink, text) in parts {
                let text = harmless(text);
                let shown = clip(if columns(&text) > left { text.trim_end() } else { &text }, left);
                left -= columns(&shown).min(left);
                match coloured && !ink.is_empty() && !shown.trim().is_empty() {
                    true => write!(line, "{ink}{shown}{OFF}").unwrap_or_default(),
                    false => line.push_str(&shown),
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Columns of each column of a table, without the gaps.
fn widths<'a>(shape: &[Column], rows: impl Iterator<Item = &'a [String]>) -> Vec<usize> {
    let mut widths: Vec<usize> = shape.iter().map(|c| columns(c.head)).collect();
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(w, cell)| *w = (*w).max(columns(&harmless(cell))));
    }
    widths
}

/// Columns that a whole table takes.
pub fn natural<'a>(shape: &[Column], rows: impl Iterator<Item = &'a [String]>) -> usize {
    widths(shape, rows).iter().map(|w| GAP + w).sum()
}

/// A cell with the space before it.
fn pad(text: &str, width: usize, right: bool) -> String {
    let text = harmless(text);
    let room = " ".repeat(width.saturating_sub(columns(&text)));
    let gap = " ".repeat(GAP);
    if right { format!("{gap}{room}{text}") } else { format!("{gap}{text}{room}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn a_bar_has_eighths_and_shows_what_is_hardly_there() {
        // by hand: .25 of .5 is half of 4 columns; .28125 of .5 is 2.25 columns; .001 rounds to nothing and is shown
        let shown = [0.0, 0.001, 0.25, 0.281_25, 0.5, 7.0, f64::NAN].map(|share| bar(share, 0.5, 4));
        assert_eq!(shown, ["", "▏", "██", "██▎", "████", "████", ""]);
        assert_eq!(bar(0.5, 0.0, 4), "▏");
        assert_eq!(bar(0.5, 0.5, 0), "");
    }

    #[test]
    fn whiskers_stand_where_the_numbers_are() {
        // by hand: an axis of 11 columns from 0 to 10 has one for each whole number
        assert_eq!(whiskers((1.0, 3.0, 5.0), (0.0, 10.0), 11), " ├─●─┤");
        assert_eq!(whiskers((9.9, 10.0, 10.0), (0.0, 10.0), 11), "          ●");
        assert_eq!(whiskers((5.0, 5.0, 5.0), (5.0, 5.0), 11), "     ●");
    }

    #[test]
    fn a_table_drops_its_last_columns_where_there_is_no_room() {
        let shape = [("a", false), ("number", true), ("c", false)].map(|(head, right)| Column { head, right, ink: PLAIN });
        let rows = || vec![Row::Cells(["wide", "1", "long text"].map(String::from).to_vec()), Row::Note("seen".into())];
        let print = |width| {
            let mut sheet = Sheet::new(width);
            sheet.table(&shape, rows());
            sheet.print(false)
        };
        assert_eq!(print(40), "  a     number  c\n  wide       1  long text\n  seen\n");
        assert_eq!(print(24), "  a     number\n  wide       1\n  seen\n");
        assert_eq!(print(4), "  a\n  w…\n  s…\n");
    }

    #[test]
    fn colours_are_switched_off_where_they_end_and_are_absent_without_a_terminal() {
        let mut sheet = Sheet::new(20);
        sheet.line(vec![(colour("CRITICAL"), "CRITICAL".into()), (PLAIN, " now".into())]);
        assert_eq!(sheet.print(true), "\x1b[1;31mCRITICAL\x1b[0m now\n");
        assert_eq!(sheet.print(false), "CRITICAL now\n");
    }

    #[test]
    fn a_text_that_turns_the_writing_round_is_shown_with_its_sign() {
        assert_eq!(harmless("a\u{202e}b\n"), "a\\u{202e}b\\n");
        assert_eq!(harmless("naïve 漢字 €"), "naïve 漢字 €");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_sheet_and_none_holds_a_control_character(
            texts in prop::collection::vec(prop_oneof![any::<String>(), "[a-zé漢👍🏽\u{fe0f}\u{1b}\n ]{0,80}"], 4),
            width in 1usize..120,
        ) {
            let mut sheet = Sheet::new(width);
            sheet.line(vec![(BOLD, texts[0].clone()), (PLAIN, texts[1].clone())]);
            sheet.title(&texts[1]);
            sheet.row("name", &texts[2]);
            let shape = [PLAIN, BOLD].map(|ink| Column { head: "head", right: false, ink });
            sheet.table(&shape, vec![Row::Cells(texts[2..].to_vec()), Row::Note(texts[3].clone())]);
            for line in sheet.print(false).lines() {
                prop_assert!(UnicodeWidthStr::width(line) <= width && columns(line) <= width, "{line:?} is wider than {width}");
                prop_assert!(!line.contains(commands), "{line:?}");
            }
        }

        #[test]
        fn nothing_that_is_wrapped_is_lost(text in "[a-zé漢 ]{0,200}", width in 2usize..60) {
            let squeezed = |s: &str| s.replace(' ', "");
            prop_assert_eq!(squeezed(&wrap(&text, width).concat()), squeezed(&text));
        }

        #[test]
        fn a_bar_stays_within_its_column_and_a_larger_share_is_no_shorter(a in -1.0f64..3.0, b in -1.0f64..3.0, full in 0.0f64..2.0, width in 0usize..60) {
            let (small, large) = (bar(a.min(b), full, width), bar(a.max(b), full, width));
            prop_assert!(columns(&large) <= width);
            prop_assert!(columns(&small) <= columns(&large));
        }
    }
}
