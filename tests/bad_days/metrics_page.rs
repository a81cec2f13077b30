//! `docs/metrics.md` is generated from the registry, below words written by hand.

use driftline::config::load_text;
use driftline::ops::metrics::Metrics;
use std::path::Path;

const BEGIN: &str = "<!-- generated: run the test with UPDATE_DOCS=1 -->\n";
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");

fn table() -> String {
    let example = include_str!("../../examples/car-loan.yaml");
    let settings = load_text("examples/car-loan.yaml", example, &|_| None, Path::new(".")).expect("the example is right");
    format!("| metric | labels | meaning |\n|---|---|---|\n{}\n", Metrics::new(&settings).reference())
}

#[test]
fn the_page_of_metrics_is_up_to_date() {
    let page = std::fs::read_to_string(PAGE).expect("docs/metrics.md");
    let (by_hand, generated) = page.split_once(BEGIN).expect("the page has its marker");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{by_hand}{BEGIN}{}", table())).expect("written");
        return;
    }
    assert!(generated == table(), "docs/metrics.md is stale: run with UPDATE_DOCS=1");
}

#[test]
fn what_the_page_advises_on_exists() {
    let page = std::fs::read_to_string(PAGE).expect("docs/metrics.md");
    let by_hand = page.split(BEGIN).next().unwrap_or_default();
    let table = table();
    let named =
        by_hand.split('`').filter_map(|t| t.strip_prefix("driftline_")).map(|t| format!("driftline_{}", t.split('{').next().unwrap_or(t)));
    let unknown: Vec<String> = named.filter(|n| !table.contains(&format!("| `{n}` |"))).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
}
