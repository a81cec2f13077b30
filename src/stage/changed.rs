//! What people are told of changed definitions: what a process's file would change, what came of it, and since when it holds.
//!
//! Never: decides anything; `engine::monitor::force` does.

use crate::audit;
use crate::config::settings::{FieldSource, Settings};
use crate::engine::definitions::Definitions;
use crate::engine::definitions::change::Change;
use crate::engine::monitor::{MISSING_VALUE, Monitor, Tally};
use crate::engine::types::{PaneId, Partition};
use std::collections::BTreeMap;

/// Whether a file says something else than what is in force.
pub fn differs(in_force: &Definitions, file: &Definitions) -> bool {
    in_force.change_to(file) != Change::None
}

/// What would come of a file's definitions, in words; `None`: they are in force.
pub fn said(in_force: &Definitions, file: &Definitions) -> Option<String> {
    match in_force.change_to(file) {
        Change::None => None,
        Change::Possible { keys, joined, .. } => Some(format!(
            "this file's {} differ from the definitions in force; proposed: unless it was in force before, it holds in the running application {}",
            keys.join(", "),
            if joined { "from a pane on that no input has reached yet" } else { "with the next pane" }
        )),
        Change::Fixed(keys) => Some(format!(
            "{} can't change in a running application: rows were matched, panes cut and references learnt by it. What is in force stays in force, all of it; \
             undo the change, or start an application under another `app` (docs/operations.md, Changed configuration)",
            keys.join(", ")
        )),
    }
}

/// The audit's line of a proposal.
pub fn account(settings: &Settings, committed: bool) {
    let result = if committed { "committed; the log says what came of it" } else { "not committed, so nobody sees it" };
    audit::record(settings, "propose definitions", &[settings.definitions.hash().to_string()], result);
}

/// The audit's line of a baseline file.
pub fn account_baseline(settings: &Settings, model: &str, id: u64, committed: bool) {
    let object = format!("baseline {id:016x} of {model}");
    let result =
        if committed { "committed; it holds from a pane on that no input has reached" } else { "not committed, so nobody sees it" };
    audit::record(settings, "give baseline", &[object], result);
}

/// This process has proposed its definitions.
pub fn tell_proposed(in_force: &Definitions, file: &Definitions) {
    let Some(said) = said(in_force, file) else { return };
    match in_force.change_to(file) {
        Change::Fixed(_) => tracing::error!("{said}"),
        _ => tracing::info!("{said}"),
    }
}

/// What segments are watched by, and a process's mapping lacks.
fn unmapped<'a>(in_force: &'a Definitions, mapped: &BTreeMap<String, FieldSource>) -> Vec<&'a str> {
    let watched = |name: &String| in_force.segments.iter().any(|by| by.contains(name));
    in_force.dimensions.iter().filter(|name| watched(name) && !mapped.contains_key(*name)).map(String::as_str).collect()
}

/// This process reads predictions by definitions that are not its own.
pub fn tell_unmapped(in_force: &Definitions, mapped: &BTreeMap<String, FieldSource>) {
    let lacking = unmapped(in_force, mapped);
    if !lacking.is_empty() {
        tracing::warn!(
            "segments are watched by {}, which this process's file does not have: it books its predictions as {}={MISSING_VALUE}. Give it the \
             newer file (predictions.fields.dimensions and segments.by) and restart it",
            lacking.join(", "),
            lacking[0]
        );
    }
}

/// What a monitor has come to know since it obeyed `version`.
pub fn tell(partition: Partition, monitor: &Monitor, version: u32, tally: &Tally) {
    let revision = monitor.definitions().map_or(0, |d| d.revision);
    if tally.stale_definitions > 0 {
        tracing::warn!(
            "a process proposes definitions that others have replaced, or of an older revision than {revision}: they stay out. Give it the \
             newer file; to bring the old ones back, write revision: {} into it",
            revision + 1
        );
    }
    if tally.refused_commands > 0 {
        tracing::warn!(
            "summaries[{}]: {} command(s) are passed over: a drill whose id is under way, one beyond sixteen at a time, a baseline beyond 256 that are kept or 4,096 in all, or a command of a later version (then upgrade this process)",
            partition.0,
            tally.refused_commands
        );
    }
    for v in monitor.versions().iter().filter(|v| v.versioned.version > version.max(1)) {
        let pane = v.versioned.definitions.pane;
        let since =
            |from: PaneId| jiff::Timestamp::from_millisecond(pane.start(from).0).map_or("the first pane".to_string(), |t| t.to_string());
        tracing::info!(
            "summaries[{}]: version {} of the definitions ({}) holds for inputs from {} and for pairs from {}",
            partition.0,
            v.versioned.version,
            v.rules().definition_hash,
            since(v.from[0]),
            since(v.from[1])
        );
    }
}
