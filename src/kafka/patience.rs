//! Patience: asking again while brokers are away.
//!
//! Guarantees: a process that starts while a broker is down, or about to go, waits for it as one that runs does.
//! Never: asks again where another answer can't come (rights, names, settings).

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use std::time::{Duration, Instant};

/// So long a start waits for brokers that have answered before.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// The first answer that is not "later", or the last one after ten minutes.
pub fn patiently<T>(mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let began = Instant::now();
    loop {
        match ask() {
            Err(e) if passes(&e) && began.elapsed() < PATIENCE => {
                tracing::warn!("the brokers' answer is missing ({e}); asking again");
                std::thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

/// An answer that another moment may change.
fn passes(e: &KafkaError) -> bool {
    use Code::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, LeaderNotAvailable, NetworkException, NotController,
        NotLeaderForPartition, OperationTimedOut, RequestTimedOut, Resolve,
    };
    let away = [BrokerTransportFailure, AllBrokersDown, BrokerNotAvailable, NetworkException, Resolve];
    let moving = [LeaderNotAvailable, NotLeaderForPartition, NotController];
    let late = [OperationTimedOut, RequestTimedOut];
    // the client's own function has no code for requests of the admin kind
    let code = if let KafkaError::AdminOp(code) = e { Some(*code) } else { e.rdkafka_error_code() };
    code.is_some_and(|code| away.contains(&code) || moving.contains(&code) || late.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_moment_may_change_is_asked_again() {
        let mut answers = vec![Ok(7), Err(KafkaError::AdminOp(Code::BrokerTransportFailure))];
        assert_eq!(patiently(|| answers.pop().expect("an answer")), Ok(7));
        assert!(answers.is_empty());
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let refused = KafkaError::AdminOp(Code::TopicAuthorizationFailed);
        let mut answers = vec![Ok(7), Err(refused.clone())];
        assert_eq!(patiently(|| answers.pop().expect("an answer")), Err(refused));
        assert_eq!(answers.len(), 1);
    }
}
