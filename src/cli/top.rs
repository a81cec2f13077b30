//! `driftline top`: running processes on one page, over and over.
//!
//! Guarantees: what it shows comes from the processes' pages alone; a process that is away is shown as such and the view goes on; q, Ctrl-C and
//! SIGTERM end it with success. Never: asks Kafka, joins a group, changes anything.
//! Comes from: `top::ask`. Goes to: the terminal (`cli::top_screen`), or standard output.

use super::forward::ForwardArgs;
use super::sheet::{self, NARROWEST};
use super::top_page::page;
use super::top_screen::{Did, Screen, measured};
use super::{Failure, Output, still_read};
use crate::config::duration;
use crate::engine::types::Span;
use crate::ops::http::now_ms;
use crate::ops::stop::signalled;
use crate::top::ask::{Asker, address};
use crate::top::sample::{History, Sample};
use crate::top::view::{Seen, View, view};
use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Widest page: longer lines are hard to read.
const WIDEST: usize = 160;
/// Its width where nobody says anything.
const USUAL: usize = 100;
/// A key is answered within this time.
const LOOK: Duration = Duration::from_millis(100);

/// Flags of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Address of a process (its http.listen); repeat it, or write several with commas, for each process of an application
    #[arg(long, value_name = "URL", value_delimiter = ',', default_value = "http://127.0.0.1:9464", value_parser = address, env = "DRIFTLINE_TOP_URL")]
    pub url: Vec<String>,
    /// File with the bearer token of http.token; read anew each time
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that vouch for https addresses. Default: Mozilla's list of authorities
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Processes are asked again after this long
    #[arg(long, value_name = "LENGTH", default_value = "2s", value_parser = duration::parse)]
    pub every: Span,
    /// Print one page, of two rounds, and end; exit code 1 if no process answers
    #[arg(long)]
    pub once: bool,
    /// How to print: a page, or one JSON object a round
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

type Round = Vec<Result<Sample, String>>;

/// What is known of all processes.
struct Watched {
    asker: Asker,
    histories: Vec<History>,
}

impl Watched {
    fn take(&mut self, round: Round) {
        self.histories.iter_mut().zip(round).for_each(|(history, answer)| history.take(answer));
    }

    fn answers(&self) -> bool {
        self.histories.iter().any(|h| h.now().is_ok())
    }

    fn view(&self) -> View {
        let both = self.asker.urls().iter().zip(&self.histories);
        let all: Vec<Seen<'_>> = both.map(|(url, history)| Seen { url, now: history.now(), before: history.before() }).collect();
        view(&all, now_ms())
    }
}

/// Shows until it is stopped.
pub fn top(args: &TopArgs) -> Result<(), Failure> {
    if args.every < Span(200) || args.every > Span::hours(1) {
        return Err(Failure::Runtime("--every must be 200ms to 1h".into()));
    }
    let mut urls = args.url.clone();
    let mut known = std::collections::BTreeSet::new();
    urls.retain(|url| known.insert(url.clone())); // one that is typed twice would count twice
    let ca = args.ca_file.as_deref().map(ForwardArgs::read).transpose()?;
    let asker = Asker::new(urls, args.token_file.clone(), ca.as_deref()).map_err(|why| Failure::Runtime(format!("--ca-file {why}")))?;
    let watched = Watched { histories: asker.urls().iter().map(|_| History::default()).collect(), asker };
    let every = Duration::from_millis(args.every.0 as u64);
    match (args.once, args.output) {
        (true, _) => once(watched, every, args.output),
        (false, Output::Text) if std::io::stdout().is_terminal() => live(watched, every),
        (false, _) => stream(watched, every, args.output),
    }
}

/// Where standard output is not redrawn.
fn print(watched: &Watched, output: Output) -> Result<bool, Failure> {
    let view = watched.view();
    let text = match output {
        Output::Json => {
            serde_json::to_string(&view).map_err(|e| Failure::Runtime(format!("writing JSON: {e}; a bug of driftline")))? + "\n"
        }
        Output::Text => {
            let terminal = if std::io::stdout().is_terminal() { measured() } else { None };
            let width = terminal.map_or_else(|| sheet::width(USUAL), |(columns, _)| columns.clamp(NARROWEST, WIDEST));
            page(&view, width, None, sheet::coloured())
        }
    };
    let mut out = std::io::stdout().lock();
    still_read(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn once(mut watched: Watched, every: Duration, output: Output) -> Result<(), Failure> {
    watched.take(watched.asker.round(now_ms));
    if watched.answers() {
        std::thread::sleep(every);
        watched.take(watched.asker.round(now_ms));
    }
    print(&watched, output)?;
    match watched.answers() {
        true => Ok(()),
        false => Err(Failure::Runtime("no process answers; start one with `driftline run -c FILE`, or correct --url".into())),
    }
}

/// A page or an object a round, until nobody reads any more.
fn stream(mut watched: Watched, every: Duration, output: Output) -> Result<(), Failure> {
    let rounds = rounds(watched.asker.clone(), every);
    let mut first = true;
    while let Ok(round) = rounds.recv() {
        watched.take(round);
        let apart = !std::mem::take(&mut first) && output == Output::Text;
        if apart && !still_read(writeln!(std::io::stdout()))? || !print(&watched, output)? {
            break;
        }
    }
    Ok(())
}

/// Asks on a thread of its own, so that a process that hangs delays no key.
fn rounds(asker: Asker, every: Duration) -> Receiver<Round> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        loop {
            let began = Instant::now();
            if sender.send(asker.round(now_ms)).is_err() {
                break;
            }
            std::thread::sleep(every.saturating_sub(began.elapsed()));
        }
    });
    receiver
}

/// The page in place, until a key or a signal.
fn live(mut watched: Watched, every: Duration) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Runtime(format!("starting a thread for signals: {e}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    runtime.spawn(async move {
        signalled().await;
        stopped.store(true, Ordering::Relaxed);
    });
    let rounds = rounds(watched.asker.clone(), every);
    let screen = Screen::enter()?;
    let coloured = sheet::coloured();
    screen.draw("asking ... (q ends it)")?;
    let mut shown: Option<View> = None;
    while !stop.load(Ordering::Relaxed) {
        let fresh = match rounds.try_recv() {
            Ok(round) => {
                watched.take(round);
                shown = Some(watched.view());
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => return Err(Failure::Runtime("asking the processes has ended: a bug of driftline".into())),
        };
        let did = screen.wait(LOOK)?;
        if did == Did::Quit {
            break;
        }
        if let Some(view) = shown.as_ref().filter(|_| fresh || did == Did::Resized) {
            let (width, height) = measured().unwrap_or((USUAL, 24));
            screen.draw(&page(view, width.min(WIDEST), Some(height), coloured))?;
        }
    }
    drop(screen);
    runtime.shutdown_background();
    Ok(())
}
