//! A first configuration from what two topics hold (`driftline infer`).
//!
//! Guarantees: pure: equal records give an equal page; what is proposed was tried on the same records.
//! Never: changes anything. Comes from: `cli::infer` (the newest records). Goes to: standard output.
//! Order: `places` (what is there), `roles` (what it is good for), `page` (how it is written).

pub mod page;
pub mod places;
pub mod roles;
