//! The command line: parse, load settings, call one function per verb.

use clap::Parser;
use driftline::cli::{Cli, Verb, baseline, check, demo, drill, explain, forward, infer, run, schema, size, tail, top, topics};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    driftline::ops::memory::ordinary_pages();
    let cli = Cli::parse();
    let done = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Demo(args) => demo::demo(&args),
        Verb::Check(args) => check::check(&args),
        Verb::Size(args) => size::size(&args),
        Verb::Infer(args) => infer::infer(&args),
        Verb::Schema => schema::schema(),
        Verb::Topics(args) => topics::topics(&args),
        Verb::Tail(args) => tail::tail(&args),
        Verb::Explain(args) => explain::explain(&args),
        Verb::Top(args) => top::top(&args),
        Verb::Baseline(args) => baseline::baseline(&args),
        Verb::Drill(args) => drill::drill(&args),
        Verb::Forward(args) => forward::forward(&args),
    };
    done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}
