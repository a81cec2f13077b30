//! What `registry` and `format: registry` mean, and how mistakes in them are reported.

use driftline::config::load_text;
use driftline::config::settings::{Format, RegistryAuth, Settings};
use driftline::engine::types::Span;
use std::path::Path;

fn load(registry: &str, format: &str, folder: &Path) -> Result<Settings, String> {
    let text = format!(
        "app: a\nkafka: {{ brokers: 'b:1' }}\n{registry}\npredictions: {{ topic: p, format: {format}, fields: {{ score: s }} }}\noutcomes: {{ topic: o }}\n"
    );
    load_text("d.yaml", &text, &|_| None, folder).map_err(|e| e.to_string())
}

#[test]
fn the_example_with_a_registry_means_what_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("registry-password"), "swordfish\n").expect("written");
    let example = include_str!("../../examples/registry.yaml").replace("/run/secrets/", "");
    let settings = load_text("registry.yaml", &example, &|_| None, folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let registry = settings.registry.as_ref().expect("a registry");
    assert_eq!((registry.url.as_str(), registry.timeout), ("https://registry:8081", Span::seconds(10)));
    assert!(matches!(&registry.auth, RegistryAuth::Basic { user, .. } if user == "driftline"));
    assert_eq!(settings.predictions.format, Format::Registry { may_lack: ["version", "score", "value"].map(String::from).to_vec() });
    assert!(!format!("{settings:?}").contains("swordfish"));
}

#[test]
fn one_input_may_have_a_registry_and_the_other_another_format() {
    let settings = load("registry: { url: 'http://r:8081/apis/ccompat/v7/', timeout: 2s }", "registry", Path::new("")).expect("right");
    assert_eq!(settings.registry.map(|r| (r.url, r.timeout)), Some(("http://r:8081/apis/ccompat/v7".to_string(), Span::seconds(2))));
    assert_eq!(settings.outcomes.format, Format::Json);
}

#[test]
fn mistakes_are_told_with_their_line_and_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("empty"), "").expect("written");
    std::fs::write(folder.path().join("text"), "no certificate").expect("written");
    let here = "url: 'https://r:1'";
    for (registry, format, words) in [
        ("", "registry", "no registry is given"),
        (&format!("registry: {{ {here} }}"), "json", "no input has the format registry"),
        ("registry: {}", "registry", "url"),
        (&format!("registry: {{ {here}, tiemout: 1s }}"), "registry", "did you mean \"timeout\""),
        (&format!("registry: {{ {here}, timeout: 1h }}"), "registry", "at most 5m"),
        (&format!("registry: {{ {here}, timeout: 1ms }}"), "registry", "at least 100ms"),
        ("registry: { url: 'r:8081' }", "registry", "is no address of a registry"),
        ("registry: { url: 'http://a:1,http://b:1' }", "registry", "write one address"),
        ("registry: { url: 'http://:8081' }", "registry", "is no address of a registry"),
        ("registry: { url: 'https://me:swordfish@r' }", "registry", "put them under registry.auth.basic"),
        (&format!("registry: {{ {here}, auth: {{}} }}"), "registry", "registry.auth says nothing"),
        (&format!("registry: {{ {here}, auth: {{ digest: 1 }} }}"), "registry", "unknown key \"digest\""),
        (&format!("registry: {{ {here}, auth: {{ basic: {{ user: me }} }} }}"), "registry", "password"),
        (&format!("registry: {{ {here}, auth: {{ basic: {{ user: 'a:b', password: {{ file: text }} }} }} }}"), "registry", "no colon"),
        (&format!("registry: {{ {here}, auth: {{ bearer: {{ file: empty }} }} }}"), "registry", "the secret is empty"),
        (&format!("registry: {{ {here}, auth: {{ bearer: {{ env: NONE }} }} }}"), "registry", "NONE is not set"),
        (&format!("registry: {{ {here}, ca_file: text }}"), "registry", "holds no certificate"),
        (&format!("registry: {{ {here}, ca_file: none }}"), "registry", "can't be read"),
        (&format!("registry: {{ {here} }}"), "registri", "registry"),
    ] {
        let said = load(registry, format, folder.path()).expect_err(registry);
        assert!(said.contains(words), "{registry} said:\n{said}");
        assert_eq!(said.matches("d.yaml:").count(), 1, "one mistake: {registry} said:\n{said}");
        assert!(said.contains("d.yaml:3:") || format == "registri" || registry.is_empty(), "{said}");
    }
    let url = "registry: { url: 'https://me:swordfish@r' }";
    let said = load(url, "registry", folder.path()).expect_err("a password in the address");
    assert_eq!(said.matches("swordfish").count(), 1, "only the line that was typed: {said}");
    let both = format!("registry: {{ {here}, auth: {{ basic: {{ user: me, password: {{ file: text }} }}, bearer: {{ file: text }} }} }}");
    assert!(load(&both, "registry", folder.path()).expect_err("both").contains("keep one of them"));
}
