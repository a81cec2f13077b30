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
/// Models leave room for so many alerts.
const LEAST_ALERTS: usize = 3;
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

/// A line each.
fn processes(view: &View, width: usize) -> Sheet {
    let mut sheet = Sheet::new(width);
    let heads = [("process", false), ("state", false), ("records/s", true), ("memory", true)];
    let more = [("rows", true), ("of limit", true), ("alerts", true), ("streams", true)];
    let shape: Vec<Column> = heads.into_iter().chain(more).map(|(head, right)| column(head, right)).collect();
    let row = |p: &Process| {
        let (ink, state) = match (&p.silent, p.ready) {
            (Some(_), _) => (colour("CRITICAL"), "away"),
            (None, false) => (colour("WARNING"), "waits"),
            (None, true) => (PLAIN, "ready"),
        };
        let known = |n: u64| if p.silent.is_some() { UNKNOWN.into() } else { count(n) };
        let name = clip(process_name(&p.url), (width / 4).max(16)).into_owned();
        let (rate, memory, rows) =
            (or_unknown(p.records_per_second, times), or_unknown(p.memory_bytes, bytes), or_unknown(p.rows_bytes, bytes));
        let limit = p.rows_bytes.zip(p.rows_limit_bytes.filter(|l| *l > 0)).map(|(rows, limit)| rows / limit as f64);
        let limit = or_unknown(limit, percent);
        Row::Marked(ink, vec![name, state.into(), rate, memory, rows, limit, known(p.active_alerts), known(p.streams)])
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

/// `late 0.02 % of predictions (20, 0.1/s)`, or `late 0.02 %`.
fn share(s: &Share, brief: bool) -> String {
    match s.share {
        None => format!("{} -", s.what),
        Some(_) if s.count == 0 => format!("{} 0", s.what),
        Some(share) if brief => format!("{} {}", s.what, percent(share)),
        Some(share) => {
            let rate = s.per_second.filter(|r| *r > 0.0).map(|r| format!(", {}/s", times(r))).unwrap_or_default();
            format!("{} {} of {} ({}{rate})", s.what, percent(share), s.of, count(s.count))
        }
    }
}

/// What became of records, and what the budget is worth.
fn facts(view: &View, width: usize, brief: bool) -> Sheet {
    let mut sheet = Sheet::new(width);
    let shares: Vec<String> = view.shares.iter().map(|s| share(s, brief)).collect();
    sheet.row("records", &shares.join("; "));
    let Some(b) = &view.budget else { return sheet };
    let alarms = if b.false_alarms == 1.0 { "false alarm" } else { "false alarms" };
    let per = duration::format(Span(b.per_ms));
    let mut said = format!("{} of {} {alarms} in {per} expected", number(b.expected), number(b.false_alarms));
    match brief {
        true => said.push_str(&format!("; {} of {} streams", count(b.live_streams), count(b.streams))),
        false => said.push_str(&format!(
            ": {} of {} streams watch, budget.streams is {}",
            count(b.armed_streams),
            count(b.live_streams),
            count(b.streams)
        )),
    }
    if b.live_streams > b.streams {
        said.push_str("; raise budget.streams: more false alarms than allowed may come");
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
    if shown == 0 {
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

/// The segment; its values alone where there is no room for the dimensions' names.
fn segment(alert: &Open, short: bool) -> String {
    let parts: Vec<String> = alert.segment.iter().map(|(k, v)| if short { v.clone() } else { format!("{k}={v}") }).collect();
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
    let cells = |short: bool| view.alerts[..shown].iter().map(|a| alert_cells(a, width, short)).collect::<Vec<_>>();
    let mut rows = cells(false);
    let heads = ["severity", "model", "segment", "signal", "since", "effect"];
    // the model of all is no news
    let kept: Vec<usize> = (0..heads.len()).filter(|i| *i != 1 || view.models.len() > 1).collect();
    let widest = |rows: &[[String; 6]], i: usize| match kept.contains(&i) {
        true => rows.iter().map(|r| columns(&r[i])).chain([columns(heads[i])]).max().unwrap_or(0),
        false => 0,
    };
    let room = width.saturating_sub(2 * kept.len() + [0, 4, 5].map(|i| widest(&rows, i)).iter().sum::<usize>());
    if [1, 2, 3].map(|i| widest(&rows, i)).iter().sum::<usize>() > room {
        rows = cells(true);
    }
    let widths = squeezed([1, 2, 3].map(|i| widest(&rows, i)), room);
    for row in &mut rows {
        (0..3).for_each(|i| row[i + 1] = clip(&row[i + 1], widths[i]).into_owned());
    }
    let marked = |row: [String; 6]| Row::Marked(colour(&row[0]), kept.iter().map(|i| row[*i].clone()).collect());
    let shape: Vec<Column> = kept.iter().map(|i| column(heads[*i], heads[*i] == "effect")).collect();
    sheet.table(&shape, rows.into_iter().map(marked).chain(others(all, shown)).collect());
    sheet
}

/// Severity, model, segment, signal, since, effect.
fn alert_cells(a: &Open, width: usize, short: bool) -> [String; 6] {
    let format = if width < WIDE { "%m-%d %H:%M" } else { "%Y-%m-%d %H:%M" };
    let since = time(a.change_point_ms.unwrap_or(a.opened_at_ms), format);
    [a.severity.clone(), a.model.clone(), segment(a, short), a.signal.clone(), since, effect(a)]
}

fn is_airy(height: Option<usize>) -> bool {
    height.is_none_or(|h| h >= AIRY)
}

/// Models and alerts, in the room that other parts leave.
fn lists(view: &View, width: usize, height: Option<usize>, coloured: bool, parts: &mut Vec<String>) {
    let between = usize::from(is_airy(height));
    let room = |parts: &[String]| {
        let used = parts.iter().map(|t| t.lines().count() + between).sum();
        height.map_or(usize::MAX, |h| h.saturating_sub(used))
    };
    let (left, alarms) = (room(parts), LEAST_ALERTS.min(view.alerts.len()) + 3);
    parts.push(models(view, width, left.saturating_sub(alarms).min(left / 2)).print(coloured));
    parts.push(alerts(view, width, room(parts)).print(coloured));
}

/// The page. Without a height it is as long as it is.
pub fn page(view: &View, width: usize, height: Option<usize>, coloured: bool) -> String {
    let airy = is_airy(height);
    let mut parts: Vec<String> = [title, processes].map(|part| part(view, width).print(coloured)).into();
    if view.processes.iter().any(|p| p.silent.is_none()) {
        parts.extend([inputs, stages, panes].map(|part| part(view, width).print(coloured)));
        parts.push(facts(view, width, !airy).print(coloured));
        lists(view, width, height, coloured, &mut parts);
    }
    parts.retain(|part| !part.is_empty());
    let page = parts.join(if airy { "\n" } else { "" });
    match height {
        Some(height) => page.split_inclusive('\n').take(height).collect(),
        None => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::view::fixed::{NOW, three};
    use crate::top::view::{Seen, view};
    use proptest::prelude::*;

    fn of_three(width: usize, height: Option<usize>) -> String {
        page(&three(), width, height, false)
    }

    #[test]
    fn a_terminal_of_80_columns_and_24_lines() {
        assert_eq!(of_three(80, Some(24)), include_str!("../../tests/fixtures/top/80x24.txt"));
    }

    #[test]
    fn a_terminal_of_140_columns_and_50_lines() {
        assert_eq!(of_three(140, Some(50)), include_str!("../../tests/fixtures/top/140x50.txt"));
    }

    #[test]
    fn where_nobody_answers_there_is_nothing_but_that() {
        let silent = Seen { url: "http://127.0.0.1:9464", now: Err("nobody listens there; does the process run?"), before: None };
        let expected = "driftline  2027-01-15 08:00:00 UTC  0 of 1 process ready, 1 no answer\n\
                        \x20 process         state  records/s  memory  rows  of limit  alerts  streams\n\
                        \x20 127.0.0.1:9464  away           -       -     -         -       -        -\n\
                        127.0.0.1:9464: nobody listens there; does the process run?\n";
        assert_eq!(page(&view(&[silent], NOW), 90, Some(24), false), expected);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut many = three();
        many.alerts = std::iter::repeat_n(many.alerts[0].clone(), 60).collect();
        many.active_alerts = 500;
        let shown = page(&many, 100, Some(30), false);
        let rows = shown.lines().filter(|l| l.contains("CRITICAL")).count();
        assert_eq!(shown.lines().count(), 30, "{shown}");
        assert!(shown.ends_with(&format!("  and {} more\n", 500 - rows)), "{shown}");
    }

    #[test]
    fn colours_come_on_request() {
        let coloured = page(&three(), 80, None, true);
        for red in ["  driftline-2", "  CRITICAL"] {
            assert!(coloured.contains(&format!("\x1b[1;31m{red}")), "{coloured}");
        }
        assert!(!of_three(80, None).contains('\x1b'));
    }

    #[test]
    fn counts_and_shares_are_said_so_that_little_is_not_nothing() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(count), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([0.0, 0.000_01, 0.123_456, 0.999_99, 1.0].map(percent), ["0 %", "< 0.01 %", "12.35 %", "99.99 %", "100 %"]);
        assert_eq!([10_485.76, 104_857_600.0, 1.5e9].map(bytes), ["0 MiB", "100 MiB", "1.4 GiB"]);
    }

    #[test]
    fn the_widest_column_gives_way_first() {
        assert_eq!(squeezed([10, 30, 20], 42), [10, 16, 16]);
        assert_eq!(squeezed([3, 4, 5], 42), [3, 4, 5]);
        assert_eq!(squeezed([3, 4, 5], 0), [1, 1, 1]);
    }

    proptest! {
        #[test]
        fn no_page_is_larger_than_the_terminal(
            (width, height, n) in (1usize..200, 1usize..70, 0usize..90),
            odd in "\\PC{0,30}|[\u{1b}\n漢]{0,9}",
        ) {
            let mut view = three();
            let mut alert = view.alerts[0].clone();
            (alert.signal, alert.model) = (odd.clone(), odd.clone());
            view.alerts.extend(std::iter::repeat_n(alert, n));
            view.models.extend((0..n).map(|i| (format!("{odd}{i}"), Phases::default())));
            view.processes[2].silent = Some(odd);
            let shown = page(&view, width, Some(height), false);
            prop_assert!(shown.lines().count() <= height, "{}", shown);
            prop_assert!(shown.lines().all(|l| columns(l) <= width && !l.contains(char::is_control)), "{}", shown);
        }
    }
}
