//! `driftline baseline`: what is normal for a model, as a file: built, looked at, given to a running application.
//!
//! Guarantees: `build` and `show` write nothing to Kafka; `load` writes one record, and says where. A file is obeyed once, whoever gives it how
//! often.
//! Comes from: the command line. Goes to: a file; `<app>.summaries`.

use super::{ConfigArg, Failure, Output, say, settings};
use crate::audit;
use crate::baseline::build::{Cell, LeftOut, Look, Names, Row};
use crate::baseline::page::{json, page};
use crate::baseline::table::{Columns, Kind, Table};
use crate::codec::decoder::PredictionDecoder;
use crate::codec::event::{FeatureIx, Prediction, Value};
use crate::codec::writers::Schemas;
use crate::config::place::shown;
use crate::config::settings::{FieldSource, Settings};
use crate::engine::baseline::profile::Profile;
use crate::engine::book::{LABEL, SCORE, feature_signal};
use crate::kafka::command;
use crate::kafka::subscriber::Subscriber;
use crate::ops::logs;
use crate::registry::AtOnce;
use clap::{Args, Subcommand};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The wait for a record.
const STEP: Duration = Duration::from_millis(200);
/// A broker that says nothing for so long has said enough.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags of `baseline`.
#[derive(Debug, Args)]
pub struct BaselineArgs {
    /// What to do with a baseline
    #[command(subcommand)]
    pub verb: BaselineVerb,
}

/// What can be done with a baseline.
#[derive(Debug, Subcommand)]
pub enum BaselineVerb {
    /// Build one from a file of rows with named columns (training data), or from the predictions topic
    Build(Box<BuildArgs>),
    /// Print what a baseline file says
    Show(ShowArgs),
    /// Give a baseline file to the running application; `models.NAME.baseline` in its configuration does the same at each start
    Load(LoadArgs),
}

/// Flags of `baseline build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// The model that the rows are of
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// File of rows: CSV or TSV with a line of names, JSON lines, or an Avro container
    #[arg(long, value_name = "FILE", required_unless_present = "from_topic", conflicts_with = "from_topic")]
    pub from: Option<PathBuf>,
    /// Take the model's newest predictions of the predictions topic, read by the configuration's mapping
    #[arg(long)]
    pub from_topic: bool,
    /// With --from-topic: about so many records, the newest ones
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
    pub records: u32,
    /// How the file is written, if its name does not say it
    #[arg(long, value_enum)]
    pub format: Option<Kind>,
    /// Column of the score; without it, the column that the configuration's mapping names, if there is one
    #[arg(long, value_name = "COLUMN")]
    pub score: Option<String>,
    /// Column of the predicted class
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// Columns that are no features (ids, the target), separated by commas
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Columns of texts, whatever they look like (codes), separated by commas
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub text: Vec<String>,
    /// Part of the file's identity: raise it to give the same content once more
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub revision: u64,
    /// Where to write the baseline
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How to print what was built
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Flags of `baseline show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Baseline file
    #[arg(value_name = "BASELINE")]
    pub file: PathBuf,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Flags of `baseline load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// Baseline file
    #[arg(value_name = "BASELINE")]
    pub file: PathBuf,
}

/// Builds, shows or loads.
pub fn baseline(args: &BaselineArgs) -> Result<(), Failure> {
    match &args.verb {
        BaselineVerb::Build(args) => build(args),
        BaselineVerb::Show(args) => print(&read(&args.file)?, &[], args.output),
        BaselineVerb::Load(args) => load(args),
    }
}

fn read(file: &Path) -> Result<Profile, Failure> {
    let wrong = |why: String| Failure::Runtime(format!("{}: {why}", file.display()));
    let bytes = crate::config::load::read_bytes(file).map_err(|e| wrong(format!("it can't be read: {e}")))?;
    Profile::from_file(&bytes).map_err(|e| wrong(format!("it is no baseline file, or was cut short ({e})")))
}

fn print(profile: &Profile, left_out: &[LeftOut], output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => say(&json(profile, left_out).to_string()),
        Output::Text => page(profile, left_out).iter().try_for_each(|line| say(line)),
    }
}

fn load(args: &LoadArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("warn");
    let profile = read(&args.file)?;
    let (topic, partition) = (settings.topic("summaries"), settings.partition_of(&profile.model));
    let sent = command::send(&settings.kafka, &topic, partition, &profile.to_bytes());
    let object = format!("baseline {:016x} of {} in {topic}[{}]", profile.id(), profile.model, partition.0);
    audit::record(&settings, "give baseline", std::slice::from_ref(&object), sent.as_ref().map_or_else(|e| e.0.as_str(), |_| "given"));
    let offset = sent.map_err(|e| Failure::Runtime(e.0))?;
    say(&format!("{object}@{}", offset.0))?;
    let ahead = definitions_ahead(&settings);
    say(&format!(
        "It holds from about {ahead} panes after the last closed one, unless this file was given before; /status shows since when. What the signals \
         in it had learnt ends there (RESOLVED, reason `accepted`); they alert again once they know how much panes vary."
    ))
}

fn definitions_ahead(settings: &Settings) -> i64 {
    settings.definitions.look_ahead() + 1
}

fn build(args: &BuildArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("error");
    let runtime = Failure::Runtime;
    let (profile, left_out) = match &args.from {
        Some(file) => of_file(args, file, &settings).map_err(runtime)?,
        None => of_topic(args, &settings).map_err(runtime)?,
    };
    std::fs::write(&args.out, profile.to_bytes()).map_err(|e| Failure::Runtime(format!("{}: {e}", args.out.display())))?;
    print(&profile, &left_out, args.output)?;
    let out = args.out.display();
    writeln!(
        std::io::stderr(),
        "{out} is written. Name it in the configuration (models: {{ {}: {{ baseline: {out} }} }}), or give it now: driftline baseline load -c {} {out}",
        profile.model,
        args.config.config.display()
    )
    .ok();
    Ok(())
}

/// Rows that were seen, on a terminal's line.
struct Progress {
    what: &'static str,
    rows: u64,
    told: Instant,
    terminal: bool,
}

impl Progress {
    fn of(what: &'static str) -> Progress {
        Progress { what, rows: 0, told: Instant::now(), terminal: std::io::stderr().is_terminal() }
    }

    fn row(&mut self) {
        self.rows += 1;
        if self.terminal && self.rows.is_multiple_of(1_024) && self.told.elapsed() > Duration::from_millis(200) {
            self.told = Instant::now();
            write!(std::io::stderr(), "\r{}: {} rows", self.what, self.rows).ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }
}

fn of_file(args: &BuildArgs, file: &Path, settings: &Settings) -> Result<(Profile, Vec<LeftOut>), String> {
    let kind = args.format.map_or_else(|| Kind::of(file), Ok)?;
    let mut progress = Progress::of("looking which columns are numbers");
    let mut table = Table::open(file, kind, columns(args, settings), &mut || progress.row())?;
    drop(progress);
    let (mut look, mut progress) = (Look::default(), Progress::of("fixing bins"));
    table.each(&mut |row| {
        look.row(row);
        progress.row();
    })?;
    drop(progress);
    let (mut count, mut progress) = (look.fix(&table.names), Progress::of("counting"));
    table.each(&mut |row| {
        count.row(row);
        progress.row();
    })?;
    drop(progress);
    let (profile, mut left_out) = count.profile(&args.model, args.revision, &table.names)?;
    left_out.extend(table.left_out.into_iter().map(|(signal, why)| LeftOut { signal, why }));
    Ok((profile, left_out))
}

/// What the flags say of columns, and for the rest the mapping.
fn columns(args: &BuildArgs, settings: &Settings) -> Columns {
    let fields = &settings.predictions.fields;
    let place = |source: &Option<FieldSource>| match source {
        Some(FieldSource::Path(steps)) => Some(shown(steps)),
        _ => None,
    };
    let mapped =
        |flag: &Option<String>, source| flag.clone().or_else(|| place(source).filter(|_| args.from.as_deref().is_some_and(is_json)));
    let time = fields.event_time.as_ref().map(|(source, _)| source.clone());
    let others = [&fields.request_id, &time, &fields.model, &fields.version];
    let mut ignored: BTreeSet<String> = others.into_iter().filter_map(place).chain(args.ignore.iter().cloned()).collect();
    let protected = settings.predictions.protect.iter().flat_map(|p| p.features.iter().cloned());
    ignored.extend(protected); // a file shows what the stream hides
    let features = fields.features.as_ref();
    ignored.extend(features.iter().flat_map(|f| f.exclude.iter().cloned()));
    let names = features.map(|f| &f.names).filter(|names| !names.is_empty());
    let prefix = features.map(|f| shown(&f.path)).filter(|path| !path.is_empty());
    Columns {
        score: mapped(&args.score, &fields.score),
        label: mapped(&args.label, &fields.label),
        ignored,
        texts: args.text.iter().cloned().collect(),
        features: names.map(|names| names.iter().cloned().collect()),
        prefix: prefix.map_or_else(String::new, |path| format!("{path}.")),
    }
}

fn is_json(file: &Path) -> bool {
    matches!(Kind::of(file), Ok(Kind::Jsonl | Kind::Avro))
}

/// The rows of the predictions topic, in memory: there may be others the next time it is read.
fn of_topic(args: &BuildArgs, settings: &Settings) -> Result<(Profile, Vec<LeftOut>), String> {
    let source = &settings.predictions;
    let schemas = settings.registry.as_ref().map(AtOnce::new).transpose().map_err(|e| e.to_string())?.map(Arc::new);
    let schemas = schemas.map(|schemas| schemas as Arc<dyn Schemas>);
    let mut decoder = PredictionDecoder::with(source, &settings.definitions.dimensions, schemas).map_err(|e| e.to_string())?;
    let (mut names, mut rows, mut others, mut bad) = (Names::default(), Vec::new(), 0u64, 0u64);
    let mut progress = Progress::of("reading");
    let group = format!("{}-baseline", settings.app);
    let mut subscriber = Subscriber::newest(&settings.kafka, &group, &source.topic, i64::from(args.records)).map_err(|e| e.0)?;
    while !subscriber.has_caught_up() {
        let mut take = |record: crate::log::Record<'_>| {
            if !decoder.ready(&record) {
                bad += 1;
                return;
            }
            decoder.each(&record, |decoder, p| match p {
                Ok(p) if p.model == args.model => {
                    rows.push(row(&p, &mut names, |ix| decoder.feature_name(ix)));
                    progress.row();
                }
                Ok(_) => others += 1,
                Err(_) => bad += 1,
            });
        };
        subscriber.poll(STEP, &mut take).map_err(|e| e.0)?;
        if subscriber.silence() > PATIENCE {
            return Err(format!("reading {} made no progress for {} s: are all brokers there?", source.topic, PATIENCE.as_secs()));
        }
    }
    drop(progress);
    if rows.is_empty() {
        return Err(format!(
            "{} holds no prediction of model \"{}\" among its newest: {others} of others, {bad} that can't be read",
            source.topic, args.model
        ));
    }
    let mut look = Look::default();
    rows.iter().for_each(|row| look.row(row.clone()));
    let mut count = look.fix(&names);
    rows.into_iter().for_each(|row| count.row(row));
    let (profile, mut left_out) = count.profile(&args.model, args.revision, &names)?;
    if bad > 0 {
        left_out
            .push(LeftOut { signal: format!("{bad} record(s)"), why: "they can't be read; `driftline check --connect` says why".into() });
    }
    Ok((profile, left_out))
}

fn row<'d>(p: &Prediction<'_>, names: &mut Names, name: impl Fn(FeatureIx) -> &'d str) -> Row {
    let mut row = Row::new();
    row.extend(p.score.map(|score| (names.number(SCORE), Cell::Number(score))));
    row.extend(p.label.as_deref().map(|label| (names.number(LABEL), Cell::Text(label.to_string()))));
    let mut feature = |ix, cell| row.push((names.number(&feature_signal(name(ix))), cell));
    for (ix, value) in &p.features {
        match value {
            Value::Null => {}
            Value::Number(x) => feature(*ix, Cell::Number(*x)),
            Value::Bool(b) => feature(*ix, Cell::Text(b.to_string())),
            Value::Text(text) => feature(*ix, Cell::Text(text.to_string())),
        }
    }
    p.doubles.iter().flat_map(|d| d.features()).for_each(|(ix, x)| feature(ix, Cell::Number(x)));
    row
}
