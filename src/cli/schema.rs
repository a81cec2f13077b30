//! `driftline schema`: the JSON Schema of the configuration, for editors.

use super::{Failure, say};
use crate::config::schema::config_schema_text;

/// Prints it.
pub fn schema() -> Result<(), Failure> {
    say(config_schema_text().trim_end())
}
