//! A drill: a change that somebody orders, to see that alerts arrive where they should. Nothing of users' data is touched.
//!
//! Guarantees: a drill goes the way of every alert from the closing of panes on: a detector (a limit) judges each input pane of the
//! partition, the state keeps it over restarts, its events are published exactly once; it ends by itself, resolved. All of its events say
//! what they are: kind and signal `drill`, the label `drill` with its id.
//! Never: takes part in a model's streams, in the budget or in state that outlives it; stops a monitor because an order can't be.
//! Comes from: `driftline drill`, as a command in `<app>.summaries`. Goes to: `monitor::drills`.

use super::alert::{Alert, Kind as Sort, Severity};
use super::command;
use super::definitions::limit::{BadSide, Billionths, Limit};
use super::detect::limit::Counted;
use super::detect::stream::{Form, Rules, Stream, StreamKey};
use super::types::{PaneId, PaneSize, Span};
use crate::codec::wire::{Kind, Malformed, Reader, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The label of its alerts, and the only dimension of its segment.
pub const LABEL: &str = "drill";
/// Panes that a drill fires for at most.
pub const MOST_PANES: u32 = 1_000;
/// Drills of one summaries partition at a time.
pub const MOST: usize = 16;
/// Bytes of an id and of a model's name at most.
const LONGEST: [usize; 2] = [64, 256];
/// Rows of its pane: all of them bad, or none.
const ROWS: u64 = 100;

/// What somebody orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Tells drills apart: letters, digits, `-`, `_`, `.`.
    pub id: String,
    /// The model that its alerts name.
    pub model: String,
    /// Of its alerts.
    pub severity: Severity,
    /// It fires for so many panes.
    pub panes: u32,
}

impl Order {
    /// Whether it can be obeyed.
    pub fn is_possible(&self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let fits = |text: &str, most: usize| (1..=most).contains(&text.len());
        fits(&self.id, LONGEST[0]) && self.id.chars().all(plain) && fits(&self.model, LONGEST[1]) && (1..=MOST_PANES).contains(&self.panes)
    }

    /// Its record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.uint(command::DRILL);
        w.text(&self.id);
        w.text(&self.model);
        w.byte(Severity::ALL.iter().position(|s| *s == self.severity).unwrap_or_default() as u8);
        w.uint(u64::from(self.panes));
        w.sealed(Kind::Command)
    }

    /// Reads a command's body behind its number: nothing if it can't be obeyed.
    pub(crate) fn read(r: &mut Reader<'_>) -> Option<Order> {
        let mut order = || -> Result<Order, Malformed> {
            let (id, model) = (r.text()?.to_string(), r.text()?.to_string());
            let severity = *Severity::ALL.get(usize::from(r.byte()?)).ok_or(Malformed::Value("a severity"))?;
            let panes = u32::try_from(r.uint()?).map_err(|_| Malformed::Value("so many panes"))?;
            Ok(Order { id, model, severity, panes })
        };
        order().ok().filter(|order| order.is_possible() && r.is_empty())
    }
}

/// A drill that is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drill {
    id: String,
    /// Bad panes to come.
    left: u32,
    stream: Stream,
}

impl Drill {
    /// It begins with the next pane.
    pub fn begin(order: Order, size: PaneSize) -> Drill {
        let half = Billionths(Billionths::ONE.0 / 2);
        let limit = Limit {
            signal: Sort::Drill.word().into(),
            bad: BadSide::Above,
            bound: half,
            clear: half,
            over: size.0,
            lasts: Span::ZERO,
            at_least: 1,
            by: vec![LABEL.into()],
            severity: order.severity,
        };
        let segment = BTreeMap::from([(LABEL.to_string(), order.id.clone())]);
        let key = StreamKey { model: order.model, version: None, segment, signal: limit.signal.clone(), form: Form::Limit(limit.id()) };
        Drill { id: order.id, left: order.panes, stream: Stream::limited(key, &limit) }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A pane has closed. True if it was the last one: the drill is over, and resolved.
    pub fn close(&mut self, pane: PaneId, rules: &Rules<'_>, out: &mut Vec<Alert>) -> bool {
        let (bad, before) = (self.left > 0, out.len());
        self.left = self.left.saturating_sub(1);
        self.stream.close_limit(pane, Counted { n: ROWS, k: if bad { ROWS } else { 0 } }, rules, out);
        for alert in &mut out[before..] {
            alert.labels.insert(LABEL.into(), self.id.clone());
        }
        !bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::command::Command;

    fn order() -> Order {
        Order { id: "monday-7".into(), model: "fraud".into(), severity: Severity::Critical, panes: 2 }
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let read = |bytes: &[u8]| Command::read(&mut Reader::open_as(bytes, Kind::Command).unwrap());
        assert_eq!(read(&order().to_bytes()), Some(Command::Drill(order())));
        for (change, what) in [
            ((|o| o.id.clear()) as fn(&mut Order), "no id"),
            (|o| o.id = "a b".into(), "an id with a space"),
            (|o| o.id = "x".repeat(65), "a long id"),
            (|o| o.model.clear(), "no model"),
            (|o| o.panes = 0, "no panes"),
            (|o| o.panes = MOST_PANES + 1, "too many panes"),
        ] {
            let mut wrong = order();
            change(&mut wrong);
            assert_eq!(read(&wrong.to_bytes()), None, "{what}");
        }
    }
}
