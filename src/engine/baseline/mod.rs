//! Where normal comes from: samples that fix bins, and the reference that every later pane is compared with.
//!
//! Guarantees: a function of the inputs alone; samples merge in any order to the same bytes.

pub mod disparity;
pub mod edges;
pub mod gap;
pub mod loda;
pub mod profile;
pub mod rarity;
pub mod reference;
pub mod sample;
pub mod volume;
