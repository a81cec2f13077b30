//! Alertmanagers of `driftline forward`: what fires on the alerts topic, told to each of them until it is resolved.
//!
//! Guarantees: each is told for itself; one that is away is told as soon as it is back. What is read on the topic is all there is: stop it,
//! start it, run two.
//! Never: joins a group, commits anything, needs more than Read on the topic. Comes from: `kafka::subscriber`. Goes to: `forward::alertmanager`.

use super::Failure;
use super::forward::{ForwardArgs, STEP, Untold};
use crate::codec::alert::{Format, decode};
use crate::config::settings::{AlertFormat, Settings};
use crate::engine::types::Span;
use crate::forward::alertmanager::{Alertmanager, requests};
use crate::forward::backoff::Backoff;
use crate::forward::firing::Firing;
use crate::kafka::subscriber::Subscriber;
use crate::log::Record;
use crate::ops::http::now_ms;
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Rounds that an alert fires for although nobody tells it again: so many may be lost.
const ROUNDS: i64 = 4;

/// An Alertmanager and when it is told next.
struct Target {
    at: Alertmanager,
    next: Instant,
    backoff: Backoff,
    /// Its last answer was an error.
    away: bool,
}

/// All of them.
pub struct Alertmanagers {
    settings: Arc<Settings>,
    targets: Vec<Target>,
    firing: Firing,
    token_file: Option<PathBuf>,
    every: Span,
    once: bool,
}

/// While the topic is read.
pub struct Begun(Alertmanagers, Subscriber);

impl Alertmanagers {
    /// Those that the flags name, if they name any.
    pub fn new(args: &ForwardArgs, settings: Arc<Settings>, ca: Option<&str>, stale_after: Span) -> Result<Option<Alertmanagers>, Failure> {
        let target = |url: &String| {
            let at = Alertmanager::new(url, ca).map_err(Failure::Runtime)?;
            Ok(Target { at, next: Instant::now(), backoff: Backoff::up_to(length(args.every)), away: false })
        };
        let targets = args.alertmanager.iter().map(target).collect::<Result<Vec<_>, Failure>>()?;
        let (firing, token_file) = (Firing::new(stale_after), args.token_file.clone());
        let all = Alertmanagers { settings, targets, firing, token_file, every: args.every, once: args.once };
        Ok(Some(all).filter(|a| !a.targets.is_empty()))
    }

    /// Finds the topic.
    pub fn begin(self) -> Result<Begun, Failure> {
        let (app, topic) = (&self.settings.app, &self.settings.alerts.topic);
        let subscriber = Subscriber::new(&self.settings.kafka, &format!("{app}-forward"), topic).map_err(|e| Failure::Runtime(e.0))?;
        Ok(Begun(self, subscriber))
    }
}

impl Begun {
    /// Reads and tells until it is stopped, or once.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Untold, Failure> {
        let Begun(Alertmanagers { settings, targets, firing, token_file, every, once }, subscriber) = self;
        let mut begun = false;
        while !stop.load(Ordering::Relaxed) {
            let mut news = false;
            subscriber.poll(STEP, &mut |record| news |= observe(settings, &record, firing)).map_err(|e| Failure::Runtime(e.0))?;
            if !subscriber.has_caught_up() {
                continue; // what fired long ago may be over
            }
            if !begun {
                begun = true;
                tracing::info!("{}: {} alert(s) fire; {} too old to be told", settings.alerts.topic, firing.firing(), firing.stale());
            }
            if news {
                // an Alertmanager that is away keeps its turn
                targets.iter_mut().filter(|t| !t.away).for_each(|t| t.next = Instant::now());
            }
            let token = token_file.as_deref().map(ForwardArgs::read).transpose()?.map(|t| SecretString::from(t.trim().to_string()));
            for t in targets.iter_mut().filter(|t| t.next <= Instant::now()) {
                t.tell(firing, *every, token.as_ref());
            }
            if *once {
                break;
            }
        }
        Ok(targets.iter().filter(|t| t.away).map(|t| t.at.url().to_string()).collect())
    }
}

/// True if an event brings something new to tell.
fn observe(settings: &Settings, record: &Record<'_>, firing: &mut Firing) -> bool {
    let Some(value) = record.value else { return false };
    let format = if settings.alerts.format == AlertFormat::Avro { Format::Avro } else { Format::Json };
    match decode(value, format) {
        Ok(alert) => firing.observe(alert, record.timestamp),
        Err(why) => {
            let (topic, p, offset) = (&settings.alerts.topic, record.partition.0, record.offset.0);
            tracing::warn!("{topic}[{p}]@{offset} is passed over, it is no alert ({why}). Is alerts.format what its writer has?");
            false
        }
    }
}

fn length(span: Span) -> Duration {
    Duration::from_millis(span.0.unsigned_abs())
}

impl Target {
    fn tell(&mut self, firing: &mut Firing, every: Span, token: Option<&SecretString>) {
        let now = now_ms();
        let all = firing.due(now);
        let told = requests(&all, now, Span(every.0 * ROUNDS)).iter().try_for_each(|body| self.at.tell(body, token));
        let wait = match told {
            Ok(()) => {
                if self.away {
                    tracing::info!("{} takes alerts again", self.at.url());
                }
                self.away = false;
                self.backoff.over();
                length(every)
            }
            Err(why) => {
                self.away = true;
                let wait = self.backoff.failed(Duration::ZERO);
                tracing::warn!("{why}; told again in {} s", wait.as_secs());
                wait
            }
        };
        self.next = Instant::now() + wait;
    }
}
