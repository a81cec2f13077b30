//! The schema registry as it is typed: where it is, and who we are there.

use super::{DurationOr, Secret, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A schema registry with Confluent's API (Confluent, Karapace, Apicurio's `/apis/ccompat/v7`, Redpanda).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub struct Registry {
    /// Its address: `http://` or `https://`, host, port, and the path before `/schemas` if there is one.
    pub url: Option<Text>,
    /// Who we are: `basic` or `bearer`. Default: nobody in particular.
    pub auth: Option<RegistryAuth>,
    /// Certificates (PEM) that vouch for an `https` registry; relative to the configuration's folder. Default: Mozilla's list of authorities.
    pub ca_file: Option<Text>,
    /// The longest that one request may take.
    pub timeout: DurationOr<10_000>,
}

/// One way to say who we are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryAuth {
    /// A name and a password (HTTP Basic).
    pub basic: Option<RegistryBasic>,
    /// A token (HTTP Bearer).
    pub bearer: Option<Secret>,
}

/// A name and a password.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryBasic {
    /// The name (for Confluent Cloud the API key).
    pub user: Text,
    /// The password (for Confluent Cloud the API secret).
    pub password: Secret,
}
