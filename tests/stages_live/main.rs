//! Both stages of one pod on the in-memory log, as wall-clock time goes by.

mod arrivals;
mod journal;
mod letters;
mod names;
mod rounds;
mod schemas;
mod stops;
mod world;
