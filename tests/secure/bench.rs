//! The broker, its users, and the program as one of them.

use super::rights::{Right, add};
use crate::config::{config, settings};
use crate::process::{Place, kafka_sh};
use crate::wait::within;
use driftline::config::settings::Settings;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing that is wrong takes longer to be said, even on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A listener of the broker, in the order in which `kafka.sh secure` prints them.
#[derive(Clone, Copy, Debug)]
pub enum Listener {
    Plain,
    Good,
    Expired,
    Elsewhere,
    Stranger,
}

/// The broker.
pub struct Bench {
    pub dir: PathBuf,
    addresses: Vec<String>,
    program: PathBuf,
    admin: AdminClient<DefaultClientContext>,
}

/// How a process ended; no code if it did not.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
    pub took: Duration,
}

impl Bench {
    pub fn start(dir: &Path, program: &Path, users: &[String]) -> Result<Bench, String> {
        let addresses: Vec<String> = kafka_sh("secure", &dir.join("kafka"), users)?.lines().map(str::to_string).collect();
        let admin = crate::topics::client(&addresses[0]).create().map_err(|e| e.to_string())?;
        Ok(Bench { dir: dir.to_path_buf(), addresses, program: program.to_path_buf(), admin })
    }

    pub fn address(&self, listener: Listener) -> &str {
        &self.addresses[listener as usize]
    }

    /// Without TLS, as somebody who may do everything.
    pub fn settings(&self) -> Settings {
        settings(self.address(Listener::Plain))
    }

    pub fn grant(&self, acls: &[(String, Right, bool)]) {
        add(self.admin.inner().native_ptr(), acls);
    }

    /// Runs commands of the manual.
    pub fn shell(&self, commands: &str) -> Result<String, String> {
        let bin = self.dir.join("bin");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/kafka.sh");
        std::fs::create_dir_all(&bin).map_err(|e| e.to_string())?;
        let tool = bin.join("kafka-acls.sh");
        std::fs::write(&tool, format!("#!/bin/sh\nexec {script} kafka-acls.sh \"$@\"\n")).map_err(|e| e.to_string())?;
        Command::new("chmod").arg("+x").arg(&tool).status().map_err(|e| e.to_string())?;
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let done = Command::new("bash").args(["-euc", commands]).env("PATH", path).current_dir(&self.dir).output();
        let done = done.map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&done.stdout);
        if done.status.success() { Ok(said) } else { Err(format!("{commands}\n{said}{}", text(&done.stderr))) }
    }

    /// Starts the program as `user`; what it says goes to `log`.
    pub fn begin(&self, log: &str, listener: Listener, client: &str, user: &str, password: &str, verb: &[&str]) -> Running {
        let place = Place { program: self.program.clone(), brokers: self.address(listener).to_string(), dir: self.dir.clone() };
        let (yaml, log) = (self.dir.join(format!("{log}.yaml")), self.dir.join(format!("{log}.log")));
        std::fs::write(&yaml, config(client)).expect("a configuration");
        let mut command = place.driftline("0");
        command.args(verb).arg("-c").arg(&yaml).env("DRIFTLINE_USER", user).env("DRIFTLINE_PASSWORD", password);
        command.env("DRIFTLINE_CA", self.dir.join("kafka/tls/ca.pem"));
        let child = command.stdin(Stdio::null()).stderr(File::create(&log).expect("a log")).spawn().expect("driftline starts");
        Running { child, log, since: Instant::now() }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        kafka_sh("stop", &self.dir.join("kafka"), &[]).ok();
    }
}

/// A process.
pub struct Running {
    child: Child,
    log: PathBuf,
    since: Instant,
}

impl Running {
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it ends or has said `enough`.
    pub fn until(mut self, enough: Option<&str>) -> Ended {
        let mut code = None;
        within(PATIENCE.saturating_sub(self.since.elapsed()), || {
            code = self.child.try_wait().expect("a child").and_then(|s| s.code());
            (code.is_some() || enough.is_some_and(|words| self.said().contains(words))).then_some(())
        });
        Ended { code, said: self.said(), took: self.since.elapsed() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
