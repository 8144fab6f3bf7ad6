//! Connections that are older than the agent.
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use wirespan_tests::http::Connection;
use wirespan_tests::program::Program;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers;
use wirespan_tests::tree::tree;
use wirespan_tests::wait::wait_until;

const LINE: &str = "server nginx GET /next 200 none:root\n";

#[test]
fn an_idle_connection_is_traced_from_its_next_message_on() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let mut connection = Connection::to_port(nginx.port);
    connection.get("/before", "hello\n");
    let agent = rig.agent(&[]);
    connection.get("/next", "hello\n");
    connection.get("/next", "hello\n");
    assert_eq!(tree(&agent.stop().spans), LINE.repeat(2));
}

#[test]
fn half_a_request_seen_is_no_span_and_the_next_one_is_right() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let mut connection = Connection::to_port(nginx.port);
    connection.send(b"GET /half HTTP/1.1\r\nHost: te");
    let agent = rig.agent(&[]);
    // What follows the half looks like a whole request of its own.
    connection.send(b"st\r\nX-Note: \r\n\r\n");
    connection.receive("hello\n");
    connection.get("/next", "hello\n");
    assert_eq!(tree(&agent.stop().spans), LINE);
}

#[test]
fn an_answer_whose_request_was_not_seen_is_no_span_and_the_next_one_is_right() {
    let rig = Rig::new();
    // A client of ours asks before the agent watches, and is answered after that.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (go, wait) = mpsc::channel();
    let (asked, is_asked) = mpsc::channel();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        for _ in 0..4 {
            let count = stream.read(&mut [0; 4096]).expect("a request");
            assert!(count > 0);
            asked.send(()).expect("the test listens");
            wait.recv().expect("the test goes on");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n").expect("the client listens");
        }
    });
    let urls = ["/unseen", "/next", "/next", "/next"].map(|path| format!("{base}{path}"));
    let mut curl = rig.command("curl", &["--silent"]);
    curl.args(&urls).stdout(std::process::Stdio::null());
    let mut curl = Program::start(curl);
    is_asked.recv().expect("the first request");
    let agent = rig.agent(&[]);
    for _ in 0..3 {
        go.send(()).expect("the server listens");
        is_asked.recv().expect("the next request");
    }
    // curl lives until the agent has had a look at it.
    wait_until("there is a span", || !agent.spans().is_empty());
    go.send(()).expect("the server listens");
    assert!(curl.wait().success());
    server.join().expect("the server");
    assert_eq!(tree(&agent.stop().spans), "client curl GET /next 200 none:gap\n".repeat(3));
}

#[test]
fn a_redis_connection_in_a_pool_is_traced_from_its_next_command_on() {
    let rig = Rig::new();
    let redis = servers::redis(&rig, &[]);
    let mut connection = Connection::to_port(redis.port);
    connection.send(b"*2\r\n$3\r\nGET\r\n$6\r\nbefore\r\n");
    connection.receive("$-1\r\n");
    let agent = rig.agent(&[]);
    for _ in 0..3 {
        connection.send(b"*2\r\n$3\r\nGET\r\n$4\r\nnext\r\n");
        connection.receive("$-1\r\n");
    }
    assert_eq!(tree(&agent.stop().spans), "server redis-server GET GET next ok none:root\n".repeat(3));
}
