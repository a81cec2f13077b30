//! Asking running processes for their pages.
//!
//! Guarantees: all are asked at once, each is waited for no longer than `TIMEOUT`; why there is no answer is a sentence that says what to do.
//! Comes from: addresses as people type them. Goes to: `sample`.

use super::page::Page;
use super::sample::{Sample, Status};
use crate::outward::{self, Unreached};
use std::path::PathBuf;
use std::time::Duration;
use ureq::Agent;

/// An answer is waited for this long.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a page: 2,000 series take about 200 KiB.
const MOST: u64 = 32 << 20;
/// A series that every version has had.
const OURS: &str = "driftline_build_info";

/// Who asks.
#[derive(Clone)]
pub struct Asker {
    agent: Agent,
    urls: Vec<String>,
    /// A file with a bearer token; read each time, since tokens are renewed.
    token_file: Option<PathBuf>,
}

/// The address of a process as it is typed: with or without scheme, or of one of its pages.
pub fn address(typed: &str) -> Result<String, String> {
    let typed = typed.trim();
    let whole = if typed.contains("://") { typed.to_string() } else { format!("http://{typed}") };
    let url = outward::address(&whole).ok_or_else(|| format!("\"{typed}\" is no address of a process; write http://HOST:PORT"))?;
    Ok(["/metrics", "/status"].iter().find_map(|page| url.strip_suffix(page)).unwrap_or(url).to_string())
}

impl Asker {
    /// Of processes at these addresses. `ca`: certificates in PEM that vouch for them; without them Mozilla's list does.
    pub fn new(urls: Vec<String>, token_file: Option<PathBuf>, ca: Option<&str>) -> Result<Asker, String> {
        Ok(Asker { agent: outward::agent(TIMEOUT, ca)?, urls, token_file })
    }

    /// Whom it asks.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Asks everyone; what each says, in the order of `urls`.
    pub fn round(&self, now: impl Fn() -> i64 + Sync) -> Vec<Result<Sample, String>> {
        std::thread::scope(|scope| {
            let asked: Vec<_> = self.urls.iter().map(|url| scope.spawn(|| self.ask(url, &now))).collect();
            asked.into_iter().map(|answer| answer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    fn ask(&self, url: &str, now: &impl Fn() -> i64) -> Result<Sample, String> {
        let metrics = Page::read(&self.page(&format!("{url}/metrics"))?);
        let at_ms = now();
        let ours = || "what answers there is no driftline; write the address of http.listen".to_string();
        if !metrics.has(OURS) {
            return Err(ours());
        }
        let status: Status = serde_json::from_str(&self.page(&format!("{url}/status"))?).map_err(|e| format!("{} ({e})", ours()))?;
        Ok(Sample { at_ms, metrics, status })
    }

    fn page(&self, url: &str) -> Result<String, String> {
        let mut request = self.agent.get(url);
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file).map_err(|e| format!("--token-file {} can't be read: {e}", file.display()))?;
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let mut answer = request.call().map_err(unreached)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MOST).read_to_string().map_err(unreached)?;
        match status {
            200 => Ok(body),
            404 => Err("it answers 404; write the address of http.listen, with the path of a proxy before it if there is one".into()),
            401 | 403 => Err(format!(
                "it does not let us in, status {status}; give the token of its http.token (--token-file), or that of a proxy before it"
            )),
            429 => Err("it is asked more than 100 times a second; close other views, or raise --every".into()),
            300..=399 => Err(format!("it answers with a redirect, status {status}; write the address that it leads to")),
            _ => Err(format!("it answers with status {status}; its log may say why")),
        }
    }
}

/// What it means that there is no answer.
fn unreached(e: ureq::Error) -> String {
    match outward::unreached(e) {
        Unreached::NoListener => "nobody listens there; does the process run, and is this its http.listen?".into(),
        Unreached::NoHost => "there is no such host; correct --url".into(),
        Unreached::Late => format!("no answer within {} s; is the process overloaded, or a firewall before it?", TIMEOUT.as_secs()),
        Unreached::NoAddress(why) => format!("that is no address ({why}); write http://HOST:PORT"),
        Unreached::Distrusted(why) => {
            format!("no secured connection ({why}); give its authority (--ca-file), or write http:// if it has no http.tls")
        }
        Unreached::Other(why) => format!("it can't be reached ({why}); is --url right?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme_or_name_a_page() {
        for typed in ["10.0.0.7:9464", " http://10.0.0.7:9464/ ", "http://10.0.0.7:9464/metrics", "10.0.0.7:9464/status/"] {
            assert_eq!(address(typed).as_deref(), Ok("http://10.0.0.7:9464"), "{typed}");
        }
        assert_eq!(address("https://gate/fraud").as_deref(), Ok("https://gate/fraud"));
        for wrong in ["", ":9464", "http://", "a b"] {
            assert!(address(wrong).is_err_and(|why| why.contains("http://HOST:PORT")), "{wrong}");
        }
    }
}
