//! Two processes that believe to be the same one.

use crate::kit::PATIENCE;
use crate::scene::Scene;

#[test]
fn the_older_of_two_with_one_name_ends_and_the_younger_goes_on() {
    let scene = Scene::new("twins").topics(1);
    scene.write_pairs("a", 0, 5);
    let mut older = scene.run_as("older.log", &[], &[]);
    older.reaches("driftline_joined_total", &[], 5.0);
    let younger_config = {
        let text = std::fs::read_to_string(scene.config()).expect("the file");
        text.replace(&format!(":{}\"", scene.http), &format!(":{}\"", crate::kit::free_port()))
    };
    let path = scene.file("younger.yaml");
    let port = younger_config.split("127.0.0.1:").last().and_then(|t| t.split('"').next()).and_then(|p| p.parse().ok()).expect("a port");
    std::fs::write(&path, &younger_config).expect("written");
    let command = crate::kit::driftline(&["run", "-c", &path.display().to_string()]);
    let mut younger = crate::kit::Running::start(command, &scene.file("younger.log"), port);
    let exit = older.end(PATIENCE);
    assert_eq!(exit.code, Some(4), "{}", exit.err);
    for word in ["another process", "`instance`", "give each"] {
        assert!(exit.err.contains(word), "no {word:?} in: {}", exit.err);
    }
    younger.ready();
    scene.write_pairs("b", 100, 5);
    younger.reaches("driftline_joined_total", &[], 5.0);
    younger.stop();
    let exit = scene.run_once();
    assert_eq!(exit.code, Some(0), "{}", exit.err);
    let (rows, matched) = scene.counts();
    assert_eq!((rows, matched), (10, 10), "every pair once");
}
