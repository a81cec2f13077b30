//! A log or an output that takes nothing more.

use crate::kafka::unique;
use crate::kit::{PATIENCE, Running, driftline};
use crate::scene::Scene;
use std::fs::OpenOptions;
use std::process::{Output, Stdio};

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("a full device").into()
}

#[test]
fn a_full_log_device_stops_nothing() {
    let scene = Scene::new("full-log").topics(1);
    scene.write_pairs("a", 0, 5);
    scene.pen.write(&scene.topic("predictions"), &[crate::scene::given("no json")]);
    let config = scene.config();
    let mut child = driftline(&["run", "--once", "-c", &config])
        .env("DRIFTLINE_LOG", "debug")
        .stdout(full())
        .stderr(full())
        .spawn()
        .expect("the program starts");
    let status = crate::kit::soon(PATIENCE, "the end of the run", || child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
    assert_eq!(scene.read("dead-letters").len(), 1);
    assert_eq!(scene.summaries().iter().flat_map(|p| &p.entries).count(), 2, "one input pane, one pair pane");
}

fn says_why(output: &Output) {
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("standard output") && err.contains("No space left"), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn a_schema_that_can_not_be_printed() {
    says_why(&driftline(&["schema"]).stdout(full()).output().expect("the program starts"));
}

#[test]
fn a_check_that_can_not_be_printed() {
    let config = Scene::on("localhost:9", &unique("check")).config();
    assert!(std::path::Path::new(&config).parent().is_some());
    let scene = Scene::on("localhost:9", &unique("check"));
    let config = scene.config();
    for format in ["json", "text"] {
        says_why(&driftline(&["check", "-o", format, "-c", &config]).stdout(full()).output().expect("the program starts"));
    }
}

#[test]
fn a_demo_whose_alerts_have_no_room() {
    let scene = Scene::on("localhost:9", &unique("demo"));
    let mut command = driftline(&["demo", "--once", "--alerts", "/dev/full"]);
    command.env("TMPDIR", scene.file("."));
    let mut demo = Running::start(command, &scene.file("demo.log"), scene.http);
    let exit = demo.end(PATIENCE);
    assert_eq!(exit.code, Some(1), "{}", exit.err);
    assert!(exit.err.contains("--alerts /dev/full") && exit.err.contains("No space left"), "{}", exit.err);
    assert!(!exit.err.contains("panicked"), "{}", exit.err);
}
