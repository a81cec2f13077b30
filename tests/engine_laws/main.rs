//! Laws of the pure engine: summaries are monoids, marks only move forward, a rebuilt monitor goes on as if nothing had happened.

mod baselines;
mod book;
mod drills;
mod fairness;
mod marks;
mod monitor;
mod outliers;
mod state;
mod summaries;
mod volume;
