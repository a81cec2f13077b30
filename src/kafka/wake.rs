//! Waking a member's thread when one of its queues has something.
//!
//! Guarantees: whatever enters a watched queue that was empty ends the next `wait`, even if it entered before `wait` was called.
//! Never: touches a queue from the client's thread; it only rings.

use rdkafka::bindings as native;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// A bell that the client's threads ring.
#[derive(Default)]
pub struct Wake {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake {
    /// Waits until the bell was rung since the last call, or for `patience`.
    pub fn wait(&self, patience: Duration) {
        let Ok(rung) = self.rung.lock() else { return };
        if let Ok((mut rung, _)) = self.bell.wait_timeout_while(rung, patience, |rung| !*rung) {
            *rung = false;
        }
    }
}

/// A queue of a client that rings a bell whenever something enters it while it is empty.
pub struct Watched(NonNull<native::rd_kafka_queue_t>);

impl Watched {
    /// Takes over a handle of a queue; `None` if it is null.
    ///
    /// # Safety
    /// `queue` is null or a handle that nobody else destroys. Its client and the bell outlive the result, and the bell does not move.
    pub unsafe fn new(queue: *mut native::rd_kafka_queue_t, wake: &Wake) -> Option<Watched> {
        let queue = NonNull::new(queue)?;
        let opaque = std::ptr::from_ref(wake).cast_mut().cast::<c_void>();
        // SAFETY: both are alive by the caller's word.
        unsafe { native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), opaque) };
        Some(Watched(queue))
    }

    /// The handle.
    pub fn queue(&self) -> *mut native::rd_kafka_queue_t {
        self.0.as_ptr()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: the handle is ours. The client rings under the queue's lock, which the first call takes as well: after it nobody does.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue(), None, std::ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue());
        }
    }
}

unsafe extern "C" fn ring(_: *mut native::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: `Watched::new` put a bell there that lives at least as long as the watch.
    let wake = unsafe { &*wake.cast::<Wake>() };
    if let Ok(mut rung) = wake.rung.lock() {
        *rung = true;
        wake.bell.notify_one();
    }
}
