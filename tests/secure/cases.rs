//! What is shown: enough rights, each right too few, wrong passwords and certificates, a right that is taken away.

use super::bench::{Bench, Ended, Listener, PATIENCE};
use super::rights::{Right, commands, of_the_list};
use crate::compare::Published;
use crate::topics::{Progress, read_published};
use crate::wait::within;
use driftline::kafka::rights::{Operation, Resource};
use std::collections::BTreeSet;

/// What docs/operations.md says about a secured cluster, in one line; people and rights come from the environment.
const CLIENT: &str = "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, sasl.username: \"${DRIFTLINE_USER}\", \
                      ssl.ca.location: \"${DRIFTLINE_CA}\" }\n  secrets: { sasl.password: { env: DRIFTLINE_PASSWORD }";
const RUN: [&str; 2] = ["run", "--once"];
/// Somebody who only wants to see the alerts.
pub const READER: &str = "reader";

/// The command that a message names.
fn words_after(said: &str, key: &str) -> Result<String, String> {
    let command = said.split_once(key).and_then(|s| s.1.split_once(" (docs/")).ok_or(format!("no command in: {said}"))?.0;
    Ok(command.to_string())
}

fn name(resource: &Resource) -> &str {
    match resource {
        Resource::Topic(name) | Resource::Group(name) | Resource::TransactionalIds(name) => name,
    }
}

/// The user who has every right but this one.
pub fn without((resource, operation): &Right) -> String {
    format!("without-{operation:?}-{}", name(resource))
}

/// The words are said, with this exit code.
fn must(what: &str, ended: &Ended, code: Option<i32>, words: &[&str]) -> Result<(), String> {
    let unsaid: Vec<_> = words.iter().filter(|w| !ended.said.contains(**w)).collect();
    if ended.code != code || !unsaid.is_empty() {
        return Err(format!("{what}: ended with {:?} (not {code:?}), did not say {unsaid:?}; it said:\n{}", ended.code, ended.said));
    }
    let last = ended.said.lines().rev().find(|l| l.contains(words[0])).unwrap_or_default();
    let plain = serde_json::from_str::<serde_json::Value>(last).ok();
    let message = plain.as_ref().and_then(|v| v["fields"]["message"].as_str()).unwrap_or(last);
    println!("{what}: exit code {}, {:.1} s\n  {message}", code.map_or("none yet".into(), |c| c.to_string()), ended.took.as_secs_f64());
    Ok(())
}

impl Bench {
    fn run(&self, user: &str) -> Ended {
        self.begin(user, Listener::Good, CLIENT, user, &format!("{user}-secret"), &RUN).until(None)
    }

    /// `topics create` by somebody who may do everything, over TLS.
    pub fn topics(&self) -> Result<(), String> {
        let made = self.begin("create", Listener::Good, CLIENT, "admin", "admin-secret", &["topics", "create"]).until(None);
        if made.code == Some(0) { Ok(()) } else { Err(format!("topics create: {made:?}")) }
    }

    /// The commands of the documents give exactly `needed`.
    pub fn documented(&self, docs: &str, needed: &BTreeSet<Right>) -> Result<(), String> {
        std::fs::write(self.dir.join("admin.properties"), self.properties()).map_err(|e| e.to_string())?;
        let written = [
            ("kafka-1:9093", self.address(Listener::Good)),
            ("APP=fraud", "APP=eos"),
            ("--topic predictions", "--topic eos.predictions"),
            ("--topic outcomes", "--topic eos.outcomes"),
        ];
        let commands = written.iter().fold(commands(docs).to_string(), |text, (theirs, ours)| {
            assert!(text.contains(theirs), "no {theirs:?} in the commands");
            text.replace(theirs, ours)
        });
        self.shell(&commands)?;
        let listed =
            self.shell(&format!("kafka-acls.sh --bootstrap-server {} --list --principal User:driftline", self.address(Listener::Plain)))?;
        let given = of_the_list(&listed);
        if given == *needed { Ok(()) } else { Err(format!("the documented commands give {given:#?}, needed are {needed:#?}")) }
    }

    fn properties(&self) -> String {
        format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
             sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"admin\" password=\"admin-secret\";\n",
            self.dir.join("kafka/tls/ca.pem").display()
        )
    }

    /// Every right but one, for each: the process ends and says which.
    pub fn each_right_is_needed(&self, needed: &BTreeSet<Right>) -> Result<(), String> {
        for right in needed {
            let user = without(right);
            let ended = self.run(&user);
            // topics are looked at before anything starts; groups and transactional ids by those who use them
            let code = if matches!(right.0, Resource::Topic(_)) { 1 } else { 4 };
            let words = [format!("User:{user} has no right to {:?} on", right.1), format!(" {}. Grant it: kafka-acls.sh", name(&right.0))];
            must(&format!("{:?} on {:?} is missing", right.1, right.0), &ended, Some(code), &[&words[0], &words[1]])?;
            if ended.said.matches("has no right").count() > 1 {
                return Err(format!("one right is missing, but it says more: {}", ended.said));
            }
        }
        Ok(())
    }

    /// The command in the message gives the right that was missing.
    pub fn what_is_said_helps(&self, right: &Right) -> Result<(), String> {
        let user = without(right);
        let said = self.run(&user).said;
        let command = words_after(&said, "Grant it: ")?;
        self.shell(&command.replace(self.address(Listener::Good), self.address(Listener::Plain)))?;
        let ended = self.run(&user);
        if ended.said.contains("has no right") { Err(format!("after `{command}`: {ended:?}")) } else { Ok(()) }
    }

    /// Enough rights: the run comes to its end, with the results that it must have.
    pub fn enough(&self, expected: &Published) -> Result<(), String> {
        let ended = self.run("driftline");
        if ended.code != Some(0) || ended.said.contains("Authorization") || ended.said.contains("a right") {
            return Err(format!("with every right: {ended:?}"));
        }
        let published = read_published(&self.settings());
        published.must_equal("the secured run", expected, "what the engine alone says");
        println!(
            "with the documented rights: exit code 0, {:.1} s, {} alerts, {} partial summaries, as the engine alone says",
            ended.took.as_secs_f64(),
            published.alerts.count(),
            published.partials.len()
        );
        Ok(())
    }

    /// `tail` needs Read on the alerts, which the service itself does not have, and nothing else: not even a group.
    pub fn tail(&self) -> Result<(), String> {
        let verb = ["tail", "--since", "2999-01-01T00:00:00Z"]; // reads all, shows none
        let read = |user: &str| self.begin("tail", Listener::Good, CLIENT, user, &format!("{user}-secret"), &verb).until(None);
        let words = [format!("User:{READER} has no right to Read on topic eos.alerts"), "Grant it: kafka-acls.sh".to_string()];
        let service = read("driftline");
        must("tail: only Write on the alerts", &service, Some(1), &["User:driftline has no right to Read on topic eos.alerts", &words[1]])?;
        must("tail: no right at all", &read(READER), Some(1), &[&words[0], &words[1]])?;
        let command = words_after(&read(READER).said, "Grant it: ")?;
        self.shell(&command.replace(self.address(Listener::Good), self.address(Listener::Plain)))?;
        let enough = read(READER);
        if enough.said.lines().count() != 1 {
            return Err(format!("tail with Read on the alerts: {enough:?}"));
        }
        must("tail: Read on the alerts is enough", &enough, Some(0), &["none of them matches"])
    }

    /// Webhooks, for somebody who may read the alerts: their places need Read on a group.
    pub fn webhooks(&self) -> Result<(), String> {
        let verb = ["forward", "--once", "--webhook", "chat=http://127.0.0.1:9"]; // nobody listens there
        let tell = || self.begin("webhooks", Listener::Good, CLIENT, READER, &format!("{READER}-secret"), &verb).until(None);
        let denied = tell();
        let words = format!("User:{READER} has no right to Read on group eos-webhook-chat");
        must("webhooks: only Read on the alerts", &denied, Some(1), &[&words, "Grant it: kafka-acls.sh"])?;
        let command = words_after(&denied.said, "Grant it: ")?;
        self.shell(&command.replace(self.address(Listener::Good), self.address(Listener::Plain)))?;
        let enough = tell();
        must(
            "webhooks: Read on their group is enough",
            &enough,
            Some(0),
            &["its place is kept under the group eos-webhook-chat", "0 event(s) taken"],
        )
    }

    /// A right that is taken away while the process uses it.
    pub fn taken_away(&self, right: Right, words: &[&str]) -> Result<(), String> {
        let running = self.begin("taken", Listener::Good, CLIENT, "driftline", "driftline-secret", &["run"]);
        let progress = Progress::of(&self.settings());
        let before = progress.committed(PATIENCE);
        within(PATIENCE, || (progress.committed(PATIENCE) != before).then_some(()))
            .ok_or_else(|| format!("nothing is committed: {}", running.said()))?;
        self.grant(&[("driftline".into(), right.clone(), false)]);
        let ended = running.until(None);
        let flag = if matches!(right.0, Resource::Topic(_)) { "topic" } else { "group" };
        self.shell(&format!(
            "kafka-acls.sh --bootstrap-server {} --remove --force --deny-principal User:driftline --operation {:?} --{flag} {}",
            self.address(Listener::Plain),
            right.1,
            name(&right.0)
        ))?;
        must(&format!("{:?} on {:?} is taken away", right.1, right.0), &ended, Some(4), words)
    }

    /// Passwords and certificates.
    pub fn connections(&self) -> Result<(), String> {
        let tries = |what: &str, listener, client: &str, password: &str| self.begin(what, listener, client, "driftline", password, &RUN);
        for verb in [&RUN[..], &["topics", "create"]] {
            let wrong = self.begin("password", Listener::Good, CLIENT, "driftline", "wrong", verb).until(None);
            must(&format!("{}: a wrong password", verb[0]), &wrong, Some(1), &["does not let User:driftline in", "sasl.password"])?;
        }
        let certificates = [
            (Listener::Expired, "has expired"),
            (Listener::Elsewhere, "is for another host: give the broker one that names localhost"),
            (Listener::Stranger, "is signed by an authority that is not trusted here"),
        ];
        for (listener, words) in certificates {
            let ended = tries("certificate", listener, CLIENT, "driftline-secret").until(None);
            let whose = format!("the certificate of {}", self.address(listener));
            must(&format!("{listener:?}"), &ended, Some(1), &[words, &whose])?;
        }
        let plain = tries("plain", Listener::Good, "", "").until(Some("security.protocol"));
        must("no TLS on a TLS listener", &plain, None, &["no broker answers", "security.protocol"])?;
        let tls = tries("tls", Listener::Plain, CLIENT, "driftline-secret").until(Some("security.protocol"));
        must("TLS on a listener without", &tls, tls.code, &["security.protocol"])
    }
}

/// Rights that differ in how they are granted: one of each kind.
pub fn one_of_each_kind() -> [Right; 3] {
    [
        (Resource::Topic("eos.journal".into()), Operation::Delete),
        (Resource::Group("eos-detect".into()), Operation::Read),
        (Resource::TransactionalIds("eos-".into()), Operation::Write),
    ]
}
