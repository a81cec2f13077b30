//! Stopping, and what the pages say before, during and after.

use crate::kafka::unique;
use crate::kit::free_port;
use crate::scene::Scene;
use std::time::Duration;

#[test]
fn a_stop_in_the_middle_of_a_stream_loses_and_repeats_nothing() {
    let scene = Scene::new("stop").topics(1);
    scene.write_pairs("a", 0, 500);
    let mut service = scene.run(&[]);
    service.until("the first pairs", |me| (me.metric("driftline_joined_total", &[]) > 0.0).then_some(()));
    scene.pen.send(
        &scene.topic("predictions"),
        &(0..3_000).map(|i| crate::scene::given(scene.prediction(&format!("b-{i}"), 500).to_string())).collect::<Vec<_>>(),
    );
    scene.pen.send(
        &scene.topic("outcomes"),
        &(0..3_000).map(|i| crate::scene::given(scene.outcome(&format!("b-{i}"), 501).to_string())).collect::<Vec<_>>(),
    );
    service.stop();
    assert!(service.said(&["stopping"]).is_some());
    scene.pen.drain();
    assert_eq!(scene.run_once().code, Some(0));
    assert_eq!(scene.counts(), (3_500, 3_500));
}

#[test]
fn an_interrupt_is_a_stop_too() {
    let scene = Scene::new("interrupt").topics(1);
    let mut service = scene.run(&[]);
    service.ready();
    service.signal("INT");
    assert_eq!(service.end(Duration::from_secs(10)).code, Some(0));
}

#[test]
fn pages_before_and_after_readiness() {
    let scene = Scene::new("pages").topics(1);
    let mut service = scene.run(&[]);
    service.until("a listener", |me| me.get("/livez"));
    service.ready();
    let (code, text) = service.get("/livez").expect("an answer");
    assert_eq!((code, text.as_str()), (200, "alive"));
    service.until("the members' views", |me| {
        let status = me.status()?;
        assert_eq!(status["app"], scene.app);
        let join = &status["members"]["join-0"];
        (status["ready"] == true && join["ready"] == true && join["state"]["tasks"][0]["partition"] == 0).then_some(())
    });
    assert_eq!(service.get("/nowhere").map(|a| a.0), Some(404));
    service.stop();
}

#[test]
fn waiting_for_a_broker_is_alive_not_ready_and_can_be_stopped() {
    let scene = Scene::on(&format!("127.0.0.1:{}", free_port()), &unique("waiting"));
    let mut service = scene.run(&[]);
    service.says(&["no broker answers at", &scene.brokers, "kafka.brokers"]);
    assert_eq!(service.get("/livez").map(|a| a.0), Some(200));
    assert_eq!(service.get("/readyz"), Some((503, "waiting for partitions or restoring state".to_string())));
    assert_eq!(service.status().expect("a page")["ready"], false);
    service.stop();
}
