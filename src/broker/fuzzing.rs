//! Doors for fuzz targets: what a client's bytes do to a broker of their own. Not in any other build.
//!
//! Never: waits. A request that others would have to answer is dropped when it begins to wait, as if its client had gone.

use super::batch::Stored;
use super::front::{Broker, ask};
use super::state::Cluster;
use super::{records, wire};
use crate::engine::types::Offset;
use crate::log::Headers;
use bytes::{Bytes, BytesMut};
use std::future::Future;
use std::sync::OnceLock;
use std::task::{Context, Waker};

/// Requests of one client, one after the other, each without its length.
pub fn client(frames: &[&[u8]]) {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"));
    let _inside = runtime.enter();
    let broker = Broker::new(Cluster::new(), 1);
    // whoever reads them from a socket checks this
    for frame in frames.iter().filter(|frame| frame.len() >= 8) {
        let asked = std::pin::pin!(ask(&broker, Bytes::copy_from_slice(frame)));
        let _ = asked.poll(&mut Context::from_waker(Waker::noop()));
        broker.with(|cluster| cluster.advance(cluster.now_ms() + 1));
    }
}

/// A batch of records, with length and checksum set right.
pub fn batch(bytes: &[u8]) {
    let mut sealed = BytesMut::from(bytes);
    if sealed.len() >= wire::HEAD_BYTES {
        wire::seal(&mut sealed);
    }
    let Ok(batch) = wire::parse(&sealed) else { return };
    for append_time_ms in [None, Some(7)] {
        let stored = Stored { base: Offset(1 << 40), append_time_ms, batch: batch.clone() };
        let mut out = BytesMut::new();
        wire::write(&stored, &mut out);
        assert!(wire::parse(&out).is_ok(), "what readers get is a batch");
        let mut last = None;
        for record in records::decode(&stored).map_while(Result::ok) {
            assert!(record.headers.len() <= bytes.len(), "each header takes a byte");
            (0..record.headers.len()).map_while(|i| record.headers.get(i)).for_each(drop);
            last = Some(record.offset);
        }
        let _ = (last, wire::first_since(&stored, 0, Offset(0)));
    }
}
