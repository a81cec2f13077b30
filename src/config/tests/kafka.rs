//! Ways to log in to Kafka that no build has.

use super::*;

#[test]
fn kerberos_and_oauth_are_refused_before_anybody_connects() {
    let said = |client: &str| {
        let text = MINIMAL.replace("brokers: 'localhost:9092'", &format!("brokers: 'a:1', client: {{ {client} }}"));
        read(&text).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
    };
    for (client, words) in [
        ("security.protocol: SASL_SSL, sasl.mechanism: GSSAPI", "sasl.mechanism: driftline logs in to Kafka without Kerberos"),
        ("security.protocol: SASL_SSL, sasl.mechanisms: OAUTHBEARER", "sasl.mechanisms: driftline logs in to Kafka without OAuth"),
        ("sasl.mechanism: oauthbearer, sasl.oauthbearer.method: oidc", "without OAuth"),
        ("security.protocol: sasl_ssl", "sasl_ssl without a sasl.mechanism means GSSAPI"),
    ] {
        let said = said(client);
        assert!(
            said.contains(words) && said.contains("ask for a user with SCRAM-SHA-512") && said.starts_with("driftline.yaml:2: "),
            "{said}"
        );
    }
    for fine in [
        "security.protocol: SSL",
        "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512",
        "security.protocol: SASL_PLAINTEXT, sasl.mechanisms: PLAIN",
    ] {
        assert_eq!(said(fine), "", "{fine}");
    }
}
