//! Programs that hand bytes on, with real ones: requests join across them by their content, and never wrongly.
use std::collections::BTreeMap;
use std::fs;
use wirespan_tests::load::ask_for_all;
use wirespan_tests::program::free_port;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON, Server};
use wirespan_tests::span::{Kind, Span};
use wirespan_tests::tree::{trace_of, tree};

/// Requests under way at once.
const AT_ONCE: usize = 8;

fn socat(rig: &Rig, upstream: u16) -> Server {
    let port = free_port();
    let (listen, connect) = (format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"), format!("TCP:127.0.0.1:{upstream}"));
    Server { port, program: rig.serve("socat", &[&listen, &connect], port) }
}

/// `HAProxy` without a look at what it passes on, with one thread: so that one loop has all requests.
fn haproxy(rig: &Rig, upstream: u16) -> Server {
    let port = free_port();
    let text = format!(
        "global\n nbthread 1\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         listen l4\n bind 127.0.0.1:{port}\n server upstream 127.0.0.1:{upstream}\n"
    );
    let config = rig.file("haproxy.cfg");
    fs::write(&config, text).expect("HAProxy's configuration");
    Server { port, program: rig.serve("haproxy", &["-db", "-f", &config.display().to_string()], port) }
}

/// An HTTP proxy that lets everybody `CONNECT` to `upstream`.
fn tinyproxy(rig: &Rig, upstream: u16) -> Server {
    let port = free_port();
    let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 30\nAllow 127.0.0.1\nConnectPort {upstream}\nUser root\nGroup root\n");
    let config = rig.file("tinyproxy.conf");
    fs::write(&config, text).expect("tinyproxy's configuration");
    Server { port, program: rig.serve("tinyproxy", &["-d", "-c", &config.display().to_string()], port) }
}

#[test]
fn every_request_through_a_forwarder_of_bytes_is_one_trace() {
    for (name, start) in [("socat", socat as fn(&Rig, u16) -> Server), ("haproxy", haproxy)] {
        let rig = Rig::new();
        let nginx = servers::static_nginx(&rig);
        let forwarder = start(&rig, nginx.port);
        let agent = rig.agent(&[]);
        rig.curl(&forwarder.url("/first"));
        ask_for_all(&rig, &forwarder.url(""), (0..100).map(|id| format!("/request/{id}")), AT_ONCE);
        let run = agent.stop();
        let paths = (0..100).map(|id| format!("/request/{id}")).chain(["/first".to_owned()]);
        for path in paths {
            let root = run.spans.iter().find(|span| span.service() == "curl" && span.target() == path).expect("curl's span");
            let told = trace_of(root, &run.spans);
            let [link, call] = [" thread?", " tunnel"].map(|word| {
                format!(
                    "client curl GET {path} 200 none:root\n  server {name} GET {path} 200 wire\n    client {name} GET {path} 200{word}\n      \
                     server nginx GET {path} 200 wire\n"
                )
            });
            assert!([link, call].contains(&told), "{told}");
        }
        println!("{name}: {:?}", run.accounting.links);
    }
}

/// Answers with the status that the body names: what tells requests apart is told with the answer alone.
const STATUS_SERVER: &str = "import http.server, sys, time, random
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        status = int(self.rfile.read(3))
        time.sleep(random.uniform(0, 0.005))
        self.send_response(status)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer.request_queue_size = 64
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()";

/// Asks for the same thing on several connections at once, again and again, on old connections and on new ones.
const EQUAL_CLIENT: &str = "import socket, sys, threading
port, at_once, rounds = map(int, sys.argv[1:])
together = threading.Barrier(at_once)
def ask(number):
    connection = None
    for round in range(rounds):
        if round % 5 == 0:
            connection = socket.create_connection(('127.0.0.1', port))
        together.wait()
        connection.sendall(b'POST /same HTTP/1.1\\r\\nHost: test\\r\\nContent-Length: 3\\r\\n\\r\\n%d' % (200 + number))
        answer = b''
        while b'\\r\\n\\r\\n' not in answer:
            answer += connection.recv(4096)
        assert answer.startswith(b'HTTP/1.1 %d' % (200 + number)), answer
threads = [threading.Thread(target=ask, args=(number,)) for number in range(at_once)]
for thread in threads: thread.start()
for thread in threads: thread.join()";

#[test]
fn equal_requests_at_once_are_linked_rightly_or_not_at_all() {
    const ROUNDS: usize = 40;
    for (name, start, least) in [("socat", socat as fn(&Rig, u16) -> Server, 0.9), ("haproxy", haproxy, 0.2)] {
        let rig = Rig::new();
        let port = free_port();
        let _upstream = rig.serve(PYTHON, &["-c", STATUS_SERVER, &port.to_string()], port);
        let forwarder = start(&rig, port);
        let agent = rig.agent(&[]);
        let arguments = [forwarder.port.to_string(), AT_ONCE.to_string(), ROUNDS.to_string()];
        rig.run(PYTHON, &["-c", EQUAL_CLIENT, &arguments[0], &arguments[1], &arguments[2]]);
        let run = agent.stop();
        let by_id: BTreeMap<&str, &Span> = run.spans.iter().map(|span| (span.id.as_str(), span)).collect();
        let calls: Vec<&Span> = run.spans.iter().filter(|span| span.kind == Kind::Client && span.service() == name).collect();
        assert_eq!(calls.len(), AT_ONCE * ROUNDS, "{name}");
        let status = |span: &Span| span.number("http.response.status_code");
        let linked: Vec<&&Span> = calls.iter().filter(|call| call.parent.is_some()).collect();
        for call in &linked {
            let parent = by_id[call.parent.as_deref().expect("a parent")];
            assert_eq!((parent.service(), status(parent)), (name, status(call)), "{name}: {call:?}");
        }
        println!("{name}: {} of {} linked, {:?}", linked.len(), calls.len(), run.accounting.links);
        assert!(linked.len() as f64 >= least * calls.len() as f64, "{name}: {:?}", run.accounting.links);
    }
}

#[test]
fn plain_requests_through_connect_are_told_at_every_end() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let proxy = tinyproxy(&rig, nginx.port);
    let agent = rig.agent(&[]);
    let (via, one, two) = (proxy.url(""), nginx.url("/one"), nginx.url("/two"));
    let said = rig.run("curl", &["--silent", "--proxytunnel", "--proxy", &via, &one, &two]);
    assert_eq!(said, "hello\nhello\n");
    let run = agent.stop();
    let inner = |path: &str| {
        format!(
            "client curl GET {path} 200 none:root\n  server tinyproxy GET {path} 200 wire\n    client tinyproxy GET {path} 200 tunnel\n      \
             server nginx GET {path} 200 wire\n"
        )
    };
    let connect = "client curl CONNECT 200 none:root\n  server tinyproxy CONNECT 200 wire\n".to_owned();
    assert_eq!(tree(&run.spans), connect + &inner("/one") + &inner("/two"));
    assert_eq!(run.accounting.spans_dropped, BTreeMap::new());
}
