//! Brokers that are away: said once when it begins and once when it is over, however many clients of the process notice it.
//!
//! Why: each client reports each failed attempt to connect; a minute's outage would be a hundred warnings.
//! Never: decides anything; the clients reconnect by themselves.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Clients try again at least this often (`reconnect.backoff.max.ms`, 10 s, three times over, as a busy machine is late): without a failure
/// for so long, brokers are back.
const CALM: Duration = Duration::from_secs(30);

/// One outage at a time.
pub struct Outage {
    on: AtomicBool,
    times: Mutex<Option<Times>>,
}

struct Times {
    began: Instant,
    last: Instant,
}

/// The process's.
pub static OUTAGE: Outage = Outage { on: AtomicBool::new(false), times: Mutex::new(None) };

/// True if the error says no more than that no broker can be reached now.
pub fn is_absence(e: &KafkaError) -> bool {
    matches!(
        e.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::MessageTimedOut
                | Code::TimedOutQueue
        )
    )
}

impl Outage {
    /// A client could not reach a broker.
    pub fn noticed(&self, doing: &str, e: &KafkaError) {
        let Ok(mut times) = self.times.lock() else { return };
        let now = Instant::now();
        match times.as_mut() {
            Some(t) => {
                t.last = now;
                tracing::debug!("{doing}: {e}");
            }
            None => {
                *times = Some(Times { began: now, last: now });
                self.on.store(true, Ordering::Relaxed);
                tracing::warn!(
                    "no broker answers ({doing}: {e}); nothing is lost, work goes on when one does. If it lasts, look at the brokers and the network"
                );
            }
        }
    }

    /// A client's loop turns. A message from a broker is no end yet: other clients may still have failures in their queues.
    pub fn turned(&self) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut times) = self.times.lock() else { return };
        if let Some(t) = times.take_if(|t| t.last.elapsed() > CALM) {
            self.on.store(false, Ordering::Relaxed);
            tracing::info!("brokers answer again; the last failure was {} s after the first", (t.last - t.began).as_secs());
        }
    }
}
