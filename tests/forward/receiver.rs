//! Somebody who is told over HTTP, and the process that tells.

use crate::alerts_topic::PATIENCE;
use crate::wait::within;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Mutex};

/// A process that ends with the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A port that nobody listens at.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

/// What somebody has posted.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub text: String,
    headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Status(u16),
    /// Closes the connection in the middle of the status line.
    CutOff,
    /// Says 200, and closes the connection in the middle of the body.
    CutBody,
    /// Answers with 200 once it is released.
    Held,
}

/// Remembers what it is told and answers with the replies that it was given, then with 200.
pub struct Receiver {
    pub address: String,
    seen: Arc<Mutex<Vec<Request>>>,
    released: Arc<Mutex<bool>>,
}

impl Receiver {
    pub fn start(replies: &[Reply]) -> Receiver {
        Receiver::at(TcpListener::bind("127.0.0.1:0").expect("a free port"), replies)
    }

    pub fn at(listener: TcpListener, replies: &[Reply]) -> Receiver {
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (seen, released) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(false)));
        let mut replies = VecDeque::from(replies.to_vec());
        let receiver = Receiver { address, seen: seen.clone(), released: released.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else { continue };
                seen.lock().unwrap().push(request);
                answer(stream, replies.pop_front().unwrap_or(Reply::Status(200)), &released);
            }
        });
        receiver
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Whoever is held gets his answer.
    pub fn release(&self) {
        *self.released.lock().unwrap() = true;
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_string();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_string());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, text: String::from_utf8(body).ok()?, headers })
}

/// Answers and closes the connection.
fn answer(mut stream: TcpStream, reply: Reply, released: &Mutex<bool>) {
    let said = match reply {
        Reply::Status(status) => format!("HTTP/1.1 {status} x\r\ncontent-length: 3\r\nconnection: close\r\n\r\nwhy"),
        Reply::CutOff => "HTTP/1.1 2".into(),
        Reply::CutBody => "HTTP/1.1 200 x\r\ncontent-length: 30\r\n\r\nwhy".into(),
        Reply::Held => {
            within(PATIENCE, || released.lock().unwrap().then_some(()));
            "HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
        }
    };
    stream.write_all(said.as_bytes()).ok();
}
