//! `driftline top` beside real processes on the embedded broker: what a script, a person at a terminal and somebody with a wrong address see.

use crate::kit::{PATIENCE, Running, driftline, ended, free_port, soon};
use driftline::cli::top_screen::Screen;
use scene::Scene;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[allow(dead_code)] // of the tests of bad days
#[path = "bad_days/kafka.rs"]
mod kafka;
#[allow(dead_code)]
#[path = "bad_days/kit.rs"]
mod kit;
#[allow(dead_code)]
#[path = "bad_days/scene.rs"]
mod scene;
#[path = "kit/wait.rs"]
mod wait;

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A view that goes on, one JSON object a round.
struct Rounds(Child, Option<BufReader<ChildStdout>>);

impl Rounds {
    fn of(urls: &str) -> Rounds {
        let mut child = driftline(&["top", "--url", urls, "--every", "200ms", "-o", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        Rounds(child, Some(out))
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.1.as_mut().expect("not dropped yet").read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("an object a line")
    }

    /// Waits for a round that is as wanted; no round may show a rate below 0.
    fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        soon(PATIENCE, what, || {
            let round = self.next();
            let lines = ["inputs", "stages", "shares"].iter().flat_map(|part| round[part].as_array().expect("a list"));
            assert!(lines.filter_map(|l| l["per_second"].as_f64()).all(|rate| rate >= 0.0), "{round}");
            wanted(&round).then_some(round)
        })
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_view_goes_on_while_a_process_works_dies_and_comes_back() {
    let scene = Scene::new("top").topics(2);
    let mut service = scene.run(&[]);
    service.ready();
    let mut rounds = Rounds::of(&format!("{},{}", url(scene.http), url(free_port())));
    let round = rounds.until("a ready process", |r| r["processes"][0]["ready"] == true);
    assert_eq!(round["apps"], serde_json::json!([scene.app]));
    assert!(round["processes"][1]["silent"].as_str().expect("a reason").contains("nobody listens there; does the process run"), "{round}");

    scene.write_pairs("a", 0, 300);
    let read = |r: &Value| r["inputs"][0]["per_second"].as_f64().is_some_and(|n| n > 0.0) && r["shares"][0]["count"] == 300;
    let round = rounds.until("records that are read", read);
    assert_eq!(round["shares"][0]["share"], 1.0, "{round}");
    assert!(round["stages"][0]["committed"].as_u64().expect("a count") > 0, "{round}");
    let round =
        rounds.until("closed panes, nothing unread", |r| !r["panes"][0]["closed_through_ms"].is_null() && r["inputs"][0]["unread"] == 0);
    assert!(round["panes"][0]["closed_through_ms"].as_i64().expect("a time") >= scene.at(0), "{round}");
    assert!(
        round["processes"][0]["memory_bytes"].as_f64().expect("bytes") > 1e6 && round["processes"][0]["rows_limit_bytes"].is_u64(),
        "{round}"
    );
    let budget = &round["budget"];
    assert_eq!(
        (budget["false_alarms"].as_f64(), budget["per_ms"].as_i64(), budget["streams"].as_u64()),
        (Some(1.0), Some(86_400_000), Some(4_096))
    );

    service.stop();
    rounds.until("its absence", |r| r["processes"][0]["silent"].is_string());
    let mut again = scene.run(&[]);
    again.ready();
    rounds.until("its return", |r| r["processes"][0]["ready"] == true);
    scene.write_pairs("b", 300, 100);
    rounds.until("records of its new life", |r| r["shares"][0]["count"] == 100 && read_rate(r) > 0.0);
    again.stop();
}

fn read_rate(round: &Value) -> f64 {
    round["inputs"][0]["per_second"].as_f64().unwrap_or(0.0)
}

#[test]
fn the_demo_shows_its_streams_and_its_open_alerts() {
    let (dir, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let mut command = driftline(&["demo"]);
    command.env("DRIFTLINE_LISTEN", format!("127.0.0.1:{port}"));
    let mut demo = Running::start(command, &dir.path().join("log"), port);
    let (models, metric) = ("driftline_streams", "driftline_active_alerts");
    let done = |me: &mut Running| {
        let through = me.status()?["members"]["join-0"]["state"]["tasks"]
            .as_array()?
            .iter()
            .all(|t| t["inputs"]["predictions"]["activity"] == "Finished");
        (through && me.metric(metric, &[("model", "car-loan")]) > 0.0).then_some(())
    };
    wait::within(Duration::from_secs(240), || done(&mut demo)).expect("the demo's alerts");
    let once = || {
        let exit = ended(&["top", "--once", "--every", "200ms", "-o", "json", "--url", &url(port)]);
        assert_eq!(exit.code, Some(0), "{}", exit.err);
        serde_json::from_str::<Value>(&exit.out).expect("one object")
    };
    // gauges and views are renewed every other second, one after the other
    let round = soon(PATIENCE, "both pages at rest", || {
        let round = once();
        let phases = ["learning", "watching", "alarming"]
            .map(|p| (round["models"]["car-loan"][p].as_f64(), Some(demo.metric(models, &[("phase", p)]))));
        let open = round["active_alerts"].as_f64() == Some(demo.metric(metric, &[("model", "car-loan")]));
        (open && phases.iter().all(|(a, b)| a == b)).then_some(round)
    });
    let alerts = round["alerts"].as_array().expect("a list");
    assert_eq!(Some(alerts.len() as u64), round["active_alerts"].as_u64());
    let opened: Vec<i64> = alerts.iter().map(|a| a["opened_at_ms"].as_i64().expect("a time")).collect();
    assert!(opened.is_sorted_by(|a, b| a >= b), "newest first: {opened:?}");
    let root =
        alerts.iter().find(|a| a["signal"] == "feature:car_value" && a["segment"] == serde_json::json!({})).expect("the planted change");
    assert_eq!((root["severity"].as_str(), root["effect"]["unit"].as_str()), (Some("CRITICAL"), Some("psi")));

    let exit = ended(&["top", "--once", "--every", "200ms", "--url", &url(port)]);
    let flat = exit.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["car-loan 20", "1 of 1 process ready", "feature:car_value", "of 1 false alarm in 10y expected", "budget.streams is 4,096"]
    {
        assert!(flat.contains(words), "{words}:\n{}", exit.out);
    }
    assert!(!exit.out.contains('\u{1b}') && exit.out.lines().all(|l| l.chars().count() <= 100), "no terminal, no colours:\n{}", exit.out);
    assert!(!exit.out.contains(" more\n"), "what is printed is whole:\n{}", exit.out);
}

#[test]
fn where_nobody_answers_one_page_says_so_and_fails() {
    let port = free_port();
    let exit = ended(&["top", "--once", "--url", &url(port)]);
    assert_eq!(exit.code, Some(1));
    assert!(exit.out.contains(&format!("127.0.0.1:{port}: nobody listens there")), "{}", exit.out);
    assert!(exit.err.contains("no process answers") && exit.err.contains("driftline run -c FILE"), "{}", exit.err);
}

#[test]
fn what_hangs_or_is_something_else_is_said_with_what_to_do() {
    let hangs = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"); // connections wait for ever
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let ports = [&hangs, &other].map(|l| l.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        for stream in other.incoming().flatten() {
            answer(stream).ok();
        }
    });
    let urls = format!("127.0.0.1:{},{}/metrics,nowhere.invalid:9464", ports[0], url(ports[1]));
    let exit = ended(&["top", "--once", "--url", &urls]);
    assert_eq!(exit.code, Some(1));
    let flat = exit.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["no answer within 3 s", "what answers there is no driftline", "nowhere.invalid:9464: there is no such host"] {
        assert!(flat.contains(words), "{words}:\n{}", exit.out);
    }
}

fn answer(mut stream: std::net::TcpStream) -> std::io::Result<()> {
    let mut request = [0; 4_096];
    stream.read(&mut request).and_then(|_| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nup 1\n"))
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut rounds = Rounds::of(&url(free_port()));
    rounds.next();
    drop(rounds.1.take());
    assert_eq!(wait::within(PATIENCE, || rounds.0.try_wait().expect("a child")).and_then(|s| s.code()), Some(0));
}

/// A process on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// What the terminal is set to, as the kernel says.
    settings: Box<dyn Fn() -> Vec<u32>>,
}

impl Terminal {
    fn new(columns: u16, lines: u16, mut command: Command) -> Terminal {
        let (mut ours, mut theirs) = (0, 0);
        let size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both numbers are this function's own; name and settings may be null.
        let (ours, theirs) = unsafe {
            assert_eq!(libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size), 0, "a terminal");
            (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
        };
        let side = || Stdio::from(theirs.try_clone().expect("a handle"));
        command.stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().expect("the program starts");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reads, shown) = (File::from(ours.try_clone().expect("a handle")), screen.clone());
        std::thread::spawn(move || {
            let mut part = [0; 4_096];
            while let Ok(n @ 1..) = reads.read(&mut part) {
                shown.lock().expect("whole").extend_from_slice(&part[..n]);
            }
        });
        let settings = Box::new(move || {
            // SAFETY: a structure of numbers may be zero; the terminal is open as long as `theirs` is.
            let s = unsafe {
                let mut s: libc::termios = std::mem::zeroed();
                assert_eq!(libc::tcgetattr(theirs.as_raw_fd(), &mut s), 0);
                s
            };
            vec![s.c_iflag, s.c_oflag, s.c_cflag, s.c_lflag]
        });
        Terminal { child, keyboard: File::from(ours), screen, settings }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("whole")).into_owned()
    }

    fn shows(&self, words: &str) {
        wait::within(PATIENCE, || self.shown().contains(words).then_some(())).unwrap_or_else(|| panic!("{words}: {:?}", self.shown()));
    }

    fn code(&mut self) -> Option<i32> {
        wait::within(PATIENCE, || self.child.try_wait().expect("a child")).and_then(|s| s.code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn top(urls: &str) -> Command {
    let mut command = driftline(&["top", "--every", "200ms", "--url", urls]);
    command.env_remove("NO_COLOR");
    command
}

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

#[test]
fn a_terminal_is_given_back_whatever_ends_the_view() {
    let gone = url(free_port());
    type End = fn(&mut Terminal);
    let ends: [(&str, End); 3] = [
        ("q", |t| t.keyboard.write_all(b"q").expect("typed")),
        ("Ctrl-C", |t| t.keyboard.write_all(b"\x03").expect("typed")),
        ("SIGTERM", |t| {
            // SAFETY: a signal to a child that is not yet waited for.
            assert_eq!(unsafe { libc::kill(t.child.id() as i32, libc::SIGTERM) }, 0);
        }),
    ];
    for (name, end) in ends {
        let mut terminal = Terminal::new(80, 24, top(&gone));
        terminal.shows("nobody listens there");
        let raw = (terminal.settings)();
        assert_eq!(raw[3] & libc::ECHO, 0, "{name}: what is typed is not shown");
        terminal.keyboard.write_all(b"x").expect("typed, and of no meaning");
        end(&mut terminal);
        assert_eq!(terminal.code(), Some(0), "{name}: {:?}", terminal.shown());
        terminal.shows(LEAVE);
        let (shown, settings) = (terminal.shown(), (terminal.settings)());
        assert!(shown.starts_with(ENTER) && shown.trim_end().ends_with(LEAVE), "{name}: {shown:?}");
        assert_ne!(settings[3] & libc::ECHO, 0, "{name}: what is typed is shown again");
        assert!(shown.contains("\u{1b}[1;31m"), "{name}: a terminal has colours");
    }
}

#[test]
fn a_terminal_is_given_back_before_a_panic_is_told() {
    let mut command = Command::new(std::env::current_exe().expect("this test's program"));
    command.args(["--exact", "a_panic_on_a_terminal", "--ignored", "--nocapture"]).env("RUST_BACKTRACE", "0");
    let mut terminal = Terminal::new(80, 24, command);
    assert_eq!(terminal.code(), Some(0), "{:?}", terminal.shown());
    terminal.shows("test result");
    let shown = terminal.shown();
    let (_, after) = shown.split_once(ENTER).expect("it had the screen");
    let (_, after) = after.split_once(LEAVE).expect("it gave it back");
    assert!(after.contains("a bug on purpose"), "the message stays to be read: {shown:?}");
    assert_ne!((terminal.settings)()[3] & libc::ECHO, 0, "what is typed is shown again");
}

#[test]
#[ignore = "the other half of `a_terminal_is_given_back_before_a_panic_is_told`: it wants a terminal"]
#[should_panic(expected = "a bug on purpose")]
fn a_panic_on_a_terminal() {
    let screen = Screen::enter().expect("a terminal");
    screen.draw("a page").expect("drawn");
    panic!("a bug on purpose");
}

#[test]
fn a_page_fits_the_terminal_and_follows_its_size_without_colour_if_that_is_asked_for() {
    let mut plainly = top(&url(free_port()));
    plainly.env("NO_COLOR", "1");
    let mut terminal = Terminal::new(40, 6, plainly);
    terminal.shows("nobody listens");
    let drawn = |t: &Terminal| t.shown().rsplit("\u{1b}[1;1H").find(|page| page.contains("process")).map(plain);
    let page = drawn(&terminal).expect("a page");
    assert!(page.iter().all(|line| line.chars().count() <= 40) && page.len() <= 6, "{page:?}");
    assert!(!page.concat().contains("alerts"), "no room: {page:?}");
    let size = libc::winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads the structure while the call lasts.
    assert_eq!(unsafe { libc::ioctl(terminal.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &size) }, 0);
    terminal.shows("alerts");
    assert!(!terminal.shown().contains("\u{1b}[1;31m") && !terminal.shown().contains("\u{1b}[2m"), "{:?}", terminal.shown());
    terminal.keyboard.write_all(b"q").expect("typed");
    assert_eq!(terminal.code(), Some(0));
}

/// Lines of a page without what a terminal obeys.
fn plain(page: &str) -> Vec<String> {
    let ends = |c: char| c.is_ascii_alphabetic();
    let text: String =
        page.split('\u{1b}').enumerate().map(|(i, part)| if i == 0 { part } else { part.split_once(ends).map_or("", |p| p.1) }).collect();
    text.lines().map(str::to_string).collect()
}
