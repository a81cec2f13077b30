//! The schema registry for verbs that end (`check --connect`, `infer`): whoever asks waits for the answer.
//!
//! Guarantees: each id is asked for once; after a failure nobody is asked again, so that a registry that is away costs one timeout; ids of
//! which no schema is to be had are asked for at most `MAX_ABSENT` times: bytes that only look like ids must not take for ever.
//! Never: is used on the way of a record in `run`. Comes from: `config::settings::Registry`. Goes to: `codec::writers`, `infer::records`.

use super::client::{Client, Fault, Trouble};
use crate::codec::framing::SchemaId;
use crate::codec::writers::{Answer, Schemas};
use crate::config::settings::Registry as Settings;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ids without a schema that are asked for.
const MAX_ABSENT: usize = 64;

/// A registry that is asked when somebody wants to know.
pub struct AtOnce {
    client: Client,
    url: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: BTreeMap<u32, Answer>,
    absent: usize,
    trouble: Option<Trouble>,
}

impl AtOnce {
    /// Asks nothing yet.
    pub fn new(settings: &Settings) -> Result<AtOnce, Trouble> {
        let (client, url) = (Client::new(settings)?, settings.url.clone());
        Ok(AtOnce { client, url, state: Mutex::default() })
    }

    /// Why schemas are unknown, if a question failed, for people.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.as_ref().map(|trouble| format!("the schema registry {}: {trouble}", self.url))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schemas for AtOnce {
    fn answer(&self, id: SchemaId) -> Answer {
        let mut state = self.lock();
        if let Some(known) = state.known.get(&id.0) {
            return known.clone();
        }
        if state.trouble.is_some() {
            return Answer::Unknown;
        }
        if state.absent >= MAX_ABSENT {
            return Answer::Absent(format!("{MAX_ABSENT} other ids have no schema either; it is not asked for any more"));
        }
        let answer = match self.client.schema(id.0) {
            Ok(written) => Answer::Is(Arc::new(written)),
            Err(Fault::Absent(why)) => {
                state.absent += 1;
                Answer::Absent(why)
            }
            Err(Fault::Trouble(trouble)) => {
                state.trouble = Some(trouble);
                return Answer::Unknown;
            }
        };
        state.known.insert(id.0, answer.clone());
        answer
    }

    fn news(&self) -> u64 {
        self.lock().known.len() as u64
    }

    fn is_away(&self) -> bool {
        self.lock().trouble.is_some()
    }
}
