//! Baseline files that models name.

use super::Context;
use crate::config::load::read_bytes;
use crate::config::raw;
use crate::config::settings::Baseline;
use crate::config::shape::Path;
use crate::engine::baseline::profile::Profile;
use std::path::Path as FilePath;

const REMEDY: &str = "write one with `driftline baseline build`; relative paths begin at the configuration's folder";

pub(super) fn baselines(config: &raw::Config, context: &mut Context<'_>) -> Vec<Baseline> {
    let mut all = Vec::new();
    for (model, typed) in &config.models {
        let Some(file) = &typed.baseline else { continue };
        let path = context.base_dir.join(&file.0);
        match read(&path, model) {
            Ok(baseline) => all.push(baseline),
            Err(why) => context.problem(Path::of(&["models", model, "baseline"]), format!("{}: {why}", path.display()), REMEDY),
        }
    }
    all
}

fn read(path: &FilePath, model: &str) -> Result<Baseline, String> {
    let bytes = read_bytes(path).map_err(|e| format!("it can't be read: {e}"))?;
    let profile = Profile::from_file(&bytes).map_err(|e| format!("it is no baseline file, or was cut short ({e})"))?;
    if profile.model != model {
        return Err(format!("it was built for model \"{}\", not for \"{model}\"", profile.model));
    }
    Ok(Baseline { model: model.to_string(), id: profile.id(), record: bytes.into() })
}
