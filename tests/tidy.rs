//! House rules that a machine can check.

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST: usize = 600;
const MEDIAN: usize = 200;

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, out);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            out.push(entry);
        }
    }
}

fn files() -> Vec<(PathBuf, String)> {
    files_in(&["src"])
}

fn files_in(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    folders.iter().for_each(|folder| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut paths));
    paths.sort();
    paths.into_iter().map(|p| (p.clone(), fs::read_to_string(&p).unwrap())).collect()
}

/// Lines before the file's tests.
fn lines(text: &str) -> usize {
    text.lines().take_while(|l| !l.starts_with("#[cfg(test)]")).count()
}

fn name(path: &Path) -> String {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string()
}

#[test]
fn no_file_is_longer_than_600_lines_and_half_of_them_are_at_most_200() {
    let mut lengths: Vec<(usize, String)> = files().iter().map(|(p, t)| (lines(t), name(p))).collect();
    lengths.sort();
    let long: Vec<_> = lengths.iter().filter(|l| l.0 > LONGEST).collect();
    assert!(long.is_empty(), "split: {long:?}");
    let median = &lengths[lengths.len() / 2];
    assert!(median.0 <= MEDIAN, "the median file {} has {} lines", median.1, median.0);
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let silent: Vec<_> = files().iter().filter(|(_, t)| !t.starts_with("//!")).map(|(p, _)| name(p)).collect();
    assert!(silent.is_empty(), "no module doc: {silent:?}");
}

#[test]
fn the_engine_knows_no_clock_no_io_no_threads_and_no_kafka() {
    let forbidden = [
        "std::time",
        "SystemTime",
        "Instant::",
        "std::thread",
        "std::fs",
        "std::net",
        "std::io",
        "tokio",
        "rdkafka",
        "println!",
        "eprintln!",
        "std::env",
        "rand::",
        "mul_add",
    ];
    let mut found = Vec::new();
    for (path, text) in files().iter().filter(|(p, _)| name(p).starts_with("src/engine/")) {
        for (i, line) in text.lines().enumerate().take(lines(text)).filter(|(_, l)| !l.trim_start().starts_with("//")) {
            found.extend(forbidden.iter().filter(|f| line.contains(**f)).map(|f| format!("{}:{}: {f}", name(path), i + 1)));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn rdkafka_is_named_only_where_kafka_is_spoken() {
    let allowed = ["src/kafka/", "src/cli/demo.rs", "src/broker/"];
    let found: Vec<_> = files()
        .iter()
        .filter(|(p, t)| {
            !allowed.iter().any(|a| name(p).starts_with(a))
                && t.lines().any(|l| l.contains("rdkafka::") && !l.trim_start().starts_with("//"))
        })
        .map(|(p, _)| name(p))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn tests_wait_for_conditions_and_sleep_in_one_place_only() {
    let sleeps: Vec<_> = files_in(&["tests", "examples", "benches"])
        .iter()
        .filter(|(p, t)| t.contains(concat!("thread::", "sleep(")) && name(p) != "tests/kit/wait.rs")
        .map(|(p, _)| name(p))
        .collect();
    assert!(sleeps.is_empty(), "`within` of tests/kit/wait.rs waits for a condition, `lasts` for a fault's length: {sleeps:?}");
}

#[test]
fn no_binary_that_is_shipped_has_planted_bugs() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    assert!(read("Cargo.toml").contains("default = []\n") && !read("Dockerfile").contains("planted"));
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("XX", "X"), concat!("dbg", "!(")];
    let mut found = Vec::new();
    for (path, text) in files() {
        for (i, line) in text.lines().enumerate() {
            found.extend(marks.iter().filter(|m| line.contains(**m)).map(|m| format!("{}:{}: {m}", name(&path), i + 1)));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let mut long = Vec::new();
    for (path, text) in files() {
        let mut open: Option<(usize, String, usize)> = None; // line, signature, indent
        for (i, line) in text.lines().enumerate().take(lines(&text)) {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let begins = ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn ", "async fn ", "pub async fn ", "unsafe fn "]
                .iter()
                .any(|f| code.starts_with(f));
            if begins && !code.trim_end().ends_with(';') && !code.trim_end().ends_with('}') {
                open = Some((i, code.to_string(), indent));
            } else if code == "}" && open.as_ref().is_some_and(|o| o.2 == indent) {
                let (start, signature, _) = open.take().unwrap();
                if i - start + 1 > 70 {
                    long.push(format!("{}:{}: {} lines: {signature}", name(&path), start + 1, i - start + 1));
                }
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn the_rules_that_kubernetes_gets_are_those_of_prometheus() {
    let read = |name: &str| -> serde_json::Value {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap();
        serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let groups = |name: &str| read(name)["groups"].as_array().unwrap().clone();
    let ours = [groups("prometheus/rules.yml"), groups("prometheus/rules-kubernetes.yml")].concat();
    let theirs = read("kubernetes/components/monitoring/prometheusrule.yaml")["spec"]["groups"].as_array().unwrap().clone();
    let charts = groups("helm/driftline/files/rules.yml");
    assert!(ours == theirs && ours == charts && !ours.is_empty(), "the bundles are old: run deploy/check --write");
}

/// Every page is in the book's contents, and what a page links to is there.
#[test]
fn every_page_is_in_the_book_and_no_link_leads_nowhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/adr"] {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|file| file.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    let (contents, mut listed, mut nowhere) = (root.join("docs/SUMMARY.md"), Vec::new(), Vec::new());
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.contains("://") && !t.starts_with('#')) {
            let path = page.parent().unwrap().join(target.split('#').next().unwrap_or_default());
            match path.canonicalize() {
                Ok(path) if *page == contents => listed.push(path),
                Ok(_) => {}
                Err(_) => nowhere.push(format!("{}: {target}", name(page))),
            }
        }
    }
    assert!(nowhere.is_empty() && listed.len() > 20, "{nowhere:#?}");
    let absent: Vec<_> =
        pages.iter().skip(1).filter(|page| **page != contents && !listed.contains(&page.canonicalize().unwrap())).collect();
    assert!(absent.is_empty(), "not in docs/SUMMARY.md: {absent:#?}");
}
