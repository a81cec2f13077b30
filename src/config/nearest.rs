//! "Did you mean": the known name that is closest to what was typed.

/// The closest of `known` if it is close enough to be a slip of the fingers.
///
/// ```
/// # use driftline::config::nearest::nearest;
/// assert_eq!(nearest("contry", ["country", "channel"]), Some("country"));
/// assert_eq!(nearest("weather", ["country", "channel"]), None);
/// ```
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = typed.chars().count();
    let allowed = (letters / 3).clamp(1, 3);
    // letters may become two in lower case, never more than three; what is much longer can't be near
    let known = known.into_iter().filter(|k| letters <= 3 * k.chars().count() + allowed);
    known.into_iter().map(|k| (distance(typed, k), k)).filter(|(d, _)| *d <= allowed).min().map(|(_, k)| k)
}

/// `did you mean "x"? known: a, b, c`, as far as there is something to say.
pub fn advice<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let guess = nearest(typed, known.iter().copied()).map(|k| format!("did you mean \"{k}\"? ")).unwrap_or_default();
    match known.len() {
        0 => guess.trim_end().to_string(),
        1..=30 => format!("{guess}known: {}", known.join(", ")),
        n => format!("{guess}known: {} and {} more", known[..30].join(", "), n - 30),
    }
}

/// Edit distance with swapped neighbours as one edit, letters compared without case.
fn distance(a: &str, b: &str) -> usize {
    let letters = |s: &str| s.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (letters(a), letters(b));
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let change = row[j] + usize::from(a[i] != b[j]);
            let mut best = change.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (a, b, d) in [("", "abc", 3), ("kitten", "sitting", 3), ("topci", "topic", 1), ("Topic", "topic", 0)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn advice_names_the_guess_and_the_choice() {
        assert_eq!(advice("contry", ["country", "channel"]), "did you mean \"country\"? known: country, channel");
        assert_eq!(advice("x", ["country"]), "known: country");
        assert_eq!(advice("x", []), "");
    }
}
