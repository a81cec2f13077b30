//! Definitions for whoever runs detection without Kafka.

use driftline::config::load_text;
use driftline::engine::definitions::Definitions;
use std::path::Path;

/// Those of a configuration with one model; `more` are its lines on panes, baseline and budget.
pub fn definitions(more: &str) -> Definitions {
    let text = format!(
        "app: offline
kafka: {{ brokers: nowhere }}
predictions: {{ topic: p }}
outcomes: {{ topic: o }}
models: {{ m: {{ task: binary, positive: yes }} }}
{more}"
    );
    load_text("the configuration", &text, &|_| None, Path::new(".")).unwrap_or_else(|e| panic!("{e}")).definitions
}
