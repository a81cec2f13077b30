//! The application's configuration, for processes and for the oracle.

use super::scene::{PANE_MS, REFERENCE, START_MS};
use driftline::config::load_text;
use driftline::config::settings::Settings;
use std::path::Path;

/// The application's configuration with client properties; broker and instance come from the environment.
pub fn config(client: &str) -> String {
    let time = |pane: i64| jiff::Timestamp::from_millisecond(START_MS + pane * PANE_MS).expect("a time");
    format!(
        "app: eos
kafka:
  brokers: ${{DRIFTLINE_BROKERS}}
  client: {{ {client} }}
predictions: {{ topic: eos.predictions, format: json, fields: {{ model: {{ const: loans }} }} }}
outcomes: {{ topic: eos.outcomes, format: json }}
panes: {{ size: 4m }}
join: {{ window: 160m, early: 4m, duplicates: 40m, settle: 1h }}
models: {{ loans: {{ task: binary, positive: \"1\" }} }}
segments: {{ by: [[country]], cap: 4 }}
baseline: {{ from: {}, to: {} }}
budget: {{ false_alarms: 1, per: 120d }}
alerts: {{ topic: eos.alerts, format: json, reminder: 8h }}
http: {{ listen: \"off\" }}
epoch: {{ records: 2000, time: 200ms }}
instance: ${{DRIFTLINE_INSTANCE}}
",
        time(0),
        time(REFERENCE)
    )
}

/// The settings that a process with this configuration has, but for client properties.
pub fn settings(brokers: &str) -> Settings {
    let env = |name: &str| Some(if name == "DRIFTLINE_BROKERS" { brokers } else { "0" }.to_string());
    load_text("the configuration of the test", &config(""), &env, Path::new(".")).expect("a configuration without mistakes")
}

/// The settings without a broker, for the oracle.
pub fn offline() -> Settings {
    settings("nowhere:9092")
}
