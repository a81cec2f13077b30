//! The page of `top`: one picture of all processes, in as many lines as there are.
//!
//! Guarantees: no line is wider and no page higher than what it is given; where there is no room, alerts and models are left out and counted,
//! the rest last. Never: reads a clock, so the page of the same picture is the same.
//! Comes from: `top::view`. Goes to: `cli::sheet`.

use super::explain_words::{length, times, value};
use super::sheet::{BOLD, Column, DIM, GREEN, PLAIN, Row, Sheet, clip, colour, columns};
use crate::config::duration;
use crate::engine::detect::describe::number;
use crate::engine::types::Span;
use crate::top::sample::{Open, Phases};
use crate::top::view::{InputLine, Panes, Process, Share, Stage, View};
use jiff::Timestamp;

/// A page as high as this has empty lines between its parts.
const AIRY: usize = 40;
/// From this width on times have their year.
const WIDE: usize = 110;
/// What is not known.
const UNKNOWN: &str = "-";

fn column(head: &'static str, right: bool) -> Column {
    Column { head, right, ink: PLAIN }
}

fn or_unknown<T>(known: Option<T>, shown: impl FnOnce(T) -> String) -> String {
    known.map_or_else(|| UNKNOWN.into(), shown)
}

fn time(ms: i64, format: &str) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.strftime(format).to_string())
}

/// Whole numbers.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

fn bytes(n: f64) -> String {
    let mib = n / 1_048_576.0;
    if mib < 1_024.0 { format!("{} MiB", times(mib)) } else { format!("{} GiB", times(mib / 1_024.0)) }
}

/// In percent; what is there is not shown as nothing, and what is missing not as all.
fn percent(share: f64) -> String {
    match share {
        s if s > 0.0 && s < 0.000_1 => "< 0.01 %".into(),
        s if s > 0.999_9 && s < 1.0 => "99.99 %".into(),
        s => format!("{} %", number((s * 10_000.0).round() / 100.0)),
    }
}

fn process_name(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}

/// Who is seen, how many answer, when.
fn title(view: &View, width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let (all, answer) = (view.processes.len(), view.processes.iter().filter(|p| p.silent.is_none()).count());
    let ready = view.processes.iter().filter(|p| p.ready).count();
    let apps: Vec<&str> = view.apps.iter().map(String::as_str).collect();
    let who = match apps.as_slice() {
        [] => "driftline".to_string(),
        some => some.join(", "),
    };
    let missing = if answer < all { format!(", {} no answer", all - answer) } else { String::new() };
    let ink = if ready == all { GREEN } else { colour("WARNING") };
    sheet.line(vec![
        (BOLD, who),
        (PLAIN, format!("  {} UTC  ", time(view.at_ms, "%Y-%m-%d %H:%M:%S"))),
        (ink, format!("{ready} of {all} {} ready{missing}", if all == 1 { "process" } else { "processes" })),
    ]);
    if apps.len() > 1 {
        sheet.prose(colour("WARNING"), "These are several applications; what follows adds them up. Watch each by itself.");
    }
    sheet
}

fn rows_of_limit(p: &Process) -> String {
    match (p.rows_bytes, p.rows_limit_bytes) {
        (Some(rows), Some(limit)) if limit > 0 => format!("{} of {}, {}", bytes(rows), bytes(limit as f64), percent(rows / limit as f64)),
        (rows, _) => or_unknown(rows, bytes),
    }
}

/// A line each.
fn processes(view: &View, width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let heads = [("process", false), ("state", false), ("records/s", true), ("memory", true)];
    let more = [("rows of memory.limit", false), ("streams", true), ("alerts", true)];
    let shape: Vec<Column> = heads.into_iter().chain(more).map(|(head, right)| column(head, right)).collect();
    let row = |p: &Process| {
        let (ink, state) = match (&p.silent, p.ready) {
            (Some(_), _) => (colour("CRITICAL"), "away"),
            (None, false) => (colour("WARNING"), "waits"),
            (None, true) => (PLAIN, "ready"),
        };
        let known = |n: u64| if p.silent.is_some() { UNKNOWN.into() } else { count(n) };
        let name = clip(process_name(&p.url), (width / 3).max(15)).into_owned();
        let (rate, memory) = (or_unknown(p.records_per_second, times), or_unknown(p.memory_bytes, bytes));
        Row::Marked(ink, vec![name, state.into(), rate, memory, rows_of_limit(p), known(p.streams), known(p.active_alerts)])
    };
    sheet.table(&shape, view.processes.iter().map(row).collect());
    for p in &view.processes {
        let name = process_name(&p.url);
        match (&p.silent, &p.waits_for) {
            (Some(why), _) => sheet.prose(colour("CRITICAL"), &format!("{name}: {why}")),
            (None, Some(why)) => sheet.prose(colour("WARNING"), &format!("{name}: {why}")),
            (None, None) => {}
        }
    }
    sheet
}

fn inputs(view: &View, width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let shape =
        [column("input", false), column("records/s", true), column("unread", true), column("event time behind", false), column("", false)];
    let row = |i: &InputLine| {
        let behind = or_unknown(i.behind_seconds, |s| length((s.max(0.0) * 1_000.0) as i64 / 1_000 * 1_000));
        let (ink, remark) = match (i.stuck, i.waits_for_schema) {
            (0, 0) => (PLAIN, String::new()),
            (0, n) => (colour("WARNING"), format!("{n} wait for a schema")),
            (n, _) => (colour("CRITICAL"), format!("{n} stuck: open transaction")),
        };
        Row::Marked(ink, vec![i.input.into(), or_unknown(i.per_second, times), or_unknown(i.unread, count), behind, remark])
    };
    sheet.table(&shape, view.inputs.iter().map(row).collect());
    sheet
}

fn stages(view: &View, width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let shape = [column("stage", false), column("commits/s", true), column("commits", true), column("failed since start", false)];
    let row = |s: &Stage| {
        let failed: Vec<String> = s.failed.iter().map(|(outcome, n)| format!("{} {outcome}", count(*n))).collect();
        let failed = if failed.is_empty() { "0".into() } else { failed.join(", ") };
        Row::Cells(vec![s.stage.into(), or_unknown(s.per_second, times), count(s.committed), failed])
    };
    sheet.table(&shape, view.stages.iter().map(row).collect());
    sheet
}

fn panes(view: &View, width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let heads = [("panes", false), ("open", true), ("closed through (UTC)", false), ("behind", false), ("held back by", false)];
    let row = |p: &Panes| {
        let (through, behind) = match p.closed_through_ms {
            Some(ms) => (time(ms, "%Y-%m-%d %H:%M:%S"), length((view.at_ms - ms).max(0) / 1_000 * 1_000)),
            None => (UNKNOWN.into(), UNKNOWN.into()),
        };
        Row::Cells(vec![p.kind.into(), count(p.open), through, behind, or_unknown(p.held_back_by.clone(), |b| b)])
    };
    sheet.table(&heads.map(|(head, right)| column(head, right)), view.panes.iter().map(row).collect());
    sheet
}

/// `late 0.02 % of predictions (20, 0.1/s)`.
fn share(s: &Share) -> String {
    match s.share {
        None => format!("{} -", s.what),
        Some(_) if s.count == 0 => format!("{} 0", s.what),
        Some(share) => {
            let rate = s.per_second.filter(|r| *r > 0.0).map(|r| format!(", {}/s", times(r))).unwrap_or_default();
            format!("{} {} of {} ({}{rate})", s.what, percent(share), s.of, count(s.count))
        }
    }
}

/// What became of records, and what the budget is worth.
fn facts(view: &View, width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let shares: Vec<String> = view.shares.iter().map(share).collect();
    sheet.row("records", &shares.join("; "));
    let Some(b) = &view.budget else { return sheet };
    let alarms = if b.false_alarms == 1.0 { "false alarm" } else { "false alarms" };
    let per = duration::format(Span(b.per_ms));
    let mut said = format!("{} {alarms} in {per} allowed, {} expected: ", number(b.false_alarms), number(b.expected));
    said.push_str(&format!(
        "{} of {} streams watch, budget.streams is {}",
        count(b.armed_streams),
        count(b.live_streams),
        count(b.streams)
    ));
    if b.live_streams > b.streams {
        said.push_str("; raise it: more false alarms than allowed may come");
    }
    sheet.row("budget", &said);
    sheet
}

/// So many rows that they and a word about the others take no more than `room` lines.
fn fitting(all: usize, room: usize) -> usize {
    if all <= room { all } else { room.saturating_sub(1) }
}

fn others(all: usize, shown: usize) -> Option<Row> {
    (shown < all).then(|| Row::Note(format!("and {} more", count((all - shown) as u64))))
}

/// Those with most open alerts first.
fn models(view: &View, width: usize, room: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let heads = [("model", false), ("streams", true), ("learning", true), ("watching", true), ("alarming", true)];
    let mut all: Vec<(&String, &Phases)> = view.models.iter().collect();
    all.sort_by_key(|(_, m)| std::cmp::Reverse(m.alarming)); // stable: then by name
    let shown = fitting(all.len(), room.saturating_sub(1));
    if all.is_empty() || room < 2 {
        return sheet;
    }
    let row = |(name, m): &(&String, &Phases)| {
        let ink = if m.alarming > 0 { BOLD } else { PLAIN };
        let name = clip(name, (width / 2).max(8)).into_owned();
        Row::Marked(ink, vec![name, count(m.streams()), count(m.learning), count(m.watching), count(m.alarming)])
    };
    let rows = all[..shown].iter().map(row).chain(others(all.len(), shown)).collect();
    sheet.table(&heads.map(|(head, right)| column(head, right)), rows);
    sheet
}

/// What the effect of an alert is, in a word or two.
fn effect(alert: &Open) -> String {
    or_unknown(alert.effect.as_ref(), |e| match e.unit.as_str() {
        "psi" | "ratio" => format!("{} {}", e.unit, value(e)),
        _ => value(e),
    })
}

fn segment(alert: &Open) -> String {
    let parts: Vec<String> = alert.segment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    if parts.is_empty() { "all traffic".into() } else { parts.join(",") }
}

/// Widths of columns that want to be wider than there is room: the widest gives way first.
fn squeezed(mut widths: [usize; 3], room: usize) -> [usize; 3] {
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max().filter(|w| **w > 1) else { break };
        *widest -= 1;
    }
    widths
}

/// Newest first.
fn alerts(view: &View, width: usize, room: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let all = view.active_alerts.max(view.alerts.len() as u64) as usize;
    if room > 0 && all == 0 {
        sheet.line(vec![(DIM, "no open alert".into())]);
    }
    if room < 3 || all == 0 {
        return sheet;
    }
    let shown = fitting(all, room - 2).min(view.alerts.len());
    sheet.line(vec![(BOLD, format!("{} open {}, newest first", count(all as u64), if all == 1 { "alert" } else { "alerts" }))]);
    let format = if width < WIDE { "%m-%d %H:%M" } else { "%Y-%m-%d %H:%M" };
    let cells = |a: &Open| {
        let since = time(a.change_point_ms.unwrap_or(a.opened_at_ms), format);
        [a.severity.clone(), a.model.clone(), segment(a), a.signal.clone(), since, effect(a)]
    };
    let mut rows: Vec<[String; 6]> = view.alerts[..shown].iter().map(cells).collect();
    let heads = ["severity", "model", "segment", "signal", "since", "effect"];
    let widest = |i: usize| rows.iter().map(|r| columns(&r[i])).chain([columns(heads[i])]).max().unwrap_or(0);
    let fixed = 2 * heads.len() + [0, 4, 5].map(widest).iter().sum::<usize>();
    let widths = squeezed([1, 2, 3].map(widest), width.saturating_sub(fixed));
    for row in &mut rows {
        (0..3).for_each(|i| row[i + 1] = clip(&row[i + 1], widths[i]).into_owned());
    }
    let marked = |row: [String; 6]| Row::Marked(colour(&row[0]), row.into());
    sheet.table(&heads.map(|head| column(head, head == "effect")), rows.into_iter().map(marked).chain(others(all, shown)).collect());
    sheet
}

/// The page. Without a height it is as long as it is.
pub fn page(view: &View, width: usize, height: Option<usize>, coloured: bool) -> String {
    let airy = height.is_none_or(|h| h >= AIRY);
    let lines = |texts: &[String]| texts.iter().map(|t| t.lines().count() + usize::from(airy)).sum::<usize>();
    let head = [title, processes, inputs, stages, panes, facts].map(|part| part(view, width).print(coloured));
    let mut parts: Vec<String> = head.into();
    let room = height.map_or(usize::MAX, |h| h.saturating_sub(lines(&parts)));
    parts.push(models(view, width, (room / 3).max(2).min(room)).print(coloured));
    let room = height.map_or(usize::MAX, |h| h.saturating_sub(lines(&parts)));
    parts.push(alerts(view, width, room).print(coloured));
    parts.retain(|part| !part.is_empty());
    let page = parts.join(if airy { "\n" } else { "" });
    match height {
        Some(height) => page.split_inclusive('\n').take(height).collect(),
        None => page,
    }
}
