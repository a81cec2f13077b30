//! What all targets share: an allocator that counts, inputs made of pieces, records with a valid seal.
//!
//! Guarantees: an input that makes its target allocate more than `ROOM` and `TIMES` its own length at once ends the run as a crash.

use driftline::config::place::Step;
use driftline::config::settings::Features;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that any input may allocate.
const ROOM: usize = 8 << 20;
/// And so many for each byte of input.
const TIMES: usize = 256;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

fn grown(by: usize) {
    let live = LIVE.fetch_add(by, Relaxed) + by;
    PEAK.fetch_max(live, Relaxed);
    let limit = LIMIT.load(Relaxed);
    if live > limit {
        LIMIT.store(usize::MAX, Relaxed); // to tell it needs memory
        panic!("{by} bytes more make {live}: more than {limit}, which the input's length allows");
    }
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `check` with a limit on what it allocates.
pub fn bounded(data: &[u8], check: impl FnOnce(&[u8])) {
    LIMIT.store(LIVE.load(Relaxed) + ROOM + TIMES * data.len(), Relaxed);
    check(data);
    LIMIT.store(usize::MAX, Relaxed);
}

/// A target: a function of bytes that must neither panic, nor allocate too much, nor take long.
#[macro_export]
macro_rules! target {
    ($check:expr) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::bounded(data, $check));
    };
}

/// An input as pieces: each a length of two bytes (little endian) and so many bytes, or what is left.
pub struct Pieces<'a>(pub &'a [u8]);

impl<'a> Pieces<'a> {
    /// A byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A piece; empty at the end.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        let (piece, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        piece
    }

    /// A piece as text.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.piece()).into_owned()
    }

    /// A record of driftline's: its kind and its body. The seal fits, or no mutation would come any further. Kind 0: as it is.
    pub fn record(&mut self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let (kind, body) = (self.byte(), self.piece());
        Some(if kind == 0 { body.to_vec() } else { sealed(kind, body) })
    }

    /// A few names for paths.
    pub fn names(&mut self) -> Vec<String> {
        let names = ["a", "b", "c", "d", "e", "f", "", "q\"uote", "\n"];
        self.piece().iter().map(|b| names[usize::from(*b) % names.len()].to_string()).collect()
    }

    /// Steps of a place: mostly names.
    pub fn steps(&mut self) -> Vec<Step> {
        let texts = ["0", "1", "true", "a", "", "RED"];
        let name = |n: usize| ["a", "b", "c", "d", "e", "f", "", "q\"uote", "\n"][n % 9].to_string();
        let step = |b: &u8| match usize::from(*b) {
            n @ 0..=159 => Step::Name(name(n)),
            n @ 160..=199 => Step::Index(n % 4),
            n => Step::Where { name: name(n), is: texts[n % 6].to_string() },
        };
        self.piece().iter().map(step).collect()
    }

    /// Places and features that a mapping may want.
    pub fn wanted(&mut self) -> (Vec<Vec<Step>>, Option<Features>) {
        let paths = (0..self.byte() % 6).map(|_| self.steps()).collect::<Vec<_>>();
        let features = (self.byte() % 2 == 1).then(|| Features { path: self.steps(), exclude: self.names(), names: Vec::new() });
        (paths.into_iter().filter(|p| !p.is_empty()).collect(), features)
    }
}

/// A record with a head that fits.
pub fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, driftline::codec::wire::newest(kind)];
    record.extend((body.len() as u32).to_le_bytes());
    record.extend(body);
    record
}
