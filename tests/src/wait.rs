//! Waiting for things that happen soon, but nobody knows when.
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything takes on a machine that is busy with other things: reaching it means that it will not happen.
pub const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` gives something, and gives that. Panics with `what` after [`LIMIT`].
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < LIMIT, "waited in vain until {what}");
        thread::sleep(PAUSE);
    }
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
