//! A page of metrics in Prometheus' text format, read.
//!
//! Guarantees: total: any text gives a page, a line that can't be read is passed over. Never: panics; keeps a value that is no number.
//! Comes from: `ask`. Goes to: `view`.

use std::collections::BTreeMap;

/// One series: its labels and its value.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    labels: BTreeMap<String, String>,
    value: f64,
}

/// All series by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page(BTreeMap<String, Vec<Series>>);

impl Page {
    /// Reads what it can.
    ///
    /// ```
    /// # use driftline::top::page::Page;
    /// let page = Page::read("# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3 1700000000000\nb NaN\nnonsense\n");
    /// assert_eq!(page.sum("a", &[]), Some(5.0));
    /// assert_eq!(page.sum("a", &[("x", "2")]), Some(3.0));
    /// assert_eq!(page.sum("b", &[]), None);
    /// ```
    pub fn read(text: &str) -> Page {
        let mut page = Page::default();
        for (name, series) in text.lines().filter_map(line) {
            page.0.entry(name.to_string()).or_default().push(series);
        }
        page
    }

    /// Whether a series of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn values<'a>(&'a self, name: &str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = f64> + 'a {
        let fits = move |s: &&Series| labels.iter().all(|(k, v)| s.labels.get(*k).is_some_and(|known| known == v));
        self.0.get(name).into_iter().flatten().filter(fits).map(|s| s.value)
    }

    /// The sum of the series with these labels, if there are any.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.values(name, labels).reduce(|a, b| a + b)
    }

    /// The largest of them.
    pub fn largest(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.values(name, labels).reduce(f64::max)
    }
}

/// Name and series of a line, unless it is a comment, empty or odd.
fn line(line: &str) -> Option<(&str, Series)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?; // a timestamp may follow
    (!name.is_empty() && !value.is_nan()).then_some((name, Series { labels, value }))
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(name.trim().to_string(), value);
        rest = after;
    }
}

/// A text up to its closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_may_hold_whatever_is_escaped() {
        let page = Page::read("m{model=\"a\\\"}{,=\\n\\\\\", v=\"é 漢\",} 1.5e3");
        assert_eq!(page.sum("m", &[("model", "a\"}{,=\n\\"), ("v", "é 漢")]), Some(1_500.0));
    }

    #[test]
    fn infinities_are_values_and_largest_is_the_largest() {
        let page = Page::read("a{p=\"0\"} -4\na{p=\"1\"} -2\nb{le=\"+Inf\"} +Inf");
        assert_eq!((page.largest("a", &[]), page.sum("b", &[])), (Some(-2.0), Some(f64::INFINITY)));
        assert_eq!(page.largest("c", &[]), None);
    }

    #[test]
    fn odd_lines_are_passed_over() {
        for odd in ["a", "a{", "a{x", "a{x=\"", "a{x=\"1\"", "a{x=\"1\\", "a{x=1} 2", "{x=\"1\"} 2", "a x", "a NaN", "{} 1", "# a 1", ""] {
            assert_eq!(Page::read(&format!("{odd}\nb 1")), Page::read("b 1"), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_page(text in "([a-z#{}=\"\\\\, .\n0-9é]|\\PC){0,200}") {
            let page = Page::read(&text);
            prop_assert!(page.0.values().flatten().all(|s| !s.value.is_nan()));
        }

        #[test]
        fn what_prometheus_writes_is_read(value in "\\PC{0,20}|[\"\\\\\n{},=]{0,8}", n in any::<u32>()) {
            let gauge = prometheus::IntGaugeVec::new(prometheus::Opts::new("m", "help"), &["a", "b"]).unwrap();
            gauge.with_label_values(&[value.as_str(), "x"]).set(i64::from(n));
            let families = prometheus::core::Collector::collect(&gauge);
            let text = prometheus::TextEncoder::new().encode_to_string(&families).unwrap();
            prop_assert_eq!(Page::read(&text).sum("m", &[("a", &value), ("b", "x")]), Some(f64::from(n)));
        }
    }
}
