//! The time of day: what a stream's values are in each hour, learnt day by day.
//!
//! Two means per hour of the day (UTC, of the pane's start). A pane of less than an hour is compared with the two hours whose middles it lies
//! between, by its distance from them (volumes by a parabola): steps from hour to hour would be a wave of their own. While they are learnt, it is compared with the
//! means of earlier whole days, so that what is left over holds the error of the means as well: no later window is surer of them.
//!
//! Guarantees: a function of the panes in order. Never: uses a day before it is over.

use crate::engine::types::{EventTime, PaneId, PaneSize, Span};
use serde::{Deserialize, Serialize};

/// Hours of a day.
pub const HOURS: usize = 24;
/// Days that are looked at before anything is compared with them.
pub const FIRST_DAYS: u32 = 2;
/// A mean counts as if this many further events had the overall mean.
pub const PSEUDO_EVENTS: f64 = 50.0;

/// The hour of the day.
///
/// ```
/// # use driftline::engine::{detect::season::hour, types::EventTime};
/// assert_eq!((hour(EventTime(3 * 3_600_000)), hour(EventTime(-1))), (3, 23));
/// ```
pub fn hour(time: EventTime) -> usize {
    (time.0.div_euclid(Span::hours(1).0).rem_euclid(HOURS as i64)) as usize
}

/// Where a pane lies among the hours of the day: between the middles of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    hours: [usize; 2],
    /// How far it is from the first to the second.
    part: f64,
}

impl Place {
    /// Some hour, for whom all are equal.
    pub const ANY: Place = Place { hours: [0; 2], part: 0.0 };

    /// Of a pane; panes of an hour and more belong to the one that they start in.
    ///
    /// ```
    /// # use driftline::engine::{detect::season::Place, types::{PaneId, PaneSize, Span}};
    /// // by hand: the pane 3:00 to 3:10 has its middle at 3:05, 35 minutes after that of the hour from 2 to 3
    /// let minutes = |h| if h == 3 { 60.0 } else { 0.0 };
    /// assert!((Place::of(PaneId(18), PaneSize(Span::minutes(10))).between(minutes) - 35.0).abs() < 1e-9);
    /// assert_eq!(Place::of(PaneId(3), PaneSize(Span::hours(1))).between(minutes), 60.0);
    /// ```
    pub fn of(pane: PaneId, size: PaneSize) -> Place {
        let (start, an_hour) = (size.start(pane), Span::hours(1).0);
        if size.0.0 >= an_hour {
            return Place { hours: [hour(start); 2], part: 0.0 };
        }
        let from_middle = start.0 + size.0.0 / 2 - an_hour / 2;
        let first = hour(EventTime(from_middle));
        Place { hours: [first, (first + 1) % HOURS], part: from_middle.rem_euclid(an_hour) as f64 / an_hour as f64 }
    }

    /// The value there of something that each hour has.
    pub fn between(&self, of: impl Fn(usize) -> f64) -> f64 {
        let [first, second] = self.hours;
        if self.part == 0.0 { of(first) } else { of(first) * (1.0 - self.part) + of(second) * self.part }
    }

    /// The same of something that is never negative, and may be a tenth at night of what it is at noon: the parabola whose means over
    /// its hour and both neighbours are theirs. A straight line lies a tenth too high at the bottom of such a night.
    ///
    /// ```
    /// # use driftline::engine::{detect::season::Place, types::{PaneId, PaneSize, Span}};
    /// // by hand: t² has the means 1/12 + (h + 1/2 - 4)² over the hours around 4:00, at 3:05 it is (55/60)²
    /// let squares = |h: usize| 1.0 / 12.0 + (h as f64 + 0.5 - 4.0).powi(2);
    /// let there = Place::of(PaneId(18), PaneSize(Span::minutes(10)));
    /// assert!((there.curved(squares) - (55.0f64 / 60.0).powi(2)).abs() < 1e-9, "{}", there.curved(squares));
    /// ```
    pub fn curved(&self, of: impl Fn(usize) -> f64) -> f64 {
        let [first, second] = self.hours;
        if first == second {
            return of(first);
        }
        let (own, x) = if self.part < 0.5 { (first, self.part) } else { (second, self.part - 1.0) };
        let (before, here, after) = (of((own + HOURS - 1) % HOURS), of(own), of((own + 1) % HOURS));
        let parabola = here + 0.5 * (after - before) * x + 0.5 * (after - 2.0 * here + before) * (x * x - 1.0 / 12.0);
        // where traffic is switched on and off it would swing below zero
        parabola.clamp(0.5 * before.min(here).min(after), 2.0 * before.max(here).max(after))
    }
}

/// Events and two sums per hour of the day.
type Day = [[f64; 3]; HOURS];

/// What an hour of which little is known is drawn to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overall {
    /// The two means of all hours.
    pub means: [f64; 2],
    /// A mean counts as if so many further events had the overall one.
    pub pseudo: f64,
    /// Between hours they follow a curve (`Place::curved`).
    pub curved: bool,
}

/// Learns the time of day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Season {
    today: i64,
    /// Whole days behind it.
    days: u32,
    past: Day,
    now: Day,
}

impl Season {
    /// Begins on the day of `time`.
    pub fn new(time: EventTime) -> Season {
        Season { today: day(time), days: 0, past: [[0.0; 3]; HOURS], now: [[0.0; 3]; HOURS] }
    }

    /// Takes in a pane of n events with two sums. What earlier days make one expect of the sums, once there are enough of them.
    pub fn learn(&mut self, pane: PaneId, size: PaneSize, sums: [f64; 3], overall: Overall) -> Option<[f64; 2]> {
        let time = size.start(pane);
        if day(time) > self.today {
            self.today = day(time);
            self.days += 1;
            for (past, now) in self.past.iter_mut().zip(&mut self.now) {
                (0..3).for_each(|i| past[i] += now[i]);
                *now = [0.0; 3];
            }
        }
        let h = hour(time);
        (0..3).for_each(|i| self.now[h][i] += sums[i]);
        let place = Place::of(pane, size);
        (self.days >= FIRST_DAYS).then(|| {
            [0, 1].map(|i| {
                let of = |h: usize| mean(&self.past[h], i, &overall);
                sums[0] * if overall.curved { place.curved(of) } else { place.between(of) }
            })
        })
    }

    /// The two means of each hour over all days, drawn to the overall ones where little is known.
    pub fn means(&self, overall: Overall) -> [[f64; 2]; HOURS] {
        std::array::from_fn(|h| {
            let all: [f64; 3] = std::array::from_fn(|i| self.past[h][i] + self.now[h][i]);
            [0, 1].map(|i| mean(&all, i, &overall))
        })
    }
}

fn day(time: EventTime) -> i64 {
    time.0.div_euclid(Span::days(1).0)
}

fn mean(hour: &[f64; 3], i: usize, overall: &Overall) -> f64 {
    (hour[i + 1] + overall.pseudo * overall.means[i]) / (hour[0] + overall.pseudo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pane_is_compared_with_whole_days_before_it() {
        let overall = |mean| Overall { means: [mean, 0.0], pseudo: PSEUDO_EVENTS, curved: false };
        let (at, size) = (|day: i64, hour: i64| PaneId(day * 24 + hour), PaneSize(Span::hours(1)));
        let mut season = Season::new(size.start(at(10, 5)));
        assert_eq!(season.learn(at(10, 5), size, [950.0, 1_900.0, 0.0], overall(0.0)), None);
        assert_eq!(season.learn(at(11, 5), size, [1_000.0, 2_000.0, 0.0], overall(0.0)), None);
        // by hand: 3,900 / (1,950 + 50) = 1.95 an event, whatever today says
        assert_eq!(season.learn(at(12, 5), size, [100.0, 999.0, 0.0], overall(0.0)), Some([195.0, 0.0]));
        assert_eq!(season.learn(at(12, 5), size, [10.0, 999.0, 0.0], overall(0.0)), Some([19.5, 0.0]));
        // an hour that was never seen: the overall mean
        assert_eq!(season.learn(at(12, 6), size, [10.0, 0.0, 0.0], overall(0.5)), Some([5.0, 0.0]));
    }
}
