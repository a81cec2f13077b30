//! Numbers of a cell's latest rows, row by row, until there are enough of them to be counted column by column.
//!
//! Guarantees: what is read back of a column are its values, each with its event's hash; a value that a row did not have is not read.
//! Why: counting a number at once touches its signal's edges, sums and bins, of as many signals as the record has features; a row is
//! one stretch of memory, and a column of a few dozen numbers is counted in one go.

use super::signal::Column;

/// Rows that are kept at most.
pub const ROWS: usize = 64;

/// No value: a NaN that no number is stored as.
const ABSENT: u64 = 0x7ff8_0000_0000_ab5e;

/// The rows.
#[derive(Default)]
pub struct Rows {
    values: Vec<u64>,
    hashes: Vec<u64>,
    /// Rows in the order of their hashes, once they are asked for: so a sample of a column is its beginning.
    order: Vec<u32>,
    width: usize,
}

/// A row that is being filled.
pub struct Row<'a>(&'a mut [u64]);

impl Row<'_> {
    /// The row's value in a column.
    #[inline]
    pub fn set(&mut self, column: usize, x: f64) {
        self.0[column] = if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
    }
}

impl Rows {
    /// True if a row of `width` columns has no room.
    pub fn is_full(&self, width: usize) -> bool {
        self.hashes.len() == ROWS || (width > self.width && !self.hashes.is_empty())
    }

    /// A new row of at least `width` columns, of the event with sample hash `hash`. Not if it is full.
    pub fn open(&mut self, width: usize, hash: u64) -> Row<'_> {
        debug_assert!(!self.is_full(width));
        self.width = self.width.max(width);
        self.hashes.push(hash);
        let begin = self.values.len();
        self.values.resize(begin + self.width, ABSENT);
        Row(&mut self.values[begin..])
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (self.values.capacity() + self.hashes.capacity()) * size_of::<u64>()
    }

    /// Columns in use.
    pub fn width(&self) -> usize {
        self.width
    }

    /// No row comes any more before `clear`: columns may be read.
    pub fn close(&mut self) {
        self.order.clear();
        self.order.extend(0..self.hashes.len() as u32);
        let hashes = &self.hashes;
        self.order.sort_unstable_by_key(|row| hashes[*row as usize]);
    }

    /// A column's values, with the hashes of their events, smallest hashes first. Call `close` before.
    pub fn column(&self, place: usize, column: &mut Column) {
        column.values.clear();
        column.hashes.clear();
        if place >= self.width {
            return;
        }
        for row in &self.order {
            let row = *row as usize;
            let value = self.values[row * self.width + place];
            if value != ABSENT {
                column.values.push(f64::from_bits(value));
                column.hashes.push(self.hashes[row]);
            }
        }
    }

    /// Forgets all rows; the memory stays, and so does the width: records of a cell that differ in it must not be counted one by one.
    pub fn clear(&mut self) {
        self.values.clear();
        self.hashes.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_the_values_that_rows_had_in_it() {
        let mut rows = Rows::default();
        rows.open(3, 80).set(2, 1.5);
        let mut second = rows.open(2, 70);
        second.set(0, -0.0);
        second.set(2, f64::from_bits(ABSENT)); // a NaN like any other
        assert!(rows.is_full(4) && !rows.is_full(3));
        rows.close();
        let mut column = Column::default();
        rows.column(2, &mut column);
        assert_eq!((column.values[0].is_nan(), column.values[1], &column.hashes[..]), (true, 1.5, &[70, 80][..]));
        rows.column(0, &mut column);
        assert_eq!((column.values[0].to_bits(), &column.hashes[..]), ((-0.0f64).to_bits(), &[70][..]));
        for empty in [1, 3] {
            rows.column(empty, &mut column);
            assert!(column.values.is_empty());
        }
    }
}
