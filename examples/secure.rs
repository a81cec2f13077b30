//! driftline on an Apache Kafka with TLS, passwords and ACLs: the rights that docs/operations.md lists are enough, each of them is needed,
//! and whatever is wrong is said at once, with what to do.
//!
//! `tests/kafka/secure` builds and runs it. A line or two per case; exit code 1 at the first that is not as it must be.

#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/compare.rs"]
mod compare;
#[path = "../tests/exactly_once/config.rs"]
mod config;
#[path = "../tests/exactly_once/oracle.rs"]
mod oracle;
#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/process.rs"]
mod process;
#[allow(dead_code)] // other parts of it are for tests/exactly_once
#[path = "../tests/exactly_once/scene.rs"]
mod scene;
#[path = "../tests/secure/mod.rs"]
mod secure;
#[path = "../tests/kit/split_mix.rs"]
mod split_mix;
#[path = "../tests/exactly_once/topics.rs"]
mod topics;
#[path = "../tests/kit/wait.rs"]
mod wait;

use clap::Parser;
use driftline::kafka::rights::{Operation, Resource, needed};
use scene::Scene;
use secure::bench::Bench;
use secure::cases::{READER, one_of_each_kind, without};
use secure::rights::{Right, of_the_table};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs driftline on a secured Apache Kafka.
#[derive(Parser)]
struct Options {
    /// Predictions in the inputs.
    #[arg(long, default_value_t = 60_000)]
    predictions: usize,
    /// Folder for the broker and what processes say.
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match all(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("NOT AS IT MUST BE: {why}");
            ExitCode::from(1)
        }
    }
}

fn all(options: &Options) -> Result<(), String> {
    let example = std::env::current_exe().map_err(|e| e.to_string())?;
    let program = example.parent().and_then(Path::parent).ok_or("no target folder")?.join("driftline");
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).map_err(|e| e.to_string())?;
    let table = of_the_table(&docs, |name| match name {
        "predictions" | "outcomes" => format!("eos.{name}"),
        own => own.replace("<app>", "eos"),
    });
    let rights: BTreeSet<Right> =
        needed(&config::offline()).into_iter().flat_map(|(on, all)| all.into_iter().map(move |o| (on.clone(), o))).collect();
    if table != rights {
        return Err(format!("docs/operations.md lists {table:#?}, driftline needs {rights:#?}"));
    }
    let mut users: Vec<String> = rights.iter().map(without).collect();
    users.extend(["driftline", READER].map(String::from));
    let bench = Bench::start(&options.dir, &program, &users)?;
    let scene = Scene::new(options.predictions);
    topics::load(&scene, &bench.settings());
    bench.topics()?;
    bench.documented(&docs, &rights)?;
    let but_one = |less: &Right| rights.iter().filter(|r| *r != less).map(|r| (without(less), r.clone(), true)).collect::<Vec<_>>();
    bench.grant(&rights.iter().flat_map(but_one).collect::<Vec<_>>());
    bench.connections()?;
    bench.each_right_is_needed(&rights)?;
    bench.taken_away(
        (Resource::Topic("eos.summaries".into()), Operation::Write),
        &["User:driftline has lost the right to Write", "eos.summaries"],
    )?;
    bench.taken_away((Resource::Group("eos-join".into()), Operation::Read), &["User:driftline has no right to Read on group eos-join"])?;
    bench.enough(&oracle::publishes(&scene, &config::offline()))?;
    bench.tail()?;
    bench.webhooks()?;
    for right in one_of_each_kind() {
        bench.what_is_said_helps(&right)?;
    }
    println!("{} rights: enough, and each of them needed", rights.len());
    Ok(())
}
