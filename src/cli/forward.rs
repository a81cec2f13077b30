//! `driftline forward`: what fires on the alerts topic, told to Alertmanager until it is resolved.
//!
//! Guarantees: each Alertmanager is told for itself; one that is away is told as soon as it is back. What is read on the topic is all there is: stop
//! it, start it, run two.
//! Never: joins a group, commits anything, needs more than Read on the topic.

use super::{ConfigArg, Failure, settings};
use crate::codec::alert::{Format, decode};
use crate::config::duration;
use crate::config::settings::{AlertFormat, Settings};
use crate::engine::types::Span;
use crate::forward::alertmanager::{Alertmanager, requests};
use crate::forward::firing::Firing;
use crate::kafka::subscriber::Subscriber;
use crate::log::Record;
use crate::ops::http::now_ms;
use crate::ops::logs;
use clap::Args;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The wait for a record.
const STEP: Duration = Duration::from_millis(200);
/// An Alertmanager that did not take something is told again after this long at first, then after twice as long each time.
const SOON: Duration = Duration::from_secs(1);
/// Rounds that an alert fires for although nobody tells it again: so many may be lost.
const ROUNDS: i64 = 4;

/// Flags of `forward`.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// Address of an Alertmanager; repeat it for each member of a cluster
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',', env = "DRIFTLINE_ALERTMANAGER")]
    pub alertmanager: Vec<String>,
    /// File with a bearer token; read anew for each round
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that vouch for the Alertmanagers. Default: Mozilla's list of authorities
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// What fires is told again after this long
    #[arg(long, value_name = "LENGTH", default_value = "1m", value_parser = duration::parse)]
    pub every: Span,
    /// Nobody is told of an alert whose window ended this long before it was written (a first start on old history). At least two panes
    #[arg(long, value_name = "LENGTH", default_value = "1h", value_parser = duration::parse)]
    pub stale_after: Span,
    /// Tell once what fires now, and end
    #[arg(long)]
    pub once: bool,
}

/// An Alertmanager and when it is told next.
struct Target {
    at: Alertmanager,
    next: Instant,
    wait: Duration,
    /// Its last answer was an error.
    away: bool,
}

/// Reads and tells until it is stopped.
pub fn forward(args: &ForwardArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("info");
    if args.every < Span::seconds(5) || args.every > Span::hours(1) {
        return Err(Failure::Runtime("--every must be 5s to 1h".into()));
    }
    let read = |file: &Path| std::fs::read_to_string(file).map_err(|e| Failure::Runtime(format!("{} can't be read: {e}", file.display())));
    let ca = args.ca_file.as_deref().map(read).transpose()?;
    let target = |url: &String| {
        let at = Alertmanager::new(url, ca.as_deref()).map_err(Failure::Runtime)?;
        Ok(Target { at, next: Instant::now(), wait: SOON, away: false })
    };
    let mut targets = args.alertmanager.iter().map(target).collect::<Result<Vec<_>, Failure>>()?;
    let topic = &settings.alerts.topic;
    let mut subscriber =
        Subscriber::new(&settings.kafka, &format!("{}-forward", settings.app), topic).map_err(|e| Failure::Runtime(e.0))?;
    let two_panes = Span(settings.definitions.pane.0.0.saturating_mul(2));
    let mut firing = Firing::new(args.stale_after.max(two_panes));
    let mut begun = false;
    loop {
        let mut news = false;
        subscriber.poll(STEP, &mut |record| news |= observe(&settings, &record, &mut firing)).map_err(|e| Failure::Runtime(e.0))?;
        if !subscriber.has_caught_up() {
            continue; // what fired long ago may be over
        }
        if !begun {
            begun = true;
            tracing::info!("{topic}: {} alert(s) fire; {} too old to be told", firing.firing(), firing.stale());
        }
        if news {
            // an Alertmanager that is away keeps its turn
            targets.iter_mut().filter(|t| !t.away).for_each(|t| t.next = Instant::now());
        }
        let token = args.token_file.as_deref().map(read).transpose()?.map(|t| SecretString::from(t.trim().to_string()));
        for t in targets.iter_mut().filter(|t| t.next <= Instant::now()) {
            t.tell(&mut firing, args.every, token.as_ref());
        }
        if args.once {
            let away: Vec<&str> = targets.iter().filter(|t| t.away).map(|t| t.at.url()).collect();
            return if away.is_empty() { Ok(()) } else { Err(Failure::Runtime(format!("not told: {}", away.join(", ")))) };
        }
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

impl Target {
    fn tell(&mut self, firing: &mut Firing, every: Span, token: Option<&SecretString>) {
        let now = now_ms();
        let all = firing.due(now);
        let told = requests(&all, now, Span(every.0 * ROUNDS)).iter().try_for_each(|body| self.at.tell(body, token));
        match told {
            Ok(()) => {
                if self.away {
                    tracing::info!("{} takes alerts again", self.at.url());
                }
                (self.away, self.wait) = (false, SOON);
                self.next = Instant::now() + Duration::from_millis(every.0 as u64);
            }
            Err(why) => {
                tracing::warn!("{why}; told again in {} s", self.wait.as_secs());
                self.away = true;
                self.next = Instant::now() + self.wait;
                self.wait = (self.wait * 2).min(Duration::from_millis(every.0 as u64));
            }
        }
    }
}
