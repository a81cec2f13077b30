//! A driftline process on one core, over all its lives, and what can be seen of it from outside.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where processes run.
#[derive(Clone)]
pub struct Home {
    pub program: PathBuf,
    pub brokers: String,
    pub dir: PathBuf,
    pub core: usize,
}

pub struct Member {
    pub instance: usize,
    pub since: Instant,
    /// Lives that ended by themselves: what was said last.
    pub gave_up: Vec<String>,
    home: Home,
    port: u16,
    child: Child,
    spent: f64,
}

impl Member {
    pub fn start(home: &Home, instance: usize) -> Result<Member, String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let child = spawn(home, instance, port)?;
        Ok(Member { instance, since: Instant::now(), gave_up: Vec::new(), home: home.clone(), port, child, spent: 0.0 })
    }

    /// kill -9, and back at once.
    pub fn kill(&mut self) -> Result<(), String> {
        self.spent = self.cpu();
        self.child.kill().and_then(|()| self.child.wait()).map_err(|e| e.to_string())?;
        self.again()
    }

    /// SIGTERM; how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus, String> {
        let term = Command::new("kill").arg(self.pid().to_string()).status();
        term.and_then(|_| self.child.wait()).map_err(|e| e.to_string())
    }

    /// A process that asks for a restart (exit code 4) gets it; any other end is an error.
    pub fn revive(&mut self) -> Result<(), String> {
        match self.child.try_wait().map_err(|e| e.to_string())? {
            None => Ok(()),
            Some(status) if status.code() == Some(4) => {
                let text = std::fs::read_to_string(log(&self.home, self.instance)).unwrap_or_default();
                self.gave_up.push(text.lines().rev().find(|l| l.starts_with("driftline: ")).unwrap_or("(nothing)").to_string());
                self.again()
            }
            Some(status) => Err(format!("instance {} ended with {status}", self.instance)),
        }
    }

    fn again(&mut self) -> Result<(), String> {
        self.child = spawn(&self.home, self.instance, self.port)?;
        self.since = Instant::now();
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU seconds of all lives; a life that nobody has looked at in its end counts as far as it was seen.
    pub fn cpu(&self) -> f64 {
        let ticks: u64 = self.stat().iter().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        self.spent + ticks as f64 / 100.0
    }

    /// Stopped by a signal at the moment.
    pub fn is_frozen(&self) -> bool {
        self.stat().first().is_some_and(|state| state == "T")
    }

    fn stat(&self) -> Vec<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(str::to_string).collect()
    }

    /// Resident memory, MB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kb = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
        kb.unwrap_or(0.0) / 1_024.0
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"))
    }

    /// Sum over its labels of each metric.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for line in self.get("/metrics").unwrap_or_default().lines().filter(|l| l.starts_with("driftline_")) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let name = name.split('{').next().unwrap_or_default();
            *sums.entry(name.to_string()).or_default() += value.parse::<f64>().unwrap_or(0.0);
        }
        sums
    }

    fn get(&self, path: &str) -> Option<String> {
        let address = ([127, 0, 0, 1], self.port).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn log(home: &Home, instance: usize) -> PathBuf {
    home.dir.join(format!("instance-{instance}.log"))
}

/// `taskset` becomes the program that it starts, so the child is driftline itself.
fn spawn(home: &Home, instance: usize, port: u16) -> Result<Child, String> {
    let log = OpenOptions::new().create(true).append(true).open(log(home, instance)).map_err(|e| e.to_string())?;
    Command::new("taskset")
        .args(["-c", &home.core.to_string()])
        .arg(&home.program)
        .args(["run", "-c", "driftline.yaml"])
        .current_dir(&home.dir)
        .env("DRIFTLINE_BROKERS", &home.brokers)
        .env("DRIFTLINE_INSTANCE", instance.to_string())
        .env("SOAK_HTTP", format!("127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|e| format!("taskset: {e}"))
}

/// Seconds that a core was busy since the machine's start.
pub fn busy(core: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|l| l.strip_prefix(&format!("cpu{core} "))).unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|t| t.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy: u64 = ticks.iter().take(8).enumerate().filter(|(i, _)| *i != 3 && *i != 4).map(|(_, t)| t).sum();
    busy as f64 / 100.0
}
