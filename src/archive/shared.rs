//! Buffers that several threads look at: whoever lets go last gives them back. Who fills them and what is in them is known
//! to `intake` and `ahead`.

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// A buffer that several may read. When the last of them lets go, the thread that fills it has it again.
pub(super) struct Shared {
    pub(super) bytes: Vec<u8>,
    free: Sender<Vec<u8>>,
}

impl Shared {
    /// One that goes back that way. One that is empty goes nowhere.
    pub(super) fn new(bytes: Vec<u8>, free: &Sender<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self { bytes, free: free.clone() })
    }

    /// What is in it, not to come back; a copy where others look at it, too.
    pub(super) fn into_bytes(self: Arc<Self>) -> Vec<u8> {
        Arc::try_unwrap(self)
            .map_or_else(|shared| shared.bytes.clone(), |mut own| std::mem::take(&mut own.bytes))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            // Who fills it may be at its end already and need none.
            let _ = self.free.send(bytes);
        }
    }
}

/// Bytes that were taken and are kept for a while.
pub(super) enum Slice {
    Part(Arc<Shared>, Range<usize>),
    /// They lay across two buffers.
    Own(Vec<u8>),
}

impl Slice {
    /// Whether both are of one buffer.
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Part(this, _), Self::Part(that, _)) if Arc::ptr_eq(this, that))
    }

    /// Makes both one, if the other follows in the same buffer.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Part(this, have), Self::Part(that, more))
                if Arc::ptr_eq(this, that) && have.end == more.start =>
            {
                have.end = more.end;
                true
            }
            _ => false,
        }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Part(shared, range) => &shared.bytes[range.clone()],
            Self::Own(bytes) => bytes,
        }
    }
}
