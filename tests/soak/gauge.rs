//! A look at everything once a second: lag, memory, journals, disk, the core; and whether the machine stood still meanwhile.

use super::MEMBERS;
use super::feeder::Fed;
use super::member::{Member, busy};
use crate::scene::PARTITIONS;
use crate::topics::client;
use crate::wait::lasts;
use driftline::config::settings::Settings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(50);
/// A nap of 50 ms that takes this long: the harness was frozen, and everything else with it.
const FROZEN: Duration = Duration::from_millis(700);
/// Reading so far behind is no longer fed, or retention would take what nobody has read.
const TOO_FAR_S: f64 = 40.0;
const FAR_ENOUGH_S: f64 = 10.0;

/// A process at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    pub age: f64,
    pub resident: f64,
    /// Rows of the join, MB.
    pub rows: f64,
    /// What a restart reads, MB.
    pub journal: f64,
    /// Seconds that this life has spent on rebuilding state.
    pub restore: f64,
}

/// Everything at a moment, in seconds and MB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub at: f64,
    pub positions: i64,
    pub lag_records: i64,
    /// Event time of input that is not committed, in the partition that is furthest behind.
    pub lag: f64,
    pub looks: [Look; MEMBERS],
    /// Of the time since the last sample.
    pub frozen: f64,
    pub busy: f64,
    pub own: f64,
    pub disk: f64,
    pub broker: f64,
}

pub struct Gauge<'g> {
    pub members: &'g [Mutex<Member>; MEMBERS],
    pub fed: &'g Fed,
    pub core: usize,
    pub broker_dir: PathBuf,
    /// Positions a second at the moment.
    pub rate: AtomicI64,
    pub began: Instant,
    pub samples: Mutex<Vec<Sample>>,
    positions: Positions,
}

/// Committed positions of the join's group in both inputs.
struct Positions {
    consumer: BaseConsumer,
    list: TopicPartitionList,
}

impl Positions {
    fn of(settings: &Settings) -> Result<Positions, String> {
        let mut config = client(&settings.kafka.brokers);
        // uncommitted: the answer must not wait for the open transactions of a process that was just killed
        config.set("group.id", format!("{}-join", settings.app)).set("isolation.level", "read_uncommitted");
        let mut list = TopicPartitionList::new();
        for topic in [&settings.predictions.topic, &settings.outcomes.topic] {
            for p in 0..PARTITIONS as i32 {
                list.add_partition(topic, p);
            }
        }
        Ok(Positions { consumer: config.create().map_err(|e| e.to_string())?, list })
    }

    /// By input and partition, in the order of the list; None if no broker answers.
    fn committed(&self) -> Option<Vec<i64>> {
        let answer = self.consumer.committed_offsets(self.list.clone(), Duration::from_secs(5)).ok()?;
        Some(answer.elements().iter().map(|e| if let Offset::Offset(o) = e.offset() { o } else { 0 }).collect())
    }
}

impl<'g> Gauge<'g> {
    pub fn new(
        settings: &Settings,
        members: &'g [Mutex<Member>; MEMBERS],
        fed: &'g Fed,
        core: usize,
        broker: &Path,
    ) -> Result<Gauge<'g>, String> {
        Ok(Gauge {
            members,
            fed,
            core,
            broker_dir: broker.to_path_buf(),
            rate: AtomicI64::new(40_000),
            began: Instant::now(),
            samples: Mutex::default(),
            positions: Positions::of(settings)?,
        })
    }

    /// Committed records, and how far behind reading is: records, and seconds in the worst partition.
    pub fn lag(&self) -> Option<(i64, i64, f64)> {
        let fed: Vec<i64> = self.fed.records.iter().flatten().map(|n| n.load(Ordering::Relaxed)).collect();
        let committed = self.positions.committed()?;
        let behind = || fed.iter().zip(&committed).map(|(f, c)| (f - c).max(0));
        let a_second = self.rate.load(Ordering::Relaxed) as f64 / f64::from(PARTITIONS);
        Some((committed.iter().sum(), behind().sum(), behind().max().unwrap_or(0) as f64 / a_second))
    }

    /// Samples once a second until it is told to end; revives who asked for it.
    pub fn watch(&self, over: impl Fn() -> bool) -> Result<(), String> {
        let (mut last, mut behind) = (None, (0, 0.0));
        while !over() {
            let (began, mut frozen) = (Instant::now(), Duration::ZERO);
            while began.elapsed() < Duration::from_secs(1) {
                let nap = Instant::now();
                lasts(TICK);
                frozen += Some(nap.elapsed()).filter(|n| *n > FROZEN).unwrap_or_default();
            }
            let mut sample = Sample { at: self.began.elapsed().as_secs_f64(), frozen: frozen.as_secs_f64(), ..Sample::default() };
            // without an answer it is as it was
            behind = self.lag().map_or(behind, |(_, records, seconds)| (records, seconds));
            (sample.lag_records, sample.lag) = behind;
            self.hold(sample.lag);
            for (look, member) in sample.looks.iter_mut().zip(self.members) {
                let mut member = member.lock().expect("no thread panics");
                if member.is_frozen() {
                    sample.frozen = sample.frozen.max(1.0);
                }
                sample.own += member.cpu();
                *look = looked(&member);
                member.revive()?;
            }
            sample.busy = busy(self.core);
            sample.positions = self.fed.positions.load(Ordering::Relaxed);
            if self.samples.lock().expect("no thread panics").len().is_multiple_of(10) {
                last = Some((size(&self.broker_dir), self.broker_memory()));
            }
            (sample.disk, sample.broker) = last.unwrap_or_default();
            self.samples.lock().expect("no thread panics").push(sample);
        }
        Ok(())
    }

    fn hold(&self, lag: f64) {
        let held = self.fed.hold.load(Ordering::Relaxed);
        self.fed.hold.store(lag > if held { FAR_ENOUGH_S } else { TOO_FAR_S }, Ordering::Relaxed);
    }

    fn broker_memory(&self) -> f64 {
        let pid = std::fs::read_to_string(self.broker_dir.join("pid")).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
        let kb = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
        kb.unwrap_or(0.0) / 1_024.0
    }
}

fn looked(member: &Member) -> Look {
    let metrics = member.metrics();
    let of = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    Look {
        age: member.since.elapsed().as_secs_f64(),
        resident: member.resident(),
        rows: of("driftline_pending_bytes") / 1e6,
        journal: of("driftline_journal_size_bytes") / 1e6,
        restore: of("driftline_restore_duration_seconds_sum"),
    }
}

/// MB in a folder.
pub fn size(dir: &Path) -> f64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0.0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(_) if entry.file_name().to_string_lossy().contains(".summaries-") => 0.0, // kept for days, so they grow with the stream
        Ok(m) if m.is_dir() => size(&entry.path()),
        Ok(m) => m.blocks() as f64 * 512.0 / 1e6, // index files are mostly holes
        Err(_) => 0.0,
    };
    entries.flatten().map(of).sum()
}
