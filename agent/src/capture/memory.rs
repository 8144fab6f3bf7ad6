//! Memory that is free goes back to the system.
//!
//! The C library keeps what was freed for the next one who asks. Starting takes twenty times what running does, for the kernel's type
//! information and the loader, and a burst of connections takes more than the quiet after it: the allocator would keep all of that.

/// Gives back every page of the heap on which nothing lives. Takes some milliseconds at most, where there is much to give back.
pub fn give_back() {
    // SAFETY: it takes no pointer, locks the allocator itself, and moves nothing that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
