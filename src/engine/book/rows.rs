//! Numbers of a cell's latest rows, row by row, until there are enough of them to be counted column by column.
//!
//! Guarantees: what is read back of a column are its values, each with its event's hash; a value that a row did not have is not read.
//! Why: counting a number at once touches its signal's edges, sums and bins, of as many signals as the record has features; a row is
//! one stretch of memory, and a column of a few dozen numbers is counted in one go.

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

/// A number's bits; every NaN is one and the same.
#[inline]
fn stored(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
}

/// A row that is being filled.
pub struct Row<'a>(&'a mut [u64]);

impl Row<'_> {
    /// The row's value in a column.
    #[inline]
    pub fn set(&mut self, column: usize, x: f64) {
        self.0[column] = stored(x);
    }

    /// The row's values in neighbouring columns, as little-endian bytes.
    #[inline]
    pub fn set_all(&mut self, column: usize, numbers: &[[u8; 8]]) {
        let places = &mut self.0[column..][..numbers.len()];
        places.iter_mut().zip(numbers).for_each(|(place, x)| *place = stored(f64::from_le_bytes(*x)));
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

    /// A column's values.
    #[inline]
    pub fn values(&self, place: usize, values: &mut Vec<f64>) {
        values.clear();
        if place < self.width && !self.hashes.is_empty() {
            let column = self.values[place..].iter().step_by(self.width);
            values.extend(column.filter(|v| **v != ABSENT).map(|v| f64::from_bits(*v)));
        }
    }

    /// The same with the hashes of their events, smallest hashes first.
    pub fn by_hash(&mut self, place: usize) -> impl Iterator<Item = (u64, f64)> {
        if self.order.len() < self.hashes.len() {
            let hashes = &self.hashes;
            self.order.clear();
            self.order.extend(0..hashes.len() as u32);
            self.order.sort_unstable_by_key(|row| hashes[*row as usize]);
        }
        let Rows { values, hashes, order, width } = &*self;
        let rows = order.iter().map(|row| *row as usize).filter(move |_| place < *width);
        let column = rows.map(move |row| (hashes[row], values[row * width + place]));
        column.filter(|(_, v)| *v != ABSENT).map(|(hash, v)| (hash, f64::from_bits(v)))
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
        let (mut values, nan) = (Vec::new(), f64::NAN.to_bits());
        let mut both = |rows: &mut Rows, place: usize| {
            rows.values(place, &mut values);
            let by_hash: Vec<(u64, u64)> = rows.by_hash(place).map(|(hash, x)| (hash, x.to_bits())).collect();
            (values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), by_hash)
        };
        assert_eq!(both(&mut rows, 2), (vec![1.5f64.to_bits(), nan], vec![(70, nan), (80, 1.5f64.to_bits())]));
        assert_eq!(both(&mut rows, 0), (vec![(-0.0f64).to_bits()], vec![(70, (-0.0f64).to_bits())]));
        assert_eq!([both(&mut rows, 1), both(&mut rows, 3)], [(vec![], vec![]), (vec![], vec![])]);
        rows.open(3, 60).set(2, 2.5);
        assert_eq!(both(&mut rows, 2).1[0], (60, 2.5f64.to_bits()), "a row that came later");
    }
}
