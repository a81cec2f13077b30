//! HTTP to others: how driftline asks and tells.
//!
//! Guarantees: an answer is waited for no longer than the time given. Never: follows redirects or proxies of the environment, with a password
//! perhaps in its hand. Used by: `registry`, `forward`.

use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Who asks. `ca`: certificates in PEM that vouch for the other side; without them Mozilla's list does. Statuses are answers, not errors.
pub fn agent(timeout: Duration, ca: Option<&str>) -> Result<Agent, String> {
    let roots = match ca {
        None => RootCerts::WebPki,
        Some(pem) => {
            let items: Vec<_> = parse_pem(pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|e| format!("can't be read: {e}; it must be certificates in PEM"))?;
            let certificates = items.into_iter().filter_map(|i| match i {
                PemItem::Certificate(c) => Some(c),
                _ => None,
            });
            RootCerts::Specific(Arc::new(certificates.collect()))
        }
    };
    Ok(Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("driftline/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .new_agent())
}
