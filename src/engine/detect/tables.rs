//! Placeholder.

use super::thresholds::Table;

/// Location channel.
pub const LOCATION: Table = Table { events: &[32.0], classes: &[2.0], nats: &[[7.92, 10.9, 13.6]], slope: 1.24 };
/// Scale channel.
pub const SCALE: Table = LOCATION;
/// G by groups.
pub const MIX: Table = Table { events: &[32.0], classes: &[2.0], nats: &[[7.6, 10.1, 12.5]], slope: 1.08 };
/// Rates by rate.
pub const RATE: Table = Table { events: &[32.0], classes: &[2.0], nats: &[[7.1, 9.9, 12.4]], slope: 1.15 };
