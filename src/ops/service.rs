//! The running service: one thread per group member, HTTP and signals beside them.
//!
//! Guarantees: a fatal error of one member stops all of them and becomes the process's exit code; a stop ends running epochs first.
//! Comes from: `cli::run`, `cli::demo`. Goes to: `stage` over `kafka`.

use super::door::Door;
use super::http::{Shared, now_ms, serve};
use super::metrics::Metrics;
use super::status::{Board, detect_view, join_view};
use super::stop::signalled;
use crate::codec::writers::Schemas;
use crate::config::settings::Settings;
use crate::kafka::log::{KafkaLog, MemberName};
use crate::kafka::topics;
use crate::log::{Fatal, Log, TopicIx};
use crate::registry::{self, Registry, Trouble};
use crate::stage::detect::DetectStage;
use crate::stage::join::{JoinStage, Step};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that an idle member waits for records, and so for a signal.
const PATIENCE: Duration = Duration::from_millis(20);
/// Streams are counted for the metrics this often, ms.
const COUNT_EVERY: i64 = 2_000;

/// Members that have not ended this long after a stop are left behind: Kubernetes kills after 30 s.
const GRACE: Duration = Duration::from_secs(8);
/// How often a stop is looked for while nothing ends.
const LOOK: Duration = Duration::from_millis(100);

/// Which stages this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages {
    /// Join members.
    pub join: bool,
    /// Detect members.
    pub detect: bool,
}

/// What happens when the inputs stand at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// More will come: the service watches on.
    Watch,
    /// The inputs are finished: the last panes close, then the service stays for those who look at it.
    Stay,
    /// The inputs are finished: the last panes close, then the service ends.
    Exit,
}

/// How a service ended before it was stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Topics or other conditions are not as they must be.
    #[error("{}", .0.join("\n"))]
    Start(Vec<String>),
    /// Kafka can't go on: exit code 4.
    #[error("{0}")]
    Kafka(String),
    /// HTTP could not be bound.
    #[error("http.listen {0}: {1}")]
    Http(SocketAddr, std::io::Error),
    /// A signal came before the members were started.
    #[error("stopped before the start was complete")]
    Interrupted,
}

/// A running service.
pub struct Service {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    ended: Receiver<Result<(), Fatal>>,
    runtime: tokio::runtime::Runtime,
    board: Arc<Board>,
    finished: Arc<AtomicUsize>,
    /// Where HTTP listens.
    pub http: Option<SocketAddr>,
}

impl Service {
    /// Checks topics, starts members and HTTP.
    pub fn start(settings: Arc<Settings>, stages: Stages, at_end: AtEnd) -> Result<Service, ServiceError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|e| ServiceError::Start(vec![e.to_string()]))?;
        let metrics = Arc::new(Metrics::new(&settings));
        let board = Arc::new(Board::default());
        let (app, memory_limit) = (settings.app.as_str().into(), settings.memory_limit);
        let shared = Shared { metrics: metrics.clone(), board: board.clone(), app, memory_limit };
        let http = match &settings.http {
            Some(http) => {
                let door =
                    Door::new(http, metrics.certificate_expiry.clone()).map_err(|why| ServiceError::Start(vec![format!("http: {why}")]))?;
                Some(runtime.block_on(serve(http.listen, shared, door)).map_err(|e| ServiceError::Http(http.listen, e))?)
            }
            None => None,
        };
        let registry = match stages.join {
            true => reached(&runtime, &settings, &metrics),
            false => Ok(None),
        };
        let checks = registry.and_then(|registry| Ok((registry, checked(&runtime, settings.clone())?)));
        let (registry, sources) = match checks {
            Ok(passed) => passed,
            Err(e) => {
                runtime.shutdown_background(); // a check may still wait for an answer
                return Err(e);
            }
        };
        if let Some(registry) = &registry {
            board.watch(registry.clone());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, ended) = channel();
        let finished = Arc::new(AtomicUsize::new(0));
        let mut service = Service { stop, threads: Vec::new(), ended, runtime, board: board.clone(), finished: finished.clone(), http };
        let crew = Crew {
            settings,
            registry,
            metrics,
            board,
            stop: service.stop.clone(),
            sources,
            at_end,
            finished: finished.clone(),
            ended: sender,
        };
        for thread in 0..crew.settings.threads.join * usize::from(stages.join) {
            service.threads.push(crew.clone().spawn("join", thread));
        }
        for thread in 0..crew.settings.threads.detect * usize::from(stages.detect) {
            service.threads.push(crew.clone().spawn("detect", thread));
        }
        Ok(service)
    }

    /// Waits for a signal, a fatal error, or (with `once`) the end of the data; then stops all members.
    pub fn wait(mut self) -> Result<(), ServiceError> {
        let mut left = self.threads.len();
        let mut result = Ok(());
        let mut stopped: Option<Instant> = None;
        let (stop, board) = (self.stop.clone(), self.board.clone());
        self.runtime.spawn(async move {
            signalled().await;
            tracing::info!("stopping: the running epochs end first");
            board.stop();
            stop.store(true, Ordering::Relaxed);
        });
        while left > 0 {
            if self.stop.load(Ordering::Relaxed) && stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
                tracing::warn!(
                    "{left} member(s) did not end within {} s, probably because no broker answers; their running epochs are not committed, the next start does them again",
                    GRACE.as_secs()
                );
                self.runtime.shutdown_background();
                return result;
            }
            match self.ended.recv_timeout(LOOK) {
                Ok(Ok(())) => left -= 1,
                Ok(Err(Fatal(why))) => {
                    left -= 1;
                    if result.is_ok() {
                        result = Err(ServiceError::Kafka(why));
                    }
                    self.halt();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && result.is_ok() {
                result = Err(ServiceError::Kafka(
                    "a member's thread panicked: a bug of driftline; restart it and report the message above".into(),
                ));
            }
        }
        self.runtime.shutdown_timeout(Duration::from_millis(200));
        result
    }

    /// Asks all members to stop.
    pub fn halt(&self) {
        self.board.stop();
        self.stop.store(true, Ordering::Relaxed);
    }

    /// A handle that asks all members to stop.
    pub fn stopper(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// True once every member has ended, or stays with nothing left to do.
    pub fn has_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed) >= self.threads.len() || self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// Asks the registry once, and goes on if what is wrong may pass: records wait for it then.
fn reached(runtime: &tokio::runtime::Runtime, settings: &Settings, metrics: &Metrics) -> Result<Option<Arc<Registry>>, ServiceError> {
    let Some(at) = settings.registry.clone() else { return Ok(None) };
    let refused = |t: Trouble| ServiceError::Start(vec![format!("the schema registry {}: {t}", at.url)]);
    let asked = at.clone();
    match unless_signalled(runtime, move || registry::probe(&asked))? {
        Ok(()) => {}
        Err(trouble) if trouble.lasting => return Err(refused(trouble)),
        Err(trouble) => tracing::warn!("the schema registry {}: {trouble}; records wait until it answers, nothing is lost", at.url),
    }
    Ok(Some(Arc::new(Registry::start(&at, metrics.schemas.clone()).map_err(refused)?)))
}

/// Checks the topics, which may take until a broker answers.
fn checked(runtime: &tokio::runtime::Runtime, settings: Arc<Settings>) -> Result<u32, ServiceError> {
    unless_signalled(runtime, move || topics::check(&settings))?.map_err(ServiceError::Start)
}

/// Does what may take long; a signal ends the wait.
fn unless_signalled<T: Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ServiceError> {
    let work = runtime.spawn_blocking(work);
    runtime.block_on(async {
        tokio::select! {
            answer = work => answer.map_err(|e| ServiceError::Start(vec![format!("checking what is needed at start: {e}")])),
            () = signalled() => Err(ServiceError::Interrupted),
        }
    })
}

/// What every member's thread is given.
#[derive(Clone)]
struct Crew {
    settings: Arc<Settings>,
    registry: Option<Arc<Registry>>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
    sources: u32,
    at_end: AtEnd,
    finished: Arc<AtomicUsize>,
    ended: Sender<Result<(), Fatal>>,
}

impl Crew {
    fn spawn(self, stage: &'static str, thread: usize) -> JoinHandle<()> {
        let name = MemberName { stage, thread };
        std::thread::Builder::new()
            .name(format!("{stage}-{thread}"))
            .spawn(move || {
                let ended = self.ended.clone();
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    if stage == "join" { self.join(&name) } else { self.detect(&name) }
                }));
                ended
                    .send(result.unwrap_or_else(|_| {
                        Err(Fatal("a member panicked: a bug of driftline; restart it and report the message above".into()))
                    }))
                    .ok();
            })
            .expect("the system can start a thread")
    }

    /// The member has nothing left to do; true if it should end.
    fn is_over(&self, over: &mut bool) -> bool {
        if !std::mem::replace(over, true) {
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
        self.at_end == AtEnd::Exit
    }

    fn join(&self, name: &MemberName) -> Result<(), Fatal> {
        let label = format!("join-{}", name.thread);
        self.board.announce(&label, now_ms());
        let plan = self.settings.topic("plan");
        let mut log = KafkaLog::open(&self.settings, name, JoinStage::topics(&self.settings), Some(&plan))?;
        let schemas = self.registry.clone().map(|r| r as Arc<dyn Schemas>);
        let mut stage = JoinStage::with(self.settings.clone(), self.sources, self.at_end != AtEnd::Watch, schemas).map_err(Fatal)?;
        let (mut shown, mut over) = (0, false);
        while !self.stop.load(Ordering::Relaxed) {
            let step = stage.step(&mut log, PATIENCE)?;
            let now = log.now_ms();
            self.board.turned(&label, now, stage.ready() && !stage.waits_for_registry());
            if stage.counters.epochs > 0 || now - shown > 1_000 {
                self.metrics.absorb_join(&label, &mut stage, now);
            }
            if now - shown > COUNT_EVERY {
                shown = now;
                self.board.show(&label, join_view(&stage, &|input, p, next| log.unread(TopicIx(input.index() as u8), p, next)));
            }
            if step == Step::Finished && self.is_over(&mut over) {
                break;
            }
        }
        stage.stop(&mut log)?;
        self.metrics.absorb_join(&label, &mut stage, log.now_ms());
        Ok(())
    }

    fn detect(&self, name: &MemberName) -> Result<(), Fatal> {
        let label = format!("detect-{}", name.thread);
        self.board.announce(&label, now_ms());
        let mut log = KafkaLog::open(&self.settings, name, DetectStage::topics(&self.settings), None)?;
        let mut stage = DetectStage::new(self.settings.clone(), self.at_end != AtEnd::Watch);
        let (mut shown, mut over) = (0, false);
        while !self.stop.load(Ordering::Relaxed) {
            let step = stage.step(&mut log, PATIENCE)?;
            stage.published.clear();
            let now = log.now_ms();
            self.board.turned(&label, now, stage.ready());
            if stage.counters.epochs > 0 || now - shown > 1_000 {
                self.metrics.absorb_detect(&label, &mut stage, now);
            }
            if now - shown > COUNT_EVERY {
                shown = now;
                self.metrics.show_streams(&label, &stage);
                self.board.show(&label, detect_view(&stage));
            }
            if step == Step::Finished && self.is_over(&mut over) {
                break;
            }
        }
        stage.stop(&mut log)?;
        self.metrics.absorb_detect(&label, &mut stage, log.now_ms());
        Ok(())
    }
}
