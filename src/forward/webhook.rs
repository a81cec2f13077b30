//! One webhook: its name, its address, and telling it an event.
//!
//! Guarantees: an answer of HTTP is told as such, whatever becomes of its body; what its address holds beyond scheme, host and port is never shown.
//! Never: decides what an answer means (`deliveries`). Comes from: `cli::forward_webhooks`. Goes to: `POST` to the address.

use super::TIMEOUT;
use super::signature::Secrets;
use crate::outward;
use std::time::Duration;
use ureq::Agent;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of an answer that are read: so that the connection can be used again, and for the log.
const READ: u64 = 16 << 10;

/// One webhook.
pub struct Webhook {
    agent: Agent,
    name: String,
    url: String,
    origin: String,
}

/// What came of telling an event.
pub struct Answer {
    /// Of HTTP; nothing if there was no answer.
    pub status: Option<u16>,
    /// The end of a sentence.
    pub said: String,
    /// It asks to be left alone for this long.
    pub pause: Duration,
}

impl Answer {
    /// There was none.
    pub fn none(said: String) -> Answer {
        Answer { status: None, said, pause: Duration::ZERO }
    }
}

impl Webhook {
    /// From `URL` or `NAME=URL`. Without a name it is called after its address, so that a new address is a new webhook.
    pub fn new(text: &str, ca: Option<&str>) -> Result<Webhook, String> {
        let named = text.trim().split_once('=').filter(|(name, _)| is_name(name));
        let (name, url) = named.map_or((None, text.trim()), |(name, url)| (Some(name), url));
        let Some(origin) = outward::origin(url) else {
            let which = name.map(|n| format!(" {n}")).unwrap_or_default();
            return Err(format!(
                "--webhook{which}: that is no address; write https://HOST/PATH or NAME=https://HOST/PATH, the name of letters, digits, - and _ (%2C for a comma in the address)"
            ));
        };
        let name = name.map_or_else(|| format!("{:08x}", xxh3_64(url.as_bytes()) >> 32), str::to_string);
        let agent = outward::agent(TIMEOUT, ca).map_err(|why| format!("--ca-file {why}"))?;
        Ok(Webhook { agent, name, url: url.to_string(), origin })
    }

    /// What it is called: its places are kept under this name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name and host, for messages.
    pub fn shown(&self) -> String {
        format!("webhook {} ({})", self.name, self.origin)
    }

    /// Tells an event at `seconds` since 1970.
    pub fn tell(&self, id: &str, body: &str, secrets: Option<&Secrets>, seconds: i64) -> Answer {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        request = request.header("webhook-id", id).header("webhook-timestamp", seconds.to_string());
        if let Some(secrets) = secrets {
            request = request.header("webhook-signature", secrets.sign(id, seconds, body));
        }
        let mut answer = match request.send(body) {
            Ok(answer) => answer,
            Err(ureq::Error::BadUri(_)) => return Answer::none("has an address that can't be used".into()),
            Err(e) => return Answer::none(format!("can't be reached ({e})")),
        };
        let (status, pause) = (answer.status().as_u16(), outward::pause(&answer));
        let text = answer.body_mut().with_config().limit(READ).read_to_string().unwrap_or_default();
        let said = outward::beginning(text.trim());
        let said = if said.is_empty() { format!("answers with status {status}") } else { format!("answers with status {status} ({said})") };
        Answer { status: Some(status), said, pause }
    }
}

/// Part of the name of a consumer group.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_a_name_of_its_own_or_one_after_its_address() {
        let named = Webhook::new("on-call=https://me:secret@chat.example/hooks?token=secret", None).unwrap();
        assert_eq!((named.name(), named.shown().as_str()), ("on-call", "webhook on-call (https://chat.example)"));
        assert_eq!(named.url, "https://me:secret@chat.example/hooks?token=secret");
        let name = |url: &str| Webhook::new(url, None).unwrap().name().to_string();
        assert_eq!(name(" https://chat.example/hooks?token=a"), name("https://chat.example/hooks?token=a"));
        assert_ne!(name("https://chat.example/hooks?token=a"), name("https://chat.example/hooks?token=b"));
        assert_eq!(name("https://chat.example/").len(), 8);
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_shown() {
        for wrong in ["", "chat.example/secret", "on call=https://chat.example/secret", "a.b=https://chat.example/secret", "on-call=secret"]
        {
            let why = Webhook::new(wrong, None).err().unwrap();
            assert!(why.contains("https://HOST/PATH") && !why.contains("secret"), "{wrong}: {why}");
        }
    }
}
