//! Bugs that can be switched on, one at a time and per thread, to see whether the simulation finds them.
//!
//! Guarantees: a release build without the feature `planted` has none of them: there `planted` is the constant false.
//! Never: on by default; named where it would make a line harder to read than the rule it breaks.
//! Comes from: `tests/sim`. Goes to: the one line each that a bug breaks.

/// A mistake that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// An ambiguous commit is taken for a commit.
    TrustInDoubt,
    /// An ambiguous commit is published again without asking.
    RepeatWithoutAsking,
    /// The producer is kept after an ambiguous commit.
    KeptProducer,
    /// Positions are committed before the output.
    OffsetsFirst,
    /// The output is committed before the positions.
    OutputFirst,
    /// A commit shows the group its newest generation, not that of the epoch.
    FreshMetadata,
    /// The journal is read to its end, not to the committed epoch.
    JournalToItsEnd,
    /// The state is read to its end, not to the committed epoch.
    StateToItsEnd,
    /// A group without positions starts anew although there is a journal.
    ExpiredIsNew,
    /// Records lost to retention are skipped in silence.
    LossNotRecorded,
    /// After a loss the time that was shown is forgotten.
    LossGoesBack,
    /// A parked task goes on without looking whether others have worked on it.
    ParkedUnseen,
    /// The generation of the first epoch goes with all others.
    StaleMetadata,
    /// Records beyond the look-ahead are booked.
    NoLookAhead,
    /// A process obeys its own file, not the log.
    OwnDefinitions,
    /// A time in the future is decided but not recorded.
    FutureNotRecorded,
    /// An input is idle at the last stable offset, whatever is open above.
    IdleBelowHigh,
    /// An input is idle although its end has moved since the reader came to rest.
    RestsElsewhere,
    /// An input that was stuck stays so although records come.
    StuckStays,
    /// What was released is not recorded.
    ReleaseNotRecorded,
    /// Live rows may take twice the memory that they are given.
    TwiceTheLimit,
    /// Marks are published before what they vouch for.
    MarksFirst,
    /// The journal is trimmed up to an epoch that recovery needs.
    TrimmedTooFar,
    /// What a member knows of the journal's ends outlasts its partitions.
    EndsKept,
    /// A record that has to wait already moves the watermark of verdicts.
    PeekCounts,
    /// A prediction on its watermark is late.
    LatenessOffByOne,
    /// An outcome at the end of the window does not match.
    WindowOffByOne,
    /// An outcome as early as it may be does not match.
    EarlyOffByOne,
    /// A further outcome at the end of `settle` is an orphan.
    SettleOffByOne,
    /// A repeated id at the end of its span is no duplicate.
    DuplicatesOffByOne,
    /// A repeated id is a duplicate by wall clock.
    DuplicatesByWallClock,
    /// An outcome counts by its own time, however late it is.
    OwnTime,
    /// An orphan is decided by the watermark of outcomes.
    OrphanByOutcomes,
    /// An unlabelled prediction is decided by the watermark of predictions.
    UnlabelledByPredictions,
    /// A waiting outcome is left out of the journal.
    WaitingNotJournalled,
    /// That a waiting outcome found its prediction is left out of the journal.
    ConsumedNotJournalled,
    /// A match is left out of the journal.
    MatchNotJournalled,
    /// The journal is needed from one epoch later than it is.
    FloorTooFar,
    /// The time that was shown is not restored.
    RestoredClockBehind,
    /// The time of the first prediction is not restored.
    FirstPredictionForgotten,
    /// The observed class is left out of the digest.
    DigestWithoutOutcome,
    /// Of several rows with one id the last one matches first.
    LastFirst,
    /// A late prediction is counted in its own, closed pane.
    LateInItsOwnPane,
    /// A pair belongs to the pane of its outcome.
    PairByOutcome,
    /// Bins are used as soon as they are seen.
    PlanWhenSeen,
    /// Joins obey new definitions as soon as they see them.
    DefinitionsWhenSeen,
    /// Books keep the names of features by number when a new reader numbers them anew.
    BooksKept,
    /// A rebuilt monitor obeys the newest definitions in all panes.
    DefinitionsNotRestored,
    /// A rebuilt monitor does not learn anew from the pane in which a change was accepted.
    AcceptedOnce,
    /// Rows that meet bins are dropped.
    MergeForgets,
    /// Merged samples keep what lies above the smallest threshold.
    PoolNotThinned,
    /// Input panes wait for labels, too.
    OneTime,
    /// An idle input holds panes back.
    IdleHolds,
    /// A pane closes before its end is certain.
    ClosedTooEarly,
    /// Definitions that were superseded come back with a later proposal.
    ProposalWins,
    /// Pairs for a closed pane are dropped.
    LatePairsDropped,
    /// Known features and admitted segments are not restored.
    SharedNotRestored,
    /// The state may be read from the newest chunk on.
    ReplayFromNewest,
    /// A bucket counts as copied when its copy begins.
    CopiedAtOnce,
    /// Copies leave their match state out.
    CopyWithoutMatch,
    /// What was learned so far is not restored.
    LearnersNotRestored,
    /// Open episodes and references are not restored.
    StreamsNotRestored,
    /// What limits have counted is not restored.
    LimitsNotRestored,
    /// Drills that are under way are not restored.
    DrillsNotRestored,
    /// Streams that a file speaks of begin anew, but not in a replay.
    ProfileOnce,
    /// A file's bins take effect at once.
    ProfileAtOnce,
    /// Bins are not restored.
    BinsNotRestored,
    /// Marks are not restored.
    MarksNotRestored,
    /// A replay begins at the chunk, without the panes that were open then.
    ReplayFromChunk,
    /// A replay books panes again that the chunk has folded.
    ReplayFoldsAgain,
    /// A replay asks how far panes are closed now, not how far they were then.
    ClosedRederived,
    /// Bins take effect in the next pane.
    EdgesAtOnce,
    /// Segments are admitted by name, not by size.
    SegmentsByName,
    /// A record of the summaries is skipped after a restart.
    DetectSkips,
    /// Records that come between a look and the hand-over are observed outside of an epoch.
    ObservedOutside,
    /// A record of a newer format version is read as if it were of this one.
    AnyVersion,
    /// A detect epoch sends no positions for partitions that closed nothing.
    NoOffsetsOfOthers,
}

impl Bug {
    /// All of them, with what each does.
    pub const ALL: &'static [(Bug, &'static str)] = &[
        (Bug::TrustInDoubt, "an ambiguous commit is taken for a commit"),
        (Bug::RepeatWithoutAsking, "an ambiguous commit is published again without asking"),
        (Bug::KeptProducer, "the producer is kept after an ambiguous commit"),
        (Bug::OffsetsFirst, "positions are committed before the output"),
        (Bug::OutputFirst, "the output is committed before the positions"),
        (Bug::FreshMetadata, "a commit shows the group its newest generation, not that of the epoch"),
        (Bug::JournalToItsEnd, "the journal is read to its end, not to the committed epoch"),
        (Bug::StateToItsEnd, "the state is read to its end, not to the committed epoch"),
        (Bug::ExpiredIsNew, "a group without positions starts anew although there is a journal"),
        (Bug::LossNotRecorded, "records lost to retention are skipped in silence"),
        (Bug::LossGoesBack, "after a loss the time that was shown is forgotten"),
        (Bug::ParkedUnseen, "a parked task goes on without looking whether others have worked on it"),
        (Bug::StaleMetadata, "the generation of the first epoch goes with all others"),
        (Bug::NoLookAhead, "records beyond the look-ahead are booked"),
        (Bug::OwnDefinitions, "a process obeys its own file, not the log"),
        (Bug::FutureNotRecorded, "a time in the future is decided but not recorded"),
        (Bug::IdleBelowHigh, "an input is idle at the last stable offset, whatever is open above"),
        (Bug::RestsElsewhere, "an input is idle although its end has moved since the reader came to rest"),
        (Bug::StuckStays, "an input that was stuck stays so although records come"),
        (Bug::ReleaseNotRecorded, "what was released is not recorded"),
        (Bug::TwiceTheLimit, "live rows may take twice the memory that they are given"),
        (Bug::MarksFirst, "marks are published before what they vouch for"),
        (Bug::TrimmedTooFar, "the journal is trimmed up to an epoch that recovery needs"),
        (Bug::EndsKept, "what a member knows of the journal's ends outlasts its partitions"),
        (Bug::PeekCounts, "a record that has to wait already moves the watermark of verdicts"),
        (Bug::LatenessOffByOne, "a prediction on its watermark is late"),
        (Bug::WindowOffByOne, "an outcome at the end of the window does not match"),
        (Bug::EarlyOffByOne, "an outcome as early as it may be does not match"),
        (Bug::SettleOffByOne, "a further outcome at the end of `settle` is an orphan"),
        (Bug::DuplicatesOffByOne, "a repeated id at the end of its span is no duplicate"),
        (Bug::DuplicatesByWallClock, "a repeated id is a duplicate by wall clock"),
        (Bug::OwnTime, "an outcome counts by its own time, however late it is"),
        (Bug::OrphanByOutcomes, "an orphan is decided by the watermark of outcomes"),
        (Bug::UnlabelledByPredictions, "an unlabelled prediction is decided by the watermark of predictions"),
        (Bug::WaitingNotJournalled, "a waiting outcome is left out of the journal"),
        (Bug::ConsumedNotJournalled, "that a waiting outcome found its prediction is left out of the journal"),
        (Bug::MatchNotJournalled, "a match is left out of the journal"),
        (Bug::FloorTooFar, "the journal is needed from one epoch later than it is"),
        (Bug::RestoredClockBehind, "the time that was shown is not restored"),
        (Bug::FirstPredictionForgotten, "the time of the first prediction is not restored"),
        (Bug::DigestWithoutOutcome, "the observed class is left out of the digest"),
        (Bug::LastFirst, "of several rows with one id the last one matches first"),
        (Bug::LateInItsOwnPane, "a late prediction is counted in its own, closed pane"),
        (Bug::PairByOutcome, "a pair belongs to the pane of its outcome"),
        (Bug::PlanWhenSeen, "bins are used as soon as they are seen"),
        (Bug::DefinitionsWhenSeen, "joins obey new definitions as soon as they see them"),
        (Bug::BooksKept, "books keep the names of features by number when a new reader numbers them anew"),
        (Bug::DefinitionsNotRestored, "a rebuilt monitor obeys the newest definitions in all panes"),
        (Bug::AcceptedOnce, "a rebuilt monitor does not learn anew from the pane in which a change was accepted"),
        (Bug::MergeForgets, "rows that meet bins are dropped"),
        (Bug::PoolNotThinned, "merged samples keep what lies above the smallest threshold"),
        (Bug::OneTime, "input panes wait for labels, too"),
        (Bug::IdleHolds, "an idle input holds panes back"),
        (Bug::ClosedTooEarly, "a pane closes before its end is certain"),
        (Bug::ProposalWins, "definitions that were superseded come back with a later proposal"),
        (Bug::LatePairsDropped, "pairs for a closed pane are dropped"),
        (Bug::SharedNotRestored, "known features and admitted segments are not restored"),
        (Bug::ReplayFromNewest, "the state may be read from the newest chunk on"),
        (Bug::CopiedAtOnce, "a bucket counts as copied when its copy begins"),
        (Bug::CopyWithoutMatch, "copies leave their match state out"),
        (Bug::LearnersNotRestored, "what was learned so far is not restored"),
        (Bug::StreamsNotRestored, "open episodes and references are not restored"),
        (Bug::LimitsNotRestored, "what limits have counted is not restored"),
        (Bug::DrillsNotRestored, "drills that are under way are not restored"),
        (Bug::ProfileOnce, "streams that a file speaks of begin anew, but not in a replay"),
        (Bug::ProfileAtOnce, "a file's bins take effect at once"),
        (Bug::BinsNotRestored, "bins are not restored"),
        (Bug::MarksNotRestored, "marks are not restored"),
        (Bug::ReplayFromChunk, "a replay begins at the chunk, without the panes that were open then"),
        (Bug::ReplayFoldsAgain, "a replay books panes again that the chunk has folded"),
        (Bug::ClosedRederived, "a replay asks how far panes are closed now, not how far they were then"),
        (Bug::EdgesAtOnce, "bins take effect in the next pane"),
        (Bug::SegmentsByName, "segments are admitted by name, not by size"),
        (Bug::DetectSkips, "a record of the summaries is skipped after a restart"),
        (Bug::ObservedOutside, "records that come between a look and the hand-over are observed outside of an epoch"),
        (Bug::AnyVersion, "a record of a newer format version is read as if it were of this one"),
        (Bug::NoOffsetsOfOthers, "a detect epoch sends no positions for partitions that closed nothing"),
    ];
}

#[cfg(any(debug_assertions, feature = "planted"))]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
        static TIME: Cell<i64> = const { Cell::new(0) };
    }

    /// True if this bug is switched on in this thread.
    pub fn planted(bug: Bug) -> bool {
        ON.with(Cell::get) == Some(bug)
    }

    /// Switches a bug on in this thread, or all off.
    pub fn plant(bug: Option<Bug>) {
        ON.with(|on| on.set(bug));
    }

    /// Tells a bug in the engine the wall clock, which the engine must not know.
    pub fn tell_time(now_ms: i64) {
        TIME.with(|time| time.set(now_ms));
    }

    /// The wall clock as it was told.
    pub fn told_time() -> i64 {
        TIME.with(Cell::get)
    }

    /// Runs `act` with all bugs off.
    pub fn without<T>(act: impl FnOnce() -> T) -> T {
        let before = ON.with(|on| on.replace(None));
        let result = act();
        plant(before);
        result
    }
}

#[cfg(not(any(debug_assertions, feature = "planted")))]
mod switch {
    use super::Bug;

    /// There are no planted bugs in a release build.
    pub const fn planted(_: Bug) -> bool {
        false
    }

    /// Does nothing here.
    pub fn plant(_: Option<Bug>) {}

    /// Does nothing here.
    pub fn tell_time(_: i64) {}

    /// Nobody asks.
    pub const fn told_time() -> i64 {
        0
    }

    /// Runs `act`.
    pub fn without<T>(act: impl FnOnce() -> T) -> T {
        act()
    }
}

pub use switch::{plant, planted, tell_time, told_time, without};
