//! From a file to settings.
//!
//! Guarantees: a file of more than 1 MiB is not read; at most 100 mistakes are told, each with a snippet of at most 400 characters.

use super::check::{Context, Part, check};
use super::diagnostics::{Diagnostic, Diagnostics};
use super::expand::{self, Env};
use super::settings::Settings;
use super::shape::{Path as Key, shape};
use super::tree::{self, Place};
use super::{raw, schema};
use std::io::Read;
use std::path::Path;

/// Bytes of a configuration, and of each file that it names: what is longer is something else.
pub const MAX_FILE: u64 = 1 << 20;
/// Mistakes that are told in one run.
pub const MAX_MISTAKES: usize = 100;
/// Characters of a line that are quoted.
const MAX_SNIPPET: usize = 400;

/// The text of a file that is not too long, whatever it is: a device has no end.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    let no_text = |_| std::io::Error::new(std::io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(read_bytes(path)?).map_err(no_text)
}

/// The same for a file that is no text.
pub fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let why = format!("it has more than {} MiB; is it the right file?", MAX_FILE >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Reads a configuration file with the process' environment.
pub fn load(path: &Path) -> Result<Settings, Diagnostics> {
    let name = path.display().to_string();
    let base_dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
    match read_text(path) {
        Ok(text) => load_text(&name, &text, &|name| std::env::var(name).ok(), &base_dir),
        Err(e) => {
            let message = format!("the configuration can't be read: {e}");
            Err(Diagnostics::new(vec![Page { name: &name, text: "" }.diagnostic(NOWHERE, &Key::root(), message, String::new())]))
        }
    }
}

/// Reads a configuration from text; `base_dir` is where relative paths start.
pub fn load_text(name: &str, text: &str, env: Env<'_>, base_dir: &Path) -> Result<Settings, Diagnostics> {
    let page = Page { name, text };
    if text.len() as u64 > MAX_FILE {
        let message = format!("the configuration has more than {} MiB; is it the right file?", MAX_FILE >> 20);
        return Err(Diagnostics::new(vec![page.diagnostic(NOWHERE, &Key::root(), message, String::new())]));
    }
    let (root, faults) = tree::parse(&expand::mark(text, env));
    let mut found: Vec<Diagnostic> =
        faults.into_iter().take(MAX_MISTAKES).map(|f| page.diagnostic(f.place, &f.path, f.message, String::new())).collect();
    let Some(root) = root else {
        if found.is_empty() {
            found.push(page.diagnostic(NOWHERE, &Key::root(), "the configuration is empty".to_string(), String::new()));
        }
        return Err(Diagnostics::new(found));
    };
    let shaped = shape(&root, &schema::config_schema());
    // a parent of a mistake: what seems to be missing there is the mistake itself
    let broken = shaped.misfits.iter().map(|m| m.path.parent()).collect();
    found.extend(shaped.misfits.into_iter().take(MAX_MISTAKES).map(|m| page.diagnostic(m.place, &m.path, m.message, m.hint)));
    let config: raw::Config = match serde_json::from_value(shaped.value) {
        Ok(config) => config,
        Err(_) if !found.is_empty() => return Err(Diagnostics::new(found)),
        Err(e) => {
            found.push(page.diagnostic(root.place, &Key::root(), format!("the configuration can't be used: {e}"), String::new()));
            return Err(Diagnostics::new(found));
        }
    };
    let mut context = Context { env, base_dir: base_dir.to_path_buf(), broken, problems: Vec::new() };
    let settings = check(&config, &mut context);
    found.extend(context.problems.into_iter().take(MAX_MISTAKES).map(|p| {
        let place = p.path.place(&root);
        page.diagnostic(p.part.map_or(place, |part| page.narrowed(place, &part)), &p.path, p.message, p.hint)
    }));
    if found.is_empty() { Ok(settings) } else { Err(Diagnostics::new(found)) }
}

const NOWHERE: Place = Place { line: 0, column: 0, width: 0 };

/// The text that diagnostics quote.
struct Page<'t> {
    name: &'t str,
    text: &'t str,
}

impl Page<'_> {
    /// The place of a part of a setting's text; all of it if the page has it in other letters (escapes, variables).
    fn narrowed(&self, place: Place, part: &Part) -> Place {
        let line = place.line.checked_sub(1).and_then(|n| self.text.lines().nth(n)).unwrap_or("");
        let rest: String = line.chars().skip(place.column.saturating_sub(1)).collect();
        match rest.find(&part.text) {
            Some(at) => Place { column: place.column + rest[..at].chars().count() + part.at, width: part.width, ..place },
            None => place,
        }
    }

    fn diagnostic(&self, place: Place, path: &Key, message: String, hint: String) -> Diagnostic {
        let snippet = place.line.checked_sub(1).and_then(|n| self.text.lines().nth(n)).unwrap_or("");
        let snippet = snippet.chars().take(MAX_SNIPPET).collect();
        let Place { line, column, width } = place;
        Diagnostic { file: self.name.to_string(), line, column, width, path: path.to_string(), message, hint, snippet }
    }
}
