//! An endless, deterministic stream of pairs, and what the rules of the join make of it.
//!
//! Position n holds a prediction and the outcome of an earlier one; times never fall but where that is the point. Of a thousand
//! positions one each is delivered twice, answered twice, answered in two ways, never answered, an answer to nobody, late, unreadable:
//! each so far from every limit that a few additions say what it counts as.

use crate::brute::{Count, Counted};
use crate::scene::PARTITIONS;

pub const PANE_MS: i64 = 1_000;
pub const LATENESS: i64 = 2_000;
pub const WINDOW: i64 = 600_000;
pub const EARLY: i64 = 1_000;
/// Of the stream's first times: 200 panes for bins, 66 until they hold, the rest to compare with.
pub const REFERENCE: i64 = 340_000;
/// Positions from a prediction to its outcome, by position modulo 4: 2, 5, 10 and 20 s at 40,000 a second.
const DELAYS: [i64; 4] = [80_000, 200_000, 400_000, 800_000];
/// So few that a compressed batch is small: what is fed must not fill the disk.
const TEXTS: i64 = 48;
const COUNTRIES: [&str; 5] = ["de", "fr", "it", "pl", "se"];

/// The stream as far as it was made, and what must come of it.
pub struct Stream {
    next: i64,
    predicted: i64,
    now: i64,
    text: String,
    /// More numbers, in turn: what a value of usual size is made of.
    numbers: Vec<String>,
    pub counted: Counted,
    /// Records that can't be read.
    pub broken: u64,
}

/// Takes a record: index of its input, partition, value.
pub trait Sink {
    fn take(&mut self, input: usize, partition: usize, value: &str);
}

impl Stream {
    pub fn new() -> Stream {
        Stream {
            next: 0,
            predicted: 0,
            now: 0,
            text: String::new(),
            numbers: (0..TEXTS).map(numbers).collect(),
            counted: Counted::new(),
            broken: 0,
        }
    }

    /// Predictions so far, but for the odd ones.
    pub fn predicted(&self) -> i64 {
        self.predicted
    }

    /// The next position, at this time.
    pub fn step(&mut self, time: i64, to: &mut impl Sink) {
        self.predict(time, to);
        self.predicted += 1;
        self.answer(time, to);
        self.next += 1;
        self.now = time;
    }

    /// Answers what is not answered yet, `per_second` a second, and goes on until nothing is undecided.
    pub fn finish(&mut self, per_second: i64, to: &mut impl Sink) {
        let (from, at) = (self.next, self.now);
        for n in 0..DELAYS[3] {
            self.now = at + n * 1_000 / per_second;
            self.answer(self.now, to);
            self.next = from + n + 1;
        }
        let after = self.now + WINDOW + 2 * LATENESS + PANE_MS;
        for partition in 0..PARTITIONS as usize {
            self.prediction(partition, &format!("last-{partition}"), after, 0, to);
            self.outcome(partition, &format!("last-{partition}"), after, positive(0), to);
            self.count(false, after, |c| &mut c.accepted);
            self.count(true, after, |c| &mut c.pairs);
        }
    }

    fn predict(&mut self, time: i64, to: &mut impl Sink) {
        let (n, p) = (self.next, partition(self.next));
        self.count(false, time, |c| &mut c.accepted);
        self.prediction(p, &format!("r-{n:010}"), time, n, to);
        match n % 1_000 {
            1 => {
                self.count(false, time, |c| &mut c.duplicates);
                self.prediction(p, &format!("r-{n:010}"), time, n, to);
            }
            4 => self.count(true, time + WINDOW, |c| &mut c.unlabelled),
            6 => {
                let w = time - LATENESS; // the prediction above has raised it
                self.count(false, w, |c| &mut c.late);
                self.prediction(p, &format!("late-{n}"), w - 5_000, n, to);
            }
            7 => {
                self.broken += 1;
                to.take(0, p, "{\"request_id\": \"r-");
            }
            _ => {}
        }
    }

    fn answer(&mut self, time: i64, to: &mut impl Sink) {
        if self.next % 1_000 == 5 {
            self.count(true, time + EARLY, |c| &mut c.orphans);
            self.outcome(partition(self.next), &format!("orphan-{}", self.next), time, true, to);
        }
        let n = self.next - DELAYS[(self.next % 4) as usize];
        if n < 0 || n % 1_000 == 4 || n >= self.predicted {
            return;
        }
        let (p, id, right) = (partition(n), format!("r-{n:010}"), !mixed(n).is_multiple_of(10));
        self.count(true, time, |c| &mut c.pairs);
        if !right {
            self.count(true, time, |c| &mut c.errors);
        }
        self.outcome(p, &id, time, positive(n) == right, to);
        match n % 1_000 {
            2 => {
                self.count(true, time, |c| &mut c.repeated);
                self.outcome(p, &id, time, positive(n) == right, to);
            }
            3 => {
                self.count(true, time, |c| &mut c.conflicting);
                self.outcome(p, &id, time, positive(n) != right, to);
            }
            _ => {}
        }
    }

    fn prediction(&mut self, p: usize, id: &str, time: i64, n: i64, to: &mut impl Sink) {
        use std::fmt::Write;
        let draw = mixed(n);
        let country = COUNTRIES[((draw >> 8) % 5) as usize];
        // in each quarter of an hour three minutes are unlike the others
        let strange = if time.rem_euclid(900_000) > 720_000 { 2_000 } else { 0 };
        let (amount, age) = ((draw >> 16) % 10_000 + strange, 18 + (draw >> 32) % 60);
        let (label, score) = (u8::from(positive(n)), (draw >> 40) % 1_000);
        let more = &self.numbers[draw as usize % TEXTS as usize];
        self.text.clear();
        write!(
            self.text,
            "{{\"request_id\":\"{id}\",\"event_time\":{time},\"model\":\"m\",\"score\":0.{score:03},\"label\":\"{label}\",\
             \"features\":{{\"amount\":{amount},\"age\":{age},{more},\"country\":\"{country}\"}},\"segments\":{{\"country\":\"{country}\"}}}}"
        )
        .expect("a text takes all");
        to.take(0, p, &self.text);
    }

    fn outcome(&mut self, p: usize, id: &str, time: i64, positive: bool, to: &mut impl Sink) {
        use std::fmt::Write;
        self.text.clear();
        let label = u8::from(positive);
        write!(self.text, "{{\"request_id\":\"{id}\",\"event_time\":{time},\"label\":\"{label}\"}}").expect("a text takes all");
        to.take(1, p, &self.text);
    }

    fn count(&mut self, pair: bool, time: i64, what: fn(&mut Count) -> &mut u64) {
        *what(self.counted.entry((pair, time.div_euclid(PANE_MS))).or_default()) += 1;
    }
}

/// Four neighbours share a partition, so that each has outcomes of all delays.
fn partition(n: i64) -> usize {
    ((n / 4) % i64::from(PARTITIONS)) as usize
}

/// Sixty features with six digits each.
fn numbers(i: i64) -> String {
    let one = |f: i64| format!("\"f{f:02}\":{:.4}", (mixed(i * 60 + f) % 1_000_000) as f64 / 10_000.0);
    (0..60).map(one).collect::<Vec<_>>().join(",")
}

fn positive(n: i64) -> bool {
    mixed(n) >> 63 == 1
}

fn mixed(n: i64) -> u64 {
    crate::split_mix::SplitMix64(n as u64).next()
}
