//! A whole configuration, with variables, through the reader that `check` uses.
#![no_main]
use driftline::config::load_text;
use driftline_fuzz::Pieces;
use std::path::Path;

driftline_fuzz::target!(|data| {
    let mut input = Pieces(data);
    let (variable, text) = (input.text(), String::from_utf8_lossy(input.0).into_owned());
    let env = |name: &str| (name.len() % 2 == 1).then(|| variable.clone());
    match load_text("fuzz.yaml", &text, &env, Path::new("/nonexistent")) {
        Ok(settings) => {
            let d = &settings.definitions;
            assert_eq!(driftline::engine::definitions::Definitions::from_bytes(&d.to_bytes(), d.format()).as_ref(), Ok(d));
            assert!(d.look_ahead() > 0);
        }
        Err(all) => {
            assert!(!all.diagnostics.is_empty(), "a refusal says why");
            let shown = all.to_string().len() + all.to_json().len();
            assert!(shown < 1 << 20, "{shown} bytes of complaints");
        }
    }
});
