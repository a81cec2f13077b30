//! Webhooks of `driftline forward`: each event of the alerts topic, sent to each of them once.
//!
//! Guarantees: each webhook has a reader of its own, whose place is kept in Kafka behind what was taken or refused: nothing is lost by a
//! restart, and what is under way may be sent again (under the same id). While a webhook is away its reader holds one event and reads no further:
//! the topic is the buffer. What is refused for good is told with its place in the topic, and the next event goes on.
//! Never: sends without a signature when there is a secret file; joins the group that the place is kept under.
//! Comes from: `kafka::subscriber::kept`. Goes to: `forward::webhook`, by the rules of `forward::deliveries`.

use super::Failure;
use super::events::event;
use super::forward::{ForwardArgs, STEP, Untold};
use crate::config::settings::Settings;
use crate::engine::types::{Offset, Partition, Span};
use crate::forward::deliveries::{Heard, Turn, Verdict};
use crate::forward::signature::Secrets;
use crate::forward::webhook::{Answer, Webhook};
use crate::kafka::subscriber::kept::Kept;
use crate::log::{Fatal, Record};
use crate::ops::http::now_ms;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// `--once` fails if Kafka has said nothing for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has become of the events of one webhook since the start.
pub struct Tally {
    /// Name and host of who is told.
    pub shown: String,
    taken: AtomicU64,
    refused: AtomicU64,
    stale: AtomicU64,
    /// Records that are no events.
    odd: AtomicU64,
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let [taken, refused, stale, odd] = [&self.taken, &self.refused, &self.stale, &self.odd].map(|n| n.load(Ordering::Relaxed));
        write!(f, "{}: {taken} event(s) taken, {refused} refused, {stale} too old to be told, {odd} record(s) passed over", self.shown)
    }
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

/// An event on its way.
struct Letter {
    id: String,
    body: String,
    partition: Partition,
    offset: Offset,
}

/// Who brings events to one webhook.
pub struct Courier {
    settings: Arc<Settings>,
    webhook: Webhook,
    heard: Heard,
    turn: Turn,
    /// The event at hand.
    letter: Option<Letter>,
    stale_after: Span,
    secret_file: Option<PathBuf>,
    refused: Option<PathBuf>,
    once: bool,
    /// The last answer was none, or one that passes.
    away: bool,
    tally: Arc<Tally>,
    began: Instant,
}

/// While the topic is read.
pub struct Begun(Courier, Kept);

impl Courier {
    /// One for each webhook that the flags name.
    pub fn all(args: &ForwardArgs, settings: &Arc<Settings>, ca: Option<&str>, stale_after: Span) -> Result<Vec<Courier>, Failure> {
        if let Some(file) = &args.webhook_secret_file {
            secrets(file).map_err(Failure::Runtime)?;
        }
        if let Some(file) = &args.refused {
            append(file, "").map_err(|e| Failure::Runtime(format!("--refused {} can't be written: {e}", file.display())))?;
        }
        let mut names = BTreeSet::new();
        let courier = |text: &String| {
            let webhook = Webhook::new(text, ca).map_err(Failure::Runtime)?;
            if !names.insert(webhook.name().to_string()) {
                let name = webhook.name();
                return Err(Failure::Runtime(format!("two webhooks are called {name}: each keeps its place in the topic under its name")));
            }
            let [taken, refused, stale, odd] = [0; 4].map(AtomicU64::new);
            Ok(Courier {
                settings: settings.clone(),
                heard: Heard::new(stale_after),
                turn: Turn::default(),
                letter: None,
                stale_after,
                secret_file: args.webhook_secret_file.clone(),
                refused: args.refused.clone(),
                once: args.once,
                away: false,
                tally: Arc::new(Tally { shown: webhook.shown(), taken, refused, stale, odd }),
                began: Instant::now(),
                webhook,
            })
        };
        args.webhook.iter().map(courier).collect()
    }

    /// What has become of its events; it counts on.
    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    /// Finds the topic and its place in it.
    pub fn begin(self) -> Result<Begun, Failure> {
        let group = format!("{}-webhook-{}", self.settings.app, self.webhook.name());
        let since = now_ms().saturating_sub(self.stale_after.0);
        let kept = Kept::new(&self.settings.kafka, &group, &self.settings.alerts.topic, since).map_err(runtime)?;
        tracing::info!("{} is told each event once; its place is kept under the group {group}", self.webhook.shown());
        Ok(Begun(self, kept))
    }

    /// The next record; true if it is dealt with.
    fn take(&mut self, record: &Record<'_>, new: bool) -> bool {
        let Some(event) = event(&self.settings, record) else {
            if new && record.value.is_some() {
                count(&self.tally.odd);
            }
            return true;
        };
        match self.heard.observe(&event.value, record.timestamp) {
            _ if !new => {}
            Ok(Some(id)) => {
                self.letter = Some(Letter { id, body: event.json, partition: record.partition, offset: record.offset });
                return false;
            }
            Ok(None) => count(&self.tally.stale),
            Err(why) => {
                count(&self.tally.odd);
                let (topic, p, offset) = (&self.settings.alerts.topic, record.partition.0, record.offset.0);
                tracing::warn!("{topic}[{p}]@{offset} is passed over, it is no alert ({why})");
            }
        }
        true
    }

    /// Sends the event; true if it is dealt with.
    fn send(&mut self, letter: &Letter) -> bool {
        let answer = match self.secret_file.as_deref().map(secrets).transpose() {
            Ok(secrets) => self.webhook.tell(&letter.id, &letter.body, secrets.as_ref(), now_ms() / 1_000),
            Err(why) => Answer::none(format!("is sent nothing that is not signed: {why}")),
        };
        let verdict = self.turn.answered(answer.status, answer.pause, self.began.elapsed());
        let (who, what) = (self.webhook.shown(), self.place(letter));
        let was_away = std::mem::replace(&mut self.away, matches!(verdict, Verdict::Later(_)));
        match verdict {
            Verdict::Later(_) if self.once => tracing::warn!("{who} {}; {what} is not told", answer.said),
            Verdict::Later(wait) => tracing::warn!("{who} {}; {what} is sent again in {} s", answer.said, wait.as_secs()),
            Verdict::Taken => {
                count(&self.tally.taken);
                if was_away {
                    tracing::info!("{who} takes events again");
                }
            }
            Verdict::Refused => {
                count(&self.tally.refused);
                tracing::error!("{who} {}: it refuses {what}, which is not sent again", answer.said);
                self.set_aside(letter, &answer);
            }
        }
        !matches!(verdict, Verdict::Later(_))
    }

    /// What an event is called in messages.
    fn place(&self, letter: &Letter) -> String {
        format!("alert {} ({}[{}]@{})", letter.id, self.settings.alerts.topic, letter.partition.0, letter.offset.0)
    }

    /// Adds an event that was refused to the file for it.
    fn set_aside(&self, letter: &Letter, answer: &Answer) {
        let Some(file) = &self.refused else { return };
        let line = json!({
            "webhook": self.webhook.name(),
            "topic": self.settings.alerts.topic,
            "partition": letter.partition.0,
            "offset": letter.offset.0,
            "id": letter.id,
            "status": answer.status,
            "answer": answer.said,
            "event": serde_json::from_str::<Value>(&letter.body).unwrap_or_default(),
        });
        if let Err(e) = append(file, &format!("{line}\n")) {
            tracing::error!("--refused {} can't be written: {e}. {} is in the topic", file.display(), self.place(letter));
        }
    }

    fn untold(&self) -> Untold {
        let (name, refused) = (self.webhook.shown(), self.tally.refused.load(Ordering::Relaxed));
        let why = match (&self.letter, refused) {
            (None, 0) => return Vec::new(),
            (None, n) => format!("{name}, which refused {n} event(s)"),
            (Some(_), 0) => name,
            (Some(_), n) => format!("{name}, which also refused {n} event(s)"),
        };
        vec![why]
    }
}

impl Begun {
    /// Reads and tells until it is stopped; with `--once` until everything was told, or the webhook is away.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Untold, Failure> {
        while !stop.load(Ordering::Relaxed) && self.step()? {}
        self.1.keep().map_err(runtime)?;
        Ok(self.0.untold())
    }

    /// False if there is nothing left to do.
    fn step(&mut self) -> Result<bool, Failure> {
        let Begun(courier, kept) = self;
        let Some(letter) = courier.letter.take() else { return self.listen() };
        let wait = courier.turn.wait(courier.began.elapsed());
        let dealt = wait.is_zero() && courier.send(&letter);
        if dealt {
            kept.dealt(letter.partition, letter.offset);
        } else {
            courier.letter = Some(letter);
            if courier.once {
                return Ok(false);
            }
            std::thread::sleep(wait.min(STEP));
        }
        kept.keep().map_err(runtime)?;
        Ok(true)
    }

    fn listen(&mut self) -> Result<bool, Failure> {
        let Begun(courier, kept) = self;
        let mut dealt = None;
        let mut sink = |record: Record<'_>, new| {
            if courier.take(&record, new) && new {
                dealt = Some((record.partition, record.offset));
            }
        };
        let came = kept.next(STEP, &mut sink).map_err(runtime)?;
        if let Some((partition, offset)) = dealt {
            kept.dealt(partition, offset);
        }
        if came {
            return Ok(true);
        }
        kept.keep().map_err(runtime)?;
        if courier.once && !kept.has_caught_up() && kept.silence() > PATIENCE {
            let (s, topic) = (PATIENCE.as_secs(), &courier.settings.alerts.topic);
            return Err(Failure::Runtime(format!("reading {topic} made no progress for {s} s: are all of the brokers there?")));
        }
        Ok(!(courier.once && kept.has_caught_up()))
    }
}

fn runtime(e: Fatal) -> Failure {
    Failure::Runtime(e.0)
}

fn secrets(file: &Path) -> Result<Secrets, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("--webhook-secret-file {} can't be read: {e}", file.display()))?;
    Secrets::read(&SecretString::from(text)).map_err(|why| format!("--webhook-secret-file {}: {why}", file.display()))
}

/// Adds to a file, in one piece: others may do the same.
fn append(file: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(file)?.write_all(text.as_bytes())
}
