//! The three forms of a signal's summary: rows, bins, learning.
//!
//! Guarantees: closed under merge; `summarise(a ++ b) = merge(summarise(a), summarise(b))`; equal content has equal bytes.
//! *Rows* (up to 8 raw values, sorted, free of edges) become *bins* (under one version of the edges) when there are more; *learning*
//! (counts and a bottom-32 sample) stands where no edges exist yet.
//! Never: merges bins of different versions: the pane is not folded for that signal (`Mixed`).

use super::category::{Categories, CategoryCounts};
use super::numeric::{NumericBins, NumericEdges};
use crate::codec::wire::{Malformed, Reader, Writer};
use crate::engine::baseline::sample::{SAMPLE_SIZE, Sample};
use crate::planted::{Bug, planted};
use std::rc::Rc;

/// Raw values that the rows form holds at most.
pub const ROWS: usize = 8;

/// What sums of z and of its square take at most in one record, in bits: 2^48 and 2^32 values at the clamp.
const SUM_BITS: u32 = 88;
const SQUARES_BITS: u32 = 112;

/// The tag of bins on the wire.
const BINS: u8 = 1;

/// Numeric values of one signal, one cell, one pane.
#[derive(Clone, Debug, PartialEq)]
pub enum NumericForm {
    /// Few values, as they are.
    Rows(Vec<f64>),
    /// Counted under a version of the edges.
    Bins {
        /// The edges' version.
        version: u32,
        /// The counts.
        bins: NumericBins,
    },
    /// Before edges exist.
    Learning {
        /// Values that are not NaN.
        n: u64,
        /// NaN values.
        nan: u64,
        /// Uniform sample of the values that are not NaN.
        sample: Sample<f64>,
    },
    /// Partials under different versions met: not folded.
    Mixed {
        /// Values seen.
        n: u64,
    },
}

impl NumericForm {
    /// Of no values, in the form that `edges` ask for.
    pub fn empty(edges: Option<&NumericEdges>) -> NumericForm {
        match edges {
            Some(_) => NumericForm::Rows(Vec::with_capacity(ROWS)),
            None => NumericForm::Learning { n: 0, nan: 0, sample: Sample::new() },
        }
    }

    /// Counts one value of the event with sample hash `hash`.
    pub fn add(&mut self, x: f64, hash: u64, edges: Option<&NumericEdges>) {
        match (&mut *self, edges) {
            (NumericForm::Rows(values), _) if values.len() < ROWS => values.push(if x.is_nan() { f64::NAN } else { x }),
            (NumericForm::Rows(_), Some(edges)) => {
                self.to_bins(edges);
                self.add(x, hash, Some(edges));
            }
            (NumericForm::Bins { bins, .. }, Some(edges)) => bins.add(x, edges),
            (NumericForm::Learning { n, nan, sample }, _) => {
                if x.is_nan() {
                    *nan += 1;
                } else {
                    *n += 1;
                    sample.offer(hash, x);
                }
            }
            (NumericForm::Mixed { n }, _) => *n += 1,
            (_, None) => debug_assert!(false, "rows and bins exist only under edges"),
        }
    }

    /// Counts values, where edges exist.
    pub fn add_all(&mut self, values: &[f64], edges: &NumericEdges) {
        if let NumericForm::Rows(kept) = &*self
            && kept.len() + values.len() > ROWS
        {
            self.to_bins(edges);
        }
        match &mut *self {
            NumericForm::Bins { bins, .. } => bins.add_all(values, edges),
            _ => values.iter().for_each(|x| self.add(*x, 0, Some(edges))),
        }
    }

    /// Counts values, before edges exist. `by_hash`: the same with the sample hashes of their events, the smallest hashes first.
    pub fn learn(&mut self, values: &[f64], by_hash: impl Iterator<Item = (u64, f64)>) {
        let NumericForm::Learning { n, nan, sample } = self else { return debug_assert!(false, "edges exist: nothing is learnt") };
        let nans = values.iter().filter(|x| x.is_nan()).count() as u64;
        (*n, *nan) = (*n + values.len() as u64 - nans, *nan + nans);
        sample.offer_all(by_hash.filter(|(_, x)| !x.is_nan()));
    }

    /// Writes the form that has these values (at least one), without building it. Their order is lost; `bins` is scratch.
    pub fn write_of(w: &mut Writer, values: &mut [f64], edges: &NumericEdges, bins: &mut NumericBins) {
        if values.len() <= ROWS {
            return write_rows(w, values);
        }
        bins.reset(edges.bins());
        bins.add_all(values, edges);
        w.byte(BINS);
        w.uint(u64::from(edges.version));
        write_bins(w, bins);
    }

    /// Values seen, NaN included.
    pub fn present(&self) -> u64 {
        match self {
            NumericForm::Rows(values) => values.len() as u64,
            NumericForm::Bins { bins, .. } => bins.n + bins.nan,
            NumericForm::Learning { n, nan, .. } => n + nan,
            NumericForm::Mixed { n } => *n,
        }
    }

    /// Adds what another form has seen. `edges` gives those of the pane, if they exist; it is asked only where rows become bins.
    pub fn merge(&mut self, other: &NumericForm, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) {
        match (&mut *self, other) {
            (NumericForm::Rows(mine), NumericForm::Rows(theirs)) if mine.len() + theirs.len() <= ROWS => mine.extend_from_slice(theirs),
            (NumericForm::Bins { version: a, bins: mine }, NumericForm::Bins { version: b, bins: theirs })
                if a == b && mine.counts.len() == theirs.counts.len() =>
            {
                mine.merge(theirs)
            }
            (NumericForm::Learning { n, nan, sample }, NumericForm::Learning { n: n2, nan: nan2, sample: sample2 }) => {
                *n += n2;
                *nan += nan2;
                sample.merge(sample2);
            }
            (NumericForm::Rows(_) | NumericForm::Bins { .. }, NumericForm::Rows(_) | NumericForm::Bins { .. }) => {
                self.merge_binned(other, edges().as_deref())
            }
            _ => *self = NumericForm::Mixed { n: self.present() + other.present() },
        }
    }

    /// Adds a form that stands on the wire, without building it if it has the same bins.
    pub fn merge_read(&mut self, r: &mut Reader<'_>, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) -> Result<(), Malformed> {
        if let NumericForm::Bins { version, bins } = self {
            let mut ahead = *r;
            if ahead.byte()? == BINS && ahead.uint()? == u64::from(*version) {
                *r = ahead;
                return merge_bins(r, bins);
            }
        }
        self.merge(&NumericForm::read(r)?, edges);
        Ok(())
    }

    fn merge_binned(&mut self, other: &NumericForm, edges: Option<&NumericEdges>) {
        let mut theirs = other.clone();
        if planted(Bug::MergeForgets) && matches!(self, NumericForm::Rows(_)) {
            *self = theirs;
            return;
        }
        if let Some(edges) = edges {
            self.to_bins(edges);
            theirs.to_bins(edges);
        }
        match (&mut *self, &theirs) {
            (NumericForm::Bins { version: a, bins: mine }, NumericForm::Bins { version: b, bins })
                if a == b && mine.counts.len() == bins.counts.len() =>
            {
                mine.merge(bins)
            }
            _ => *self = NumericForm::Mixed { n: self.present() + other.present() },
        }
    }

    /// Counts rows under `edges`; other forms stay.
    pub fn to_bins(&mut self, edges: &NumericEdges) {
        if let NumericForm::Rows(values) = self {
            let mut bins = NumericBins::empty(edges.bins());
            values.iter().for_each(|x| bins.add(*x, edges));
            *self = NumericForm::Bins { version: edges.version, bins };
        }
    }

    /// Writes the canonical encoding.
    pub fn write(&self, w: &mut Writer) {
        match self {
            NumericForm::Rows(values) => write_rows(w, &mut values.clone()),
            NumericForm::Bins { version, bins } => {
                w.byte(BINS);
                w.uint(u64::from(*version));
                write_bins(w, bins);
            }
            NumericForm::Learning { n, nan, sample } => {
                w.byte(2);
                w.uint(*n);
                w.uint(*nan);
                write_sample(w, sample, |w, x| w.float(*x));
            }
            NumericForm::Mixed { n } => {
                w.byte(3);
                w.uint(*n);
            }
        }
    }

    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Result<NumericForm, Malformed> {
        Ok(match r.byte()? {
            0 => {
                let n = r.count()?;
                if n > ROWS {
                    return Err(Malformed::Value("more raw values than a summary holds"));
                }
                NumericForm::Rows((0..n).map(|_| r.float()).collect::<Result<_, _>>()?)
            }
            BINS => NumericForm::Bins { version: r.uint()? as u32, bins: read_bins(r)? },
            2 => NumericForm::Learning { n: r.tally()?, nan: r.tally()?, sample: read_sample(r, |r| r.float())? },
            3 => NumericForm::Mixed { n: r.tally()? },
            _ => return Err(Malformed::Value("a numeric form")),
        })
    }
}

/// Values as they are, in the order of numbers.
fn write_rows(w: &mut Writer, values: &mut [f64]) {
    w.byte(0);
    values.sort_by(f64::total_cmp);
    w.uint(values.len() as u64);
    values.iter().for_each(|x| w.float(*x));
}

fn write_bins(w: &mut Writer, b: &NumericBins) {
    w.uint(b.n);
    w.uint(b.nan);
    w.uint(b.clipped);
    w.int128(b.sum);
    w.int128(b.sum_squares);
    w.float(b.min);
    w.float(b.max);
    write_counts(w, &b.counts);
}

/// Adds bins that stand on the wire.
fn merge_bins(r: &mut Reader<'_>, b: &mut NumericBins) -> Result<(), Malformed> {
    b.n += r.tally()?;
    b.nan += r.tally()?;
    b.clipped += r.tally()?;
    b.sum += r.sum(SUM_BITS)?;
    b.sum_squares += r.sum(SQUARES_BITS)?;
    b.min = b.min.min(r.float()?);
    b.max = b.max.max(r.float()?);
    if r.count()? != b.counts.len() {
        return Err(Malformed::Value("another number of bins under the same version"));
    }
    for count in &mut b.counts {
        *count += r.tally()?;
    }
    Ok(())
}

fn read_bins(r: &mut Reader<'_>) -> Result<NumericBins, Malformed> {
    Ok(NumericBins {
        n: r.tally()?,
        nan: r.tally()?,
        clipped: r.tally()?,
        sum: r.sum(SUM_BITS)?,
        sum_squares: r.sum(SQUARES_BITS)?,
        min: r.float()?,
        max: r.float()?,
        counts: read_counts(r)?,
    })
}

fn write_counts(w: &mut Writer, counts: &[u64]) {
    w.uint(counts.len() as u64);
    w.uints(counts);
}

fn read_counts(r: &mut Reader<'_>) -> Result<Vec<u64>, Malformed> {
    let n = r.count()?;
    let mut counts = Vec::with_capacity(n);
    for _ in 0..n {
        counts.push(r.tally()?);
    }
    Ok(counts)
}

fn write_sample<T: crate::engine::baseline::sample::Value>(w: &mut Writer, sample: &Sample<T>, mut value: impl FnMut(&mut Writer, &T)) {
    w.fixed64(sample.threshold());
    w.uint(sample.items().len() as u64);
    for (hash, v) in sample.items() {
        w.fixed64(*hash);
        value(w, v);
    }
}

fn read_sample<'a, T: crate::engine::baseline::sample::Value>(
    r: &mut Reader<'a>,
    mut value: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Sample<T>, Malformed> {
    let threshold = r.fixed64()?;
    let n = r.count()?;
    if n > SAMPLE_SIZE {
        return Err(Malformed::Value("a sample larger than samples are"));
    }
    let mut kept = Vec::with_capacity(n);
    for _ in 0..n {
        kept.push((r.fixed64()?, value(r)?));
    }
    Ok(Sample::from_parts(threshold, kept))
}

/// Categorical values of one signal, one cell, one pane.
#[derive(Clone, Debug, PartialEq)]
pub enum CategoryForm {
    /// Counted under a version of the categories.
    Counts {
        /// The categories' version.
        version: u32,
        /// The counts.
        counts: CategoryCounts,
    },
    /// Before categories are pinned.
    Learning {
        /// Values seen.
        n: u64,
        /// Uniform sample of them.
        sample: Sample<String>,
    },
    /// Partials under different versions met: not folded.
    Mixed {
        /// Values seen.
        n: u64,
    },
}

impl CategoryForm {
    /// Of no values, in the form that `categories` ask for.
    pub fn empty(categories: Option<&Categories>) -> CategoryForm {
        match categories {
            Some(c) => CategoryForm::Counts { version: c.version, counts: CategoryCounts::empty(c.pinned.len()) },
            None => CategoryForm::Learning { n: 0, sample: Sample::new() },
        }
    }

    /// Counts one value of the event with sample hash `hash`.
    pub fn add(&mut self, value: &str, hash: u64, categories: Option<&Categories>) {
        match (&mut *self, categories) {
            (CategoryForm::Counts { counts, .. }, Some(c)) => counts.add(value, c),
            (CategoryForm::Learning { n, sample }, _) => {
                *n += 1;
                if hash < sample.threshold() {
                    sample.offer(hash, value.to_string());
                }
            }
            (CategoryForm::Mixed { n }, _) => *n += 1,
            (CategoryForm::Counts { .. }, None) => debug_assert!(false, "counts exist only under categories"),
        }
    }

    /// Values seen.
    pub fn present(&self) -> u64 {
        match self {
            CategoryForm::Counts { counts, .. } => counts.n,
            CategoryForm::Learning { n, .. } | CategoryForm::Mixed { n } => *n,
        }
    }

    /// Adds what another form has seen.
    pub fn merge(&mut self, other: &CategoryForm) {
        match (&mut *self, other) {
            (CategoryForm::Counts { version: a, counts: mine }, CategoryForm::Counts { version: b, counts: theirs })
                if a == b && mine.counts.len() == theirs.counts.len() =>
            {
                mine.merge(theirs)
            }
            (CategoryForm::Learning { n, sample }, CategoryForm::Learning { n: n2, sample: sample2 }) => {
                *n += n2;
                sample.merge(sample2);
            }
            _ => *self = CategoryForm::Mixed { n: self.present() + other.present() },
        }
    }

    /// Writes the canonical encoding.
    pub fn write(&self, w: &mut Writer) {
        match self {
            CategoryForm::Counts { version, counts } => {
                w.byte(0);
                w.uint(u64::from(*version));
                w.uint(counts.n);
                w.uint(counts.other);
                w.uint(counts.unseen);
                write_counts(w, &counts.counts);
            }
            CategoryForm::Learning { n, sample } => {
                w.byte(1);
                w.uint(*n);
                write_sample(w, sample, |w, v| w.text(v));
            }
            CategoryForm::Mixed { n } => {
                w.byte(2);
                w.uint(*n);
            }
        }
    }

    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Result<CategoryForm, Malformed> {
        Ok(match r.byte()? {
            0 => {
                let version = r.uint()? as u32;
                let (n, other, unseen) = (r.tally()?, r.tally()?, r.tally()?);
                CategoryForm::Counts { version, counts: CategoryCounts { n, other, unseen, counts: read_counts(r)? } }
            }
            1 => CategoryForm::Learning { n: r.tally()?, sample: read_sample(r, |r| Ok(r.text()?.to_string()))? },
            2 => CategoryForm::Mixed { n: r.tally()? },
            _ => return Err(Malformed::Value("a category form")),
        })
    }
}
