//! Buffers that several threads look at: whoever lets go last gives them back. Who fills them and what is in them is known
//! to `intake` and `ahead`.

use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// A buffer of plain bytes that several may read. When the last of them lets go, the decoding thread has it again.
pub(super) struct Shared {
    pub(super) bytes: Vec<u8>,
    pub(super) free: Sender<Vec<u8>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            // The decoding thread may be at its end already and need none.
            let _ = self.free.send(bytes);
        }
    }
}

/// Bytes of an archive that were taken and are kept for a while.
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
