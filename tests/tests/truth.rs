//! The short form of `cargo xtask truth`: how many links are right, and how many are wrong, in programs that carry the truth.
use wirespan_tests::truth::backend::Backend;
use wirespan_tests::truth::report::meets;
use wirespan_tests::truth::run::{self, SHORT};
use wirespan_tests::truth::serve;
use wirespan_tests::truth::workload::named;

/// Runs a workload briefly. Panics unless its links are as good as the table asks for, live and in a replay of the same run.
fn holds(name: &str) {
    let workload = named(name).expect("a workload");
    let backend = Backend::start();
    for length in SHORT {
        let live = run::run(workload, length, &backend);
        assert!(meets(workload.bar, &live.wirespan), "{live:?}");
        let again = run::replay(workload, length.concurrency);
        if serve::is_studied(workload) {
            // Whoever recorded has studied the program too, but at another moment.
            assert!(meets(workload.bar, &again.wirespan), "{again:?}");
        } else {
            assert_eq!((&again.wirespan, &again.warm_up), (&live.wirespan, &live.warm_up), "a replay says the same");
        }
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
fn callbacks_of_node_are_linked() {
    holds("node-timer");
}

#[test]
fn tasks_of_asyncio_are_linked() {
    holds("aiohttp-pool");
}

#[test]
fn goroutines_are_linked() {
    holds("go-timer");
}

#[test]
fn tasks_of_tokio_are_linked() {
    holds("tokio-timer");
}
