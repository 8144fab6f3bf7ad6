//! `PostgreSQL` 15, with its own clients and others: one span for each statement that was executed, however it was sent.
use std::fmt::Write as _;
use wirespan_tests::agent::Run;
use wirespan_tests::program::command;
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PASSWORD, PYTHON, Server};
use wirespan_tests::span::Span;
use wirespan_tests::tree::line;

/// Where the server's database is.
fn database(server: &Server) -> String {
    format!("host=127.0.0.1 port={} user=shop dbname=postgres password={PASSWORD}", server.port)
}

/// Spans of a program in order of time, each in a line without what is the same in all of them.
fn lines(run: &Run, service: &str) -> Vec<String> {
    let mut spans: Vec<&Span> = run.spans.iter().filter(|span| span.service() == service).collect();
    spans.sort_by_key(|span| span.start);
    let prefix = format!("client {service} ");
    spans
        .iter()
        .map(|span| line(span).trim_start_matches(&prefix).trim_end_matches(" none:root").trim_end_matches(" none:gap").to_owned())
        .collect()
}

fn psql(rig: &Rig, server: &Server, statements: &[&str]) -> String {
    let mut script = format!("psql -qAtX '{}' 2>&1 <<'END'\n", database(server));
    for statement in statements {
        let _ = writeln!(script, "{statement}");
    }
    rig.run("sh", &["-c", &(script + "END\ntrue\n")])
}

#[test]
fn statements_are_told_without_their_values_and_errors_by_their_codes() {
    let rig = Rig::new();
    let server = servers::postgresql(&rig);
    let agent = rig.agent(&[]);
    let said = psql(
        &rig,
        &server,
        &[
            "CREATE TABLE orders (id int PRIMARY KEY, item text);",
            "INSERT INTO orders VALUES (1, 'secret'), (2, E'se\\'cret'), (3, $$secret$$);",
            "BEGIN;",
            "UPDATE orders SET item = 'secret' WHERE id IN (1, 2, 3);",
            "COMMIT;",
            "SELECT item FROM orders o JOIN pg_class c ON o.item = c.relname WHERE id = -1;",
            "SELECT 1/0 AS secret;",
            "INSERT INTO orders VALUES (1, 'secret');",
            "SELECT * FROM nowhere WHERE item = 'secret';",
            "SELECT 1\\; SELECT 2\\; SELECT 3;",
            "\\copy orders from program 'printf \"7\\tsecret\\n8\\tsecret\\n\"'",
            "\\copy orders to '/dev/null'",
            "LISTEN news; ",
            "NOTIFY news, 'secret';",
            "DO $x$ BEGIN RAISE NOTICE 'secret'; END $x$;",
            "SELECT /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/ 1;",
            "SELECT pg_terminate_backend(pg_backend_pid());",
        ],
    );
    assert!(said.contains("division by zero") && said.contains("terminating connection"), "{said}");
    let run = agent.stop();
    assert_eq!(
        lines(&run, "psql"),
        [
            "CREATE TABLE orders CREATE TABLE orders (id int PRIMARY KEY, item text); ok",
            "INSERT orders INSERT INTO orders VALUES (?, ?); ok",
            "BEGIN BEGIN; ok",
            "UPDATE orders UPDATE orders SET item = ? WHERE id IN (?); ok",
            "COMMIT COMMIT; ok",
            "SELECT orders pg_class SELECT item FROM orders o JOIN pg_class c ON o.item = c.relname WHERE id = ?; ok",
            "SELECT SELECT ?/? AS secret; !22012",
            "INSERT orders INSERT INTO orders VALUES (?, ?); !23505",
            "SELECT nowhere SELECT * FROM nowhere WHERE item = ?; !42P01",
            "SELECT SELECT ?; SELECT ?; SELECT ?; ok",
            "COPY orders COPY  orders FROM STDIN ok",
            "COPY orders COPY  orders TO STDOUT ok",
            "LISTEN LISTEN news; ok",
            "NOTIFY NOTIFY news, ?; ok",
            "DO DO ?; ok",
            "SELECT SELECT  ?; ok header:tracecontext",
            "SELECT SELECT pg_terminate_backend(pg_backend_pid()); !57P01",
        ]
    );
    let of = |name: &str| run.spans.iter().find(|span| span.name == name && span.service() == "psql").expect(name);
    let update = of("UPDATE orders");
    assert_eq!(
        [update.text("db.system.name"), update.text("db.namespace"), update.text("db.query.summary")],
        ["postgresql", "postgres", "UPDATE orders"]
    );
    assert!(run.spans.iter().any(|span| span.trace == "4bf92f3577b34da6a3ce929d0e0e4736"), "the context of the comment counts");
    assert!(!format!("{run:?}").contains(PASSWORD));
}

#[test]
fn every_transaction_of_a_benchmark_is_told_in_each_of_its_protocols() {
    let rig = Rig::new();
    let server = servers::postgresql(&rig);
    let arguments = format!("{} sslmode=disable", database(&server));
    let bench = |args: &[&str]| {
        let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
        rig.run("sh", &["-c", &format!("pgbench {} '{arguments}' 2>&1", quoted.join(" "))])
    };
    bench(&["-i", "-s", "1", "-q"]);
    for mode in ["simple", "extended", "prepared"] {
        let agent = rig.agent(&[]);
        bench(&["-n", "-S", "-M", mode, "-c", "4", "-t", "500"]);
        bench(&["-n", "-M", mode, "-c", "2", "-t", "50"]);
        let run = agent.stop();
        let count = |name: &str| run.spans.iter().filter(|span| span.service() == "pgbench" && span.name == name && !span.failed).count();
        let told =
            ["SELECT pgbench_accounts", "BEGIN", "UPDATE pgbench_accounts", "UPDATE pgbench_branches", "INSERT pgbench_history", "END"]
                .map(count);
        assert_eq!(told, [2100, 100, 100, 100, 100, 100], "{mode}: {:?}", run.accounting);
        assert!(run.accounting.spans_dropped.is_empty() && run.accounting.records_dropped.is_empty(), "{mode}: {:?}", run.accounting);
    }
}

#[test]
fn a_driver_prepares_pipelines_and_copies() {
    let rig = Rig::new();
    let server = servers::postgresql(&rig);
    let agent = rig.agent(&[]);
    rig.run(PYTHON, &[&servers::program("statements.py"), &database(&server)]);
    let run = agent.stop();
    let insert = "INSERT orders INSERT INTO orders VALUES ($1, $2) ok";
    let update = "UPDATE orders UPDATE orders SET id = $1 WHERE id = $2 ok";
    let told = lines(&run, "statements");
    assert_eq!(
        told,
        [
            "CREATE TABLE orders CREATE TABLE orders (id int PRIMARY KEY, item text) ok",
            insert,
            insert,
            insert,
            "SELECT orders SELECT item FROM orders WHERE id = ANY($1) ok header:tracecontext",
            insert,
            insert,
            insert,
            // A pipeline of six statements, of which the second is refused: those that follow are left out.
            update,
            "INSERT orders INSERT INTO orders VALUES ($1, $2) !23505",
            "COPY orders COPY orders FROM STDIN ok",
            "COPY orders COPY orders TO STDOUT ok",
            "SELECT nowhere SELECT item FROM nowhere WHERE item = $1 !42P01",
            "BEGIN BEGIN ok",
            "DECLARE SELECT orders DECLARE \"portal\" CURSOR FOR SELECT id FROM orders ok",
            "FETCH FETCH FORWARD ? FROM \"portal\" ok",
            "FETCH FETCH FORWARD ? FROM \"portal\" ok",
            "FETCH FETCH FORWARD ? FROM \"portal\" ok",
            "CLOSE CLOSE \"portal\" ok",
            "COMMIT COMMIT ok",
        ]
    );
    assert!(!format!("{run:?}").contains("secret"));
}

#[test]
fn a_result_that_is_longer_than_what_is_copied_of_it_is_one_span() {
    let rig = Rig::new();
    let server = servers::postgresql(&rig);
    let agent = rig.agent(&[]);
    psql(
        &rig,
        &server,
        &["SELECT repeat('x', 1000) FROM generate_series(1, 5000);", "SELECT 1;", "SELECT repeat('x', 10000000);", "SELECT 2;"],
    );
    let run = agent.stop();
    assert_eq!(
        lines(&run, "psql"),
        [
            "SELECT generate_series SELECT repeat(?, ?) FROM generate_series(?, ?); ok",
            "SELECT SELECT ?; ok",
            "SELECT SELECT repeat(?, ?); ok",
            "SELECT SELECT ?; ok",
        ]
    );
}

#[test]
fn nothing_is_left_of_a_wrong_password() {
    let rig = Rig::new();
    let server = servers::postgresql(&rig);
    let agent = rig.agent(&[]);
    let mut client = command("psql", &["-c", "SELECT 1", &database(&server).replace(PASSWORD, "c4n4ry-wrong")]);
    client.stderr(std::process::Stdio::null());
    assert!(!client.status().expect("psql").success());
    let run = agent.stop();
    assert!(!format!("{run:?}").contains("c4n4ry"));
}
