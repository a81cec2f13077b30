//! Three brokers behind the network, and clearing away what a run has written.
//!
//! Inputs are loaded once. Between runs driftline's own topics and groups are deleted (a deleted topic's successor has another id, so
//! nothing of the old one can show up in it) and created again; a run begins only where all of it is seen to be empty and replicated.

use super::MEMBERS;
use super::net::Net;
use crate::config::settings;
use crate::process::{Place, kafka_sh};
use crate::scene::{PARTITIONS, Scene};
use crate::topics::{Progress, REQUEST, client, load};
use crate::wait::within;
use driftline::config::settings::Settings;
use driftline::kafka::topics::{Inputs, block_on, own_topics};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A whole cluster takes no longer to come together, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running cluster with its inputs.
pub struct Cluster {
    dir: PathBuf,
    pub net: Net,
    /// Over the listeners that no fault reaches.
    pub settings: Settings,
    asker: BaseConsumer,
}

impl Cluster {
    pub fn start(dir: &Path, scene: &Scene) -> Result<Cluster, String> {
        let net = Net::open().map_err(|e| e.to_string())?;
        let listed = |ports: Vec<u16>| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let listeners: Vec<String> = (0..MEMBERS).map(|m| listed(net.ports(m))).collect();
        let brokers = kafka_sh("cluster", dir, &listeners)?.replace('\n', ",");
        for broker in 0..MEMBERS {
            let behind = std::fs::read_to_string(dir.join(format!("{}/behind", broker + 1))).map_err(|e| e.to_string())?;
            for (member, port) in behind.lines().enumerate() {
                net.lead(member, broker, port.parse().map_err(|e| format!("{port}: {e}"))?);
            }
        }
        let settings = settings(&brokers);
        let asker = client(&brokers).create().map_err(|e| e.to_string())?;
        let cluster = Cluster { dir: dir.to_path_buf(), net, settings, asker };
        cluster.becomes_whole(0)?;
        load(scene, &cluster.settings);
        Ok(cluster)
    }

    /// What a member talks to.
    pub fn brokers(&self, member: usize) -> String {
        self.net.ports(member).iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    /// `kafka.sh` for one broker.
    pub fn broker(&self, verb: &str, broker: usize) -> Result<(), String> {
        kafka_sh(verb, &self.dir.join((broker + 1).to_string()), &[]).map(drop)
    }

    /// Waits until every broker is there, and every replica of at least so many topics in sync.
    pub fn becomes_whole(&self, topics: usize) -> Result<(), String> {
        soon("the cluster is whole", || {
            let metadata = self.asker.fetch_metadata(None, Duration::from_secs(5)).ok()?;
            let whole = metadata.brokers().len() == MEMBERS
                && metadata.topics().len() >= topics
                && metadata.topics().iter().flat_map(|t| t.partitions()).all(|p| p.leader() >= 0 && p.isr().len() == MEMBERS);
            whole.then_some(())
        })
    }

    /// Deletes what a run has written, and creates empty topics.
    pub fn clear(&self, place: &Place) -> Result<(), String> {
        let admin: AdminClient<DefaultClientContext> = client(&self.settings.kafka.brokers).create().map_err(|e| e.to_string())?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
        let topics: Vec<String> =
            own_topics(&self.settings, Inputs { partitions: PARTITIONS as i32, max_bytes: 0 }).into_iter().map(|t| t.name).collect();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        for result in block_on(admin.delete_topics(&names, &options)).map_err(|e| e.to_string())? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(format!("deleting {topic}: {code}")),
            }
        }
        for stage in ["join", "detect"] {
            let group = format!("{}-{stage}", self.settings.app);
            // static members stay until their session times out
            soon(&format!("{group} can be deleted"), || {
                let gone = block_on(admin.delete_groups(&[&group], &options)).ok()?.into_iter().all(|r| match r {
                    Ok(_) => true,
                    Err((_, code)) => code == RDKafkaErrorCode::GroupIdNotFound,
                });
                gone.then_some(())
            })?;
        }
        let mut direct = place.clone();
        direct.brokers = self.settings.kafka.brokers.clone();
        soon("all topics are empty", || {
            // a broker that does not know yet that they were deleted says that they exist
            direct.create_topics();
            topics.iter().all(|t| self.is_empty(t)).then_some(())
        })?;
        let committed = Progress::of(&self.settings).committed(REQUEST);
        if committed != 0 {
            return Err(format!("{committed} predictions are committed before the run"));
        }
        self.becomes_whole(topics.len() + 2)
    }

    fn is_empty(&self, topic: &str) -> bool {
        let Ok(metadata) = self.asker.fetch_metadata(Some(topic), REQUEST) else { return false };
        let partitions = metadata.topics()[0].partitions().len() as i32;
        partitions > 0 && (0..partitions).all(|p| self.asker.fetch_watermarks(topic, p, REQUEST).is_ok_and(|ends| ends.1 == 0))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for broker in 0..MEMBERS {
            if self.dir.join(format!("{}/pid", broker + 1)).exists() {
                self.broker("kill", broker).ok();
            }
        }
    }
}

fn soon<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> Result<T, String> {
    within(PATIENCE, attempt).ok_or_else(|| format!("not within {PATIENCE:?}: {what}"))
}
