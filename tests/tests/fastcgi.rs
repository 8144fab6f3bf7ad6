//! `FastCGI`, between nginx and PHP's own server of it.
use std::fs;
use wirespan_tests::program::free_port;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, Server};
use wirespan_tests::span::Kind;
use wirespan_tests::tree::line;

/// php-fpm with two workers.
fn php(rig: &Rig) -> Server {
    let port = free_port();
    let (dir, config) = (rig.file("").display().to_string(), rig.file("php.conf"));
    let text = format!(
        "[global]\nerror_log = {dir}/php.log\ndaemonize = no\n[www]\nuser = root\ngroup = root\nlisten = 127.0.0.1:{port}\npm = static\npm.max_children = 2\n"
    );
    fs::write(&config, text).expect("php-fpm's configuration");
    let args = ["--allow-to-run-as-root", "--fpm-config", &config.display().to_string()];
    Server { port, program: rig.serve("php-fpm8.2", &args, port) }
}

#[test]
fn a_request_is_followed_through_the_web_server_to_the_script() {
    for keep in ["on", "off"] {
        let rig = Rig::new();
        let php = php(&rig);
        let nginx = servers::nginx(
            &rig,
            &format!(
                "upstream php {{ server 127.0.0.1:{}; keepalive 2; }}\n\
                 server {{ listen 127.0.0.1:PORT; location / {{ include /etc/nginx/fastcgi_params; fastcgi_keep_conn {keep};\n\
                 fastcgi_param SCRIPT_FILENAME {}; fastcgi_param SCRIPT_NAME /index.php; fastcgi_pass php; }} }}",
                php.port,
                servers::program("php/index.php")
            ),
        );
        let agent = rig.agent(&[]);
        rig.run("curl", &["--silent", "--data", "secret=CANARY", &nginx.url("/orders/7?token=CANARY")]);
        for path in ["/missing", "/broken", "/large", "/again"] {
            rig.run("curl", &["--silent", "--output", "/dev/null", &nginx.url(path)]);
        }
        let run = agent.stop();
        assert!(!format!("{run:?}").contains("CANARY"));
        let mut spans: Vec<_> = run.spans.iter().filter(|span| span.text("wirespan.protocol") == "fastcgi").collect();
        spans.sort_by_key(|span| (span.start, span.kind == Kind::Server));
        let told: Vec<String> = spans
            .iter()
            .map(|span| {
                format!("{} {} {} {}", span.kind, span.name, span.number("http.response.status_code").unwrap_or_default(), span.failed)
            })
            .collect();
        let mut expected = Vec::new();
        for (client, server) in [
            ("POST /orders/{id} 200 false", "POST /orders/{id} 200 false"),
            ("GET 404 true", "GET 404 false"),
            ("GET /broken 503 true", "GET /broken 503 true"),
            ("GET /large 200 false", "GET /large 200 false"),
            ("GET /again 200 false", "GET /again 200 false"),
        ] {
            expected.extend([format!("client {client}"), format!("server {server}")]);
        }
        assert_eq!(told, expected, "keep_conn {keep}");
        // The script's part is in the trace of who asked the web server.
        for pair in spans.chunks(2) {
            assert_eq!(pair[1].parent.as_ref(), Some(&pair[0].id));
            // The end of the large answer is not captured: for a moment, nobody knows whether what follows on its connection overlaps it.
            if pair[0].name.ends_with("/again") && pair[0].link() == "none:concurrent" {
                continue;
            }
            let outer = run.spans.iter().find(|span| Some(&span.id) == pair[0].parent.as_ref()).expect("nginx's own span");
            assert_eq!((outer.kind, outer.service()), (Kind::Server, "nginx"), "{}", line(outer));
        }
    }
}
