//! Who may see the pages: TLS and a token, both renewed while the process runs, and connections that nobody uses.

use crate::kit::{PATIENCE, Running, ended, soon};
use crate::scene::Scene;
use driftline::ops::http::MOST_CONNECTIONS;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
const TLS: &str = ", tls: { cert_file: server.pem, key_file: server.key }, token: { file: token }";

/// Somebody who trusts the authority of the fixtures.
fn agent() -> Agent {
    let pem = std::fs::read(format!("{FOLDER}/ca.pem")).expect("a file");
    let roots = RootCerts::Specific(Arc::new(vec![Certificate::from_pem(&pem).expect("a certificate").to_owned()]));
    let tls = TlsConfig::builder().root_certs(roots).build();
    Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).tls_config(tls).build().new_agent()
}

/// Puts a file in its place at once, as Kubernetes renews secrets.
fn place(scene: &Scene, name: &str, content: &[u8]) {
    let new = scene.file(&format!("{name}.new"));
    std::fs::write(&new, content).expect("written");
    std::fs::rename(new, scene.file(name)).expect("renamed");
}

fn certificate(scene: &Scene, name: &str) {
    for (from, to) in [("key", "server.key"), ("pem", "server.pem")] {
        place(scene, to, &std::fs::read(format!("{FOLDER}/{name}.{from}")).expect("a fixture"));
    }
}

/// With the first certificate and a token.
fn guarded(name: &str, token: &[u8]) -> Scene {
    let scene = Scene::new(name).door(TLS);
    certificate(&scene, "first");
    place(&scene, "token", token);
    scene.topics(1)
}

fn connect(scene: &Scene) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, scene.http)).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// Status and the header `www-authenticate` of a page, on a connection of its own.
fn page(scene: &Scene, path: &str, token: Option<&str>) -> Result<(u16, String), String> {
    let mut request = agent().get(format!("https://127.0.0.1:{}{path}", scene.http));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = request.call().map_err(|e| e.to_string())?;
    let asks = answer.headers().get("www-authenticate").and_then(|v| v.to_str().ok()).unwrap_or_default().to_string();
    Ok((answer.status().as_u16(), asks))
}

#[test]
fn pages_need_the_token_probes_do_not_and_both_come_by_tls_alone() {
    let scene = guarded("door", b"first-token\n");
    let mut run = scene.run(&[]);
    run.until("an answer", |_| page(&scene, "/readyz", None).ok().filter(|a| a.0 == 200));
    for path in ["/metrics", "/status"] {
        for token in [None, Some("second-token"), Some("")] {
            assert_eq!(page(&scene, path, token), Ok((401, "Bearer".to_string())), "{path} {token:?}");
        }
        assert_eq!(page(&scene, path, Some("first-token")).expect("an answer").0, 200, "{path}");
    }
    assert_eq!(page(&scene, "/livez", None).expect("an answer").0, 200);
    let mut plain = connect(&scene);
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).ok();
    assert!(!answer.starts_with(b"HTTP"), "nothing without TLS");

    let url = format!("https://127.0.0.1:{}", scene.http);
    let (token, authority) = (scene.file("token").display().to_string(), format!("{FOLDER}/ca.pem"));
    let top = |more: &[&str]| ended(&[["top", "--once", "--every", "200ms", "-o", "json", "--url", &url].as_slice(), more].concat());
    let let_in = top(&["--token-file", &token, "--ca-file", &authority]);
    assert_eq!(let_in.code, Some(0), "{let_in:?}");
    for (flags, word) in [(["--ca-file", &authority].as_slice(), "--token-file"), (&["--token-file", &token], "--ca-file")] {
        let refused = top(flags);
        assert_eq!(refused.code, Some(1));
        assert!(refused.out.contains(word), "no {word} in {}", refused.out);
    }
}

#[test]
fn a_renewed_token_and_certificate_count_without_a_restart_and_broken_ones_do_not() {
    let scene = guarded("renewed", b"one");
    let mut run = scene.run(&[]);
    run.until("an answer", |_| page(&scene, "/metrics", Some("one")).ok().filter(|a| a.0 == 200));
    place(&scene, "token", b"two");
    run.until("the new token", |_| page(&scene, "/metrics", Some("two")).ok().filter(|a| a.0 == 200));
    assert_eq!(page(&scene, "/metrics", Some("one")).expect("an answer").0, 401);
    place(&scene, "server.key", b"half a fi");
    run.until("a warning", |me| {
        page(&scene, "/livez", None).ok().and_then(|_| me.said(&["the certificate was renewed, but", "private key"]))
    });
    assert_eq!(page(&scene, "/metrics", Some("two")).expect("the one before is in force").0, 200);
    certificate(&scene, "second");
    run.until("the new one", |me| page(&scene, "/livez", None).ok().and_then(|_| me.said(&["the certificate is read anew"])));
    assert_eq!(page(&scene, "/metrics", Some("two")).expect("an answer").0, 200);
}

#[test]
fn an_expired_certificate_is_refused_by_check_and_told_by_a_process_that_shows_it() {
    let scene = guarded("expired", b"one");
    let until = "driftline_http_certificate_expiry_timestamp_seconds";
    assert_eq!(ended(&["check", "-c", &scene.config()]).code, Some(0));
    place(&scene, "server.pem", &std::fs::read(format!("{FOLDER}/expired.pem")).expect("a fixture"));
    let refused = ended(&["check", "-c", &scene.config()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(["server.pem has expired (2020-02-01T00:00:00Z)", "renew it"].iter().all(|word| refused.err.contains(word)), "{refused:?}");
    let mut run = scene.run(&[]);
    run.says(&["the certificate has expired (2020-02-01T00:00:00Z)"]);
    certificate(&scene, "first");
    run.until("the renewed one", |_| page(&scene, "/metrics", Some("one")).ok().filter(|a| a.0 == 200));
    let mut answer =
        agent().get(format!("https://127.0.0.1:{}/metrics", scene.http)).header("authorization", "Bearer one").call().expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a text");
    let line = text.lines().find(|line| line.starts_with(until)).expect("the metric");
    assert!(line.rsplit(' ').next().and_then(|at| at.parse::<f64>().ok()).expect("a number") > 4e9, "2126: {line}");
}

#[test]
fn connections_that_say_nothing_have_a_number_and_an_end() {
    let scene = Scene::new("silent").topics(1);
    let mut run: Running = scene.run(&[]);
    run.until("a listener", |me| me.get("/livez"));
    let silent: Vec<TcpStream> = (0..MOST_CONNECTIONS).map(|_| connect(&scene)).collect();
    let mut late = connect(&scene);
    assert_eq!(late.read(&mut [0; 1]).unwrap_or(0), 0, "one too many is closed at once");
    soon(PATIENCE, "the silent ones are cut off", || run.get("/livez").filter(|answer| answer.0 == 200));
    run.until("it is counted", |me| (me.metric("driftline_http_refused_total", &[]) >= 1.0).then_some(()));
    drop(silent);
}
