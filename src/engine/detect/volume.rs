//! Volume and silence: do as many rows come as the time of day makes one expect, and do any come at all?
//!
//! *Volume*: the method of `focus` on counts, both ways. A pane is an exposure of what its hour has of rows compared with the average hour
//! (`season`); `LR = s1 ln(s1/n1) + s2 ln(s2/n2) - (s1+s2) ln((s1+s2)/(n1+n2))`, n exposures, s rows; Ward, Dilillo, Eckley, Fearnhead,
//! "Poisson-FOCuS", JASA (2023). Traffic varies more than Poisson says: `noise` has measured by how much. More rows than usual count with at
//! least 2 expected or at least 5 observed, as for rates.
//!
//! *Silence*: the present pause against the pauses of the reference, which asks neither for the hour nor for how traffic varies. Of N
//! panes with rows in the reference each began a pause, of length 0 mostly; the longest was L panes. Were the lengths geometric beyond that, a
//! pause of q panes would come after one pane of `N^(q/(L+1))`:
//! The statistic is its logarithm, `q/(L+1) · (ln N - 1)` nats (the 1: the longest of N pauses is a matter of chance itself), its threshold
//! that of the average run length in panes. A pause counts when 5 rows were expected in it.
//!
//! Neither says anything on a reference of less than a day, which has not seen the night.
//!
//! Cost: as `focus`, and three additions. Blind to: changes of less than two tolerances of rates (20 %); what comes once a day in one file
//! (its pauses are a day long); a topic in which nothing at all comes: then no event time passes (rule `DriftlineInputSilent` of deploy/prometheus).
//! After `SLEEP` panes without rows a stream sleeps until the next row: what it could say it has said.
//!
//! ```
//! # use driftline::engine::{baseline::volume::Volume, detect::{Fold, Gathered, noise::Noise, volume::Silence}, types::PaneId};
//! let mut reference = Volume::default();
//! (0..1_000).for_each(|i| reference.merge(&Volume::of_pane(if i % 10 == 0 { 0 } else { 20 })));
//! let mut silence = Silence::new(&reference);
//! (0..6).for_each(|t| silence.observe(&[1.0, 0.0, 1.0], Gathered::one(PaneId(t))));
//! // by hand: N = 900, L = 1: 6/2 · (ln 900 - 1) = 17.407
//! assert!((silence.best(&Noise::INDEPENDENT).unwrap().statistic - 17.407).abs() < 1e-3);
//! silence.observe(&[1.0, 1.0, 1.0], Gathered::one(PaneId(6)));
//! assert!(silence.best(&Noise::INDEPENDENT).is_none(), "one row ends a pause");
//! ```

use super::bernoulli::LEAST_OBSERVED;
use super::focus::{Family, Focus};
use super::noise::Noise;
use super::{Candidate, Fold, Gathered};
use crate::engine::baseline::volume::Volume;
use crate::engine::types::PaneId;
use serde::{Deserialize, Serialize};

/// Panes without rows that a stream looks at one by one.
pub const SLEEP: u64 = 1_024;
/// An hour in which nothing ever came is expected to hold this part of an average one: no exposure is zero.
pub const LEAST_EXPOSURE: f64 = 1e-9;

/// Both detectors of a volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeFolds {
    /// As many rows as usual?
    pub rows: Focus,
    /// Any?
    pub silence: Silence,
}

impl VolumeFolds {
    /// Against a reference.
    pub fn new(reference: &Volume) -> VolumeFolds {
        let (panes, rows) = (reference.panes as f64, reference.rows as f64);
        VolumeFolds { rows: Focus::after(Family::Poisson, panes, rows), silence: Silence::new(reference) }
    }
}

/// The present pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Nats a pane.
    nats: f64,
    /// Rows a pane of average exposure.
    mean: f64,
    /// First pane of the pause.
    since: Option<PaneId>,
    /// Its panes, and its exposure.
    length: (u32, f64),
    /// The last pane that was looked at.
    pub through: Option<PaneId>,
}

impl Silence {
    /// Against the pauses of a reference.
    pub fn new(reference: &Volume) -> Silence {
        let surprise = (libm::log(reference.busy.max(1) as f64) - 1.0).max(0.0);
        Silence {
            nats: surprise / (reference.quiet_longest + 1) as f64,
            mean: reference.rows as f64 / reference.panes.max(1) as f64,
            since: None,
            length: (0, 0.0),
            through: None,
        }
    }

    /// Goes on with the pause that another one has seen.
    pub fn resume(&mut self, other: &Silence) {
        (self.since, self.length, self.through) = (other.since, other.length, other.through);
    }

    /// Panes since the last row.
    pub fn panes(&self) -> u64 {
        u64::from(self.length.0)
    }

    /// Evidence of a pause of so many panes, in nats.
    pub fn statistic_of(&self, panes: u64) -> f64 {
        self.nats * panes as f64
    }
}

impl Fold for Silence {
    /// Exposure, rows, panes.
    type Pane = [f64; 3];

    fn observe(&mut self, &[exposure, rows, panes]: &[f64; 3], at: Gathered) {
        self.through = Some(at.last);
        if rows > 0.0 {
            (self.since, self.length) = (None, (0, 0.0));
        } else {
            self.since.get_or_insert(at.first);
            self.length = (self.length.0.saturating_add(panes as u32), self.length.1 + exposure);
        }
    }

    fn candidates(&self, _: &Noise, floor: f64, visit: &mut dyn FnMut(Candidate)) {
        let (folds, exposure) = self.length;
        let statistic = self.statistic_of(u64::from(folds));
        if let Some(first) = self.since
            && exposure * self.mean >= LEAST_OBSERVED
            && statistic >= floor
        {
            visit(Candidate { statistic, first, folds, n: exposure, sum: 0.0, along: f64::from(folds) });
        }
    }
}
