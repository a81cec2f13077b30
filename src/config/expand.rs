//! `${VAR}`, `${VAR:-default}` and `$$` in the file.
//!
//! Guarantees: lines and columns stay where they are; a value never changes the structure of the file, whatever it contains
//! (each placeholder is parsed as an opaque word and replaced afterwards, inside the one scalar it stands in).
//! Never: expands comments or keys' structure; secrets do not come this way (see `kafka.secrets`).

use std::collections::BTreeMap;

/// The environment: what a variable is set to.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

// A placeholder becomes as many copies of one private-use character as it is wide, so that columns stay.
const FIRST: u32 = 0xE000;
const LAST: u32 = 0xF8FF;

/// A text whose placeholders are opaque, and what they stand for.
pub struct Marked {
    /// The text to parse.
    pub text: String,
    meanings: BTreeMap<char, Result<String, String>>,
}

/// Marks all placeholders of `text`.
pub fn mark(text: &str, env: Env<'_>) -> Marked {
    let mut marked = Marked { text: String::with_capacity(text.len()), meanings: BTreeMap::new() };
    let mut signs = (FIRST..=LAST).filter_map(char::from_u32).filter(|sign| !text.contains(*sign));
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        marked.text.push_str(&rest[..at]);
        rest = &rest[at..];
        match placeholder(rest, env).and_then(|found| Some((found, signs.next()?))) {
            Some(((width, meaning), sign)) => {
                marked.text.extend(std::iter::repeat_n(sign, rest[..width].chars().count()));
                marked.meanings.insert(sign, meaning);
                rest = &rest[width..];
            }
            None => {
                marked.text.push('$');
                rest = &rest[1..];
            }
        }
    }
    marked.text.push_str(rest);
    marked
}

/// Width in bytes and meaning of the placeholder at the start of `text`, which begins with `$`.
fn placeholder(text: &str, env: Env<'_>) -> Option<(usize, Result<String, String>)> {
    if text.starts_with("$$") {
        return Some((2, Ok("$".to_string())));
    }
    let inner = text.strip_prefix("${")?;
    let line = inner.lines().next().unwrap_or("");
    let Some(end) = line.find('}') else {
        return Some((2, Err("\"${\" is never closed by \"}\"; write $$ for a plain dollar sign".to_string())));
    };
    let (name, default) = match line[..end].split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (&line[..end], None),
    };
    let width = 2 + end + 1;
    let legal = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !legal {
        return Some((width, Err(format!("\"{name}\" is no name of a variable; write $$ for a plain dollar sign"))));
    }
    let value = env(name).filter(|v| default.is_none() || !v.is_empty()).or(default.map(str::to_string));
    let unset = || format!("the environment variable {name} is not set; set it, or give a default: ${{{name}:-...}}");
    Some((width, value.ok_or_else(unset)))
}

impl Marked {
    /// The meaning of a scalar of the marked text: `None` if it has no placeholder, else its text or every complaint.
    pub fn expand(&self, scalar: &str) -> Option<Result<String, Vec<String>>> {
        if !scalar.chars().any(|c| self.meanings.contains_key(&c)) {
            return None;
        }
        let (mut text, mut complaints, mut last) = (String::new(), Vec::new(), None);
        for c in scalar.chars() {
            match self.meanings.get(&c) {
                None => text.push(c),
                Some(_) if last == Some(c) => {}
                Some(Ok(value)) => text.push_str(value),
                Some(Err(complaint)) => complaints.push(complaint.clone()),
            }
            last = Some(c);
        }
        Some(if complaints.is_empty() { Ok(text) } else { Err(complaints) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("kafka-1: {9092}, # \"odd\"".to_string()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<String, Vec<String>> {
        let marked = mark(text, &env);
        assert_eq!(marked.text.chars().count(), text.chars().count(), "columns moved");
        marked.expand(&marked.text).unwrap_or_else(|| Ok(text.to_string()))
    }

    #[test]
    fn variables_defaults_and_dollars_are_replaced() {
        assert_eq!(expanded("a ${HOST} b"), Ok("a kafka-1: {9092}, # \"odd\" b".to_string()));
        assert_eq!(expanded("${NONE:-localhost:9092}"), Ok("localhost:9092".to_string()));
        assert_eq!(expanded("${NONE:-}"), Ok(String::new()));
        assert_eq!(expanded("${EMPTY:-x}${EMPTY}"), Ok("x".to_string()));
        assert_eq!(expanded("$$5 and $${HOST}"), Ok("$5 and ${HOST}".to_string()));
        assert_eq!(expanded("costs 5$ or $x"), Ok("costs 5$ or $x".to_string()));
        assert_eq!(expanded("${HOST}${HOST}").map(|t| t.len()), Ok(48));
    }

    #[test]
    fn an_unset_variable_is_named() {
        let complaints = expanded("${NONE} ${ALSO_NONE}").unwrap_err();
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].contains("NONE is not set"));
        assert!(expanded("${not closed").unwrap_err()[0].contains("never closed"));
        assert!(expanded("${a b}").unwrap_err()[0].contains("no name"));
    }
}
