//! What a TLS server of ours shows: its certificates, and the key that proves that they are its own.
//!
//! Guarantees: TLS 1.2 or newer; a key that does not belong to the certificate is refused before anybody connects.
//! Never: asks clients for certificates, looks at a clock (`until` says when a certificate ends). Comes from: PEM. Goes to: `ops::door`; `config` tries whether it can be read.

mod validity;

use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

/// Which of the two files is wrong, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The certificates.
    Certificate(String),
    /// The key.
    Key(String),
}

/// A server's side of TLS, of PEM: its certificate first, then those that vouch for it; and its key.
pub fn server(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, Wrong> {
    let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| Wrong::Certificate(format!("can't be read: {e}")))?;
    if chain.is_empty() {
        return Err(Wrong::Certificate("holds no certificate; it must be text with -----BEGIN CERTIFICATE----- in it".into()));
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|_| Wrong::Key("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)".into()))?;
    let versions = ServerConfig::builder_with_provider(ring::default_provider().into()).with_safe_default_protocol_versions();
    let built = versions.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut server = built.map_err(|e| match e {
        Error::InconsistentKeys(_) => Wrong::Key("is not the key of the certificate".into()),
        Error::InvalidCertificate(e) => Wrong::Certificate(format!("is no certificate that can be used: {e}")),
        other => Wrong::Key(format!("can't be used: {other}")),
    })?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

/// The last instant (ms since 1970) at which all certificates of this PEM are good; nothing if there is none that says so.
pub fn until(certificates: &[u8]) -> Option<i64> {
    let ends = CertificateDer::pem_slice_iter(certificates).flatten().map(|der| validity::not_after(&der));
    ends.min_by_key(|end| end.unwrap_or(i64::MAX)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_key_are_taken_and_others_are_told_apart() {
        let [first, second] = [include_bytes!("../tests/fixtures/tls/first.pem"), include_bytes!("../tests/fixtures/tls/second.pem")];
        let key = include_bytes!("../tests/fixtures/tls/first.key");
        assert!(server(first, key).is_ok());
        let wrong = |certificates: &[u8], key: &[u8]| server(certificates, key).map(drop).unwrap_err();
        assert_eq!(wrong(second, key), Wrong::Key("is not the key of the certificate".into()));
        assert!(matches!(wrong(b"hello", key), Wrong::Certificate(why) if why.contains("no certificate")));
        assert!(matches!(wrong(&first[..200], key), Wrong::Certificate(_)), "half of a file");
        assert!(matches!(wrong(first, first), Wrong::Key(why) if why.contains("no private key")));
    }

    #[test]
    fn a_chain_is_good_until_the_first_of_it_ends() {
        let first = include_bytes!("../tests/fixtures/tls/first.pem").as_slice();
        let expired = include_bytes!("../tests/fixtures/tls/expired.pem").as_slice();
        let chain = [first, expired].concat();
        assert_eq!(until(&chain), until(expired));
        assert!(until(first) > until(expired));
        assert_eq!(until(b"hello"), None);
    }
}
