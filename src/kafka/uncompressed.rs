//! A topic that one producer writes without compression, whatever it does with others.
//!
//! Why: a journal is hashes of request ids for the most part. Compressing it saves a fifth of its bytes and costs a twentieth of all CPU.

use rdkafka::bindings as native;
use std::ffi::CString;
use std::ptr::NonNull;

/// The client's handle of the topic. While it lives, what is produced to the topic's name is not compressed.
pub struct Uncompressed(NonNull<native::rd_kafka_topic_t>);

// SAFETY: the client's functions may be called from any thread, and the handle is only kept.
unsafe impl Send for Uncompressed {}

impl Uncompressed {
    /// Before anything is produced to the topic; `None` if the client knows better.
    ///
    /// # Safety
    /// `producer` is alive and outlives the result.
    pub unsafe fn new(producer: *mut native::rd_kafka_t, topic: &str) -> Option<Uncompressed> {
        let (name, value, topic) = (c"compression.codec", c"none", CString::new(topic).ok()?);
        // SAFETY: the strings end with zeros; the client takes the settings over, or they are destroyed here.
        unsafe {
            let settings = native::rd_kafka_default_topic_conf_dup(producer);
            let set = native::rd_kafka_topic_conf_set(settings, name.as_ptr(), value.as_ptr(), std::ptr::null_mut(), 0);
            if set != native::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                native::rd_kafka_topic_conf_destroy(settings);
                return None;
            }
            NonNull::new(native::rd_kafka_topic_new(producer, topic.as_ptr(), settings)).map(Uncompressed)
        }
    }
}

impl Drop for Uncompressed {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and its producer is alive.
        unsafe { native::rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}
