//! Ways to log in to Kafka that the client has not, however driftline is built: they need libraries that it is built without.
//!
//! Used by: `config::check` before anybody connects, `kafka::refusal` where the client itself refuses.

/// What to do instead.
pub const INSTEAD: &str = "ask for a user with SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN (sasl.mechanism), or log in by a client certificate (security.protocol: SSL)";

/// What is missing for a mechanism of SASL; nothing if it is known, or nobody knows it.
pub fn lacking(mechanism: &str) -> Option<&'static str> {
    let is = |name: &str| mechanism.trim().eq_ignore_ascii_case(name);
    if is("GSSAPI") {
        return Some("driftline logs in to Kafka without Kerberos (GSSAPI), in each of its builds");
    }
    is("OAUTHBEARER")
        .then_some("driftline logs in to Kafka without OAuth (OAUTHBEARER, OIDC), in each of its builds: nothing in it fetches tokens")
}
