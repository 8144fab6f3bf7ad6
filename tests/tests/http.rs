//! HTTP with real servers and clients: every request once, errors as what they are.
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use wirespan_tests::http::Connection;
use wirespan_tests::load::Load;
use wirespan_tests::program::{free_port, output};
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON, Server};
use wirespan_tests::span::Kind;
use wirespan_tests::tree::{line, tree};

#[test]
fn every_request_of_a_load_is_one_span_at_each_end() {
    every_request_is_told(Load::start);
}

#[test]
fn every_request_on_a_connection_of_its_own_is_one_span_at_each_end() {
    every_request_is_told(Load::churn);
}

fn every_request_is_told(start: fn(&Rig, &Server, u32) -> Load) {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    // Room for what a busy machine keeps the agent from taking.
    let agent = rig.agent(&["--ring", "64"]);
    let report = start(&rig, &nginx, 2).finish();
    let run = agent.stop();
    report.assert_unharmed();
    assert!(run.accounting.records_dropped.is_empty() && run.accounting.spans_dropped.is_empty(), "{:?}", run.accounting);
    let servers: Vec<_> = run.spans.iter().filter(|span| span.kind == Kind::Server).collect();
    println!("{report:?}: {} spans of the server, {} in all", servers.len(), run.spans.len());
    // When wrk's time is over it leaves one request unfinished on each of its connections, and does not count it.
    let possible = report.requests..=report.requests + report.connections;
    assert!(possible.contains(&servers.len()), "{report:?}: {} spans", servers.len());
    assert_eq!(run.spans.len(), 2 * servers.len());
    let by_id: BTreeMap<&str, String> = run.spans.iter().map(|span| (span.id.as_str(), span.target())).collect();
    for server in servers {
        assert_eq!(server.parent.as_deref().and_then(|parent| by_id.get(parent)), Some(&server.target()), "{server:?}");
    }
}

#[test]
fn errors_are_told_as_what_they_are_at_each_end() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let closed = free_port();
    let proxy =
        servers::nginx(&rig, &format!("server {{ listen 127.0.0.1:PORT; location / {{ proxy_pass http://127.0.0.1:{closed}; }} }}"));
    let agent = rig.agent(&[]);
    for (url, status) in [(nginx.url("/missing"), "404"), (nginx.url("/broken"), "500"), (proxy.url("/"), "502")] {
        let said = rig.run("curl", &["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", &url]);
        assert_eq!(said, status);
    }
    let refused = output(rig.command("curl", &["--silent", &format!("http://127.0.0.1:{closed}/")]));
    assert_eq!(refused.status.code(), Some(7), "curl: failed to connect");
    let run = agent.stop();
    let expected = "client curl GET /missing !404 none:root
  server nginx GET /missing 404 wire
client curl GET /broken !500 none:root
  server nginx GET /broken !500 wire
client curl GET / !502 none:root
  server nginx GET / !502 wire
    client nginx connect !connection_refused connect
client curl connect !connection_refused none:root
";
    assert_eq!(tree(&run.spans), expected);
}

#[test]
fn a_server_that_goes_away_is_the_error_of_the_request_that_it_hurt() {
    /// What a server does with a connection.
    type Behaviour = fn(&mut TcpStream);
    fn read(stream: &mut TcpStream) -> bool {
        stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0)
    }
    let silent: Behaviour = |stream| {
        read(stream);
    };
    let half: Behaviour = |stream| {
        read(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it");
    };
    // Closing with bytes that nobody has read resets the connection.
    let reset: Behaviour = |stream| {
        let _ = stream.peek(&mut [0; 4096]);
    };
    let patient: Behaviour = |stream| while read(stream) {};
    // With the exit status of curl.
    let behaviours = [("silent", silent, 52), ("half", half, 18), ("reset", reset, 56), ("patient", patient, 28)];
    let rig = Rig::new();
    let agent = rig.agent(&[]);
    for (path, behaviour, status) in behaviours {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/{path}", listener.local_addr().expect("an address"));
        let server = thread::spawn(move || listener.accept().map(|(mut stream, _)| behaviour(&mut stream)));
        let curl = output(rig.command("curl", &["--silent", "--output", "/dev/null", "--max-time", "1", &url]));
        assert_eq!(curl.status.code(), Some(status), "{path}");
        server.join().expect("a server").expect("a connection");
    }
    let run = agent.stop();
    let expected = "client curl GET /silent !connection_closed none:root
client curl GET /half 200!connection_closed none:root
client curl GET /reset !connection_reset none:root
client curl GET /patient !connection_closed none:root
";
    assert_eq!(tree(&run.spans), expected);
}

#[test]
fn pipelined_requests_and_requests_in_pieces_are_paired_with_their_answers() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    let agent = rig.agent(&[]);
    let mut connection = Connection::to_port(nginx.port);
    let path = |id: usize| if id % 3 == 2 { format!("/missing?{id:02}") } else { format!("/hello?{id:02}") };
    let pipeline = (0..20).map(|id| format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", path(id))).collect::<Vec<_>>().concat();
    connection.send(pipeline.as_bytes());
    for id in 0..20 {
        connection.receive(if id % 3 == 2 { "</html>\r\n" } else { "hello\n" });
    }
    for byte in b"GET /in/pieces HTTP/1.1\r\nHost: test\r\n\r\n" {
        connection.send(&[*byte]);
    }
    connection.receive("hello\n");
    let run = agent.stop();
    let expected = (0..20).map(|id| format!("server nginx GET {} {} none:root", path(id), if id % 3 == 2 { 404 } else { 200 }));
    let mut expected: Vec<String> = expected.chain(["server nginx GET /in/pieces 200 none:root".to_owned()]).collect();
    let mut told: Vec<String> = run.spans.iter().map(line).collect();
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_large_file_sent_by_the_kernel_is_one_span_and_the_next_one_is_right() {
    let rig = Rig::new();
    std::fs::write(rig.file("large"), vec![b'x'; 10 << 20]).expect("a large file");
    let root = rig.file("");
    let nginx = servers::nginx(&rig, &format!("sendfile on; server {{ listen 127.0.0.1:PORT; root {}; }}", root.display()));
    let agent = rig.agent(&[]);
    let (large, none) = (nginx.url("/large"), nginx.url("/none"));
    rig.run("curl", &["--silent", "--output", "/dev/null", &large, "--output", "/dev/null", &none, "--output", "/dev/null", &large]);
    let run = agent.stop();
    let pair = |path: &str, client: &str, server: &str| {
        format!("client curl GET {path} {client} none:root\n  server nginx GET {path} {server} wire\n")
    };
    assert_eq!(tree(&run.spans), pair("/large", "200", "200") + &pair("/none", "!404", "404") + &pair("/large", "200", "200"));
}

#[test]
fn look_alikes_are_no_spans() {
    let rig = Rig::new();
    let port = free_port();
    let echo = "import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()";
    let _server = rig.serve(PYTHON, &["-c", echo, &port.to_string()], port);
    let agent = rig.agent(&[]);
    for text in ["GET / HTTP/1.1\r\nHost: test\r\n\r\n", "GET away from here\r\n", "HTTP/1.1 200 OK\r\n\r\n", "SSH-2.0-test\r\n"] {
        let mut connection = Connection::to_port(port);
        connection.send(text.as_bytes());
        assert_eq!(connection.receive(text), text);
    }
    assert_eq!(tree(&agent.stop().spans), "");
}

#[test]
fn a_request_in_a_thousand_buffers_is_read_when_it_is_taken_not_when_it_is_peeked_at() {
    /// How long the server looks without taking, as `peeking.py` has it.
    const PEEKING_NS: i64 = 200_000_000;
    let rig = Rig::new();
    let server = servers::script(&rig, PYTHON, "peeking.py", &[]);
    let client = "import socket, sys
connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
request = b'GET /peek HTTP/1.1\\r\\nHost: test\\r\\nX-Long: ' + b'x' * 950 + b'\\r\\n\\r\\n'
connection.sendmsg([bytes([byte]) for byte in request[:1000]])
connection.sendall(request[1000:])
print(connection.recv(4096).decode())";
    let agent = rig.agent(&[]);
    let answer = rig.run(PYTHON, &["-c", client, &server.port.to_string()]);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let run = agent.stop();
    let [server] = run.spans.iter().filter(|span| span.kind == Kind::Server).collect::<Vec<_>>()[..] else {
        panic!("{}", tree(&run.spans))
    };
    assert_eq!(line(server), "server peeking GET /peek 200 wire");
    assert!(server.number("wirespan.queue_ns").is_some_and(|time| time >= PEEKING_NS), "{server:?}");
}

#[test]
fn a_call_made_for_a_request_that_came_with_its_connection_belongs_to_it() {
    let rig = Rig::new();
    let other = servers::static_nginx(&rig);
    let server = servers::script(&rig, PYTHON, "deferring.py", &[&other.url("/")]);
    let agent = rig.agent(&[]);
    rig.curl(&server.url("/first"));
    let run = agent.stop();
    let told = tree(&run.spans);
    let expected = "client curl GET /first 200 none:root
  server deferring GET /first 200 wire
    client deferring GET / 200 thread?
      server nginx GET / 200 wire
";
    assert_eq!(told, expected);
}

#[test]
fn requests_behind_a_body_that_was_answered_early_are_told() {
    let rig = Rig::new();
    let nginx = servers::static_nginx(&rig);
    // It asks again when all that it wrote has left: what is written behind waiting bytes leaves as a part of them.
    let client = "import fcntl, socket, sys, termios
connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
def ask(request):
    connection.sendall(request)
    answer = b''
    while b'\\r\\n\\r\\nhello' not in answer:
        answer += connection.recv(65536)
    while fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)) != bytes(4):
        pass
body = b'x' * 300000
ask(b'POST /early HTTP/1.1\\r\\nHost: test\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
for number in b'123':
    ask(b'GET /%c HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n' % number)";
    let agent = rig.agent(&[]);
    rig.run(PYTHON, &["-c", client, &nginx.port.to_string()]);
    let run = agent.stop();
    let mut told: Vec<String> = run.spans.iter().filter(|span| span.kind == Kind::Server).map(line).collect();
    told.sort();
    let expected = ["GET /1", "GET /2", "GET /3", "POST /early"].map(|request| format!("server nginx {request} 200 wire"));
    assert_eq!(told, expected, "{}", tree(&run.spans));
}
