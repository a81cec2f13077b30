//! What a member sees of the world: the in-memory log, behind a clock of its own and a network that fails.
//!
//! Calls take (simulated) time, so whoever waits for something sees time pass. Before any call, and between the steps of a commit, others
//! may act (`World::meanwhile`), and the client may fetch on its own. What that can't show: two calls that overlap without one lying
//! within the other; whoever acts within a call of somebody ends its turn there.

use super::draw::Draw;
use super::trace::Trace;
use driftline::broker::Producer;
use driftline::engine::types::{Offset, Partition};
use driftline::log::memory::{CommitFault, MemoryLog, SharedCluster, Step};
use driftline::log::{Commit, CommittedPosition, Ends, Fatal, Handed, Log, OutRecord, Polled, Position, Record, Sink, TopicIx};
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::hash::Hasher;
use std::rc::Rc;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// So deep may calls lie within each other.
const DEEPEST: u32 = 3;
/// A member that waits for the transaction of another one waits for its timeout.
const TRANSACTION_MS: i64 = 30_001;

/// A transaction upstream that hangs.
pub struct Hung {
    /// Its id.
    pub id: String,
    /// Input and partition.
    pub input: usize,
    /// The partition.
    pub partition: usize,
    /// Since when.
    pub since: i64,
}

/// A stand-still within a commit.
#[derive(Clone, Copy, Debug)]
pub struct Freeze {
    /// Where.
    pub step: Step,
    /// How long.
    pub ms: i64,
    /// Somebody else is started in its place meanwhile.
    pub replaced: bool,
}

/// A request to commit that is on its way.
pub struct LateEnd {
    /// When it arrives.
    pub at: i64,
    /// Whose.
    pub id: String,
    /// The producer that asked.
    pub producer: Producer,
}

/// What all members share.
pub struct World {
    /// Kafka.
    pub cluster: SharedCluster,
    /// What happened.
    pub trace: Trace,
    /// Nobody reaches a broker before this time.
    pub away_until: Cell<i64>,
    /// Transactions upstream that hang.
    pub hanging: RefCell<Vec<Hung>>,
    /// Deletions that were asked for: a broker obeys in its own time, here once the audit has read what goes.
    pub deletions: RefCell<Vec<(String, Partition, Offset)>>,
    /// How long calls take.
    pub durations: RefCell<Draw>,
    /// Requests to commit on their way.
    pub late_ends: RefCell<Vec<LateEnd>>,
    /// Names of processes that are to be replaced while they stand still, and when.
    pub replacements: RefCell<Vec<(String, i64)>>,
    /// How often others act within a call, and who decides it.
    pub meddling: f64,
    /// Draws for that.
    pub whims: RefCell<Draw>,
    /// Gives the others a turn; false if that can't be now.
    pub others: RefCell<Option<Rc<dyn Fn() -> bool>>>,
    /// Commits that are under way.
    pub committing: Cell<u32>,
    /// Turns within calls.
    pub within: Cell<u64>,
    depth: Cell<u32>,
}

impl World {
    /// At time 0 of a cluster, with what a seed decides.
    pub fn new(cluster: SharedCluster, trace: Trace, seed: u64, meddling: f64) -> World {
        World {
            cluster,
            trace,
            away_until: Cell::new(0),
            hanging: RefCell::default(),
            deletions: RefCell::default(),
            durations: RefCell::new(Draw::new(seed, "durations")),
            late_ends: RefCell::default(),
            replacements: RefCell::default(),
            meddling,
            whims: RefCell::new(Draw::new(seed, "whims")),
            others: RefCell::new(None),
            committing: Cell::new(0),
            within: Cell::new(0),
            depth: Cell::new(0),
        }
    }

    /// Within a call: others act, now and then. True if they did.
    fn meanwhile(&self) -> bool {
        self.meddling > 0.0 && self.whims.borrow_mut().chance(self.meddling) && self.others_act()
    }

    /// Others have a turn within a call. False if calls lie too deep already.
    fn others_act(&self) -> bool {
        let Some(others) = self.others.borrow().clone().filter(|_| self.depth.get() < DEEPEST) else { return false };
        self.depth.set(self.depth.get() + 1);
        let acted = others();
        self.depth.set(self.depth.get() - 1);
        self.within.set(self.within.get() + u64::from(acted));
        acted
    }

    /// So many ms pass within a call, and everybody else goes on.
    fn stand_still(&self, ms: i64) {
        let until = self.now() + ms;
        while self.now() < until {
            if !self.others_act() {
                self.spend(until - self.now());
            }
        }
    }

    /// Requests to commit arrive.
    pub fn deliver_ends(&self) {
        let now = self.now();
        let (due, late) = self.late_ends.take().into_iter().partition(|e: &LateEnd| e.at <= now);
        self.late_ends.replace(late);
        let due: Vec<LateEnd> = due;
        for LateEnd { id, producer, .. } in due {
            let came = self.cluster.with(|cluster| cluster.end_transaction(&id, producer, true));
            self.trace.event(now, "network", came.is_ok(), || format!("the request of {id} to commit arrives: {came:?}"));
        }
    }

    /// The world's clock.
    pub fn now(&self) -> i64 {
        self.cluster.with(|cluster| cluster.now_ms())
    }

    /// Lets time pass.
    pub fn spend(&self, ms: i64) {
        self.cluster.with(|cluster| cluster.advance(cluster.now_ms() + ms));
    }

    fn spend_about(&self, ms: i64) {
        let ms = self.durations.borrow_mut().between(ms / 2, ms * 2);
        self.spend(ms);
    }

    /// A call that needs a broker waits for one.
    fn wait_for_broker(&self) {
        let missing = self.away_until.get() - self.now();
        if missing > 0 {
            self.spend(missing);
        }
    }
}

/// `Log` for one process.
pub struct Edge {
    /// The log itself.
    pub log: MemoryLog,
    world: Rc<World>,
    name: String,
    /// What its clock shows more than the world's.
    skew_ms: i64,
    /// Its clock has jumped in the running epoch, which may begin in its future since.
    jumped: bool,
    /// So many polls it works with what it already has: it was asleep and does not know what has happened meanwhile.
    pub blind: u32,
    /// What becomes of its next commits.
    pub faults: Vec<CommitFault>,
    /// Should it die with its offsets sent, its request to commit is already on the way.
    pub asks_before_death: bool,
    /// It died so.
    pub asked: bool,
    /// The next commit whose answer is lost is on its way for so long (ms), rather than lost.
    pub arrives_late: Option<i64>,
    /// Where it stands still in its next commit.
    pub freeze: Rc<Cell<Option<Freeze>>>,
    /// One of its commits took longer than a transaction may: it may find itself fenced.
    pub late: bool,
    /// Said about fences: the client can't tell them from a lost answer.
    pub vague: bool,
    /// Records handed over and commits that were done.
    pub work: u64,
    /// An epoch takes no longer.
    epoch_ms: i64,
    /// Since when, by its own clock, records that it took wait for a commit, and polls since that was due.
    uncommitted: Option<(i64, u32)>,
}

impl Edge {
    /// In front of `log`.
    pub fn new(mut log: MemoryLog, world: Rc<World>, name: &str, epoch_ms: i64) -> Edge {
        let freeze: Rc<Cell<Option<Freeze>>> = Rc::default();
        log.between_steps(between_steps(world.clone(), name.to_string(), freeze.clone()));
        Edge {
            log,
            world,
            name: name.to_string(),
            skew_ms: 0,
            jumped: false,
            blind: 0,
            faults: Vec::new(),
            asks_before_death: false,
            asked: false,
            arrives_late: None,
            freeze,
            late: false,
            vague: false,
            work: 0,
            epoch_ms,
            uncommitted: None,
        }
    }

    /// From now on its clock shows so much more than the world's.
    pub fn set_clock(&mut self, skew_ms: i64) {
        (self.skew_ms, self.jumped) = (skew_ms, true);
    }

    /// What was taken is committed when its epoch is over, whether more comes or not.
    fn is_prompt(&mut self) {
        let now = self.now_ms();
        if let Some((since, polls)) = self.uncommitted.as_mut().filter(|u| now - u.0 > self.epoch_ms && !self.jumped) {
            *polls += 1;
            assert!(*polls < 4, "{}: what was taken {} ms ago is still not committed", self.name, now - *since);
        }
    }

    /// Others may act, and this member's client may fetch.
    fn meanwhile(&mut self) -> Result<(), Fatal> {
        let world = self.world.clone();
        // a client that waits fetches at once what others have just written
        let eagerness = if world.meanwhile() { 0.6 } else { 0.1 };
        let reached = world.now() >= world.away_until.get() && self.blind == 0;
        if world.meddling > 0.0 && reached && world.whims.borrow_mut().chance(eagerness) { self.log.fetch() } else { Ok(()) }
    }

    fn note<L: Display>(&self, what: impl std::hash::Hash, line: impl FnOnce() -> L) {
        self.world.trace.event(self.world.now(), &self.name, what, line);
    }
}

/// What happens between the steps of a commit of `name`.
fn between_steps(world: Rc<World>, name: String, freeze: Rc<Cell<Option<Freeze>>>) -> Rc<dyn Fn(Step)> {
    Rc::new(move |step| match freeze.get().filter(|f| f.step == step) {
        None => drop(world.meanwhile()),
        Some(f) => {
            freeze.set(None);
            world.trace.event(world.now(), &name, ("freeze", f.ms), || format!("stands still with {step:?}, for {} ms", f.ms));
            if f.replaced {
                world.replacements.borrow_mut().push((name.clone(), world.now() + f.ms / 3));
            }
            world.stand_still(f.ms);
            world.trace.event(world.now(), &name, "thaws", || "goes on");
        }
    })
}

/// A digest of everything that a transaction would publish.
fn digest(records: &[OutRecord], positions: &[Position]) -> u64 {
    let mut digest = Xxh3::new();
    for r in records {
        digest.write(r.topic.as_bytes());
        digest.write_i32(r.partition.map_or(-1, |p| p.0));
        digest.write(r.key.as_deref().unwrap_or_default());
        digest.write(r.value.as_deref().unwrap_or_default());
        r.headers.iter().for_each(|(name, value)| {
            digest.write(name.as_bytes());
            digest.write(value.as_deref().unwrap_or_default());
        });
    }
    for p in positions {
        digest.write_u8(p.topic.0);
        digest.write_i32(p.partition.0);
        digest.write_i64(p.next.0);
        digest.write(p.metadata.as_bytes());
    }
    digest.finish()
}

fn word(commit: &Commit) -> &'static str {
    match commit {
        Commit::Done => "done",
        Commit::Aborted(_) => "aborted",
        Commit::Unknown(_) => "unknown",
        Commit::Stale(_) => "stale",
        Commit::Fenced(_) => "fenced",
    }
}

impl Log for Edge {
    fn poll(&mut self, patience: Duration) -> Result<Polled, Fatal> {
        self.is_prompt();
        if self.blind > 0 {
            self.blind -= 1;
            return Ok(Polled::Records);
        }
        if self.world.now() < self.world.away_until.get() {
            return Ok(Polled::Records);
        }
        self.meanwhile()?;
        let polled = self.log.poll(patience)?;
        if polled != Polled::Records {
            self.note(("polled", format!("{polled:?}")), || format!("polls: {polled:?}"));
        }
        Ok(polled)
    }

    fn waits(&self, topic: TopicIx, partition: Partition) -> bool {
        self.log.waits(topic, partition)
    }

    fn hand_over(&mut self, topic: TopicIx, partition: Partition, sink: &mut dyn FnMut(Record<'_>) -> Handed) -> Result<(), Fatal> {
        let mut count = 0u64;
        self.meanwhile()?;
        self.log.hand_over(topic, partition, &mut |r: Record<'_>| {
            let handed = sink(r);
            count += u64::from(handed != Handed::Stays);
            handed
        })?;
        self.work += count;
        if count > 0 {
            let now = self.now_ms();
            self.uncommitted.get_or_insert((now, 0));
            self.note(("read", topic.0, partition.0, count), || format!("takes {count} of {}[{}]", topic.0, partition.0));
        }
        Ok(())
    }

    fn follow(&mut self, sink: &mut Sink<'_>) -> Result<(), Fatal> {
        self.meanwhile()?;
        if self.world.now() < self.world.away_until.get() { Ok(()) } else { self.log.follow(sink) }
    }

    fn start(&mut self, at: &[(TopicIx, Partition, Offset)]) -> Result<(), Fatal> {
        self.note("start", || format!("starts at {:?}", at.iter().map(|a| (a.0.0, a.1.0, a.2.0)).collect::<Vec<_>>()));
        self.meanwhile()?;
        self.uncommitted = None;
        self.log.start(at)
    }

    fn release(&mut self) -> Result<(), Fatal> {
        self.meanwhile()?;
        self.note("release", || "lets go");
        self.uncommitted = None;
        self.log.release()
    }

    fn leave(&mut self) {
        self.note("leave", || "leaves");
        self.log.leave();
    }

    fn rests_at(&self, topic: TopicIx, partition: Partition) -> Option<Offset> {
        self.log.rests_at(topic, partition)
    }

    fn ends(&mut self, topic: TopicIx, partition: Partition) -> Result<Ends, Fatal> {
        self.meanwhile()?;
        self.world.wait_for_broker();
        self.log.ends(topic, partition)
    }

    fn end_of(&mut self, topic: &str, partition: Partition) -> Result<Offset, Fatal> {
        self.meanwhile()?;
        self.world.wait_for_broker();
        self.log.end_of(topic, partition)
    }

    fn committed(&mut self, of: &[(TopicIx, Partition)]) -> Result<Vec<CommittedPosition>, Fatal> {
        self.world.wait_for_broker();
        self.world.spend_about(5);
        self.meanwhile()?;
        // a transaction under way: its producer can't go on before this call is over, so it runs into its timeout
        if self.world.committing.get() > 0 && self.log.is_undecided(of)? {
            self.world.spend(TRANSACTION_MS);
        }
        let positions = self.log.committed(of)?;
        self.note("committed", || {
            let of = of
                .iter()
                .zip(&positions)
                .map(|(place, p)| format!("{}[{}] {:?} {}", place.0.0, place.1.0, p.next.map(|o| o.0), p.metadata));
            format!("asks for positions: {}", of.collect::<Vec<_>>().join(", "))
        });
        Ok(positions)
    }

    fn begin_epoch(&mut self) {
        self.log.begin_epoch();
    }

    fn commit(&mut self, records: &[OutRecord], positions: &[Position]) -> Result<Commit, Fatal> {
        (self.uncommitted, self.jumped) = (None, false);
        let mut fault = (!self.faults.is_empty()).then(|| self.faults.remove(0));
        if self.world.now() < self.world.away_until.get() {
            self.world.wait_for_broker();
            fault = Some(CommitFault::Unknown { happened: false });
        }
        if let Some(fault) = fault {
            self.log.fail_next_commit(fault);
        }
        self.world.spend_about(20);
        let what = digest(records, positions);
        let generation = self.log.generation();
        self.world.committing.set(self.world.committing.get() + 1);
        let began = self.world.now();
        let ended = self.log.commit(records, positions);
        self.late |= self.world.now() - began >= TRANSACTION_MS;
        self.world.committing.set(self.world.committing.get() - 1);
        let how = ended.as_ref().map_or("killed", word);
        self.note(("commit", what, how), || {
            let at: Vec<_> = positions.iter().map(|p| format!("{}[{}]={} {}", p.topic.0, p.partition.0, p.next.0, p.metadata)).collect();
            let why = match &ended {
                Ok(Commit::Aborted(t) | Commit::Unknown(t) | Commit::Stale(t) | Commit::Fenced(t)) => t.clone(),
                Err(f) => f.0.clone(),
                _ => String::new(),
            };
            format!("commits {} records {what:016x} in generation {generation}: {how} {why} {}", records.len(), at.join(", "))
        });
        // a commit that was refused before it was asked for leaves no request behind
        if fault == Some(CommitFault::Unknown { happened: false })
            && let Some(ms) = self.arrives_late.take()
            && matches!(ended, Ok(Commit::Unknown(_)))
        {
            let (id, producer) = self.log.producer();
            self.world.late_ends.borrow_mut().push(LateEnd { at: self.world.now() + ms, id: id.to_string(), producer });
        }
        self.asked = ended.is_err() && fault == Some(CommitFault::Killed(Step::OffsetsSent)) && self.asks_before_death;
        self.work += u64::from(matches!(ended, Ok(Commit::Done)));
        match ended? {
            Commit::Fenced(why) if self.vague => Ok(Commit::Unknown(why)),
            other => Ok(other),
        }
    }

    fn renew_producer(&mut self) -> Result<(), Fatal> {
        self.world.wait_for_broker();
        self.world.spend_about(10);
        self.meanwhile()?;
        self.world.deliver_ends();
        self.note("renew", || "begins with a new producer");
        self.log.renew_producer()
    }

    fn scan(
        &mut self,
        topic: &str,
        partition: Partition,
        from: Option<Offset>,
        sink: &mut dyn FnMut(Record<'_>) -> bool,
    ) -> Result<Offset, Fatal> {
        self.world.wait_for_broker();
        self.world.spend_about(20);
        self.meanwhile()?;
        let next = self.log.scan(topic, partition, from, sink)?;
        self.note(("scan", next.0), || format!("scans {topic}[{}] to {}", partition.0, next.0));
        Ok(next)
    }

    fn trim(&mut self, topic: &str, partition: Partition, before: Offset) -> Result<(), Fatal> {
        self.meanwhile()?;
        self.world.wait_for_broker();
        self.note(("trim", before.0), || format!("deletes {topic}[{}] below {}", partition.0, before.0));
        self.world.deletions.borrow_mut().push((topic.to_string(), partition, before));
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.log.now_ms() + self.skew_ms
    }
}
