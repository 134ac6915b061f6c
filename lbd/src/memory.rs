//! The allocator, and giving back what it keeps.
//!
//! mimalloc was chosen by measurement: on small keep-alive requests it needs 2 % less CPU than
//! jemalloc and 3 % less than the C library. What it keeps of freed pages it gives back only as it
//! is called, so a thread that has fallen quiet must ask; the call is foreign, hence `unsafe`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives what the calling thread has freed back to the system.
#[allow(unsafe_code)]
pub(crate) fn give_back() {
    // SAFETY: `mi_collect` takes no pointer and may be called from any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
