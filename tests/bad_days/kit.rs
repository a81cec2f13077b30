//! The program as a child process: its log, its pages, its exit code, and waiting with a deadline.

use crate::wait::within;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Long enough for a loaded machine; nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Tries until `attempt` gives something; fails with `what` after `patience`.
pub fn soon<T>(patience: Duration, what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    within(patience, attempt).unwrap_or_else(|| panic!("did not happen within {patience:?}: {what}"))
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}

/// The program with its arguments, in an environment of its own.
pub fn driftline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
    command.args(arguments).env_remove("DRIFTLINE_LOG").env_remove("HOSTNAME").stdin(Stdio::null());
    command
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output, where it is read.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a verb to its end.
pub fn ended(arguments: &[&str]) -> Exit {
    let output = driftline(arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Exit { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A running `driftline run`. Killed when dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
    http: u16,
}

impl Running {
    /// Starts it; standard error goes to `log`.
    pub fn start(mut command: Command, log: &Path, http: u16) -> Running {
        let file = File::create(log).expect("a log file");
        let child = command.stdout(Stdio::null()).stderr(file).spawn().expect("the program starts");
        Running { child, log: log.to_path_buf(), http }
    }

    /// Standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Messages of the log so far, each with its level. Every line must be JSON, except what `main` says at the end.
    pub fn messages(&self) -> Vec<(String, String)> {
        self.log()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|v| (v["level"].as_str().unwrap_or_default().to_string(), v["fields"]["message"].as_str().unwrap_or_default().to_string()))
            .collect()
    }

    /// The first message that contains all of `words`.
    pub fn said(&self, words: &[&str]) -> Option<String> {
        self.messages().into_iter().map(|m| m.1).find(|m| words.iter().all(|w| m.contains(w)))
    }

    /// Waits for a message that contains all of `words`.
    pub fn says(&mut self, words: &[&str]) -> String {
        self.until(&format!("a message with {words:?}"), |me| me.said(words))
    }

    /// Waits for a condition as long as the process runs; shows its log if it fails.
    pub fn until<T>(&mut self, what: &str, mut attempt: impl FnMut(&mut Running) -> Option<T>) -> T {
        let mut gone = None;
        let result = within(PATIENCE, || {
            let result = attempt(self);
            gone = self.child.try_wait().expect("a child");
            (result.is_some() || gone.is_some()).then_some(result)
        });
        result.flatten().unwrap_or_else(|| {
            panic!("waiting for {what}: {gone:?}; metrics:\n{}\nlog:\n{}", self.own_metrics(), self.log());
        })
    }

    fn own_metrics(&self) -> String {
        let text = self.get("/metrics").map(|a| a.1).unwrap_or_default();
        text.lines().filter(|l| l.starts_with("driftline_") && !l.contains("_bucket")).collect::<Vec<_>>().join("\n")
    }

    /// (status, body) of a page; `None` while nobody listens.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.http, path)
    }

    /// What the listener answers to these bytes until it closes the connection.
    pub fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).expect("a listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(bytes).expect("written");
        let (mut answer, mut part) = (Vec::new(), [0; 1 << 16]);
        while let Ok(n @ 1..) = stream.read(&mut part) {
            answer.extend_from_slice(&part[..n]);
        }
        String::from_utf8(answer).expect("UTF-8")
    }

    /// The page as JSON.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/status")?.1).ok()
    }

    /// A metric's value; 0 if it is not there.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().get(&series(name, labels)).copied().unwrap_or(0.0)
    }

    /// All series.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let text = self.get("/metrics").map(|a| a.1).unwrap_or_default();
        text.lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(|l| l.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_string(), value.parse().ok()?)))
            .collect()
    }

    /// Waits until a metric is exactly `value`.
    pub fn reaches(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.until(&format!("{} = {value}", series(name, labels)), |me| (me.metric(name, labels) == value).then_some(()));
    }

    /// Waits until every member has its partitions.
    pub fn ready(&mut self) {
        self.until("readiness", |me| me.get("/readyz").filter(|a| a.0 == 200));
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end.
    pub fn end(&mut self, patience: Duration) -> Exit {
        let status = within(patience, || self.child.try_wait().expect("a child"));
        let status = status.unwrap_or_else(|| panic!("still running after {patience:?}; log:\n{}", self.log()));
        Exit { code: status.code(), out: String::new(), err: self.log() }
    }

    /// Asks it to stop as Kubernetes does; it must do so within ten seconds, with code 0.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let exit = self.end(Duration::from_secs(10));
        assert_eq!(exit.code, Some(0), "{}", exit.err);
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A series as it stands in the text format.
pub fn series(name: &str, labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return name.to_string();
    }
    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "the kit reads plain bodies only");
    Some((code, body.to_string()))
}
