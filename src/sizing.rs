//! What a stream of predictions asks of driftline: rows, memory, CPU, streams, and the smallest change that would be found.
//!
//! Guarantees: pure arithmetic on constants that are measured by the named benches; rounded up where somebody must provide for it.
//! Never: promises more than the benches showed: other models have other records. Comes from: `cli::size`, `cli::findings`. Goes to: the screen.

use crate::engine::budget::ln_arl_of_channel;
use crate::engine::definitions::{Definitions, JoinRules};
use crate::engine::detect::pace::Pace;
use crate::engine::detect::thresholds::Statistic;
use crate::engine::types::Span;

/// Bytes of a live row of the join (docs/limits.md).
pub const ROW: f64 = 104.0;
/// Bytes of a numeric stream while it learns its reference, the most it ever has (`cargo bench --bench detect`).
pub const STREAM: f64 = 12_300.0;
/// Bytes of a process besides, more than enough: the peak of `cargo bench --bench end_to_end`, the client's queues and its few rows included.
pub const PROCESS: f64 = 223e6;
/// CPU seconds of a pair with `USUAL_FEATURES` features, both stages (`cargo bench --bench end_to_end`).
pub const PAIR: f64 = 1.0 / 309_000.0;
/// Features of that bench's predictions.
pub const USUAL_FEATURES: f64 = 20.0;
/// CPU seconds of a fold (`cargo bench --bench detect`).
pub const FOLD: f64 = 2.9e-6;
/// Share of a process's memory that rows and streams may take: the default of `memory.limit`.
const USABLE: f64 = 0.8;
/// Processes must be able to catch up: twice as fast as the stream.
const HEADROOM: f64 = 2.0;
/// CPU seconds a second that a process can use: one thread joins, one detects.
const CORES: f64 = 2.0;

/// What is to be watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Predictions a second.
    pub rate: f64,
    /// Features of a prediction.
    pub features: usize,
    /// Segments of a model, the whole not counted.
    pub segments: usize,
    /// Models.
    pub models: usize,
    /// Share of predictions whose outcome comes, 0 to 1.
    pub labelled: f64,
    /// How long it takes to come, on average.
    pub delay: Span,
}

impl Load {
    /// Streams: a feature has its own and its nulls'; a model has score, class, volume, labels and four of errors, in each segment.
    pub fn streams(&self) -> usize {
        (self.segments + 1) * (2 * self.features + 8) * self.models.max(1)
    }

    /// Live rows of the join: of labelled predictions until `settle` after the match and as long as duplicates are looked for, of others until
    /// the window has passed.
    pub fn rows(&self, rules: &JoinRules) -> f64 {
        let seconds = |span: Span| span.0 as f64 / 1_000.0;
        let window = seconds(rules.window);
        let matched = (seconds(self.delay) + seconds(rules.settle)).max(seconds(rules.duplicates)).min(window);
        self.rate * (self.labelled * matched + (1.0 - self.labelled) * window)
    }
}

/// What it asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Live rows of the join.
    pub rows: f64,
    /// Bytes of them, of all processes together.
    pub row_bytes: f64,
    /// Streams.
    pub streams: usize,
    /// Bytes of them while they learn, of all processes together.
    pub stream_bytes: f64,
    /// CPU seconds a second, of all processes together, when nothing has to be caught up.
    pub cores: f64,
    /// Processes of the given memory that hold it and can catch up.
    pub processes: usize,
    /// Sigma of the smallest change of a feature's mean that is found within a day, in the whole model.
    pub smallest: f64,
}

/// What a load asks for, with processes of `memory` bytes.
pub fn need(load: &Load, definitions: &Definitions, memory: f64) -> Need {
    let rows = load.rows(&definitions.join);
    let streams = load.streams();
    let (row_bytes, stream_bytes) = (rows * ROW, streams as f64 * STREAM);
    let panes = 1_000.0 / definitions.pane.0.0 as f64;
    let cores = load.rate * PAIR * (load.features as f64 / USUAL_FEATURES).max(1.0) + streams as f64 * panes * FOLD;
    let room = (memory * USABLE - PROCESS).max(1.0);
    let by_memory = ((row_bytes + stream_bytes) / room).ceil();
    let by_cpu = (cores * HEADROOM / CORES).ceil();
    let processes = by_memory.max(by_cpu).max(1.0) as usize;
    Need {
        rows,
        row_bytes,
        streams,
        stream_bytes,
        cores,
        processes,
        smallest: smallest(load.rate / load.models.max(1) as f64, definitions),
    }
}

/// Sigma of the smallest change of a feature's mean that is found within a day at a rate of predictions a second, if panes are independent:
/// `√(2 (h - ½ ln w)/n)` for n events in w folds (w at most 1,000), h the threshold of the location channel.
pub fn smallest(rate: f64, definitions: &Definitions) -> f64 {
    let a_day = rate * 86_400.0;
    let panes = Span::days(1).0 as f64 / definitions.pane.0.0 as f64;
    let pace = Pace::of(a_day / panes);
    let folds = panes / pace.panes() as f64;
    let nats = Statistic::Location.threshold(a_day / folds, 64.0, pace.ln_arl(ln_arl_of_channel(definitions, 3)))
        - 0.5 * libm::log(folds.clamp(1.0, 1_000.0));
    libm::sqrt(2.0 * nats.max(1.0) / a_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { rate: 1_000.0, features: 20, segments: 4, models: 1, labelled: 0.0, delay: Span(0) };

    fn definitions(window: Span) -> Definitions {
        let text = "app: a\nkafka: { brokers: 'b:1' }\npredictions: { topic: p }\noutcomes: { topic: o }\n";
        let mut definitions = crate::config::load_text("defaults", text, &|_| None, std::path::Path::new("")).unwrap().definitions;
        definitions.join.window = window;
        definitions
    }

    #[test]
    fn a_thousand_a_second_with_labels_within_an_hour_by_hand() {
        let need = need(&LOAD, &definitions(Span::minutes(60)), 2.0 * (1u64 << 30) as f64);
        // 1,000 · 3,600 rows of 104 bytes; 5 · 48 streams of 12.3 kB; 1,000/309,000 + 240/60 · 2.9 µs
        assert_eq!((need.rows, need.row_bytes, need.streams, need.stream_bytes), (3.6e6, 374.4e6, 240, 2.952e6));
        assert!((need.cores - 0.003_248).abs() < 1e-5, "{}", need.cores);
        assert_eq!(need.processes, 1);
    }

    #[test]
    fn processes_are_as_many_as_memory_and_cpu_ask_for() {
        let gib = (1u64 << 30) as f64;
        // 30 days: 2.592e9 rows are 269.6 GB; a process of 4 GiB has 3.436 - .223 GB for them
        assert_eq!(need(&LOAD, &definitions(Span::days(30)), 4.0 * gib).processes, 84);
        let fast = Load { rate: 1e6, ..LOAD };
        // 3.24 cores, twice that on two a process; an hour's rows would fit into a process of 1 TiB
        assert_eq!(need(&fast, &definitions(Span::minutes(60)), 1_024.0 * gib).processes, 4);
        let nothing = Load { rate: 0.001, features: 0, segments: 0, models: 0, ..LOAD };
        assert_eq!(need(&nothing, &definitions(Span::days(1)), gib / 100.0).processes.min(2), 2, "a process that is too small for itself");
    }

    #[test]
    fn labels_that_come_soon_free_their_rows() {
        let mut rules = definitions(Span::days(30)).join;
        (rules.settle, rules.duplicates) = (Span::minutes(60), Span::minutes(30));
        let rows = |labelled, delay| Load { labelled, delay, ..LOAD }.rows(&rules);
        // by hand: 1,000 a second · (.9 · (3 d + 1 h) + .1 · 30 d), days of 86,400 s
        let by_hand = 1_000.0 * (0.9 * (3.0 * 86_400.0 + 3_600.0) + 0.1 * 30.0 * 86_400.0);
        assert!((rows(0.9, Span::days(3)) - by_hand).abs() < 1.0);
        assert_eq!(rows(0.0, Span::days(3)), 1_000.0 * 30.0 * 86_400.0);
        assert_eq!(rows(1.0, Span::days(300)), rows(0.0, Span(0)), "no row outlives the window");
        rules.duplicates = Span::days(2);
        assert_eq!(Load { labelled: 1.0, ..LOAD }.rows(&rules), 1_000.0 * 2.0 * 86_400.0, "as long as duplicates are looked for");
    }

    #[test]
    fn more_events_show_smaller_changes() {
        let definitions = definitions(Span::days(1));
        let at = [1.0, 10.0, 100.0, 1_000.0].map(|rate| smallest(rate, &definitions));
        assert!(at.windows(2).all(|pair| pair[1] < pair[0]) && at[3] > 0.0, "{at:?}");
        let two = need(&Load { models: 2, ..LOAD }, &definitions, 1e10).smallest;
        assert!(two > smallest(1_000.0, &definitions), "each of two models has half of the events");
    }
}
