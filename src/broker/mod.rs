//! A small Kafka broker in memory, for the demo and the tests.
