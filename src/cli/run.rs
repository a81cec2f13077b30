//! `driftline run`: the service.

use super::{ConfigArg, Failure, settings};
use crate::ops::logs;
use crate::ops::service::{AtEnd, Service, ServiceError, Stages};
use clap::{Args, ValueEnum};

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// Run one stage only (both by default)
    #[arg(long, value_enum)]
    pub stage: Option<StageArg>,
    /// End when the inputs are read to their end and every pane is closed (for batches and tests)
    #[arg(long)]
    pub once: bool,
}

/// A stage by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StageArg {
    /// Reads predictions and outcomes, joins, summarises.
    Join,
    /// Reads summaries, detects, alerts.
    Detect,
}

/// Runs until a signal, a fatal error, or with `--once` the end of the data.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("info");
    let stages = Stages { join: args.stage != Some(StageArg::Detect), detect: args.stage != Some(StageArg::Join) };
    let at_end = if args.once { AtEnd::Exit } else { AtEnd::Watch };
    let service = match Service::start(settings.clone(), stages, at_end) {
        Err(ServiceError::Interrupted) => return Ok(()),
        started => started?,
    };
    if let Some(http) = service.http {
        let scheme = if settings.http.as_ref().is_some_and(|http| http.tls.is_some()) { "https" } else { "http" };
        tracing::info!("driftline {} watches {}; metrics at {scheme}://{http}/metrics", env!("CARGO_PKG_VERSION"), settings.app);
    }
    Ok(service.wait()?)
}
