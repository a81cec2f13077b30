//! The schema registry: asked in the background, once for each id, until it answers.
//!
//! Guarantees: a schema that has come is kept for as long as the process lives (schemas never change), so nothing is asked twice; whoever
//! wants one meanwhile hears `Unknown` and waits with the record. A registry that does not answer is asked again, at least every 30 s,
//! said once and shown (`driftline_registry_away_since_seconds`, /readyz); what it does not have may come later and is asked again after a
//! minute.
//! Never: makes a caller wait (`AtOnce` does, for verbs that have nothing else to do); makes an outage the record's fault; shows a password.
//! Comes from: `config::settings::Registry`. Goes to: `codec::writers`.

mod at_once;
mod client;
pub mod gauges;

pub use at_once::AtOnce;
pub use client::Trouble;

use crate::codec::framing::SchemaId;
use crate::codec::writers::{Answer, Schemas, Written};
use crate::config::settings::Registry as Settings;
use client::{Client, Fault};
use gauges::Gauges;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the registry does not have is asked again after this time.
const ABSENT_FOR: Duration = Duration::from_secs(60);
/// Absent ids that are remembered: bytes that only look like ids must not fill the memory.
const MAX_ABSENT: usize = 1_024;
/// The pause after the first failure; each further one doubles it,
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The registry, for all members of the process. Its thread ends when the last of them lets go.
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    state: Mutex<State>,
    wanted: Condvar,
    news: AtomicU64,
    away: AtomicBool,
    gauges: Gauges,
}

#[derive(Default)]
struct State {
    schemas: BTreeMap<u32, Arc<Written>>,
    absent: BTreeMap<u32, (String, Instant)>,
    questions: BTreeMap<u32, Question>,
    outage: Option<Outage>,
    stopped: bool,
}

/// An id that is asked for.
struct Question {
    failures: u32,
    not_before: Instant,
}

/// Since when questions fail, and why the last one did.
struct Outage {
    began: Instant,
    why: String,
}

/// Asks once whether a registry is there and lets us in, at start.
pub fn probe(settings: &Settings) -> Result<(), Trouble> {
    Client::new(settings).and_then(|c| c.probe())
}

impl Registry {
    /// Starts the thread that asks.
    pub fn start(settings: &Settings, gauges: Gauges) -> Result<Registry, Trouble> {
        let client = Client::new(settings)?;
        let shared = Arc::new(Shared {
            url: settings.url.clone(),
            state: Mutex::default(),
            wanted: Condvar::new(),
            news: AtomicU64::new(0),
            away: AtomicBool::new(false),
            gauges,
        });
        let asker = shared.clone();
        let thread = std::thread::Builder::new().name("registry".to_string()).spawn(move || asker.ask(&client));
        match thread {
            Ok(_) => Ok(Registry { shared }),
            Err(e) => Err(Trouble::here(format!("the thread that asks the registry can't be started: {e}"))),
        }
    }

    /// What is wrong while questions fail, for people.
    pub fn outage(&self) -> Option<String> {
        let state = self.shared.lock();
        let outage = state.outage.as_ref()?;
        Some(format!("the schema registry {} has failed for {} s: {}", self.shared.url, outage.began.elapsed().as_secs(), outage.why))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.wanted.notify_all();
    }
}

impl Schemas for Registry {
    fn answer(&self, id: SchemaId) -> Answer {
        let mut state = self.shared.lock();
        if let Some(schema) = state.schemas.get(&id.0) {
            return Answer::Is(schema.clone());
        }
        if let Some((why, at)) = state.absent.get(&id.0)
            && at.elapsed() < ABSENT_FOR
        {
            return Answer::Absent(why.clone());
        }
        state.questions.entry(id.0).or_insert_with(|| {
            self.shared.wanted.notify_all();
            Question { failures: 0, not_before: Instant::now() }
        });
        Answer::Unknown
    }

    fn news(&self) -> u64 {
        self.shared.news.load(Ordering::Acquire)
    }

    fn is_away(&self) -> bool {
        self.shared.away.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: one question after the other, each at its time.
    fn ask(&self, client: &Client) {
        while let Some(id) = self.next() {
            let answer = client.schema(id);
            self.settle(id, answer);
        }
    }

    /// Waits for a question whose time has come; `None` when nobody wants any.
    fn next(&self) -> Option<u32> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let first = state.questions.iter().min_by_key(|(_, q)| q.not_before).map(|(id, q)| (*id, q.not_before));
            let now = Instant::now();
            state = match first {
                Some((id, at)) if at <= now => return Some(id),
                Some((_, at)) => self.wanted.wait_timeout(state, at - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn settle(&self, id: u32, answer: Result<Written, Fault>) {
        let mut state = self.lock();
        let word = match answer {
            Ok(schema) => {
                state.schemas.insert(id, Arc::new(schema));
                self.answered(&mut state, id);
                "found"
            }
            Err(Fault::Absent(why)) => {
                if state.absent.len() >= MAX_ABSENT {
                    state.absent.clear();
                }
                state.absent.insert(id, (why, Instant::now()));
                self.answered(&mut state, id);
                "absent"
            }
            Err(Fault::Trouble(trouble)) => {
                self.failed(&mut state, id, trouble);
                "failed"
            }
        };
        self.gauges.requests.with_label_values(&[word]).inc();
        self.gauges.schemas.set(state.schemas.len() as i64);
    }

    fn answered(&self, state: &mut State, id: u32) {
        state.questions.remove(&id);
        // another id may still fail: then it is the same outage
        if state.questions.values().all(|q| q.failures == 0)
            && let Some(outage) = state.outage.take()
        {
            self.away.store(false, Ordering::Relaxed);
            self.gauges.away_since.set(0.0);
            tracing::info!("the schema registry {} answers again, after {} s", self.url, outage.began.elapsed().as_secs());
        }
        self.news.fetch_add(1, Ordering::Release);
    }

    fn failed(&self, state: &mut State, id: u32, trouble: Trouble) {
        if let Some(question) = state.questions.get_mut(&id) {
            let pause = FIRST_PAUSE.saturating_mul(1 << question.failures.min(10)).min(LONGEST_PAUSE);
            question.failures += 1;
            question.not_before = Instant::now() + pause.max(trouble.wait);
        }
        match &mut state.outage {
            Some(outage) => outage.why = trouble.why,
            None => {
                self.away.store(true, Ordering::Relaxed);
                self.gauges.begins();
                tracing::warn!(
                    "the schema registry {} does not say what schema id {id} is: {}. Records with unknown ids wait, nothing is lost; it is asked again until it answers",
                    self.url,
                    trouble.why
                );
                state.outage = Some(Outage { began: Instant::now(), why: trouble.why });
            }
        }
    }
}
