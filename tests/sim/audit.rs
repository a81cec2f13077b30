//! A subscriber to everything that the application publishes, and a book-keeper: what it sees must fit together at every moment.
//!
//! Checked as records appear: epochs of a task follow each other without a gap or a repetition and continue where the last one ended;
//! each shows in every summaries partition exactly once, partials before the mark; progress never goes back; definitions follow each other and none come
//! back. An engine without crashes follows the summaries as they are committed: its alerts are the expected ones.

use super::compare::{Alerts, Published};
use super::edge::World;
use super::oracle::add_effects;
use driftline::codec::wire::{Kind, Reader};
use driftline::config::settings::Settings;
use driftline::engine::definitions::change::Change;
use driftline::engine::journal::{self, Activity, EdgeDecision, Epoch};
use driftline::engine::mark::Mark;
use driftline::engine::monitor::{Effects, Monitor};
use driftline::engine::partial;
use driftline::engine::plan::{Plan, PlanRecord, Progress, Versioned};
use driftline::engine::types::{EventTime, Input, Offset, Partition};
use driftline::log::memory::{MemberOptions, MemoryLog};
use driftline::log::{Log, Record};
use driftline::planted;
use std::collections::BTreeMap;

/// A decision of the edge as the journal has it.
#[derive(Clone, Copy, Debug)]
pub struct Decided {
    /// The decision.
    pub decision: EdgeDecision,
    /// The highest time that the input had shown before it, of a loss.
    pub shown: EventTime,
}

/// Rows that were let go.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// Where both inputs stood.
    pub next: [Offset; 2],
    /// Whose rows.
    pub input: Input,
    /// Everything up to this time.
    pub up_to: EventTime,
}

/// What the journal says of a task.
#[derive(Default)]
pub struct TaskHistory {
    /// Its last complete epoch.
    pub last: Option<Epoch>,
    /// Decisions in their order.
    pub decisions: Vec<Decided>,
    /// Releases in their order, each once.
    pub releases: Vec<Release>,
    /// A transaction has been hanging in an input for long.
    pub hung: [bool; 2],
    /// An input was declared idle or silent, so panes closed by timing.
    pub was_quiet: bool,
    /// How often an input was declared stuck.
    pub stuck: u64,
    begun: Option<(Epoch, u64, u64)>,
}

/// A summaries partition.
struct Shard {
    monitor: Monitor,
    /// Epoch of the last mark, by source.
    marks: BTreeMap<i32, u64>,
    /// Epoch of the last head in the state.
    head: u64,
}

/// A record as the subscriber keeps it.
struct Copied {
    offset: Offset,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(String, String)>,
}

/// The subscriber.
pub struct Audit {
    log: MemoryLog,
    topics: Vec<(String, i32)>,
    read: BTreeMap<(String, i32), Offset>,
    settings: std::sync::Arc<Settings>,
    observed_at: i64,
    /// Tasks by partition.
    pub tasks: Vec<TaskHistory>,
    shards: Vec<Shard>,
    progress: BTreeMap<i32, Progress>,
    /// All versions of the definitions.
    pub definitions: Vec<Versioned>,
    /// What was published.
    pub published: Published,
    /// What should have been, as far as summaries say.
    pub expected: Published,
    /// The first thing that did not fit.
    pub wrong: Option<String>,
}

impl Audit {
    /// Of a run with these settings over so many partitions.
    pub fn new(world: &World, settings: std::sync::Arc<Settings>, partitions: i32) -> Audit {
        let shards = settings.summaries_partitions;
        let log = MemoryLog::open(world.cluster.clone(), MemberOptions::new("audit", "audit", &[])).expect("opened");
        let topics = vec![
            (settings.topic("journal"), partitions),
            (settings.topic("summaries"), shards),
            (settings.topic("plan"), 1),
            (settings.topic("state"), shards),
            (settings.alerts.topic.clone(), shards * 2),
            (settings.topic("dead-letters"), partitions),
        ];
        let shard = |p| Shard { monitor: Monitor::new(Partition(p)), marks: BTreeMap::new(), head: 0 };
        Audit {
            log,
            topics,
            read: BTreeMap::new(),
            settings,
            observed_at: i64::MIN / 2,
            tasks: (0..partitions).map(|_| TaskHistory::default()).collect(),
            shards: (0..shards).map(shard).collect(),
            progress: BTreeMap::new(),
            definitions: Vec::new(),
            published: Published { alerts: Alerts::new(shards), ..Published::default() },
            expected: Published { alerts: Alerts::new(shards), ..Published::default() },
            wrong: None,
        }
    }

    /// Reads on. Planted bugs are none of its own.
    pub fn observe(&mut self, world: &World) {
        // whoever commits between two looks may have decided a session before
        let long_ago = self.observed_at - 60_000;
        for (p, task) in self.tasks.iter_mut().enumerate() {
            // retention that takes all of its records makes a partition empty, and nobody sees the transaction any more
            let seen = |i: usize| {
                world.cluster.with(|c| c.partition(["p", "o"][i], p as i32).is_ok_and(|log| log.ends().last_stable < log.ends().high))
            };
            task.hung =
                [0, 1].map(|i| seen(i) && world.hanging.borrow().iter().any(|h| (h.input, h.partition) == (i, p) && h.since < long_ago));
        }
        self.observed_at = world.now();
        planted::without(|| {
            for (topic, partitions) in self.topics.clone() {
                for p in 0..partitions {
                    self.read_on(world, &topic, p);
                }
            }
        });
        let read = |topic: &str, p: Partition| self.read.get(&(topic.to_string(), p.0)).copied().unwrap_or(Offset(0));
        world.deletions.borrow_mut().retain(|(topic, p, before)| {
            let now = read(topic, *p) >= *before;
            if now {
                world.cluster.with(|cluster| cluster.delete_records(topic, p.0, Some(*before)).map(drop)).ok();
            }
            !now
        });
    }

    fn read_on(&mut self, world: &World, topic: &str, p: i32) {
        let from = self.read.get(&(topic.to_string(), p)).copied().unwrap_or(Offset(0));
        let ends = world.cluster.with(|cluster| cluster.partition(topic, p).expect("there").ends());
        if ends.low > from {
            self.complain(format!("{topic}[{p}] was deleted up to {} before anybody could read on from {}", ends.low.0, from.0));
        }
        if ends.last_stable <= from {
            return;
        }
        let mut records: Vec<Copied> = Vec::new();
        let next = self.log.scan(topic, Partition(p), Some(from), &mut |r: Record<'_>| {
            let header = |i| r.headers.get(i).map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.unwrap_or_default()).into_owned()));
            let headers = (0..r.headers.len()).filter_map(header).collect();
            records.push(Copied {
                offset: r.offset,
                key: r.key.unwrap_or_default().to_vec(),
                value: r.value.unwrap_or_default().to_vec(),
                headers,
            });
            true
        });
        self.read.insert((topic.to_string(), p), next.expect("scanned"));
        for Copied { offset, key, value, headers } in records {
            let taken = match topic.rsplit('.').next().unwrap_or_default() {
                "journal" => self.journal(p, &value),
                "summaries" => self.summary(p, offset, &value),
                "plan" => self.plan(&value),
                "state" => self.state(p, &value),
                "alerts" => {
                    let key = String::from_utf8(key).expect("text");
                    self.published.alerts.add(Partition(p), key, headers, value);
                    Ok(())
                }
                _ => self.letter(&headers),
            };
            if let Err(why) = taken {
                self.complain(format!("{topic}[{p}] offset {}: {why}", offset.0));
            }
        }
    }

    fn complain(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    fn journal(&mut self, p: i32, value: &[u8]) -> Result<(), String> {
        let part = journal::open(value).map_err(|e| e.to_string())?;
        let task = &mut self.tasks[p as usize];
        if let Some(facts) = part.facts {
            if let Some((begun, seen, of)) = &task.begun {
                return Err(format!("epoch {} has {seen} of {of} parts", begun.seq.0));
            }
            task.begun = Some((facts, 0, part.part.1));
        }
        let Some((facts, seen, of)) = &mut task.begun else { return Err("a part without its epoch".into()) };
        if (facts.seq, *seen, *of) != (part.seq, part.part.0, part.part.1) {
            return Err(format!(
                "part {} of {} of epoch {} follows part {seen} of epoch {}",
                part.part.0, part.part.1, part.seq.0, facts.seq.0
            ));
        }
        *seen += 1;
        if seen == of
            && let Some((facts, ..)) = task.begun.take()
        {
            task.take(facts)?;
        }
        Ok(())
    }

    fn summary(&mut self, p: i32, offset: Offset, value: &[u8]) -> Result<(), String> {
        let (kind, mut body) = Reader::open(value).map_err(|e| e.to_string())?;
        let shard = &mut self.shards[p as usize];
        if kind == Kind::Partial as u8 {
            let partial = partial::read_head(&mut body).map_err(|e| e.to_string())?;
            let last = shard.marks.get(&partial.source.0).copied().unwrap_or(0);
            if partial.seq.0 != last + 1 {
                return Err(format!("a partial of epoch {} of source {} after the mark of epoch {last}", partial.seq.0, partial.source.0));
            }
            self.published.partials.push(value.to_vec());
        } else if kind == Kind::Mark as u8 {
            let mark = Mark::read(&mut body).map_err(|e| e.to_string())?;
            let last = shard.marks.insert(mark.source.0, mark.seq.0).unwrap_or(0);
            if mark.seq.0 != last + 1 {
                return Err(format!("source {}: the mark of epoch {} follows that of epoch {last}", mark.source.0, mark.seq.0));
            }
        }
        let mut effects = Effects::default();
        shard.monitor.observe(offset, value, &mut effects).map_err(|e| e.to_string())?;
        add_effects(&mut self.expected, p as usize, &mut effects);
        Ok(())
    }

    fn plan(&mut self, value: &[u8]) -> Result<(), String> {
        match PlanRecord::read(value).map_err(|e| e.to_string())? {
            PlanRecord::Edges(edges) => {
                if self.published.edges.iter().any(|known| known.key() == edges.key()) {
                    return Err(format!("bins of {} of {} were fixed twice", edges.signal, edges.model));
                }
                self.published.edges.push(edges);
            }
            PlanRecord::Progress(p) => {
                let known = self.progress.insert(p.partition, p).unwrap_or(p);
                if known.input > p.input || known.pair > p.pair {
                    return Err(format!("progress went back from {known:?} to {p:?}"));
                }
            }
            PlanRecord::Definitions(d) => self.version(*d)?,
        }
        Ok(())
    }

    /// Versions follow each other; none changes what can't change, none comes back, none holds for panes that are closed.
    fn version(&mut self, d: Versioned) -> Result<(), String> {
        if let Some(known) = self.definitions.last() {
            let change = known.definitions.change_to(&d.definitions);
            let Change::Possible { joined, .. } = &change else { return Err(format!("version {} is {change:?}", d.version)) };
            if d.version != known.version + 1 || d.effective_from < known.effective_from {
                return Err(format!(
                    "version {} from {:?} after {} from {:?}",
                    d.version, d.effective_from, known.version, known.effective_from
                ));
            }
            if let Some(old) = self.definitions.iter().find(|v| v.definitions.content() == d.definitions.content()) {
                return Err(format!("version {} brings version {} back", d.version, old.version));
            }
            let closed = self.progress.values().map(|p| p.input.max(p.pair)).max();
            if *joined && closed.is_some_and(|closed| d.effective_from <= closed) {
                return Err(format!("version {} holds from {:?}, and {closed:?} is closed", d.version, d.effective_from));
            }
        } else if d.version != 1 {
            return Err(format!("version {} is the first", d.version));
        }
        self.definitions.push(d);
        Ok(())
    }

    /// Heads of a monitor's state follow each other, too.
    fn state(&mut self, p: i32, value: &[u8]) -> Result<(), String> {
        let (kind, mut body) = Reader::open(value).map_err(|e| e.to_string())?;
        let (seq, part) = (body.uint().map_err(|e| e.to_string())?, body.uint().map_err(|e| e.to_string())?);
        let head = &mut self.shards[p as usize].head;
        if kind == Kind::Head as u8 && part == 0 {
            if seq != *head + 1 {
                return Err(format!("the head of epoch {seq} follows that of epoch {head}"));
            }
            *head = seq;
        }
        Ok(())
    }

    fn letter(&mut self, headers: &[(String, String)]) -> Result<(), String> {
        let header = |name: &str| headers.iter().rev().find(|h| h.0 == name).map(|h| h.1.clone()).ok_or(format!("no header {name}"));
        let number = |name: &str| header(name)?.parse::<i64>().map_err(|e| e.to_string());
        let letter = (header("source.topic")?, number("source.partition")? as i32, number("source.offset")?, header("error.reason")?);
        self.published.letters.0.push(letter);
        Ok(())
    }

    /// Why not everything is published yet; `None` if it is. `ends` are the ends of the inputs.
    pub fn missing(&self, once: bool, end: impl Fn(usize, usize) -> Offset) -> Option<String> {
        let quiet = if once { Activity::Finished } else { Activity::Silent };
        for (p, task) in self.tasks.iter().enumerate() {
            let Some(last) = &task.last else { return Some(format!("partition {p} has no epoch")) };
            for i in 0..2 {
                if last.next[i] < end(i, p) {
                    return Some(format!("input {i} of partition {p} stands at {} of {}", last.next[i].0, end(i, p).0));
                }
                if last.activity[i] < quiet {
                    return Some(format!("input {i} of partition {p} is {:?}", last.activity[i]));
                }
            }
            if let Some(s) = self.shards.iter().position(|s| s.marks.get(&(p as i32)) != Some(&last.seq.0)) {
                return Some(format!("summaries[{s}] lack the mark of epoch {} of partition {p}", last.seq.0));
            }
        }
        for (s, shard) in self.shards.iter().enumerate() {
            if shard.monitor.progress() != self.progress.get(&(s as i32)).copied() {
                return Some(format!(
                    "summaries[{s}] are closed to {:?}, published is {:?}",
                    shard.monitor.progress(),
                    self.progress.get(&(s as i32))
                ));
            }
        }
        let (published, expected) = (self.published.alerts.count(), self.expected.alerts.count());
        (published < expected).then(|| format!("{published} of {expected} alerts are published"))
    }

    /// The plan that the run has published.
    pub fn final_plan(&self) -> Plan {
        let mut plan = Plan::default();
        self.definitions.iter().for_each(|d| plan.observe(PlanRecord::Definitions(Box::new(d.clone()))));
        self.published.edges.iter().for_each(|e| plan.observe(PlanRecord::Edges(e.clone())));
        plan
    }

    /// True if only the inputs decide alerts: nothing was lost or declared quiet before its end, and each version of the definitions names a pane
    /// of its own. One that does not holds from the next pane of whoever reads it: a decision of the moment.
    pub fn timeless(&self) -> bool {
        let lost = |t: &TaskHistory| t.decisions.iter().any(|d| matches!(d.decision, EdgeDecision::Lost { .. })) || !t.releases.is_empty();
        self.definitions.is_sorted_by(|a, b| a.effective_from < b.effective_from) && !self.tasks.iter().any(|t| t.was_quiet || lost(t))
    }

    /// The settings of the run with the newest definitions.
    pub fn settings(&self) -> Settings {
        let mut settings = (*self.settings).clone();
        if let Some(d) = self.definitions.last() {
            settings.definitions = d.definitions.clone();
        }
        settings
    }
}

impl TaskHistory {
    fn take(&mut self, epoch: Epoch) -> Result<(), String> {
        let known = self.last.as_ref();
        let (seq, next, floor) = known.map_or((0, [Offset(0); 2], 0), |l| (l.seq.0, l.next, l.floor.0));
        if epoch.seq.0 != seq + 1 {
            return Err(format!("epoch {} follows epoch {seq}", epoch.seq.0));
        }
        if epoch.next[0] < next[0] || epoch.next[1] < next[1] {
            return Err(format!("epoch {} goes back from {next:?} to {:?}", epoch.seq.0, epoch.next));
        }
        let before = known.map_or([Activity::Active; 2], |l| l.activity);
        let quieter = |i: &usize| epoch.activity[*i] > before[*i] && epoch.activity[*i] != Activity::Stuck;
        if let Some(i) = (0..2).find(|i| self.hung[*i] && quieter(i)) {
            return Err(format!("epoch {} calls input {i} {:?} while a transaction hangs in it", epoch.seq.0, epoch.activity[i]));
        }
        if epoch.floor.0 < floor || epoch.floor > epoch.seq {
            return Err(format!("the floor of epoch {seq} was {floor}, that of epoch {} is {}", epoch.seq.0, epoch.floor.0));
        }
        // declared anew after ten minutes at the earliest, which no epoch takes
        let lost = |i: usize| epoch.decisions.iter().any(|d| matches!(d, EdgeDecision::Lost { input, .. } if input.index() == i));
        let stays = |i: &usize| before[*i] == Activity::Stuck && epoch.activity[*i] == Activity::Stuck;
        if let Some(i) = (0..2).filter(stays).find(|i| epoch.next[*i] > next[*i] && !lost(*i)) {
            return Err(format!("epoch {} calls input {i} stuck although records came", epoch.seq.0));
        }
        for decision in &epoch.decisions {
            let mut shown = EventTime::MIN;
            if let EdgeDecision::Lost { input, from, .. } = decision {
                shown = known.map_or(EventTime::MIN, |l| l.clocks[input.index()].1);
                if *from != next[input.index()] {
                    return Err(format!("{decision:?}, but reading stood at {next:?}"));
                }
            }
            if let EdgeDecision::Released { input, up_to } = *decision {
                if self.releases.iter().all(|r| r.input != input || r.up_to < up_to) {
                    self.releases.push(Release { next: epoch.next, input, up_to });
                }
                continue;
            }
            self.decisions.push(Decided { decision: *decision, shown });
        }
        self.stuck += (0..2).filter(|i| epoch.activity[*i] == Activity::Stuck && before[*i] != Activity::Stuck).count() as u64;
        self.was_quiet |= epoch.activity.iter().any(|a| matches!(a, Activity::Stuck | Activity::Idle | Activity::Silent));
        self.last = Some(epoch);
        Ok(())
    }
}
