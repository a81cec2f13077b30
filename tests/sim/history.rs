//! One history: a scheduler that gives turns to processes, lets time pass, and does what the seed says; then the reckoning.

use super::audit::Audit;
use super::compare::{Alerts, Published};
use super::draw::Draw;
use super::edge::{LateEnd, World};
use super::faults::{Fault, inflict};
use super::inputs::scene;
use super::oracle::{Oracle, sorted};
use super::process::{Counted, Process, Seat};
use super::scenario::{Baselines, File, Scenario};
use super::supply::Supply;
use super::trace::Trace;
use super::{newer, rules};
use driftline::baseline::build::{Cell, Look, Names, Row};
use driftline::config::settings::Settings;
use driftline::engine::alert::Severity;
use driftline::engine::baseline::profile::Profile;
use driftline::engine::definitions::change::Change;
use driftline::engine::drill::Order;
use driftline::engine::types::{Input, Offset, Partition};
use driftline::kafka::topics::{Inputs, own_topics};
use driftline::log::Fatal;
use driftline::log::memory::SharedCluster;
use driftline::log::partitioner::partition_of;
use driftline::planted;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;

/// Simulated time in which everything must be published once the last fault is over and the last record is there.
const PATIENCE_MS: i64 = 30 * 60_000;
/// A history that takes so many turns does not end.
const TURNS: u64 = 200_000;
/// Turns without any work after which time passes faster.
const LULL: u64 = 12;

/// What became of a history.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Digest of its trace.
    pub digest: u64,
    /// Records in the inputs.
    pub records: u64,
    /// Alerts published.
    pub alerts: usize,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// What was odd about the inputs.
    pub oddities: BTreeMap<&'static str, u64>,
    /// Processes that ended by themselves, by what they said.
    pub exits: u64,
    /// What processes counted.
    pub counted: Counted,
    /// Turns, and those within a call of somebody else.
    pub turns: u64,
    /// Turns of others within a call.
    pub within: u64,
    /// Inputs that were declared stuck, and rows that were let go.
    pub stuck: u64,
    /// Times at which rows were let go.
    pub released: u64,
    /// Simulated ms.
    pub took_ms: i64,
    /// Drills that were ordered.
    pub drills: u64,
    /// Baseline files that were given.
    pub baselines: u64,
    /// True if the alerts were compared with an oracle that closes panes by itself.
    pub timeless: bool,
}

/// A history under way.
pub struct History {
    /// Its frame.
    pub scenario: Scenario,
    /// Kafka, clock, trace.
    pub world: Rc<World>,
    /// Upstream.
    pub supply: Supply,
    /// Who reads along.
    pub audit: Audit,
    /// Places for processes.
    pub seats: Vec<Seat>,
    /// What each file says.
    files: [Arc<Settings>; 3],
    /// Running processes.
    pub processes: Vec<Process>,
    /// For faults.
    pub draw: Draw,
    /// When positions of a group are forgotten.
    pub expiries: Vec<(i64, &'static str)>,
    /// No fault before this time.
    pub calm_until: i64,
    /// Records were deleted before they were read: a reader may have to end.
    pub overtaken: bool,
    /// Who is within a call while others have a turn.
    pub inside: Vec<Inside>,
    /// What members have said that ended, where that is expected of them.
    pub refusals: Option<Vec<String>>,
    /// What went wrong within a call.
    failed: Option<String>,
    order: Draw,
    orders: Draw,
    baselines: Draw,
    /// What was given before anything else, and where.
    first_baseline: Option<(Partition, Vec<u8>)>,
    last_id: u64,
    healed_at: i64,
    report: Report,
}

/// A process that is within one of its calls while others have a turn.
pub struct Inside {
    id: u64,
    /// Its seat.
    pub seat: usize,
    had_twin: bool,
    replaced: bool,
}

/// Runs the history of a scenario. An error is what a reader should see first.
pub fn run(scenario: &Scenario, show: bool) -> Result<Report, String> {
    let history = Rc::new(RefCell::new(History::new(scenario, show)));
    let weak = Rc::downgrade(&history);
    let others = move || weak.upgrade().is_some_and(|history| turn_within(&history));
    history.borrow().world.others.replace(Some(Rc::new(others)));
    if scenario.baselines != Baselines::None {
        history.borrow_mut().give_a_baseline();
    }
    play(&history)?;
    history.borrow_mut().reckon()?;
    if scenario.newer {
        newer::refused(&history, scenario.seed)?;
    }
    Ok(history.borrow().report.clone())
}

fn play(history: &RefCell<History>) -> Result<(), String> {
    let (mut idle, mut gap) = (0, 0);
    let mut left = history.borrow().scenario.faults;
    for turn in 0..TURNS {
        let work = turn_of_all(history, idle < LULL)?;
        idle = if work { 0 } else { idle + 1 };
        let h = &mut *history.borrow_mut();
        h.report.turns = turn;
        if let Some(why) = h.failed.take() {
            return Err(why);
        }
        if turn % 16 == 0 || left == 0 && idle > 2 {
            h.audit.observe(&h.world);
            if let Some(wrong) = h.audit.wrong.take() {
                return Err(wrong);
            }
            if left == 0 && h.is_over()? {
                return Ok(());
            }
        }
        if h.scenario.drills && h.orders.chance(4.0 / h.scenario.turns() as f64) {
            h.order_a_drill();
        }
        if h.scenario.baselines == Baselines::Anytime && h.baselines.chance(2.0 / h.scenario.turns() as f64) {
            h.give_a_baseline();
        }
        if left > 0 && turn >= gap && h.world.now() >= h.calm_until {
            gap = turn + 1 + h.draw.below(h.scenario.fault_gap()) as u64;
            left -= usize::from(h.fault());
            if left == 0 {
                h.processes.iter_mut().for_each(|p| p.slowness = 1); // the last fault is over, too
            }
            h.healed_at = h.healed_at.max(h.world.now());
        }
    }
    Err(format!("no end after {TURNS} turns: {}", history.borrow().what_is_missing().unwrap_or_default()))
}

/// Time passes, upstream writes, and everybody who is not within a call has a turn. True if somebody worked.
pub fn turn_of_all(history: &RefCell<History>, busy: bool) -> Result<bool, String> {
    let turns = {
        let h = &mut *history.borrow_mut();
        h.pass_time(busy && !h.processes.is_empty());
        h.supply.deliver(&h.world);
        h.do_what_is_due();
        let mut turns: Vec<u64> = h.processes.iter().map(|p| p.id).collect();
        h.order.shuffle(&mut turns);
        turns
    };
    let (mut worked, mut ended) = (false, Vec::new());
    for id in turns {
        let Some((at, mut process)) = history.borrow_mut().take(id) else { continue };
        let before = process.edge.work;
        let stepped = process.step();
        if stepped.is_err() {
            process.asleep_until = i64::MAX; // dead, whoever has a turn until it is buried
        }
        worked |= process.edge.work != before;
        history.borrow_mut().put_back(at, process);
        if let Err(Fatal(why)) = stepped {
            ended.push((at, id, why));
        }
    }
    ended.sort();
    for (_, id, why) in ended.into_iter().rev() {
        history.borrow_mut().ended(id, &why)?;
    }
    Ok(worked)
}

/// A turn of all others while somebody is within a call. False if nobody may act now.
fn turn_within(history: &RefCell<History>) -> bool {
    if history.try_borrow_mut().is_err() {
        return false; // a clean stop, or a fault at work
    }
    if let Err(why) = turn_of_all(history, true) {
        history.borrow_mut().failed.get_or_insert(why);
    }
    true
}

impl History {
    fn new(s: &Scenario, show: bool) -> History {
        let cluster = SharedCluster::new();
        let files = File::ALL.map(|file| s.settings(file));
        let settings = files[0].clone();
        let stamp = if s.append_time { "LogAppendTime" } else { "CreateTime" };
        for topic in ["p", "o"] {
            let config = [("retention.ms", "-1"), ("message.timestamp.type", stamp)];
            cluster.create_topic(topic, s.partitions, &config).expect("made");
        }
        for spec in own_topics(&settings, Inputs { partitions: s.partitions, max_bytes: 1_048_588 }) {
            let config: Vec<(&str, &str)> = spec.config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            cluster.create_topic(&spec.name, spec.partitions, &config).expect("made");
        }
        cluster.advance(s.wall_ms);
        let world = Rc::new(World::new(cluster, Trace::new(show), s.seed, s.meddling));
        let scene = scene(s);
        let report = Report { oddities: scene.oddities.clone(), ..Report::default() };
        let mut draw = Draw::new(s.seed, "faults");
        let mut seats: Vec<Seat> =
            (0..s.joiners).map(|n| Seat::new(true, n, 0)).chain((0..s.detectors).map(|n| Seat::new(false, n, 0))).collect();
        // a rolling change of the configuration under way: which file is the first to be heard is a matter of timing
        if draw.chance(0.2) {
            let other = if s.amends { File::Amended } else { File::OtherJoin };
            seats.iter_mut().for_each(|seat| seat.file = if draw.chance(0.5) { other } else { File::First });
        }
        let mut supply = Supply::new(scene);
        if s.once && draw.chance(0.5) {
            supply.hang_some(Draw::new(s.seed, "upstream"));
        }
        History {
            audit: Audit::new(&world, settings, s.partitions),
            supply,
            seats,
            files,
            processes: Vec::new(),
            draw,
            expiries: Vec::new(),
            calm_until: 0,
            overtaken: false,
            inside: Vec::new(),
            refusals: None,
            failed: None,
            order: Draw::new(s.seed, "turns"),
            orders: Draw::new(s.seed, "drills"),
            baselines: Draw::new(s.seed, "baselines"),
            first_baseline: None,
            last_id: 0,
            healed_at: s.wall_ms,
            report,
            world,
            scenario: s.clone(),
        }
    }

    /// A process has its turn if it is awake and neither gone nor within a call.
    fn take(&mut self, id: u64) -> Option<(usize, Process)> {
        let at = self.processes.iter().position(|p| p.id == id)?;
        let process = &self.processes[at];
        if process.asleep_until > self.world.now() || self.order.below(process.slowness) > 0 {
            return None;
        }
        let process = self.processes.remove(at);
        self.inside.push(Inside { id, seat: process.seat, had_twin: process.had_twin, replaced: process.replaced });
        Some((at, process))
    }

    fn put_back(&mut self, at: usize, mut process: Process) {
        if let Some(inside) = self.inside.iter().position(|i| i.id == process.id).map(|i| self.inside.remove(i)) {
            (process.had_twin, process.replaced) = (inside.had_twin, inside.replaced);
        }
        self.processes.insert(at.min(self.processes.len()), process);
    }

    fn pass_time(&mut self, busy: bool) {
        let order = &mut self.order;
        let live = !self.scenario.once && !self.supply.is_over();
        let ms = match (busy, live) {
            (true, false) => order.between(10, 100),
            (true, true) => order.between(10, self.scenario.pane_ms / 10),
            (false, _) => order.between(200, 4_000),
        };
        self.world.spend(ms);
    }

    fn do_what_is_due(&mut self) {
        let now = self.world.now();
        if self.world.away_until.get() > 0 && self.world.away_until.get() <= now {
            self.world.away_until.set(0);
            self.world.cluster.with(|cluster| cluster.restarted(cluster.now_ms()));
            self.processes.iter_mut().for_each(|p| p.edge.log.lose_connection());
        }
        self.world.deliver_ends();
        for (name, at) in self.world.replacements.take() {
            let Some(seat) = self.seats.iter().position(|s| s.name == name && !s.retired) else { continue };
            self.seats[seat].starts_at = Some(at);
            self.inside.iter_mut().filter(|i| i.seat == seat).for_each(|i| i.replaced = true);
        }
        let (due, expiries) = std::mem::take(&mut self.expiries).into_iter().partition(|e| e.0 <= now);
        self.expiries = expiries;
        let due: Vec<_> = due;
        for (_, group) in due {
            self.world.trace.event(now, "brokers", group, || format!("forget the positions of {group}"));
            self.world.cluster.with(|cluster| {
                cluster.write_markers();
                cluster.expire_positions(group);
            });
        }
        for seat in 0..self.seats.len() {
            if self.seats[seat].starts_at.is_some_and(|at| at <= now) && now >= self.world.away_until.get() {
                self.start(seat);
            }
        }
    }

    fn start(&mut self, seat: usize) {
        self.seats[seat].starts_at = None;
        self.world.trace.event(self.world.now(), &self.seats[seat].name, "starts", || "starts");
        let place = &self.seats[seat];
        let settings = &self.files[place.file as usize];
        let mut process = Process::start(&self.scenario, &self.world, settings, place, seat).expect("started");
        self.last_id += 1;
        process.id = self.last_id;
        for twin in self.processes.iter_mut().filter(|p| p.seat == seat) {
            (twin.had_twin, process.had_twin) = (true, true);
        }
        for twin in self.inside.iter_mut().filter(|i| i.seat == seat) {
            (twin.had_twin, process.had_twin) = (true, true);
        }
        self.processes.push(process);
    }

    /// A process has ended by itself: expected or not, whoever runs it starts it again.
    fn ended(&mut self, id: u64, why: &str) -> Result<(), String> {
        let Some(p) = self.processes.iter().position(|p| p.id == id) else { return Ok(()) };
        let process = &self.processes[p];
        let name = self.seats[process.seat].name.clone();
        self.world.trace.event(self.world.now(), &name, "ends", || format!("ends: {why}"));
        if let Some(refusals) = &mut self.refusals {
            refusals.push(why.to_string());
            self.kill(p, None);
            return Ok(());
        }
        let killed = why.starts_with("killed");
        let fenced = why.contains("another instance with the same id") || why.contains("another process has this member's");
        // of two processes with one name the one that joins last wins, whichever was meant to
        let allowed = killed || (process.had_twin || process.edge.late) && fenced || self.overtaken && why.starts_with("reading ");
        if !allowed {
            return Err(format!("{name} ended: {why}"));
        }
        self.report.exits += u64::from(!killed);
        if self.processes[p].edge.asked {
            let (id, producer) = self.processes[p].edge.log.producer();
            let due = self.world.now() + self.draw.between(1, 20_000);
            let end = LateEnd { at: due, id: id.to_string(), producer };
            self.world.late_ends.borrow_mut().push(end);
        }
        let away = self.draw.of(&[0, 100, 2_000, 20_000, 60_000]);
        self.kill(p, Some(away));
        Ok(())
    }

    /// A process is gone, now; another one comes in its seat after `away` ms, or when somebody says so.
    pub fn kill(&mut self, p: usize, away: Option<i64>) {
        let process = self.processes.remove(p);
        process.count(&mut self.report.counted);
        let now = self.world.now();
        self.world.trace.event(now, &self.seats[process.seat].name, ("gone", away), || format!("is gone, for {away:?} ms"));
        if !process.replaced && !self.seats[process.seat].retired {
            self.seats[process.seat].starts_at = away.map(|ms| now + ms);
        }
        self.heal_at(now + away.unwrap_or(0));
    }

    /// A process stops cleanly and comes back after `away` ms.
    pub fn stop(&mut self, p: usize, away: i64) {
        let process = &mut self.processes[p];
        let stopped = process.stop();
        let name = self.seats[process.seat].name.clone();
        self.world.trace.event(self.world.now(), &name, stopped.is_ok(), || format!("stops: {stopped:?}"));
        self.kill(p, Some(away));
    }

    /// Gives everybody the file that is in force.
    pub fn obey(&mut self) {
        let Some(newest) = self.audit.definitions.last() else { return };
        let same = |file: &File| newest.definitions.change_to(&self.files[*file as usize].definitions) == Change::None;
        if let Some(file) = File::ALL.into_iter().find(same) {
            self.seats.iter_mut().for_each(|seat| seat.file = file);
        }
    }

    /// A fault lasts until then.
    pub fn heal_at(&mut self, at: i64) {
        self.healed_at = self.healed_at.max(at);
    }

    /// Deletes records of an input below `before`.
    pub fn delete(&mut self, input: usize, p: usize, before: Offset) {
        let topic = ["p", "o"][input];
        self.world.trace.event(self.world.now(), "retention", before.0, || format!("deletes {topic}[{p}] below {}", before.0));
        self.world.cluster.with(|cluster| cluster.delete_records(topic, p as i32, Some(before))).expect("deleted");
    }

    fn fault(&mut self) -> bool {
        let fault = Fault::draw(&mut self.draw);
        self.world.trace.event(self.world.now(), "fault", fault, || format!("{fault:?}"));
        let done = inflict(self, fault);
        *self.report.faults.entry(format!("{fault:?}")).or_default() += u64::from(done);
        done
    }

    /// As `driftline baseline load` does; now and then one that is known already.
    fn give_a_baseline(&mut self) {
        let now = self.world.now();
        let profile = baseline(&mut self.baselines);
        let p = partition_of(profile.model.as_bytes(), self.scenario.shards as u32);
        self.world.trace.event(now, "somebody", p.0, || format!("gives baseline {:016x} in sim.summaries[{}]", profile.id(), p.0));
        let record = profile.to_bytes();
        self.world.cluster.write("sim.summaries", Some(p), now, None, Some(&record), &[]).expect("written");
        self.report.baselines += 1;
        self.first_baseline.get_or_insert((p, record));
    }

    /// As `driftline drill` does; now and then one that can't be obeyed.
    fn order_a_drill(&mut self) {
        let (now, draw) = (self.world.now(), &mut self.orders);
        let order = Order {
            id: format!("drill-{}", draw.below(4)), // one that is under way is not begun again
            model: "fraud".into(),
            severity: draw.of(&Severity::ALL),
            panes: draw.below(6) as u32,
        };
        let p = draw.below(self.scenario.shards as usize) as i32;
        self.world.trace.event(now, "somebody", p, || format!("orders {order:?} in sim.summaries[{p}]"));
        let written = self.world.cluster.write("sim.summaries", Some(Partition(p)), now, None, Some(&order.to_bytes()), &[]);
        written.expect("written");
        self.report.drills += 1;
    }

    fn what_is_missing(&self) -> Option<String> {
        self.audit.missing(self.scenario.once, |i, p| self.supply.end(Input::BOTH[i], p))
    }

    /// True if everything is published. An error if it takes too long.
    fn is_over(&self) -> Result<bool, String> {
        let now = self.world.now();
        if !self.supply.is_over() || now < self.healed_at || !self.world.late_ends.borrow().is_empty() {
            return Ok(false);
        }
        let missing = self.what_is_missing();
        match missing {
            None => Ok(true),
            Some(what) if now > self.healed_at + self.scenario.grace_ms() + PATIENCE_MS => {
                Err(format!("{} min after the last fault: {what}", (now - self.healed_at) / 60_000))
            }
            Some(_) => Ok(false),
        }
    }

    /// Stops everybody, then compares what is there with what should be.
    fn reckon(&mut self) -> Result<(), String> {
        while !self.processes.is_empty() {
            self.stop(self.processes.len() - 1, i64::MAX / 2);
        }
        self.world.cluster.with(|cluster| cluster.write_markers());
        self.audit.observe(&self.world);
        if let Some(wrong) = self.audit.wrong.take() {
            return Err(wrong);
        }
        self.report.took_ms = self.world.now() - self.scenario.wall_ms;
        self.report.records = self.supply.records;
        self.report.within = self.world.within.get();
        self.report.stuck = self.audit.tasks.iter().map(|t| t.stuck).sum();
        self.report.released = self.audit.tasks.iter().map(|t| t.releases.len() as u64).sum();
        self.report.alerts = self.audit.published.alerts.count();
        if self.report.counted.digests > 0 {
            return Err(format!("{} rebuilt tasks differ from their digest", self.report.counted.digests));
        }
        planted::without(|| self.compare())?;
        self.report.digest = self.world.trace.digest();
        Ok(())
    }

    fn compare(&mut self) -> Result<(), String> {
        let settings = self.audit.settings();
        let oracle = || Oracle::new(&self.supply, &self.audit, &settings);
        let (expected, censuses) = oracle().summaries(self.audit.final_plan());
        for (p, (task, census)) in self.audit.tasks.iter().zip(censuses).enumerate() {
            let last = task.last.as_ref().map(|l| l.census);
            if last != Some(census) {
                return Err(format!("partition {p} ends with (rows, waiting, digest) {last:?}, the oracle with {census:?}"));
            }
        }
        let expected = Published {
            alerts: std::mem::take(&mut self.audit.expected.alerts),
            edges: std::mem::take(&mut self.audit.expected.edges),
            letters: sorted(&expected.letters),
            ..expected
        };
        let published = &self.audit.published;
        check(|| published.must_equal("the run", &expected, "the oracle"))?;
        rules::check(&self.supply, &self.audit, &settings)?;
        self.report.timeless = self.audit.timeless() && self.report.baselines <= 1;
        if self.report.timeless {
            // summaries are compared already
            let alone = without_summaries(
                Oracle::new(&self.supply, &self.audit, &settings).alerts(&self.audit.definitions, self.first_baseline.as_ref()),
            );
            let mut published = without_summaries(std::mem::take(&mut self.audit.published));
            without_drills(&mut published.alerts); // ordered at some moment; nothing else may differ by them
            check(|| published.must_equal("the run", &alone, "the oracle with its own panes"))?;
        }
        Ok(())
    }
}

/// Alerts, bins and dead letters alone.
fn without_summaries(all: Published) -> Published {
    Published { partials: Vec::new(), summaries: OnceLock::new(), ..all }
}

/// What a file says is normal for the first model: of four of them one comes now and then.
fn baseline(draw: &mut Draw) -> Profile {
    let number = draw.below(4) as u64;
    let (mut names, mut rows) = (Names::default(), Draw::new(number, "a baseline's rows"));
    let [score, x, plan, gone] = ["score", "feature:x", "feature:plan", "feature:gone"].map(|name| names.number(name));
    let row = |_| {
        let mut row = vec![
            (score, Cell::Number(rows.below(1_000) as f64 / 1_000.0)),
            (x, Cell::Number(rows.below(4_000) as f64 / 1_000.0 - 2.0 + number as f64)),
            (plan, Cell::Text(["a", "b", "c"][rows.below(3)].to_string())),
        ];
        row.extend((number == 3).then_some((gone, Cell::Number(1.0))));
        row
    };
    let rows: Vec<Row> = (0..400).map(row).collect();
    let mut look = Look::default();
    rows.iter().for_each(|row| look.row(row.clone()));
    let mut count = look.fix(&names);
    rows.into_iter().for_each(|row| count.row(row));
    count.profile("fraud", number, &names).expect("a profile").0
}

fn without_drills(alerts: &mut Alerts) {
    alerts.0.iter_mut().for_each(|alerts| alerts.retain(|alert| !alert.value.contains("\"kind\":\"drill\"")));
}

/// Turns a failed assertion into its text.
fn check(act: impl FnOnce()) -> Result<(), String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).map_err(|panic| said(&*panic))
}

/// What a panic said.
pub fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|s| s.to_string()));
    text.unwrap_or("a panic without words".into())
}
