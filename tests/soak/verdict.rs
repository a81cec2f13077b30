//! What a soak says: a table, and whether memory was flat and lag bounded.
//!
//! Each kill begins a new life with new memory, so lives are compared at the same age: the median of what was resident between 60 s and
//! 110 s, when state is restored and the backlog is gone. A minute that misses the bound of lag is excused if the machine stood still in it,
//! or others took so much of the core that nobody could have kept up; if that is a tenth of them, there is no result.

use super::MEMBERS;
use super::gauge::Sample;
use std::time::Instant;

/// Lag is bounded if reading is back within this much input ...
pub const NEAR_S: f64 = 10.0;
/// ... so many seconds after a kill.
pub const BACK_S: f64 = 30.0;
const AGES: [f64; 2] = [60.0, 110.0];
const FLAT: f64 = 0.05;
/// A minute is excused if everything stood still for this long in it, s ...
const STILL_S: f64 = 1.0;
/// ... or if others took this share of the core: less than what is fed was left.
const FOREIGN: f64 = 0.35;

#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub at: f64,
    pub member: usize,
    pub killed: Instant,
    /// Seconds until it said that it was ready; 0 as long as it has not.
    pub ready: f64,
}

/// What came of one kill, until the next one.
struct Minute {
    back: f64,
    worst: f64,
    excused: bool,
    foreign: f64,
    frozen: f64,
}

pub struct Verdict<'v> {
    pub samples: &'v [Sample],
    pub kills: &'v [Kill],
    pub from: f64,
    pub to: f64,
}

impl Verdict<'_> {
    fn between(&self, from: f64, to: f64) -> Vec<&Sample> {
        self.samples.iter().filter(|s| s.at >= from && s.at < to).collect()
    }

    fn minute(&self, i: usize) -> Minute {
        let (at, end) = (self.kills[i].at, self.kills.get(i + 1).map_or(self.to, |k| k.at));
        let samples = self.between(at, end);
        let frozen = samples.iter().map(|s| s.frozen).sum();
        let foreign = foreign(&samples);
        let back = samples.iter().rev().find(|s| s.lag >= NEAR_S).map_or(0.0, |s| s.at - at);
        Minute {
            back,
            worst: samples.iter().map(|s| s.lag).fold(0.0, f64::max),
            excused: back > BACK_S && (frozen >= STILL_S || foreign > FOREIGN),
            foreign,
            frozen,
        }
    }

    /// Median of resident memory of each life that is long enough: when it began, and MB.
    fn lives(&self) -> Vec<(f64, usize, f64)> {
        let mut lives = Vec::new();
        for m in 0..MEMBERS {
            let mut life: Vec<f64> = Vec::new();
            let mut began = f64::MIN;
            let whole = |began: f64, life: &mut Vec<f64>| Some((began, m, median(life))).filter(|_| life.len() >= 20 && began >= self.from);
            for s in self.samples {
                let look = s.looks[m];
                if s.at - look.age > began + 2.0 {
                    lives.extend(whole(began, &mut life));
                    (began, life) = (s.at - look.age, Vec::new());
                }
                if look.age >= AGES[0] && look.age <= AGES[1] {
                    life.push(look.resident);
                }
            }
            lives.extend(whole(began, &mut life));
        }
        lives
    }

    /// First and last third: mean of both members' mean over their lives, MB. Nothing if it was too short.
    fn thirds(&self) -> Option<[f64; 2]> {
        let (lives, third) = (self.lives(), (self.to - self.from) / 3.0);
        let mean = |from: f64, to: f64, member: usize| {
            let of: Vec<f64> = lives.iter().filter(|l| l.0 >= from && l.0 < to && l.1 == member).map(|l| l.2).collect();
            Some(of.iter().sum::<f64>() / of.len() as f64).filter(|m| m.is_finite())
        };
        let sum = |from: f64, to: f64| (0..MEMBERS).map(|m| mean(from, to, m)).sum::<Option<f64>>();
        Some([sum(self.from, self.from + third)?, sum(self.to - third, self.to)?])
    }

    /// Prints the table; what was wrong, and whether it says anything.
    pub fn print(&self, disk_limit: f64) -> (Vec<String>, bool) {
        println!(
            "| minutes | kills (excused) | fed/s | lag s: median, worst | records behind, worst | back in s, worst | ready in s: median, worst | restore s, worst | resident MB | rows MB | journals MB | broker's disk MB | others on the core | frozen s |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        let step = ((self.to - self.from) / 12.0).max(60.0);
        let mut at = self.from;
        while at < self.to - 1.0 {
            self.row(at, (at + step).min(self.to));
            at += step;
        }
        self.row(self.from, self.to);
        let mut wrong = Vec::new();
        let minutes: Vec<Minute> = (0..self.kills.len()).map(|i| self.minute(i)).collect();
        let calm: Vec<&Minute> = minutes.iter().filter(|m| !m.excused).collect();
        let late = calm.iter().filter(|m| m.back > BACK_S).count();
        let worst = |m: &[&Minute]| m.iter().map(|m| m.back).fold(0.0, f64::max);
        println!(
            "lag: {} kills, {} of them judged; of these {late} were not back below {NEAR_S} s of input within {BACK_S} s (worst {:.0} s); worst of all {:.0} s",
            minutes.len(),
            calm.len(),
            worst(&calm),
            worst(&minutes.iter().collect::<Vec<_>>())
        );
        if late > 0 {
            wrong.push(format!("lag: {late} kills took longer than {BACK_S} s"));
        }
        match self.thirds() {
            None => wrong.push("memory: too short to compare thirds".into()),
            Some([first, last]) => {
                let change = last / first - 1.0;
                println!(
                    "memory at the same age of {} lives: first third {first:.1} MB, last third {last:.1} MB ({:+.1} %)",
                    self.lives().len(),
                    change * 100.0
                );
                if change.abs() > FLAT {
                    wrong.push(format!("memory: {:+.1} % from the first to the last third", change * 100.0));
                }
            }
        }
        let disk = self.samples.iter().map(|s| s.disk).fold(0.0, f64::max);
        if disk > disk_limit {
            wrong.push(format!("disk: {disk:.0} MB, more than {disk_limit:.0}"));
        }
        (wrong, (minutes.len() - calm.len()) * 10 <= minutes.len())
    }

    fn row(&self, from: f64, to: f64) {
        let samples = self.between(from, to);
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
        let inside: Vec<usize> = (0..self.kills.len()).filter(|i| self.kills[*i].at >= from && self.kills[*i].at < to).collect();
        let minutes: Vec<Minute> = inside.iter().map(|i| self.minute(*i)).collect();
        let max = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(|s| of(s)).fold(0.0, f64::max);
        let mut lags: Vec<f64> = samples.iter().map(|s| s.lag).collect();
        let mut ready: Vec<f64> = inside.iter().map(|i| self.kills[*i].ready).collect();
        let worst_ready = ready.iter().copied().fold(0.0, f64::max);
        let mut resident: Vec<f64> =
            samples.iter().filter(|s| s.looks.iter().all(|l| l.age > 20.0)).map(|s| both(s, |l| l.resident)).collect();
        println!(
            "| {:.0}-{:.0} | {} ({}) | {:.0} | {:.1}, {:.1} | {} | {:.0} | {:.1}, {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} % | {:.0} |",
            (from - self.from) / 60.0,
            (to - self.from) / 60.0,
            minutes.len(),
            minutes.iter().filter(|m| m.excused).count(),
            (last.positions - first.positions) as f64 / (last.at - first.at).max(1.0),
            median(&mut lags),
            max(&|s| s.lag),
            samples.iter().map(|s| s.lag_records).max().unwrap_or(0),
            minutes.iter().map(|m| m.back).fold(0.0, f64::max),
            median(&mut ready),
            worst_ready,
            max(&|s| s.looks.iter().map(|l| l.restore).fold(0.0, f64::max)),
            median(&mut resident),
            median(&mut samples.iter().map(|s| both(s, |l| l.rows)).collect::<Vec<_>>()),
            median(&mut samples.iter().map(|s| both(s, |l| l.journal)).collect::<Vec<_>>()),
            max(&|s| s.disk),
            foreign(&samples) * 100.0,
            samples.iter().map(|s| s.frozen).sum::<f64>(),
        );
    }

    /// Minute by minute, for those who doubt it.
    pub fn details(&self) -> String {
        let line = |i: usize| {
            let (k, m) = (self.kills[i], self.minute(i));
            format!(
                "{:7.1} s: instance {} killed, ready after {:.1} s, back below {NEAR_S} s after {:.0} s, worst lag {:.1} s, others took {:.0} %, frozen {:.1} s{}\n",
                k.at - self.from,
                k.member,
                k.ready,
                m.back,
                m.worst,
                m.foreign * 100.0,
                m.frozen,
                if m.excused { ", excused" } else { "" }
            )
        };
        (0..self.kills.len()).map(line).collect()
    }
}

fn both(sample: &Sample, of: impl Fn(&super::gauge::Look) -> f64) -> f64 {
    sample.looks.iter().map(of).sum()
}

/// Share of the core that went to others, the host's other guests among them.
pub fn foreign(samples: &[&Sample]) -> f64 {
    let (Some(a), Some(b)) = (samples.first(), samples.last()) else { return 0.0 };
    (((b.busy - a.busy) - (b.own - a.own)) / (b.at - a.at).max(1.0)).max(0.0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
