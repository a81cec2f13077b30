//! Asking for memory before it is needed, so that nobody waits for it then. Changes nothing but time.

/// Bytes that memory hands over at once.
pub const LINE: usize = 64;

/// Asks for the memory from `from` on; reads nothing, so any address will do.
#[inline]
pub fn prefetch<T>(from: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..bytes).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address is no access.
        unsafe { _mm_prefetch(from.cast::<i8>().wrapping_add(line), _MM_HINT_T0) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, bytes); // elsewhere the machine guesses alone
}
