//! Summaries: what a cell's rows of one pane become. Each is a commutative monoid of integers.

pub mod aged;
pub mod category;
pub mod cell;
pub mod cuts;
pub mod form;
pub mod numeric;
pub mod scores;
