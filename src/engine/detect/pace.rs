//! Pace: in how many panes a stream folds once at most, so that a sparse stream need not pay for folds that it can't make.
//!
//! Guarantees: of folds that follow each other at most one ends in, or before the end of, each stretch of `panes()` panes, whatever the traffic
//! does later. So an ARL of so many panes is one of as many folds, divided by `panes()`.
//! Never: holds back a stream that has enough events in a pane.
//! Comes from: the reference (`learning`). Goes to: `channels` (thresholds), `stream` (when a fold ends).

use super::FOLD_EVENTS;
use crate::engine::types::PaneId;

/// Panes of one stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(i64);

impl Pace {
    /// A fold a pane, if there are enough events.
    pub const EACH_PANE: Pace = Pace(1);

    /// Of a stream with so many events in a pane that has any: as many such panes as have enough events for a fold, so folds are as long as those
    /// that chance was measured on (`learning`).
    ///
    /// ```
    /// # use driftline::engine::detect::pace::Pace;
    /// // by hand: 4 panes of 10 have 40 events, 3 only 30
    /// assert_eq!([32.0, 31.0, 10.0, 0.5].map(|events| Pace::of(events).panes()), [1, 2, 4, 32]);
    /// ```
    pub fn of(events_a_pane: f64) -> Pace {
        let longest = FOLD_EVENTS as f64; // who has a pane has an event
        Pace(libm::ceil(longest / events_a_pane.max(1.0)) as i64)
    }

    /// Panes in which one fold ends at most.
    pub fn panes(self) -> i64 {
        self.0
    }

    /// Logarithm of an ARL in folds, of one in panes.
    pub fn ln_arl(self, of_panes: f64) -> f64 {
        (of_panes - libm::log(self.0 as f64)).max(0.0)
    }

    /// Whether a fold that began in `first` may end with `last`: it is the last pane of a stretch, or the fold has come over the end of one.
    pub fn ends(self, first: PaneId, last: PaneId) -> bool {
        let stretch = |pane: PaneId| pane.0.div_euclid(self.0);
        stretch(first) < stretch(last.offset(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::definitions;
    use super::super::channels::Watch;
    use super::super::detector::Detector;
    use super::super::learning::Learnt;
    use super::super::tables::RATE;
    use super::*;
    use crate::engine::baseline::reference::Tally;
    use proptest::prelude::*;

    /// A threshold is for the folds that can be made: four times as seldom is ln 4 of the ARL less, at as many events a fold.
    #[test]
    fn a_stream_that_folds_in_each_fourth_pane_has_the_threshold_of_a_quarter_of_the_arl() {
        let threshold = |panes| {
            let watch = Watch::new(Tally::Rate { n: 2_000, k: 100 }, panes, Learnt::NOTHING);
            watch.threshold(Detector::Rate, &definitions(1_000_000))
        };
        let (each_pane, each_fourth) = (threshold(50), threshold(200));
        assert!((each_pane - each_fourth - RATE.slope * libm::log(4.0)).abs() < 1e-9, "{each_pane} {each_fourth}");
    }

    proptest! {
        /// However panes with events lie and how many of them would be enough.
        #[test]
        fn no_stretch_holds_the_ends_of_two_folds(events in 0.01f64..40.0, steps in prop::collection::vec((1i64..30, any::<bool>()), 1..200)) {
            let pace = Pace::of(events);
            let (mut pane, mut first, mut ends) = (-700, None, Vec::new());
            for (step, enough) in steps {
                pane += step;
                let began = *first.get_or_insert(PaneId(pane));
                if enough && pace.ends(began, PaneId(pane)) {
                    ends.push(pane);
                    first = None;
                }
            }
            // an end counts for the last stretch that it completes
            let completed: Vec<i64> = ends.iter().map(|end| (end + 1).div_euclid(pace.panes())).collect();
            prop_assert!(completed.windows(2).all(|w| w[0] < w[1]), "{ends:?} at one in {} panes", pace.panes());
        }
    }
}
