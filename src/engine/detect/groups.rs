//! Neighbouring bins of a number put together to about sixteen groups: for the shape channel, for distances and for people.
//!
//! Guarantees: groups cover all bins in order; a bin with a sixteenth of the reference or more stays alone; 31 groups at most.

use super::describe::number;
use crate::engine::summary::numeric::NumericEdges;

/// A group is closed when it holds this part of the reference.
const PARTS: u64 = 16;

/// The group of each bin.
///
/// ```
/// # use driftline::engine::detect::groups::group;
/// assert_eq!(group(&[10; 64]), (0..64).map(|i| i / 4).collect::<Vec<u8>>()); // 64 equal bins: four a group
/// assert_eq!(group(&[0, 90, 0]), [0, 1, 2]); // a constant: below, it, above
/// ```
pub fn group(reference: &[u64]) -> Vec<u8> {
    let m: u64 = reference.iter().sum();
    let heavy = |count: u64| count > 0 && count * PARTS >= m;
    let mut groups = Vec::with_capacity(reference.len());
    let (mut group, mut held, mut open) = (0u8, 0, false);
    for count in reference {
        if open && (held * PARTS >= m && held > 0 || heavy(*count)) {
            group += 1;
            held = 0;
        }
        held += count;
        open = true;
        groups.push(group);
    }
    groups
}

/// Counts per group from counts per bin.
pub fn grouped(counts: &[u64], groups: &[u8]) -> Vec<u64> {
    let mut sums = vec![0; groups.last().map_or(0, |g| usize::from(*g) + 1)];
    counts.iter().zip(groups).for_each(|(c, g)| sums[usize::from(*g)] += c);
    sums
}

/// What to call each group: `< 5`, `[12,000, 15,500)`, `>= 9`.
pub fn labels(groups: &[u8], edges: &NumericEdges) -> Vec<String> {
    let last = groups.last().copied().unwrap_or(0);
    (0..=last)
        .map(|g| {
            let low = groups.iter().position(|x| *x == g).filter(|i| *i > 0).map(|i| edges.cuts[i - 1]);
            let high = groups.iter().rposition(|x| *x == g).and_then(|i| edges.cuts.get(i).copied());
            match (low, high) {
                (None, None) => "all".to_owned(),
                (None, Some(b)) => format!("< {}", number(b)),
                (Some(a), None) => format!(">= {}", number(a)),
                (Some(a), Some(b)) if b == a.next_up() => number(a),
                (Some(a), Some(b)) => format!("[{}, {})", number(a), number(b)),
            }
        })
        .collect()
}
