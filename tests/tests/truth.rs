//! The short form of `cargo xtask truth`: how many links are right, and above all how many are wrong, in programs that carry the truth.
use wirespan_tests::truth::backend::Backend;
use wirespan_tests::truth::report::meets;
use wirespan_tests::truth::run::{self, SHORT};
use wirespan_tests::truth::workload::named;

/// Runs a workload briefly. Panics unless its links are as good as the table asks for, live and in a replay of the same run.
fn holds(name: &str) {
    let workload = named(name).expect("a workload");
    let backend = Backend::start();
    for length in SHORT {
        let live = run::run(workload, length, &backend);
        assert!(meets(workload.bar, &live.wirespan), "{live:?}");
        let again = run::replay(workload, length.concurrency);
        assert_eq!((&again.wirespan, &again.warm_up), (&live.wirespan, &live.warm_up), "a replay says the same");
    }
}

#[test]
fn a_thread_per_request_is_linked() {
    holds("python-threads-sequential");
}

#[test]
fn processes_that_were_forked_before_are_linked() {
    holds("gunicorn-sync");
}

#[test]
fn nginx_is_linked() {
    holds("nginx-proxy");
}

#[test]
fn a_loop_with_timers_has_no_wrong_link() {
    holds("node-timer");
}

#[test]
fn a_loop_with_a_pool_has_no_wrong_link() {
    holds("aiohttp-pool");
}
