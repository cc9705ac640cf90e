//! The allocator of the whole program.
//!
//! What is freed goes back to the system after a tenth of a second instead of the allocator's own second,
//! in which a busy server sets aside some 40 MiB. Whoever sets `MIMALLOC_PURGE_DELAY` decides otherwise.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
use std::ffi::c_long;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`: the bindings name the stable options only.
const PURGE_DELAY: mi_option_t = 15;
const PURGE_DELAY_MILLIS: c_long = 100;

/// Sets the allocator up. Call once, before threads are started.
pub(crate) fn configure() {
    #[expect(unsafe_code, reason = "the bindings have no safe function for it")]
    // SAFETY: stores one number in a table of the allocator, whose length is `_mi_option_last`, 38 or more.
    unsafe {
        mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MILLIS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    #[track_caller]
    fn check(expected: c_long) {
        #[expect(unsafe_code, reason = "the bindings have no safe function for it")]
        // SAFETY: reads the number that `configure` stores.
        let delay = unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(delay, expected);
    }

    /// The number of the option may change with the allocator's version; its default is no other option's.
    #[test]
    fn the_purge_delay_is_the_option_that_is_set() {
        check(1000);
        configure();
        check(PURGE_DELAY_MILLIS);
    }
}
