//! Summaries: merge is associative and commutative with an identity; summarising two lists is merging their summaries; equal
//! content has equal bytes, whatever order it came in.

use driftline::codec::event::{FeatureIx, Prediction, Value};
use driftline::codec::wire::{Kind, Reader, Writer};
use driftline::engine::baseline::edges::numeric_edges;
use driftline::engine::book::Book;
use driftline::engine::cell::{CellKey, Cells};
use driftline::engine::partial::{Origin, Partial, PartialEntry, encode, read};
use driftline::engine::plan::{Bins, EdgesRecord, Plan, PlanKind, PlanRecord};
use driftline::engine::summary::aged::AgedCounts;
use driftline::engine::summary::category::Categories;
use driftline::engine::summary::cell::{CellSummary, Counts, InputCounts, PairCounts, SignalSummary, write_counts};
use driftline::engine::summary::form::{CategoryForm, NumericForm};
use driftline::engine::summary::numeric::NumericEdges;
use driftline::engine::summary::scores::{ScoreCounts, is_probability};
use driftline::engine::types::{EpochSeq, EventTime, PaneId, Partition, RequestKey, Span};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A value and the hash of its event's request id.
type Item<T> = (T, u64);

fn number() -> impl Strategy<Value = f64> {
    let odd = prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1e300), Just(-1e300)];
    prop_oneof![4 => (-4i8..5).prop_map(f64::from), 2 => odd, 1 => any::<f64>()]
}

fn hash() -> impl Strategy<Value = u64> {
    prop_oneof![1 => 0u64..100, 4 => any::<u64>()]
}

fn numbers() -> impl Strategy<Value = Vec<Item<f64>>> {
    let few = prop::collection::vec((number(), hash()), 0..6);
    prop_oneof![few, prop::collection::vec((number(), hash()), 0..60)]
}

fn texts() -> impl Strategy<Value = Vec<Item<&'static str>>> {
    prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "", "é", "new"]), hash()), 0..60)
}

fn edges(version: u32) -> NumericEdges {
    numeric_edges(version, &[-2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.5, f64::INFINITY])
}

fn pinned(version: u32) -> Categories {
    Categories { version, pinned: vec!["b".into(), "a".into()], known: vec!["c".into()] }
}

fn of_numbers(items: &[Item<f64>], edges: Option<&NumericEdges>) -> NumericForm {
    let mut form = NumericForm::empty(edges);
    items.iter().for_each(|(x, hash)| form.add(*x, *hash, edges));
    form
}

fn of_texts(items: &[Item<&str>], categories: Option<&Categories>) -> CategoryForm {
    let mut form = CategoryForm::empty(categories);
    items.iter().for_each(|(x, hash)| form.add(x, *hash, categories));
    form
}

fn merged(a: &NumericForm, b: &NumericForm, edges: Option<&NumericEdges>) -> NumericForm {
    let mut m = a.clone();
    m.merge(b, || edges.cloned().map(std::rc::Rc::new));
    m
}

fn merged_texts(a: &CategoryForm, b: &CategoryForm) -> CategoryForm {
    let mut m = a.clone();
    m.merge(b);
    m
}

fn bytes(form: &NumericForm) -> Vec<u8> {
    let mut w = Writer::new();
    form.write(&mut w);
    w.bytes
}

fn text_bytes(form: &CategoryForm) -> Vec<u8> {
    let mut w = Writer::new();
    form.write(&mut w);
    w.bytes
}

/// Any form that can meet in a pane under edges of version 1.
fn any_form() -> impl Strategy<Value = NumericForm> {
    (numbers(), 0u8..4).prop_map(|(items, form)| match form {
        0 => of_numbers(&items, Some(&edges(1))),
        1 => of_numbers(&items, Some(&edges(2))),
        2 => of_numbers(&items, None),
        _ => NumericForm::Mixed { n: items.len() as u64 },
    })
}

fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|i| RequestKey::of(&format!("{seed} {i}")).0);
    order.into_iter().map(|i| items[i].clone()).collect()
}

proptest! {
    #[test]
    fn summarising_two_lists_of_numbers_is_merging_their_summaries(a in numbers(), b in numbers(), learning: bool) {
        let edges = (!learning).then(|| edges(1));
        let (both, edges) = ([a.clone(), b.clone()].concat(), edges.as_ref());
        let halves = merged(&of_numbers(&a, edges), &of_numbers(&b, edges), edges);
        prop_assert_eq!(bytes(&of_numbers(&both, edges)), bytes(&halves));
        prop_assert_eq!(halves.present(), both.len() as u64);
    }

    #[test]
    fn the_order_of_numbers_does_not_show(a in numbers(), seed: u64, learning: bool) {
        let edges = (!learning).then(|| edges(1));
        let edges = edges.as_ref();
        prop_assert_eq!(bytes(&of_numbers(&a, edges)), bytes(&of_numbers(&shuffled(&a, seed), edges)));
    }

    #[test]
    fn merge_of_numeric_forms_is_associative(a in any_form(), b in any_form(), c in any_form(), known: bool) {
        let edges = known.then(|| edges(1));
        let m = |x: &_, y: &_| merged(x, y, edges.as_ref());
        prop_assert_eq!(bytes(&m(&m(&a, &b), &c)), bytes(&m(&a, &m(&b, &c))));
    }

    #[test]
    fn merge_of_numeric_forms_is_commutative(a in any_form(), b in any_form(), known: bool) {
        let edges = known.then(|| edges(1));
        prop_assert_eq!(bytes(&merged(&a, &b, edges.as_ref())), bytes(&merged(&b, &a, edges.as_ref())));
    }

    #[test]
    fn no_numbers_are_the_identity(a in numbers(), learning: bool) {
        let edges = (!learning).then(|| edges(1));
        let edges = edges.as_ref();
        let (form, none) = (of_numbers(&a, edges), NumericForm::empty(edges));
        prop_assert_eq!(bytes(&merged(&form, &none, edges)), bytes(&form));
        prop_assert_eq!(bytes(&merged(&none, &form, edges)), bytes(&form));
    }

    #[test]
    fn numeric_forms_go_through_bytes_unchanged(a in any_form()) {
        let written = bytes(&a);
        let mut r = Reader::new(&written);
        let back = NumericForm::read(&mut r).unwrap();
        prop_assert!(r.is_empty());
        prop_assert_eq!(bytes(&back), written);
        prop_assert_eq!(back.present(), a.present());
    }

    #[test]
    fn summarising_two_lists_of_texts_is_merging_their_summaries(a in texts(), b in texts(), learning: bool) {
        let categories = (!learning).then(|| pinned(1));
        let (both, categories) = ([a.clone(), b.clone()].concat(), categories.as_ref());
        let halves = merged_texts(&of_texts(&a, categories), &of_texts(&b, categories));
        prop_assert_eq!(text_bytes(&of_texts(&both, categories)), text_bytes(&halves));
        let (form, none) = (of_texts(&a, categories), CategoryForm::empty(categories));
        prop_assert_eq!(text_bytes(&merged_texts(&form, &none)), text_bytes(&form));
    }

    #[test]
    fn merge_of_category_forms_is_associative_and_commutative(lists in prop::array::uniform3(texts()), versions in prop::array::uniform3(0u32..4)) {
        let form = |i: usize| match versions[i] {
            0 => of_texts(&lists[i], None),
            3 => CategoryForm::Mixed { n: lists[i].len() as u64 },
            version => of_texts(&lists[i], Some(&pinned(version))),
        };
        let [a, b, c] = [form(0), form(1), form(2)];
        prop_assert_eq!(text_bytes(&merged_texts(&merged_texts(&a, &b), &c)), text_bytes(&merged_texts(&a, &merged_texts(&b, &c))));
        prop_assert_eq!(text_bytes(&merged_texts(&a, &b)), text_bytes(&merged_texts(&b, &a)));
        let written = text_bytes(&a);
        prop_assert_eq!(text_bytes(&CategoryForm::read(&mut Reader::new(&written)).unwrap()), written);
    }

    #[test]
    fn counts_by_label_age_are_a_monoid(a in aged(), b in aged(), c in aged()) {
        let sum = |x: &[(i64, bool)]| {
            let mut counts = AgedCounts::default();
            x.iter().for_each(|(age, wrong)| counts.add(Span(*age), *wrong));
            counts
        };
        let m = |mut x: AgedCounts, y: &AgedCounts| { x.merge(y); x };
        let [sa, sb, sc] = [sum(&a), sum(&b), sum(&c)];
        prop_assert_eq!(m(m(sa, &sb), &sc), m(sa, &m(sb, &sc)));
        prop_assert_eq!(m(sa, &sb), m(sb, &sa));
        prop_assert_eq!(m(sa, &AgedCounts::default()), sa);
        prop_assert_eq!(m(sa, &sb), sum(&[a, b].concat()));
    }

    #[test]
    fn counts_of_cells_are_a_monoid(a in pair_counts(), b in pair_counts(), c in pair_counts()) {
        let m = |x: &Counts, y: &Counts| { let mut m = x.clone(); m.merge(y); m };
        let classes = a.has_classes();
        let [a, b, c] = [a, b, c].map(Counts::Pair);
        prop_assert_eq!(m(&m(&a, &b), &c), m(&a, &m(&b, &c)));
        prop_assert_eq!(m(&a, &b), m(&b, &a));
        prop_assert_eq!(&m(&a, &Counts::Pair(PairCounts::default())), &a);
        let mut w = Writer::new();
        write_counts(&mut w, &a);
        let back = driftline::engine::summary::cell::read_pair_counts(&mut Reader::new(&w.bytes), classes).unwrap();
        prop_assert_eq!(Counts::Pair(back), a);
    }

    #[test]
    fn the_scores_of_two_lists_are_the_sum_of_their_scores_in_any_order(a in scored(), b in scored(), seed: u64) {
        let both = [a.clone(), b.clone()].concat();
        let mut halves = of_scores(&a);
        halves.merge(&of_scores(&b));
        prop_assert_eq!(&of_scores(&shuffled(&both, seed)), &halves);
        let naive = |class: bool, bin: usize| {
            let within = |s: f64| s >= bin as f64 / 64.0 && (s < (bin + 1) as f64 / 64.0 || bin == 63 && s == 1.0);
            both.iter().filter(|(s, positive)| *positive == class && within(*s)).count() as u64
        };
        let [negatives, positives] = halves.by_class();
        (0..64).for_each(|bin| assert_eq!((negatives[bin], positives[bin]), (naive(false, bin), naive(true, bin)), "bin {bin}"));
        prop_assert_eq!(halves.n() + halves.outside, both.len() as u64);
        let exact: f64 = both.iter().filter(|p| is_probability(p.0)).map(|(s, y)| (s - f64::from(u8::from(*y))).powi(2)).sum();
        prop_assert!((halves.squares() as f64 / 2f64.powi(64) - exact).abs() <= 1e-9 * both.len() as f64);
    }

    #[test]
    fn a_books_bytes_do_not_tell_the_order_of_its_events(events in prop::collection::vec(event(), 0..80), seed: u64, known: bool) {
        let written = flushed(&events, known);
        prop_assert_eq!(&flushed(&shuffled(&events, seed), known), &written);
        for (_, record) in &written {
            let partial = opened(record);
            let origin = Origin { source: partial.source, seq: partial.seq, definitions: partial.definitions };
            prop_assert_eq!(&encode(origin, &partial.model, shuffled(&partial.entries, seed)), &vec![record.clone()]);
        }
    }

    #[test]
    fn merging_the_books_of_two_epochs_gives_the_book_of_one(events in prop::collection::vec(event(), 0..80), at in 0usize..80, known: bool) {
        let (first, second) = events.split_at(at.min(events.len()));
        let halves = [flushed(first, known), flushed(second, known)].concat();
        prop_assert_eq!(sum_of(&halves, known), sum_of(&flushed(&events, known), known));
    }
}

fn aged() -> impl Strategy<Value = Vec<(i64, bool)>> {
    prop::collection::vec((prop_oneof![0i64..7_200_000, any::<i64>()], any::<bool>()), 0..20)
}

fn pair_counts() -> impl Strategy<Value = PairCounts> {
    let of_classes = prop_oneof![Just((vec![], vec![], vec![])), (aged(), aged(), scored())];
    (prop::array::uniform7(0u64..1 << 40), aged(), of_classes).prop_map(|(c, ages, (positives, negatives, scores))| {
        let [matched, duplicates, conflicting, unlabelled, orphans, before_start, delay_ms] = c;
        let counts = |ages: &[(i64, bool)]| {
            let mut counts = AgedCounts::default();
            ages.iter().for_each(|(age, wrong)| counts.add(Span(*age), *wrong));
            counts
        };
        let (errors, positives, negatives) = (counts(&ages), counts(&positives), counts(&negatives));
        let scores = of_scores(&scores);
        PairCounts { matched, duplicates, conflicting, unlabelled, orphans, before_start, delay_ms, errors, positives, negatives, scores }
    })
}

fn scored() -> impl Strategy<Value = Vec<(f64, bool)>> {
    let score =
        prop_oneof![8 => 0.0..1.0, 4 => (0u8..65).prop_map(|i| f64::from(i) / 64.0), 1 => number().prop_filter("a score", |x| !x.is_nan())];
    prop::collection::vec((score, any::<bool>()), 0..150)
}

fn of_scores(pairs: &[(f64, bool)]) -> ScoreCounts {
    let mut counts = ScoreCounts::default();
    pairs.iter().for_each(|(score, positive)| counts.add(*score, *positive));
    counts
}

/// An accepted prediction with a number, a text and perhaps a score, of one of two models in one of two panes and cells.
#[derive(Clone, Debug)]
struct Event {
    pane: i64,
    model: bool,
    cell: bool,
    id: u64,
    number: f64,
    text: &'static str,
    score: Option<f64>,
}

fn event() -> impl Strategy<Value = Event> {
    let text = prop::sample::select(vec!["a", "b", "c", "d"]);
    let place = (0i64..2, any::<bool>(), any::<bool>());
    (place, any::<u64>(), number(), text, prop::option::of(number())).prop_map(|((pane, model, cell), id, number, text, score)| Event {
        pane,
        model,
        cell,
        id,
        number,
        text,
        score,
    })
}

/// The plan of the books: edges for one model, perhaps.
fn plan(known: bool) -> Plan {
    let mut plan = Plan::default();
    for (signal, bins) in [("feature:x", Bins::Numeric(edges(1))), ("feature:t", Bins::Categories(pinned(1)))] {
        let record = EdgesRecord { model: "m".into(), signal: signal.into(), kind: PlanKind::Input, effective_from: PaneId(1), bins };
        if known {
            plan.observe(PlanRecord::Edges(record));
        }
    }
    plan
}

fn flushed(events: &[Event], known: bool) -> Vec<(String, Vec<u8>)> {
    let (mut book, mut cells, plan) = (Book::default(), Cells::default(), plan(known));
    let name = |ix: FeatureIx| ["x", "t"][ix.0 as usize].to_string();
    for e in events {
        let model = if e.model { "m" } else { "n" };
        let dimensions = vec![Cow::Borrowed(if e.cell { "FR" } else { "" })];
        let cell = cells.intern(model, None, &dimensions);
        let prediction = Prediction {
            key: RequestKey(u128::from(e.id) << 64),
            request_id: "".into(),
            time: EventTime(0),
            model: model.into(),
            version: None,
            score: e.score,
            label: None,
            dimensions,
            features: vec![(FeatureIx(0), Value::Number(e.number)), (FeatureIx(1), Value::Text(e.text.into()))],
            doubles: vec![],
        };
        book.accepted(PaneId(e.pane), cell, &prediction, &plan, name);
        if e.id % 5 == 0 {
            book.late(PaneId(e.pane), cell);
        }
    }
    book.flush(Origin { source: Partition(3), seq: EpochSeq(9), definitions: 1 }, &cells, &plan)
}

fn opened(record: &[u8]) -> Partial {
    let mut r = Reader::open_as(record, Kind::Partial).unwrap();
    let partial = read(&mut r).unwrap();
    assert!(r.is_empty());
    partial
}

/// All entries merged by pane and cell, as bytes.
fn sum_of(records: &[(String, Vec<u8>)], known: bool) -> Vec<Vec<u8>> {
    let plan = plan(known);
    let mut sums: BTreeMap<(PaneId, CellKey), CellSummary> = BTreeMap::new();
    for entry in records.iter().flat_map(|r| opened(&r.1).entries) {
        let (pane, model) = (entry.pane, entry.cell.model.clone());
        match sums.get_mut(&(pane, entry.cell.clone())) {
            Some(sum) => sum.merge(&entry.summary, |signal| plan.numeric(&model, signal, pane)),
            None => drop(sums.insert((pane, entry.cell), entry.summary)),
        }
    }
    let origin = Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 };
    sums.into_iter()
        .flat_map(|((pane, cell), summary)| encode(origin, &cell.model.clone(), vec![PartialEntry { pane, cell, summary }]))
        .collect()
}

#[test]
fn both_zeros_are_one_value() {
    let edges = edges(1);
    let zeros = |order: [f64; 9]| bytes(&of_numbers(&order.map(|x| (x, 0)), Some(&edges)));
    let first = zeros([0.0, -0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(zeros([-0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), first);
}

#[test]
fn a_sample_of_two_epochs_is_the_sample_of_one() {
    let items: Vec<Item<f64>> = (0..200u64).map(|i| (i as f64, RequestKey::of(&i.to_string()).sample_hash())).collect();
    let (a, b) = items.split_at(57);
    assert_eq!(bytes(&merged(&of_numbers(a, None), &of_numbers(b, None), None)), bytes(&of_numbers(&items, None)));
}

#[test]
fn entries_that_do_not_fit_into_one_record_are_split_and_none_is_lost() {
    let items: Vec<Item<f64>> = (0..40u64).map(|i| (i as f64, RequestKey::of(&i.to_string()).sample_hash())).collect();
    let summary = |rows: u64| CellSummary {
        counts: Counts::Input(InputCounts { rows, late: 0, duplicates: 0 }),
        signals: BTreeMap::from([("score".into(), SignalSummary { numeric: Some(of_numbers(&items, None)), category: None })]),
    };
    let cell = |i: u64| CellKey { model: "m".into(), version: None, values: vec![format!("{i:05}")] };
    let entries: Vec<PartialEntry> = (0..2_000).map(|i| PartialEntry { pane: PaneId(1), cell: cell(i), summary: summary(i) }).collect();
    let records = encode(Origin { source: Partition(0), seq: EpochSeq(1), definitions: 1 }, "m", shuffled(&entries, 4));
    assert!(records.len() > 1 && records.iter().all(|r| r.len() < 512 * 1024));
    let back: Vec<PartialEntry> = records.iter().flat_map(|r| opened(r).entries).collect();
    assert_eq!(back, entries);
}
