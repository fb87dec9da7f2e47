//! The load generator of the benchmark: one thread, frames made before the run, no WebSocket library.
//! It costs less than the servers that it measures. It connects to 127.0.0.1 alone.
//!
//! One line of JSON comes out. Exit status: 0; 1 when a connection failed or nothing was measured.

mod connection;
mod frames;
mod load;
mod parser;
mod process;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
pub enum Mode {
    /// Keep DEPTH messages in flight on each connection; one more for each that comes back.
    Echo,
    /// The first connection sends, all receive: DEPTH messages on their way to all.
    Broadcast,
    /// Connect, upgrade, close, again and again, CONNECTIONS at a time.
    Churn,
    /// Hold CONNECTIONS that nothing is sent on. For a server that has just been started.
    Idle,
}

#[derive(Parser)]
#[command(about = "A WebSocket load generator. Prints one line of JSON.")]
pub struct Options {
    /// The server's port on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
    /// Processes of the server, to charge CPU time and memory to.
    #[arg(long)]
    pub pid: Vec<u32>,
    #[arg(long, value_enum, default_value = "echo")]
    pub mode: Mode,
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Payload of each message in bytes.
    #[arg(long, default_value_t = 125)]
    pub size: usize,
    #[arg(long, default_value_t = 1)]
    pub depth: u64,
    /// Echo: all send again when everything has come back, instead of each message for itself.
    #[arg(long, requires = "messages")]
    pub rounds: bool,
    /// Text instead of binary messages.
    #[arg(long)]
    pub text: bool,
    /// permessage-deflate, with text of words as payload.
    #[arg(long)]
    pub compress: bool,
    /// TLS: the certificate to trust, PEM, for localhost.
    #[arg(long)]
    pub tls: Option<PathBuf>,
    /// Seconds that count.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Seconds before that don't.
    #[arg(long, default_value_t = 0.5)]
    pub warmup: f64,
    /// Ends after so many messages instead, all of which count.
    #[arg(long)]
    pub messages: Option<u64>,
    /// No WebSocket: the server sends bytes back as they come.
    #[arg(long)]
    pub raw: bool,
}

fn main() {
    match load::run(Options::parse()) {
        Ok(report) => println!("{report}"),
        Err(e) => {
            eprintln!("load: {e}");
            std::process::exit(1);
        }
    }
}
