//! How the process uses the machine's memory.

/// Asks the kernel for ordinary pages (Linux; elsewhere it does nothing). Call it first in `main`.
///
/// Why: with huge pages each small need of one of a dozen threads clears and keeps 2 MB. Measured by `cargo bench --bench end_to_end`:
/// a fifth less memory and a tenth less CPU time without them. MIMALLOC_ALLOW_THP=1 keeps them, which can pay where the join holds
/// gigabytes of rows.
pub fn ordinary_pages() {
    #[cfg(target_os = "linux")]
    if std::env::var_os("MIMALLOC_ALLOW_THP").is_none_or(|v| v != "1") {
        // SAFETY: it changes one flag of this process; a kernel that does not know it says so and changes nothing.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    }
}
