//! Limits of models: what they mean, and what is said of those that cannot be.

use super::*;
use crate::engine::alert::Severity;
use crate::engine::definitions::limit::{BadSide, Billionths, Limit};

/// `MINIMAL` with limits of its model, a list in braces each.
fn limited(limits: &str) -> String {
    MINIMAL.replace("positive: fraud }", &format!("positive: fraud, limits: [ {limits} ] }}"))
}

#[test]
fn limits_mean_what_they_say() {
    let settings = fine(&format!(
        "{}segments: {{ by: [[country], [channel, country]] }}\n",
        limited(
            "{ signal: error, above: 0.1, over: 1h, for: 30m, clear: 0.08, severity: critical }, \
             { signal: 'null:amount', above: 0.05, over: 15m, at_least: 20 }, \
             { signal: volume, below: 100, over: 5m, by: [country, channel] }"
        )
    ));
    let limit = |signal: &str, bad, [bound, clear]: [u64; 2], [over, lasts]: [i64; 2]| Limit {
        signal: signal.into(),
        bad,
        bound: Billionths(bound),
        clear: Billionths(clear),
        over: Span::minutes(over),
        lasts: Span::minutes(lasts),
        at_least: 100,
        by: Vec::new(),
        severity: Severity::Warning,
    };
    let (rows, both) = (100_000_000_000, vec!["channel".to_string(), "country".into()]);
    assert_eq!(
        settings.definitions.models["fraud"].limits,
        [
            Limit { severity: Severity::Critical, ..limit("error", BadSide::Above, [100_000_000, 80_000_000], [60, 30]) },
            Limit { at_least: 20, ..limit("null:amount", BadSide::Above, [50_000_000; 2], [15, 0]) },
            Limit { at_least: 0, by: both, ..limit("volume", BadSide::Below, [rows; 2], [5, 0]) },
        ]
    );
    assert_eq!(settings.definitions.possible(), Ok(()));
}

#[test]
fn a_limit_that_cannot_be_is_told_with_its_line_and_what_to_do() {
    let said = |limits: &str| read(&limited(limits)).map(|_| String::new()).unwrap_or_else(|e| e.to_string());
    for (typed, message) in [
        ("{ signal: eror, above: 0.1, over: 1h }", "\"eror\" is no signal of this model that can have a limit"),
        ("{ signal: eror, above: 0.1, over: 1h }", "did you mean \"error\"?"),
        ("{ signal: outliers, above: 0.1, over: 1h }", "no signal of this model"),
        ("{ signal: 'null:', above: 0.1, over: 1h }", "no feature \"\""),
        ("{ signal: error, above: 0.1, over: 90s }", "90s is no multiple of panes.size 1m"),
        ("{ signal: error, above: 0.1, over: 1h, for: 90s }", "90s is no multiple of panes.size 1m"),
        ("{ signal: error, above: 0.1, over: 1441m }", "is 1441 panes of 1m; it must be 1 to 1440 panes"),
        ("{ signal: error, above: 0.1, over: 0s }", "it must be 1 to 1440 panes"),
        ("{ signal: error, above: 0.1 }", "limits[0].over is missing"),
        ("{ above: 0.1, over: 1h }", "limits[0].signal is missing"),
        ("{ signal: error, over: 1h }", "neither above nor below"),
        ("{ signal: error, above: 0.1, below: 0.2, over: 1h }", "both above and below"),
        ("{ signal: error, above: 0.1, clear: 0.2, over: 1h }", "clear 0.2 is on the wrong side of above 0.1"),
        ("{ signal: error, below: 0.1, clear: 0.05, over: 1h }", "clear 0.05 is on the wrong side of below 0.1"),
        ("{ signal: error, above: 10, over: 1h }", "above is 10: it must be 0 to 1"),
        ("{ signal: error, above: 1, over: 1h }", "nothing is ever above 1"),
        ("{ signal: volume, below: 0, over: 1h }", "nothing is ever below 0"),
        ("{ signal: error, above: 0.1, over: 1h, at_least: 0 }", "at_least must be at least 1"),
        ("{ signal: volume, below: 10, over: 1h, at_least: 9 }", "at_least is for rates"),
        ("{ signal: error, above: 0.1, over: 1h, by: [contry] }", "by names \"contry\", but no segments are by it"),
        ("{ signal: error, above: 0.1, over: 1h }, { signal: error, above: 0.1, over: 1h, at_least: 7 }", "this limit is there twice"),
        ("{ signal: error, above: 0.1, over: 1h, severity: page }", "page"),
    ] {
        let told = said(typed);
        assert!(told.contains(message) && told.contains("driftline.yaml:6:"), "{typed}: {told}");
    }
    // another number, another while, another severity of another number: each is a limit of its own
    let many = |n: u32| (1..=n).map(|i| format!("{{ signal: error, above: 0.{i:02}, over: 1h }}")).collect::<Vec<_>>().join(", ");
    assert_eq!(fine(&limited(&many(64))).definitions.models["fraud"].limits.len(), 64);
    assert!(said(&many(65)).contains("65 limits; at most 64"), "{}", said(&many(65)));
    let by_both = format!(
        "{}segments: {{ by: [[country], [channel]] }}\n",
        limited("{ signal: volume, below: 1, over: 1m, by: [channel, country] }")
    );
    assert!(read(&by_both).unwrap_err().to_string().contains("add [channel, country] to segments.by"));
}
