//! What the client has fetched, one queue per partition, read without copying.
//!
//! Guarantees: records of a partition come in offset order, none below its start, and stay in the client's memory until they are
//! taken; a partition whose records are not taken holds back its own fetching alone (`queued.min.messages`).
//! Why not the client's one common queue: taking messages in batches costs about half of polling them singly, and a record that may not
//! be judged yet can simply stay where it is.
//! Never: hands over a record of a partition that was not started.

use super::wake::{Wake, Watched};
use crate::engine::types::{Offset, Partition};
use crate::log::{Handed, Headers, Record, TopicIx};
use crate::prefetch::{LINE, prefetch};
use rdkafka::bindings as native;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::ffi::{CStr, CString};

/// Messages that are taken from the client at once.
const BATCH: usize = 512;

/// A message's value is asked for so many messages before it is shown, the message itself twice as many.
const AHEAD: usize = 4;

type Message = *mut native::rd_kafka_message_t;

/// One partition.
struct Queue {
    topic: TopicIx,
    partition: Partition,
    /// The next offset that is wanted.
    next: i64,
    /// Where the client has reached the end; `None` while records come.
    end: Option<Offset>,
    messages: Vec<Message>,
    taken: usize,
    native: Watched,
}

/// The queues of a member's partitions. Must end before the client that they belong to.
pub struct Queues {
    client: *mut native::rd_kafka_t,
    queues: Vec<Queue>,
    /// Places in `queues` by topic and partition.
    places: Vec<Vec<Option<usize>>>,
    /// Queues that belong to no partition, watched.
    watched: Vec<Watched>,
    wake: Box<Wake>,
}

// SAFETY: the client's functions may be called from any thread; nothing here is shared between threads.
unsafe impl Send for Queues {}

impl Queues {
    /// Queues of `client`, none yet.
    ///
    /// # Safety
    /// `client` is a consumer that outlives the result.
    pub unsafe fn new(client: *mut native::rd_kafka_t) -> Queues {
        // the bell is in a box and does not move; it is declared last and so ends last
        let mut queues = Queues { client, queues: Vec::new(), places: Vec::new(), watched: Vec::new(), wake: Box::default() };
        // SAFETY: as the caller says.
        unsafe { queues.watch(client) };
        queues
    }

    /// Lets go of all messages and partitions.
    pub fn clear(&mut self) {
        self.queues.clear();
        self.places.clear();
    }

    /// From now on records of this partition stay in a queue of their own. Call it before the client begins to fetch them.
    pub fn start(&mut self, topic: TopicIx, name: &str, partition: Partition, at: Offset) -> Option<()> {
        let name = CString::new(name).ok()?;
        // SAFETY: the client is alive, the name is a C string; the bell outlives the queue (see `new`).
        let native = unsafe {
            let queue = Watched::new(native::rd_kafka_queue_get_partition(self.client, name.as_ptr(), partition.0), &self.wake)?;
            native::rd_kafka_queue_forward(queue.queue(), std::ptr::null_mut());
            queue
        };
        let (t, p) = (usize::from(topic.0), partition.0 as usize);
        if self.places.len() <= t {
            self.places.resize_with(t + 1, Vec::new);
        }
        if self.places[t].len() <= p {
            self.places[t].resize(p + 1, None);
        }
        self.places[t][p] = Some(self.queues.len());
        let messages = Vec::with_capacity(BATCH);
        self.queues.push(Queue { topic, partition, next: at.0, end: None, messages, taken: 0, native });
        Some(())
    }

    fn place(&self, topic: TopicIx, partition: Partition) -> Option<usize> {
        *self.places.get(usize::from(topic.0))?.get(usize::try_from(partition.0).ok()?)?
    }

    /// Rings for another consumer's queue as well.
    ///
    /// # Safety
    /// `client` is a consumer that outlives `self`.
    pub unsafe fn watch(&mut self, client: *mut native::rd_kafka_t) {
        // SAFETY: as in `new`.
        unsafe {
            self.watched.extend(Watched::new(native::rd_kafka_queue_get_consumer(client), &self.wake));
        }
    }

    /// Takes messages from the client where none wait; true if that brought a record.
    pub fn fill(&mut self, errors: &mut Vec<KafkaError>) -> bool {
        let mut came = false;
        for queue in self.queues.iter_mut().filter(|q| q.first().is_none()) {
            came |= queue.fill(errors);
        }
        came
    }

    /// Waits until something may have come.
    pub fn wait(&self, patience: std::time::Duration) {
        self.wake.wait(patience);
    }

    /// True if a record waits.
    pub fn waits(&self, topic: TopicIx, partition: Partition) -> bool {
        self.place(topic, partition).is_some_and(|at| self.queues[at].first().is_some())
    }

    /// Where the client has said that the partition ends, if no record waits.
    pub fn rests_at(&self, topic: TopicIx, partition: Partition) -> Option<Offset> {
        let queue = &self.queues[self.place(topic, partition)?];
        queue.end.filter(|_| queue.first().is_none())
    }

    /// `Log::hand_over`.
    pub fn hand_over(
        &mut self,
        topic: TopicIx,
        partition: Partition,
        errors: &mut Vec<KafkaError>,
        sink: &mut dyn FnMut(Record<'_>) -> Handed,
    ) {
        let Some(at) = self.place(topic, partition) else { return };
        let queue = &mut self.queues[at];
        while queue.fill(errors) {
            let Some(message) = queue.first() else { return };
            queue.fetch_ahead();
            // SAFETY: the message is ours until `take`.
            let handed = unsafe { shown(message, queue.topic, queue.partition, sink) };
            if handed == Handed::Stays {
                return;
            }
            queue.take();
            if handed == Handed::Enough {
                queue.fill(errors); // what waits now is a record, or nothing
                return;
            }
        }
    }
}

impl Queue {
    fn first(&self) -> Option<Message> {
        self.messages.get(self.taken).copied()
    }

    /// Asks for the memory of a message that is shown soon, so that nobody waits for it then.
    #[inline]
    fn fetch_ahead(&self) {
        if let Some(message) = self.messages.get(self.taken + 2 * AHEAD) {
            prefetch(*message, size_of::<native::rd_kafka_message_t>());
        }
        if let Some(message) = self.messages.get(self.taken + AHEAD) {
            // SAFETY: it is alive and ours, and so is its value, which may be null: nothing is read from it.
            let (value, length) = unsafe { ((**message).payload, (**message).len) };
            prefetch(value, length.min(8 * LINE));
        }
    }

    /// Releases the first message.
    fn take(&mut self) {
        if let Some(message) = self.first() {
            // SAFETY: it is alive and ours, and from here on nobody's.
            unsafe {
                self.next = self.next.max((*message).offset + 1);
                native::rd_kafka_message_destroy(message);
            }
            self.taken += 1;
        }
    }

    /// Brings a record to the front if there is one: skips what is below the start, and notes ends and errors.
    #[inline]
    fn fill(&mut self, errors: &mut Vec<KafkaError>) -> bool {
        loop {
            while let Some(message) = self.first() {
                // SAFETY: it is alive and ours.
                let (code, offset) = unsafe { ((*message).err, (*message).offset) };
                if code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && offset >= self.next {
                    self.end = None;
                    return true;
                }
                if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    self.note(message, code, offset, errors);
                }
                self.drop_first();
            }
            if !self.fetch() {
                return false;
            }
        }
    }

    fn note(&mut self, message: Message, code: native::rd_kafka_resp_err_t, offset: i64, errors: &mut Vec<KafkaError>) {
        match RDKafkaErrorCode::from(code) {
            RDKafkaErrorCode::PartitionEOF => self.end = Some(Offset(offset)),
            other => {
                // SAFETY: the message is alive, and it is an error's: its text is a C string.
                let why = unsafe { CStr::from_ptr(native::rd_kafka_message_errstr(message)) }.to_string_lossy();
                tracing::info!("reading partition {} of input {} at {}: {why}", self.partition.0, self.topic.0, self.next);
                errors.push(KafkaError::MessageConsumption(other));
            }
        }
    }

    fn drop_first(&mut self) {
        if let Some(message) = self.first() {
            // SAFETY: it is alive and ours, and from here on nobody's.
            unsafe { native::rd_kafka_message_destroy(message) };
            self.taken += 1;
        }
    }

    /// The next batch; false if there is nothing.
    fn fetch(&mut self) -> bool {
        self.messages.clear();
        self.taken = 0;
        // SAFETY: the queue is alive; there is room for BATCH pointers, of which `n` are valid afterwards.
        unsafe {
            let n = native::rd_kafka_consume_batch_queue(self.native.queue(), 0, self.messages.as_mut_ptr(), BATCH);
            self.messages.set_len(usize::try_from(n).unwrap_or(0));
        }
        !self.messages.is_empty()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        while self.first().is_some() {
            self.drop_first();
        }
    }
}

/// Shows a message as a record.
///
/// # Safety
/// `message` is alive and has no error.
unsafe fn shown(message: Message, topic: TopicIx, partition: Partition, sink: &mut dyn FnMut(Record<'_>) -> Handed) -> Handed {
    // SAFETY: as the caller says; the borrowed parts end with this call.
    unsafe {
        let m = &*message;
        let part =
            |bytes: *mut std::ffi::c_void, len: usize| (!bytes.is_null()).then(|| std::slice::from_raw_parts(bytes.cast::<u8>(), len));
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let timestamp = native::rd_kafka_message_timestamp(message, &mut kind);
        sink(Record {
            topic,
            partition,
            offset: Offset(m.offset),
            timestamp,
            append_time: kind == native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME,
            key: part(m.key, m.key_len),
            value: part(m.payload, m.len),
            headers: &Lazy(message),
        })
    }
}

/// Headers that are parsed when somebody asks. Lives no longer than its message.
struct Lazy(Message);

impl Lazy {
    fn headers(&self) -> Option<*mut native::rd_kafka_headers_t> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive (see the type).
        let code = unsafe { native::rd_kafka_message_headers(self.0, &mut headers) };
        (code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(headers)
    }
}

impl Headers for Lazy {
    fn len(&self) -> usize {
        // SAFETY: headers live as long as their message.
        self.headers().map_or(0, |h| unsafe { native::rd_kafka_header_cnt(h) })
    }

    fn get(&self, i: usize) -> Option<(&str, Option<&[u8]>)> {
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: headers, and what they point to, live as long as their message.
        unsafe {
            let code = native::rd_kafka_header_get_all(self.headers()?, i, &mut name, &mut value, &mut size);
            if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let name = CStr::from_ptr(name).to_str().unwrap_or("");
            Some((name, (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size))))
        }
    }
}
