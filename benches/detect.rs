//! What a stream costs: time of a fold (one closed pane, all channels), of closing a pane of 10,000 streams, and bytes of state.
//!
//! `cargo bench --bench detect`. Streams have learnt for seven days of 1-minute panes from independent values; panes hold 100 events.
//! A fold of a stream that watches and still learns costs more: both are shown.

#[path = "../tests/kit/offline.rs"]
mod offline;
#[path = "../tests/kit/split_mix.rs"]
mod split_mix;

use driftline::engine::alert::Alert;
use driftline::engine::baseline::edges::{categories, numeric_edges};
use driftline::engine::definitions::Definitions;
use driftline::engine::detect::stream::{Form, Observed, Phase, Rules, Stream, StreamKey};
use driftline::engine::summary::category::{Categories, CategoryCounts};
use driftline::engine::summary::numeric::{NumericBins, NumericEdges};
use driftline::engine::types::PaneId;
use split_mix::SplitMix64;
use std::collections::BTreeMap;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u64 = 100;
const A_WEEK: i64 = 7 * 1_440;
/// Panes that are drawn before and closed again and again.
const PANES: usize = 1_000;
const ROUNDS: usize = 21;
const STREAMS: usize = 10_000;

/// A reference of so many days; one of 60 is never complete here.
fn definitions(learn: &str) -> Definitions {
    offline::definitions(&format!("panes: {{ size: 1m }}\nbaseline: {{ learn: {learn} }}\n"))
}

/// Closed panes of a signal.
enum Panes {
    Numeric(NumericEdges, Vec<NumericBins>),
    Categorical(Categories, Vec<CategoryCounts>),
    Rate(Vec<u64>),
}

impl Panes {
    fn draw(form: Form) -> Panes {
        let draw = &mut SplitMix64(7);
        match form {
            Form::Numeric => {
                let edges = numeric_edges(1, &(0..6_400).map(|_| draw.unit()).collect::<Vec<_>>());
                let pane = |_| {
                    let mut bins = NumericBins::empty(edges.bins());
                    (0..EVENTS).for_each(|_| bins.add(draw.unit(), &edges));
                    bins
                };
                Panes::Numeric(edges.clone(), (0..PANES).map(pane).collect())
            }
            Form::Categorical => {
                let counts: BTreeMap<String, u64> = (0..16).map(|i| (format!("{i:02}"), 100)).collect();
                let pane = |_| {
                    let mut counts = CategoryCounts::empty(16);
                    (0..EVENTS).for_each(|_| counts.counts[draw.below(16) as usize] += 1);
                    counts.n = EVENTS;
                    counts
                };
                Panes::Categorical(categories(1, &counts), (0..PANES).map(pane).collect())
            }
            _ => Panes::Rate((0..PANES).map(|_| (0..EVENTS).filter(|_| draw.chance(0.05)).count() as u64).collect()),
        }
    }

    fn at(&self, i: usize) -> Observed<'_> {
        match self {
            Panes::Numeric(edges, panes) => Observed::Numeric(&panes[i % PANES], edges),
            Panes::Categorical(categories, panes) => Observed::Categorical(&panes[i % PANES], categories),
            Panes::Rate(panes) => Observed::Rate { n: EVENTS, k: panes[i % PANES] },
        }
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Nanoseconds a fold, and bytes.
fn fold(panes: &Panes, stream: &mut Stream, pane: &mut i64, definitions: &Definitions) -> (f64, usize) {
    let rules = Rules { definitions, definition_hash: "" };
    let mut out: Vec<Alert> = Vec::new();
    let rounds = (0..ROUNDS).map(|_| {
        let began = Instant::now();
        for i in 0..PANES {
            stream.close(PaneId(*pane), &panes.at(i), &rules, &mut out);
            *pane += 1;
        }
        began.elapsed().as_nanos() as f64 / PANES as f64
    });
    let ns = median(rounds.collect());
    assert!(stream.phase() == Phase::Watching && out.is_empty(), "nothing has changed");
    (ns, postcard::to_stdvec(stream).expect("plain data").len())
}

fn main() {
    println!("{EVENTS} events a pane; medians of {ROUNDS} rounds; bytes as they are written\n");
    println!("stream                      ns a fold   bytes   ns a fold, learning   bytes, learning");
    let mut numeric = None;
    for (name, form) in [("numeric, 64 bins, 3 channels", Form::Numeric), ("16 categories", Form::Categorical), ("rate", Form::Rate)] {
        let panes = Panes::draw(form);
        let key = StreamKey { model: "m".into(), version: None, segment: BTreeMap::new(), signal: "feature:x".into(), form };
        let [(done, bytes), (learning, more)] = ["7d", "60d"].map(|learn| {
            let definitions = definitions(learn);
            let rules = Rules { definitions: &definitions, definition_hash: "" };
            let (mut stream, mut out) = (Stream::new(key.clone()), Vec::new());
            (0..A_WEEK).for_each(|p| stream.close(PaneId(p), &panes.at(p as usize), &rules, &mut out));
            let mut at = A_WEEK;
            let found = fold(&panes, &mut stream, &mut at, &definitions);
            if numeric.is_none() {
                numeric = Some((stream, at));
            }
            found
        });
        println!("{name:<28} {done:8.0} {bytes:7} {learning:21.0} {more:17}");
        if let (Form::Numeric, Some((stream, at))) = (form, numeric.take()) {
            let definitions = definitions("7d");
            let rules = Rules { definitions: &definitions, definition_hash: "" };
            let (mut streams, mut out) = (vec![stream; STREAMS], Vec::new());
            let round = |r: usize| {
                let began = Instant::now();
                for (i, stream) in streams.iter_mut().enumerate() {
                    stream.close(PaneId(at + r as i64), &panes.at(i + r), &rules, &mut out);
                }
                began.elapsed().as_secs_f64() * 1e3
            };
            println!("  a pane of {STREAMS} such streams: {:.1} ms", median((0..ROUNDS).map(round).collect()));
        }
    }
}
