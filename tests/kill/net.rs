//! A network that can be made bad: a TCP proxy for each pair of a process and a broker.
//!
//! Brokers advertise the proxies' ports on the listeners that processes use, so nobody finds a way around them.

use super::MEMBERS;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Each read is handed on this much later.
    Slow(Duration),
    /// Nothing passes, connections stay; what was held back is handed on afterwards.
    Stalled,
    /// Requests pass, answers are lost.
    Deaf,
    /// Connections are reset, new ones as well.
    Cut,
}

/// Which links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    pub member: Option<usize>,
    pub broker: Option<usize>,
}

#[derive(Clone, Copy)]
struct State {
    weather: Weather,
    /// A connection that began at another number is reset.
    resets: u64,
}

struct Link {
    state: watch::Sender<State>,
    port: u16,
    behind: Arc<AtomicU16>,
}

/// All links.
pub struct Net {
    links: Vec<Link>,
    _runtime: Runtime,
}

impl Net {
    pub fn open() -> std::io::Result<Net> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let links = (0..MEMBERS * MEMBERS).map(|_| runtime.block_on(Link::open())).collect::<Result<_, _>>()?;
        Ok(Net { links, _runtime: runtime })
    }

    /// Ports by broker that this member talks to.
    pub fn ports(&self, member: usize) -> Vec<u16> {
        (0..MEMBERS).map(|broker| self.links[member * MEMBERS + broker].port).collect()
    }

    /// Where a link leads to.
    pub fn lead(&self, member: usize, broker: usize, port: u16) {
        self.links[member * MEMBERS + broker].behind.store(port, Ordering::Relaxed);
    }

    /// Changes the weather. A link on which bytes were lost, or that is cut, loses its connections.
    pub fn set(&self, reach: Reach, weather: Weather) {
        for link in self.reached(reach) {
            link.state.send_modify(|s| {
                s.resets += u64::from(weather == Weather::Cut || s.weather == Weather::Deaf);
                s.weather = weather;
            });
        }
    }

    /// Resets all connections of these links, once.
    pub fn reset(&self, reach: Reach) {
        self.reached(reach).for_each(|link| link.state.send_modify(|s| s.resets += 1));
    }

    fn reached(&self, reach: Reach) -> impl Iterator<Item = &Link> {
        let fits = move |i: usize| reach.member.is_none_or(|m| m == i / MEMBERS) && reach.broker.is_none_or(|b| b == i % MEMBERS);
        self.links.iter().enumerate().filter(move |(i, _)| fits(*i)).map(|(_, link)| link)
    }
}

impl Link {
    async fn open() -> std::io::Result<Link> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, behind) = (listener.local_addr()?.port(), Arc::new(AtomicU16::new(0)));
        let (state, seen) = watch::channel(State { weather: Weather::Fine, resets: 0 });
        tokio::spawn(serve(listener, behind.clone(), seen));
        Ok(Link { state, port, behind })
    }
}

async fn serve(listener: TcpListener, behind: Arc<AtomicU16>, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(carry(client, behind.load(Ordering::Relaxed), state.clone()));
    }
}

async fn carry(mut client: TcpStream, port: u16, state: watch::Receiver<State>) {
    let now = *state.borrow();
    let server = if now.weather == Weather::Cut { None } else { TcpStream::connect(("127.0.0.1", port)).await.ok() };
    let Some(mut server) = server else {
        client.set_zero_linger().ok();
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut watched = state.clone();
    let torn = tokio::select! {
        () = pump(&mut from_client, &mut to_server, state.clone(), false) => false,
        () = pump(&mut from_server, &mut to_client, state, true) => false,
        _ = watched.wait_for(|s| s.resets != now.resets) => true,
    };
    if torn {
        client.set_zero_linger().ok();
        server.set_zero_linger().ok();
    }
}

async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut state: watch::Receiver<State>,
    answers: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = from.read(&mut buffer).await.unwrap_or(0);
        let weather = state.borrow().weather;
        match weather {
            _ if n == 0 => return,
            Weather::Slow(by) => tokio::time::sleep(by).await,
            Weather::Stalled => drop(state.wait_for(|s| s.weather != Weather::Stalled).await.is_ok()),
            Weather::Deaf if answers => continue,
            _ => {}
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
