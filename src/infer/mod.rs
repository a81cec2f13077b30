//! A first configuration from what two topics hold (`driftline infer`).
//!
//! Guarantees: pure: equal records give an equal page; what is proposed was tried on the same records.
//! Never: changes anything. Comes from: `cli::infer` (the newest records, a registry that answers). Goes to: standard output.
//! Order: `records` (how values are written, and what they are), `places` (what is there), `known` (what schemas say of it), `roles` (what it is
//! good for), `page` (how it is written).

pub mod known;
pub mod page;
pub mod places;
pub mod records;
pub mod roles;
