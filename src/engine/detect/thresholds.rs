//! From an ARL to a threshold: tables made by simulation, interpolated.
//!
//! A table holds, per class of a statistic, the level that it stays below for 10^3, 10^4 and 10^5 folds with probability 1/e
//! when nothing changes. Between classes and levels: linear in ln(events a fold), ln(class), ln ARL. Beyond 10^5: the slope
//! measured over the whole table (about 1.1 nats per factor e of ARL). How they were made: `docs/detectors.md`.

use super::tables;

/// ln ARL of the three columns.
const LEVELS: [f64; 3] = [6.907_755_278_982_137, 9.210_340_371_976_184, 11.512_925_464_970_229];

/// What a threshold is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// FOCuS on normal scores; class: bins with reference events.
    Location,
    /// FOCuS on squared normal scores; class: bins with reference events.
    Scale,
    /// G on dyadic windows; class: groups with reference events.
    Mix,
    /// One-sided Bernoulli FOCuS; class: the reference's rate.
    Rate,
}

/// Thresholds of one statistic.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Events a fold, ascending.
    pub events: &'static [f64],
    /// Bins, groups or rate, ascending.
    pub classes: &'static [f64],
    /// Nats at ARL 10^3, 10^4, 10^5; for each of `events` all of `classes`.
    pub nats: &'static [[f64; 3]],
    /// Nats per unit of ln ARL, over the whole table.
    pub slope: f64,
}

impl Table {
    /// The threshold, in nats.
    pub fn threshold(&self, events: f64, class: f64, ln_arl: f64) -> f64 {
        let (e, fe) = place(self.events, events);
        let (c, fc) = place(self.classes, class);
        let width = self.classes.len();
        let at = |i: usize, j: usize| self.level(&self.nats[i.min(self.events.len() - 1) * width + j.min(width - 1)], ln_arl);
        let row = |i: usize| at(i, c) * (1.0 - fc) + at(i, c + 1) * fc;
        row(e) * (1.0 - fe) + row(e + 1) * fe
    }

    fn level(&self, nats: &[f64; 3], ln_arl: f64) -> f64 {
        let [low, middle, high] = LEVELS;
        let inner = |a: f64, b: f64, x: f64, y: f64| a + (b - a) * (ln_arl - x) / (y - x);
        if ln_arl <= low {
            (nats[0] - self.slope * (low - ln_arl)).max(0.0)
        } else if ln_arl <= middle {
            inner(nats[0], nats[1], low, middle)
        } else if ln_arl <= high {
            inner(nats[1], nats[2], middle, high)
        } else {
            nats[2] + self.slope * (ln_arl - high)
        }
    }
}

/// Where `x` lies among ascending grid points: index and fraction on a logarithmic scale; clamped at both ends.
fn place(grid: &[f64], x: f64) -> (usize, f64) {
    let above = grid.partition_point(|g| *g <= x);
    if above == 0 {
        (0, 0.0)
    } else if above == grid.len() {
        (grid.len() - 1, 0.0)
    } else {
        let (a, b) = (libm::log(grid[above - 1]), libm::log(grid[above]));
        (above - 1, (libm::log(x) - a) / (b - a))
    }
}

impl Statistic {
    /// Its table.
    pub fn table(self) -> &'static Table {
        match self {
            Statistic::Location => &tables::LOCATION,
            Statistic::Scale => &tables::SCALE,
            Statistic::Mix => &tables::MIX,
            Statistic::Rate => &tables::RATE,
        }
    }

    /// The threshold in nats for a stream with `events` a fold in `class`, at an ARL of e^`ln_arl` folds.
    pub fn threshold(self, events: f64, class: f64, ln_arl: f64) -> f64 {
        self.table().threshold(events, class, ln_arl)
    }
}
