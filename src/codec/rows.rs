//! The rows of an exploded record, while they are found: what each has for itself, beside what the record has for all of them.
//!
//! Guarantees: row n is the n-th element (or group of neighbours) of each list that has `[*]`; lists that are shorter leave the rest absent;
//! at most `MAX_ROWS` rows and `MAX_ROW_FEATURES` features of all rows together. A list that comes a second time replaces the first.
//! Comes from: `found::Sink`, as lists are walked. Goes to: `decoder`, which makes an event of each row.

use super::event::Reason;
use super::found::Found;
use super::mapping::Slot;
use super::plan::{RowPlan, Stop};
use super::scalar::Scalar;

/// Rows that one record may have: they are numbered by 14 bits.
pub const MAX_ROWS: usize = 10_000;
/// Features that all rows of a record may have together.
pub const MAX_ROW_FEATURES: usize = 1 << 18;

/// What was found for rows.
#[derive(Debug, Default)]
pub struct RowsFound<'a> {
    /// Row after row, a scalar for each slot that rows have for themselves.
    scalars: Vec<Scalar<'a>>,
    /// Where in the lists of features and of doubles each row's end.
    ends: Vec<(usize, usize)>,
    /// Rows by the list that is counted.
    pub count: usize,
    /// An element that belongs to a row is being walked.
    pub inside: bool,
}

impl<'a> RowsFound<'a> {
    /// Nothing yet.
    pub fn clear(&mut self) {
        self.scalars.clear();
        self.ends.clear();
        (self.count, self.inside) = (0, false);
    }

    /// What an earlier list left in a slot is forgotten.
    pub(super) fn forget(&mut self, plan: Option<&RowPlan>, slot: Slot) {
        let Some(plan) = plan else { return };
        if let Some(column) = plan.slots.iter().position(|s| *s == slot) {
            self.scalars.iter_mut().skip(column).step_by(plan.slots.len()).for_each(|scalar| *scalar = Scalar::Absent);
        }
    }

    /// The features of all rows are forgotten.
    pub fn forget_features(&mut self) {
        self.ends.clear();
    }

    /// Where the features of the row that is being walked begin.
    #[inline]
    pub fn features_from(&self) -> (usize, usize) {
        self.ends.last().copied().unwrap_or((0, 0))
    }

    /// Takes what was found for a row in a slot; other slots are left alone.
    pub(super) fn take(&mut self, plan: Option<&RowPlan>, row: usize, slot: Slot, scalar: &mut Scalar<'a>) {
        let Some(plan) = plan else { return };
        if let Some(column) = plan.slots.iter().position(|s| *s == slot) {
            let width = plan.slots.len();
            if self.scalars.len() < (row + 1) * width {
                self.scalars.resize_with((row + 1) * width, Scalar::default);
            }
            self.scalars[row * width + column] = std::mem::take(scalar);
        }
    }

    /// The features of a row are complete.
    pub fn end_features(&mut self, features: usize, doubles: usize) {
        self.ends.push((features, doubles));
    }

    /// Takes over what was found in a text that is walked apart, for the slots in it.
    pub(super) fn adopt(&mut self, plan: Option<&RowPlan>, other: RowsFound<'_>, below: &[Slot], features: bool) {
        let Some(plan) = plan else { return };
        for (i, scalar) in other.scalars.into_iter().enumerate() {
            let (row, slot) = (i / plan.slots.len(), plan.slots[i % plan.slots.len()]);
            if below.contains(&slot) {
                self.take(Some(plan), row, slot, &mut scalar.into_owned());
            }
        }
        if features && !other.ends.is_empty() {
            self.ends = other.ends;
        }
        if below.contains(&plan.seen) {
            self.count = other.count;
        }
    }
}

/// Row `row` of the record in the form of a record of its own.
pub(super) fn fill<'a>(plan: &RowPlan, record: &mut Found<'a>, row: usize, one: &mut Found<'a>) {
    one.slots.clear();
    one.slots.extend(record.slots.iter().cloned());
    let scalars = record.rows.scalars.iter_mut().skip(row * plan.slots.len());
    let mut found = scalars.map(std::mem::take);
    for slot in &plan.slots {
        one.slots[slot.ix()] = found.next().unwrap_or_default();
    }
    let ((from, doubles_from), (to, doubles_to)) = match plan.features {
        false => ((0, 0), (record.features.len(), record.doubles.len())),
        true => {
            let ends = &record.rows.ends;
            let from = row.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or((0, 0));
            (from, ends.get(row).copied().unwrap_or(from))
        }
    };
    one.features.clear();
    one.features.extend(record.features.get(from..to).into_iter().flatten().cloned());
    one.doubles.clear();
    one.doubles.extend(record.doubles.get(doubles_from..doubles_to).into_iter().flatten().copied());
}

/// Whether a record may have row `row`.
pub(super) fn room(row: usize, features: usize) -> Result<(), Stop> {
    let detail = match (row < MAX_ROWS, features <= MAX_ROW_FEATURES) {
        (true, true) => return Ok(()),
        (false, _) => format!("the record has more than {MAX_ROWS} rows; write smaller batches"),
        (true, false) => format!("the rows of the record have more than {MAX_ROW_FEATURES} features together; write smaller batches"),
    };
    Err(Stop { reason: Reason::TooLong, detail })
}
