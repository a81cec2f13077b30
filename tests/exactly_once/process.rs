//! Processes: `driftline run --once` over all its lives, and the script that starts Apache Kafka.

use super::wait::within;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A process catches signals within this.
const AWAKE: Duration = Duration::from_secs(30);
/// SIGTERM in a mask of signals.
const TERM: u64 = 1 << (15 - 1);

/// Runs `tests/kafka/kafka.sh`; what it printed.
pub fn kafka_sh(verb: &str, dir: &Path, more: &[String]) -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/kafka.sh");
    let done = Command::new(script).arg(verb).arg(dir).args(more).stderr(Stdio::inherit()).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&done.stdout).trim().to_string();
    if done.status.success() { Ok(said) } else { Err(format!("{script} {verb} {}: {}", dir.display(), done.status)) }
}

/// Where the program is, what it talks to, and where it writes what it says.
#[derive(Clone)]
pub struct Place {
    pub program: PathBuf,
    pub brokers: String,
    pub dir: PathBuf,
}

impl Place {
    /// `driftline`, as this instance.
    pub fn driftline(&self, instance: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.dir)
            .env("DRIFTLINE_BROKERS", &self.brokers)
            .env("DRIFTLINE_INSTANCE", instance)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Creates the application's topics.
    pub fn create_topics(&self) {
        let created = self.driftline("0").args(["topics", "create", "-c", "driftline.yaml"]).status().expect("driftline starts");
        assert!(created.success(), "driftline topics create: {created}");
    }

    fn run(&self, instance: &str) -> Child {
        let log = OpenOptions::new().create(true).append(true).open(self.log(instance)).expect("a log file");
        self.driftline(instance).args(["run", "--once", "-c", "driftline.yaml"]).stderr(log).spawn().expect("driftline starts")
    }

    fn log(&self, instance: &str) -> PathBuf {
        self.dir.join(format!("instance-{instance}.log"))
    }
}

/// One `driftline run --once`, over all its lives.
pub struct Process {
    pub instance: String,
    place: Place,
    child: Child,
}

impl Process {
    pub fn start(instance: &str, place: &Place) -> Process {
        Process { instance: instance.to_string(), place: place.clone(), child: place.run(instance) }
    }

    pub fn restart(&mut self) {
        self.child = self.place.run(&self.instance);
    }

    #[allow(dead_code)] // for upgrades
    pub fn restart_as(&mut self, program: &Path) {
        self.place.program = program.to_path_buf();
        self.restart();
    }

    /// As a power cut would; false if it had ended before.
    pub fn kill(&mut self) -> bool {
        if self.ended().is_some() {
            return false;
        }
        self.child.kill().expect("a child can be killed");
        !self.child.wait().expect("a child ends").success()
    }

    /// As Kubernetes would; how it ended, or None if it had not done so in time.
    pub fn terminate(&mut self, grace: Duration) -> Option<ExitStatus> {
        within(AWAKE, || (self.catches_term() || self.ended().is_some()).then_some(()));
        self.signal("TERM");
        within(grace, || self.ended())
    }

    /// A process that has just begun simply dies of a signal.
    fn catches_term(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        caught.is_some_and(|mask| mask & TERM != 0)
    }

    /// Nothing happens if it has ended. (Only this asks how it ended: until then a signal finds it.)
    pub fn signal(&mut self, name: &str) {
        if self.ended().is_some() {
            return;
        }
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().expect("kill");
        assert!(done.success(), "kill -{name}: {done}");
    }

    /// What it said about its end.
    #[allow(dead_code)] // processes on one broker don't give up
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.place.log(&self.instance)).unwrap_or_default();
        text.lines().rev().find_map(|l| l.strip_prefix("driftline: ")).unwrap_or("(nothing)").to_string()
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let text = std::fs::read_to_string(self.place.log(&self.instance)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- the end of what instance {} said\n{}", self.instance, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
