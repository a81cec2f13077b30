//! The HTTP listener as it is typed.

use super::{Secret, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The HTTP listener.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// `address:port`, or `off`. `0.0.0.0:9464` lets other machines in.
    pub listen: Text,
    /// With it the listener speaks `https` alone.
    pub tls: Option<HttpTls>,
    /// A bearer token that `/metrics` and `/status` ask for; `/livez` and `/readyz` stay open. A file is read again when it changes.
    pub token: Option<Secret>,
}

impl Default for Http {
    fn default() -> Self {
        Http { listen: Text("127.0.0.1:9464".to_string()), tls: None, token: None }
    }
}

/// A certificate and its key; both files are read again when they change.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["cert_file", "key_file"]))]
pub struct HttpTls {
    /// Certificates (PEM), the server's own first; relative to the configuration's folder.
    pub cert_file: Option<Text>,
    /// Its private key (PEM).
    pub key_file: Option<Text>,
}
