//! `driftline forward`: what the alerts topic says, told to Alertmanager (what fires, until it is resolved) and to webhooks (each event once).
//!
//! Guarantees: each target is told for itself, one that is away holds no other up and is told as soon as it is back. Alertmanagers are told
//! what the topic says, so nothing is kept for them; how far a webhook has come is kept in Kafka.
//! Never: joins a group; needs more than Read on the topic, and with webhooks on a group for each.

use super::forward_alertmanagers::Alertmanagers;
use super::forward_webhooks::{Courier, Tally};
use super::{ConfigArg, Failure, settings};
use crate::audit;
use crate::config::duration;
use crate::engine::types::Span;
use crate::ops::{logs, stop};
use crate::outward;
use clap::{ArgGroup, Args};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The wait for a record.
pub(super) const STEP: Duration = Duration::from_millis(200);
/// Once it is asked to stop, the process waits so long for answers that are under way. Who is told then may be told again by the next start.
const GRACE: Duration = Duration::from_secs(3);

/// Flags of `forward`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("targets").args(["alertmanager", "webhook"]).required(true).multiple(true)))]
pub struct ForwardArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// Address of an Alertmanager; repeat it for each member of a cluster
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "DRIFTLINE_ALERTMANAGER")]
    pub alertmanager: Vec<String>,
    /// File with a bearer token for the Alertmanagers; read anew for each round
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Address that is sent each event once, as JSON; repeat it for others. It keeps its place under its name (default: one made of the
    /// address)
    #[arg(long, value_name = "[NAME=]URL", value_delimiter = ',', env = "DRIFTLINE_WEBHOOK", hide_env_values = true)]
    pub webhook: Vec<String>,
    /// File with the secret that signs what webhooks are sent (base64; several lines while it changes); read anew each time
    #[arg(long, value_name = "FILE", requires = "webhook")]
    pub webhook_secret_file: Option<PathBuf>,
    /// Events that a webhook refuses for good are added to this file, a line of JSON each
    #[arg(long, value_name = "FILE", requires = "webhook")]
    pub refused: Option<PathBuf>,
    /// Certificates (PEM) that vouch for Alertmanagers and webhooks. Default: Mozilla's list of authorities
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Alertmanagers are told again what fires after this long
    #[arg(long, value_name = "LENGTH", default_value = "1m", value_parser = duration::parse)]
    pub every: Span,
    /// Nobody is told of an alert whose window ended this long before it was written (a first start on old history). At least two panes.
    /// A new webhook begins with what was written this long before its first start
    #[arg(long, value_name = "LENGTH", default_value = "1h", value_parser = duration::parse)]
    pub stale_after: Span,
    /// Tell Alertmanagers what fires now, and webhooks what they have not been told yet, once; and end
    #[arg(long)]
    pub once: bool,
}

impl ForwardArgs {
    /// A file that a flag names.
    pub(super) fn read(file: &Path) -> Result<String, Failure> {
        std::fs::read_to_string(file).map_err(|e| Failure::Runtime(format!("{} can't be read: {e}", file.display())))
    }
}

/// What one who tells says at his end: whom he could not tell.
pub(super) type Untold = Vec<String>;

/// What is done on a thread of its own until it ends or `stop` is true.
type Job = Box<dyn FnOnce(&AtomicBool) -> Result<Untold, Failure> + Send>;

/// Reads and tells until it is stopped.
pub fn forward(args: &ForwardArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("info");
    if args.every < Span::seconds(5) || args.every > Span::hours(1) {
        return Err(Failure::Runtime("--every must be 5s to 1h".into()));
    }
    let ca = args.ca_file.as_deref().map(ForwardArgs::read).transpose()?;
    let two_panes = Span(settings.definitions.pane.0.0.saturating_mul(2));
    let stale_after = args.stale_after.max(two_panes);
    let alertmanagers = Alertmanagers::new(args, settings.clone(), ca.as_deref(), stale_after)?;
    let couriers = Courier::all(args, &settings, ca.as_deref(), stale_after)?;
    let tallies: Vec<Arc<Tally>> = couriers.iter().map(Courier::tally).collect();
    let mut jobs: Vec<Job> = Vec::new();
    if let Some(alertmanagers) = alertmanagers {
        let mut begun = alertmanagers.begin()?;
        jobs.push(Box::new(move |stop| begun.run(stop)));
    }
    for courier in couriers {
        let mut begun = courier.begin()?;
        jobs.push(Box::new(move |stop| begun.run(stop)));
    }
    let receivers: Vec<String> =
        args.alertmanager.iter().filter_map(|url| outward::origin(url)).chain(tallies.iter().map(|t| t.shown.clone())).collect();
    audit::record(&settings, "forward", &receivers, "begins to tell alerts");
    let stop = stop::asked().map_err(|e| Failure::Runtime(format!("waiting for signals: {e}")))?;
    let left = jobs.len();
    let untold = untold(left, &start(jobs, &stop)?, &stop);
    tallies.iter().for_each(|tally| tracing::info!("{tally}"));
    let failed = match untold.map(|untold| untold.join(", ")) {
        Ok(all) if all.is_empty() => None,
        Ok(some) => Some(Failure::Runtime(format!("not told: {some}"))),
        Err(failure) => Some(failure),
    };
    audit::record(&settings, "forward", &receivers, if failed.is_none() { "has ended" } else { "has failed; the last line says why" });
    failed.map_or(Ok(()), Err)
}

/// Starts each on its thread; their ends are received.
fn start(jobs: Vec<Job>, stop: &Arc<AtomicBool>) -> Result<Receiver<Result<Untold, Failure>>, Failure> {
    let (sender, ended) = channel();
    for job in jobs {
        let (sender, stop) = (sender.clone(), stop.clone());
        let work = move || {
            let bug = |_| Err(Failure::Runtime("a thread panicked: a bug of driftline; restart it and report the message above".into()));
            sender.send(catch_unwind(AssertUnwindSafe(|| job(&stop))).unwrap_or_else(bug)).ok();
        };
        std::thread::Builder::new().spawn(work).map_err(|e| Failure::Runtime(format!("starting a thread: {e}")))?;
    }
    Ok(ended)
}

/// Waits until all have ended, one can't go on, or the grace after a signal is over.
fn untold(mut left: usize, ended: &Receiver<Result<Untold, Failure>>, stop: &AtomicBool) -> Result<Untold, Failure> {
    let (mut all, mut asked): (Untold, Option<Instant>) = (Vec::new(), None);
    while left > 0 {
        match ended.recv_timeout(STEP) {
            Ok(result) => {
                all.extend(result?);
                left -= 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if stop.load(Ordering::Relaxed) && asked.get_or_insert_with(Instant::now).elapsed() > GRACE {
            break;
        }
    }
    // whoever asked it to stop does not wait for those that are away
    Ok(if stop.load(Ordering::Relaxed) { Vec::new() } else { all })
}
