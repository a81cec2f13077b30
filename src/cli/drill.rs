//! `driftline drill`: an alert that somebody orders, followed from the summaries topic to the end of the chain, and back.
//!
//! Guarantees: users' topics are not touched; the alert is marked as a drill everywhere, and ends by itself, also if this process does not
//! live to see it. Success means that each step was seen.
//! Never: joins a group; needs more than Write on the summaries topic and Read on the alerts topic.
//! Comes from: an operator. Goes to: `engine::drill`, by way of `<app>.summaries`; what is seen: standard output.

use super::events::Reading;
use super::forward::ForwardArgs;
use super::tail::SeverityArg;
use super::{ConfigArg, Failure, Output, say, settings};
use crate::audit;
use crate::config::duration;
use crate::config::settings::Settings;
use crate::engine::alert::Severity;
use crate::engine::drill::{LABEL, MOST_PANES, Order};
use crate::engine::types::{Partition, Span};
use crate::forward::alertmanager::Alertmanager;
use crate::kafka::command;
use crate::ops::http::now_ms;
use crate::ops::logs;
use clap::Args;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Alertmanagers are asked so often.
const EVERY: Duration = Duration::from_secs(1);
/// The chain may take so long beside the panes.
const SLACK: Span = Span::minutes(15);

/// Flags of `drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// Configuration file
    #[command(flatten)]
    pub config: ConfigArg,
    /// The model that the alert names; its summaries partition is the one that is tried
    #[arg(long, value_name = "NAME", default_value = "driftline-drill")]
    pub model: String,
    /// The alert's severity
    #[arg(long, value_enum, ignore_case = true, default_value = "info")]
    pub severity: SeverityArg,
    /// It fires for so many panes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PANES)))]
    pub panes: u32,
    /// Wait until this Alertmanager shows the alert, and until it does not any more (`driftline forward` tells it); repeat it for others
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "DRIFTLINE_ALERTMANAGER")]
    pub alertmanager: Vec<String>,
    /// File with a bearer token for the Alertmanagers
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that vouch for Alertmanagers. Default: Mozilla's list of authorities
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Give up after this long [default: five panes more than --panes, and a quarter of an hour]
    #[arg(long, value_name = "LENGTH", value_parser = duration::parse)]
    pub timeout: Option<Span>,
    /// How to print steps: a line each, or one JSON object a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Orders a drill and follows it.
pub fn drill(args: &DrillArgs) -> Result<(), Failure> {
    let settings = settings(&args.config)?;
    logs::start("warn");
    let ca = args.ca_file.as_deref().map(ForwardArgs::read).transpose()?;
    let token = args.token_file.as_deref().map(ForwardArgs::read).transpose()?.map(|t| SecretString::from(t.trim().to_string()));
    let targets = args.alertmanager.iter().map(|url| Alertmanager::new(url, ca.as_deref()).map_err(Failure::Runtime));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    let mut reading = Reading::begin(&settings, "drill")?;
    reading.read_all(&mut |_| ())?; // what is there already is of others
    let order = Order { id: format!("{:x}-{:x}", now_ms(), std::process::id()), ..order(args) };
    if !order.is_possible() {
        return Err(Failure::Runtime("--model: a name of 1 to 256 bytes is wanted".into()));
    }
    let mut course = Course::of(args, &settings, &order);
    course.begin(&settings)?;
    let mut way = Way {
        fires: false,
        resolved: false,
        targets: targets.iter().map(|t| Target { at: t, seen: false, gone: false, error: None }).collect(),
    };
    let mut asked = Instant::now();
    while !way.is_over() {
        let mut events = Vec::new();
        reading.step(&mut |event| events.extend(Some(event.value).filter(|v| is_of(v, &order.id))))?;
        events.iter().try_for_each(|event| way.take(event, &course))?;
        if asked.elapsed() >= EVERY {
            asked = Instant::now();
            way.ask(&order.id, token.as_ref(), &course)?;
        }
        course.lasts(&way)?;
    }
    course.say("over", "every step was seen".into(), Value::Null)
}

fn order(args: &DrillArgs) -> Order {
    let severity = match args.severity {
        SeverityArg::Info => Severity::Info,
        SeverityArg::Warning => Severity::Warning,
        SeverityArg::Critical => Severity::Critical,
    };
    Order { id: String::new(), model: args.model.clone(), severity, panes: args.panes }
}

fn is_of(event: &Value, id: &str) -> bool {
    event.pointer(&format!("/labels/{LABEL}")).and_then(Value::as_str) == Some(id)
}

/// What is known of a drill under way, and how steps are shown.
struct Course {
    output: Output,
    order: Order,
    topic: String,
    partition: Partition,
    alerts: String,
    began: Instant,
    patience: Duration,
}

impl Course {
    fn of(args: &DrillArgs, settings: &Settings, order: &Order) -> Course {
        let panes = Span(settings.definitions.pane.0.0.saturating_mul(i64::from(args.panes) + 5));
        let patience = args.timeout.unwrap_or(Span(panes.0.saturating_add(SLACK.0)));
        Course {
            output: args.output,
            order: order.clone(),
            topic: settings.topic("summaries"),
            partition: settings.partition_of(&order.model),
            alerts: settings.alerts.topic.clone(),
            began: Instant::now(),
            patience: Duration::from_millis(patience.0.max(0) as u64),
        }
    }

    /// Writes the order.
    fn begin(&mut self, settings: &Settings) -> Result<(), Failure> {
        let sent = command::send(&settings.kafka, &self.topic, self.partition, &self.order.to_bytes());
        let objects = [format!("drill {} of {} in {}[{}]", self.order.id, self.order.model, self.topic, self.partition.0)];
        audit::record(settings, "drill", &objects, sent.as_ref().map_or_else(|e| e.0.as_str(), |_| "ordered"));
        let offset = sent.map_err(|e| Failure::Runtime(e.0))?;
        let (place, Order { id, model, panes, .. }) = (format!("{}[{}]@{}", self.topic, self.partition.0, offset.0), &self.order);
        let text = format!("drill {id} of {model} for {panes} pane(s) of {}: {place}", settings.definitions.pane.0);
        self.say("ordered", text, json!({ "drill": id, "place": place }))
    }

    fn say(&self, step: &str, text: String, more: Value) -> Result<(), Failure> {
        let after = self.began.elapsed();
        match self.output {
            Output::Text => say(&format!("{:>8.1} s  {step:<9} {text}", after.as_secs_f64())),
            Output::Json => {
                let mut line = json!({ "step": step, "after_ms": after.as_millis() as u64, "text": text });
                if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
                    line.extend(more);
                }
                say(&line.to_string())
            }
        }
    }

    /// An error with the place to look at, if it takes too long.
    fn lasts(&self, way: &Way<'_>) -> Result<(), Failure> {
        if self.began.elapsed() < self.patience {
            return Ok(());
        }
        let (s, p) = (self.patience.as_secs(), self.partition.0);
        let closes = format!(
            "an input pane of {}[{p}] closes as event time goes on: do predictions come, and does a process hold that partition? `driftline top` shows lag and panes",
            self.topic
        );
        let why = match way {
            Way { fires: false, .. } => format!(
                "no FIRING event on {}. {closes}. Processes of an older version pass over commands; driftline_refused_commands_total counts what this version refuses",
                self.alerts
            ),
            Way { resolved: false, .. } => format!("it fires, but no RESOLVED event came on {}. {closes}", self.alerts),
            _ => way.stuck(),
        };
        Err(Failure::Runtime(format!("the drill was given up after {s} s (it ends by itself): {why}")))
    }
}

/// An Alertmanager, and what it has shown.
struct Target<'a> {
    at: &'a Alertmanager,
    seen: bool,
    gone: bool,
    /// Why its last answer was none.
    error: Option<String>,
}

/// How far the alert has come.
struct Way<'a> {
    fires: bool,
    resolved: bool,
    targets: Vec<Target<'a>>,
}

impl Way<'_> {
    fn is_over(&self) -> bool {
        self.fires && self.resolved && self.targets.iter().all(|t| t.seen && t.gone)
    }

    fn take(&mut self, event: &Value, course: &Course) -> Result<(), Failure> {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        let resolved = text("status") == "RESOLVED";
        let known = if resolved { &mut self.resolved } else { &mut self.fires };
        if std::mem::replace(known, true) {
            return Ok(()); // a reminder
        }
        let step = if resolved { "resolved" } else { "fires" };
        course.say(step, format!("on {}: {}", course.alerts, text("summary")), json!({ "alert_id": text("alert_id") }))
    }

    /// Asks Alertmanagers; one that does not answer is asked again.
    fn ask(&mut self, id: &str, token: Option<&SecretString>, course: &Course) -> Result<(), Failure> {
        let (fires, resolved) = (self.fires, self.resolved);
        for t in self.targets.iter_mut().filter(|t| fires && !(t.seen && t.gone)) {
            let answer = t.at.has(LABEL, id, token);
            t.error = answer.as_ref().err().cloned();
            let (Ok(has), url) = (answer, t.at.url()) else { continue };
            if has && !t.seen {
                t.seen = true;
                course.say("arrived", format!("{url} shows it"), json!({ "alertmanager": url }))?;
            }
            if !has && t.seen && resolved {
                t.gone = true;
                course.say("left", format!("{url} shows it no more"), json!({ "alertmanager": url }))?;
            }
        }
        Ok(())
    }

    fn stuck(&self) -> String {
        let late = self.targets.iter().find(|t| !(t.seen && t.gone));
        late.map_or(String::new(), |t| match (t.seen, &t.error) {
            (_, Some(why)) => why.clone(),
            (false, _) => format!(
                "{} never showed it: is `driftline forward --alertmanager {0}` running? An alert that is over before its next round is not told: order more --panes",
                t.at.url()
            ),
            (true, _) => format!("{} still shows it although it is resolved: is `driftline forward` running?", t.at.url()),
        })
    }
}
