//! Limits: which segments they hold for, and the panes in which these had no events.
//!
//! Guarantees: a rule sees every pane of its kind, in order, for as long as one without events could change anything; it begins with the
//! first pane of the version that names it, and ends with the last (`force`).
//! Never: waits for a reference, or for a change that is open to end.
//! Comes from: `close` (what a pane held). Goes to: streams of the form `limit`, one a rule and segment.

use super::chunks::of_stream;
use super::close::{LABELS, kind_of};
use super::shared::Segment;
use super::{Effects, Kept, Monitor, Raised};
use crate::engine::alert::Alert;
use crate::engine::definitions::Definitions;
use crate::engine::detect::limit::Counted;
use crate::engine::detect::stream::{Form, Rules, Stream, StreamKey};
use crate::engine::types::{PaneId, PaneKind};

impl Monitor {
    /// Feeds what a pane held of a signal to the rules that hold for it in a segment.
    pub(super) fn close_limits(
        &mut self,
        (model, segment, signal): (&str, &Segment, &str),
        pane: PaneId,
        seen: Counted,
        rules: &Rules<'_>,
        out: &mut Vec<Alert>,
    ) {
        let Some(limits) = rules.definitions.models.get(model).map(|m| &m.limits) else { return };
        for limit in limits.iter().filter(|limit| limit.signal == signal && limit.holds_for(segment)) {
            let form = Form::Limit(limit.id());
            let (replaying, now, ages) = (self.replaying, self.now, &self.ages);
            if let Some(kept) = self.streams.get_mut(model, None, segment, signal, form) {
                if !replaying || ages.lacks(kept.chunk, now) {
                    kept.stream.close_limit(pane, seen, rules, out);
                }
                continue;
            }
            let key = StreamKey { model: model.to_string(), version: None, segment: segment.clone(), signal: signal.to_string(), form };
            let chunk = of_stream(&key);
            if self.takes(chunk) && seen.n > 0 {
                self.streams.insert(Kept { chunk, stream: Stream::limited(key, limit) }).stream.close_limit(pane, seen, rules, out);
            }
        }
    }

    /// Whether a limit looks at a pane of this kind, whatever it held.
    pub(super) fn awaits_limits(&self, kind: PaneKind, pane: PaneId, definitions: &Definitions) -> bool {
        let waits = |s: &Kept| self.counts_for(&s.stream, kind, pane) && s.stream.awaits(pane) && self.takes(s.chunk);
        has_limits(definitions) && self.streams.iter().any(waits)
    }

    /// A pane for the limits that look at it, and for which it held nothing.
    pub(super) fn close_limits_without_events(&mut self, kind: PaneKind, pane: PaneId, rules: &Rules<'_>, effects: &mut Effects) {
        if !has_limits(rules.definitions) {
            return;
        }
        let mut out = Vec::new();
        let labels_count = self.counts_rows(kind, pane);
        let (replaying, ages, now) = (self.replaying, &self.ages, self.now);
        for s in self.streams.iter_mut().filter(|s| is_limit(&s.stream, kind, labels_count) && s.stream.awaits(pane)) {
            if !replaying || ages.lacks(s.chunk, now) {
                s.stream.close_limit(pane, Counted::default(), rules, &mut out);
            }
        }
        effects.alerts.extend(out.into_iter().map(|alert| Raised { kind, alert }));
    }

    fn counts_for(&self, stream: &Stream, kind: PaneKind, pane: PaneId) -> bool {
        is_limit(stream, kind, self.counts_rows(kind, pane))
    }
}

/// Whether it is a limit that looks at panes of this kind; `labels_count`: the rows of this one are counted.
fn is_limit(stream: &Stream, kind: PaneKind, labels_count: bool) -> bool {
    let key = stream.key();
    matches!(key.form, Form::Limit(_)) && kind_of(&key.signal) == kind && (labels_count || key.signal != LABELS)
}

/// Otherwise there are no streams of any.
fn has_limits(definitions: &Definitions) -> bool {
    definitions.models.values().any(|m| !m.limits.is_empty())
}
