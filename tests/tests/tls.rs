//! TLS from outside, with OpenSSL and curl: one span a handshake, without decrypting anything.
use std::fs;
use wirespan_tests::program::{free_port, output};
use wirespan_tests::rig::Rig;
use wirespan_tests::span::Span;

fn line(span: &Span) -> String {
    let words = [
        span.service(),
        &span.name,
        span.text("server.address"),
        span.text("tls.protocol.version"),
        span.text("tls.next_protocol"),
        if span.failed { span.text("error.type") } else { "ok" },
    ];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn handshakes_are_told_with_their_version_and_host_and_the_alert_that_ended_them() {
    let rig = Rig::new();
    let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=shop.test";
    rig.run("openssl", &[args.split(' ').collect(), vec!["-addext", "subjectAltName=DNS:shop.test"]].concat());
    let [new, old] = [("-tls1_3", free_port()), ("-tls1_2", free_port())].map(|(version, port)| {
        let text = port.to_string();
        let args = ["s_server", "-accept", &text, "-cert", "cert.pem", "-key", "key.pem", "-www", "-alpn", "http/1.1", version];
        (port, rig.serve("openssl", &args, port))
    });
    let agent = rig.agent(&[]);
    let curl = |port: u16, more: &[&str]| {
        let (resolve, url) = (format!("shop.test:{port}:127.0.0.1"), format!("https://shop.test:{port}/"));
        let args = [&["--silent", "--http1.1", "--output", "/dev/null", "--resolve", &resolve, &url], more].concat();
        output(rig.command("curl", &args)).status.code()
    };
    let codes = [
        curl(new.0, &["--cacert", "cert.pem"]),
        curl(old.0, &["--cacert", "cert.pem"]),
        curl(new.0, &[]),
        curl(old.0, &[]),
        curl(old.0, &["--tlsv1.3"]),
    ];
    assert_eq!(codes, [Some(0), Some(0), Some(60), Some(60), Some(35)]);
    let run = agent.stop();
    let mut spans: Vec<&Span> = run.spans.iter().collect();
    spans.sort_by_key(|span| span.start);
    let lines: Vec<String> = spans.into_iter().map(line).collect();
    let expected = [
        "curl TLS handshake shop.test 1.3 ok",
        "curl TLS handshake shop.test 1.2 http/1.1 ok",
        "curl TLS handshake shop.test 1.3 unknown_ca",
        "curl TLS handshake shop.test 1.2 http/1.1 unknown_ca",
        "curl TLS handshake shop.test protocol_version",
    ];
    assert_eq!(lines, expected);
    let key = fs::read_to_string(rig.file("key.pem")).expect("the key");
    assert!(!format!("{:?}", run.spans).contains(key.lines().nth(1).expect("its bytes")));
}
