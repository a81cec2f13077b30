//! Numbers of an alert as an engineer reads them: with their unit, their sign, and what they mean.
//!
//! Guarantees: four significant digits at most. Never: says more than docs/alerts.md says of a field.
//! Comes from: `cli::explain_page`, `cli::explain_life`, `cli::top_page`. Goes to: their lines.

use crate::engine::alert::Effect;
use crate::engine::detect::describe::number;

/// What the values of the two sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Of numbers.
    Mean,
    /// Of events that are something or not.
    Rate,
    /// Of the rows of a pane.
    Rows,
    /// Of rows that are limited.
    Limited,
    /// Of an effect that this version does not know.
    Other,
}

impl Scale {
    /// By the effect's name and unit.
    pub fn of(effect: &str, unit: &str) -> Scale {
        match (effect, unit) {
            ("location" | "scale" | "psi", _) => Scale::Mean,
            ("rate_difference" | Effect::RATIO, _) | (Effect::LIMIT, "points") => Scale::Rate,
            ("volume", _) => Scale::Rows,
            (Effect::LIMIT, "rows") => Scale::Limited,
            _ => Scale::Other,
        }
    }

    /// Above its column.
    pub fn title(self) -> &'static str {
        match self {
            Scale::Mean => "mean",
            Scale::Rate => "rate",
            Scale::Rows => "rows a pane",
            Scale::Limited => "rows",
            Scale::Other => "value",
        }
    }

    /// A value.
    pub fn shown(self, x: f64) -> String {
        match self {
            Scale::Rate => format!("{} %", number(100.0 * x)),
            _ => number(x),
        }
    }

    /// An interval, with its unit once.
    pub fn interval(self, low: f64, high: f64) -> String {
        match self {
            Scale::Rate => format!("{} to {}", number(100.0 * low), self.shown(high)),
            _ => format!("{} to {}", number(low), number(high)),
        }
    }
}

/// A number of an effect, without its unit.
fn figure(e: &Effect, x: f64) -> String {
    number(if e.unit == "relative" { 100.0 * x } else { x })
}

/// Its unit, if it has one.
fn unit(e: &Effect) -> String {
    match e.unit.as_str() {
        "relative" => " %".into(),
        "psi" | "ratio" | "" => String::new(),
        unit => format!(" {unit}"),
    }
}

/// With its sign, where both directions are possible.
fn signed(e: &Effect, x: f64) -> String {
    let plus = if x > 0.0 && !matches!(e.unit.as_str(), "psi" | "ratio") { "+" } else { "" };
    format!("{plus}{}", figure(e, x))
}

/// What an effect has to pass, with its unit.
pub fn tolerance(e: &Effect) -> String {
    format!("{}{}", figure(e, e.tolerance), unit(e))
}

/// An effect with its unit and its sign.
pub fn value(e: &Effect) -> String {
    format!("{}{}", signed(e, e.value), unit(e))
}

/// Its interval; of units the value has told, only the sign of percent is repeated.
pub fn interval(e: &Effect) -> String {
    format!("{} to {}{}", signed(e, e.low), signed(e, e.high), if e.unit == "relative" { " %" } else { "" })
}

/// How many times: one decimal where it matters.
pub fn times(x: f64) -> String {
    number(if x < 10.0 { (10.0 * x).round() / 10.0 } else { x.round() })
}

/// How often something happens that happens `per_day` times a day.
///
/// By hand: 0.001 a day is once in 1,000 days, which is 2.7 years.
pub fn chance(per_day: f64) -> String {
    let days = 1.0 / per_day;
    let years = days / 365.25;
    match years {
        _ if per_day >= 1.0 => format!("{} times a day", times(per_day)),
        y if y < 2.0 => format!("once in {} days", times(days)),
        y if y < 1e6 => format!("once in {} years", times(y)),
        _ => "less than once in a million years".into(),
    }
}

/// What a reference can promise.
pub fn reference(rung: &str) -> String {
    let said = match rung {
        "short" => "a reference of less than a day, which shows gross changes only",
        "days" => "a reference of one to seven days",
        "daily" => "a reference of seven days or more, hour by hour",
        "concurrent" => "what happened in the same panes",
        "range" => "the reference",
        "limit" => "a limit that is configured",
        other => return format!("a reference of the kind {other}"),
    };
    said.into()
}

/// A length of time in its two largest units.
pub fn length(ms: i64) -> String {
    const UNITS: [(i64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let first = UNITS.iter().position(|u| ms >= u.0).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[first];
    let whole = format!("{} {unit}", number((ms / size) as f64));
    match UNITS.get(first + 1).map(|(small, word)| (ms % size / small, word)) {
        Some((rest, word)) if rest > 0 => format!("{whole} {rest} {word}"),
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_is_said_in_the_unit_that_people_count_in() {
        // by hand: 1/(365.25 · .0001) = 27.38; 1/(365.25 · 2.43e-6) = 1,126.7
        let said = [3.0, 0.5, 0.01, 0.0001, 2.43e-6, 1e-12, 0.0].map(chance);
        let expected = ["3 times a day", "once in 2 days", "once in 100 days", "once in 27 years", "once in 1,127 years", MILLION, MILLION];
        assert_eq!(said, expected);
    }
    const MILLION: &str = "less than once in a million years";

    #[test]
    fn a_length_has_its_two_largest_units() {
        let said = [1, 90_000, 43_200_000, 90_061_000, 86_400_000, 86_460_000].map(length);
        assert_eq!(said, ["1 ms", "1 min 30 s", "12 h", "1 d 1 h", "1 d", "1 d"]);
    }

    #[test]
    fn an_effect_has_its_unit_and_a_sign_where_it_may_fall() {
        let of = |name: &str, unit: &str, value: f64| {
            let e = Effect { name: name.into(), unit: unit.into(), value, low: value - 0.1, high: value + 0.1, tolerance: 0.1 };
            [super::value(&e), interval(&e), tolerance(&e)]
        };
        assert_eq!(of("location", "sigma", 0.625), ["+0.625 sigma", "+0.525 to +0.725", "0.1 sigma"]);
        assert_eq!(of("scale", "relative", -0.252_866), ["-25.29 %", "-35.29 to -15.29 %", "10 %"]);
        assert_eq!(of("psi", "psi", 0.853_635), ["0.8536", "0.7536 to 0.9536", "0.1"]);
        assert_eq!(of("rate_difference", "points", 3.868_097), ["+3.868 points", "+3.768 to +3.968", "0.1 points"]);
        assert_eq!(of("selection_ratio", "ratio", 0.666_67), ["0.6667", "0.5667 to 0.7667", "0.1"]);
        assert_eq!(of("entropy", "bits", 2.0), ["+2 bits", "+1.9 to +2.1", "0.1 bits"]);
    }
}
