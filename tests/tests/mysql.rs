//! `MariaDB`, with clients of two languages and its own.
use wirespan_tests::rig::Rig;
use wirespan_tests::servers::{self, PYTHON, Server};
use wirespan_tests::span::{Kind, Span};

/// What the clients' spans say, in order of time: database, name, text, code and SQLSTATE.
fn told(work: impl Fn(&Rig, &Server)) -> Vec<String> {
    let rig = Rig::new();
    let mariadb = servers::mariadb(&rig);
    let agent = rig.agent(&[]);
    work(&rig, &mariadb);
    let run = agent.stop();
    // The password, what was stored, and what was looked for.
    assert!(!format!("{run:?}").contains("c4n4ry"));
    let mut spans: Vec<&Span> = run.spans.iter().collect();
    spans.sort_by_key(|span| span.start);
    let tell = |span: &&Span| {
        assert_eq!((span.text("db.system.name"), span.kind), ("mariadb", Kind::Client));
        assert_eq!(span.text("error.type"), span.text("db.response.status_code"));
        let words = ["db.query.text", "error.type", "wirespan.db.sqlstate"].map(|key| span.text(key));
        let words = [&[span.text("db.namespace"), span.name.as_str()][..], &words].concat();
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" | ")
    };
    spans.iter().map(tell).collect()
}

#[test]
fn statements_of_pymysql_are_told_without_their_literals() {
    let lines = told(|rig, mariadb| drop(rig.run(PYTHON, &[&servers::program("sql.py"), &mariadb.port.to_string()])));
    let expected = [
        "shop | COM_CONNECT",
        "shop | SET | SET AUTOCOMMIT = ?",
        "shop | CREATE TABLE users | CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(?))",
        "shop | INSERT users | INSERT INTO users VALUES (?, ?)",
        "shop | SELECT users | SELECT name FROM users WHERE id = ? OR name = ?",
        "shop | SELECT SELECT users DO | SELECT ?; SELECT id FROM users; DO ?",
        "shop | CREATE PROCEDURE pick | CREATE PROCEDURE pick (IN least INT) SELECT id FROM users WHERE id >= least",
        "shop | SET | SET @_pick_0=?",
        "shop | CALL pick | CALL pick(@_pick_0)",
        "shop | SELECT nowhere | SELECT nothing FROM nowhere | 1146 | 42S02",
        "shop | LOAD | LOAD DATA LOCAL INFILE ? INTO TABLE users",
        "shop | COMMIT | COMMIT",
        "shop | COM_INIT_DB",
        "mysql | USE shop | USE shop",
        "shop | SELECT users | SELECT COUNT(*) FROM users",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_go_prepares_is_known_when_it_is_executed() {
    let program = servers::go("sql");
    let lines = told(|rig, mariadb| drop(rig.run(&program, &[&mariadb.port.to_string()])));
    let insert = "shop | INSERT items | INSERT INTO items VALUES (?, ?)";
    let select = "SELECT name FROM items WHERE id > ?";
    let expected = [
        "shop | COM_CONNECT".to_owned(),
        "shop | CREATE TABLE items | CREATE TABLE items (id INT PRIMARY KEY, name TEXT)".to_owned(),
        "shop | PREPARE INSERT items | INSERT INTO items VALUES (?, ?)".to_owned(),
        insert.to_owned(),
        insert.to_owned(),
        insert.to_owned(),
        format!("{insert} | 1062 | 23000"),
        format!("shop | PREPARE SELECT items | {select}"),
        format!("shop | SELECT items | {select}"),
        "shop | COM_CONNECT".to_owned(),
        "shop | SELECT items | SELECT COUNT(*) FROM items WHERE name = ? AND id < ?".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_refused_user_is_an_error_and_a_large_result_one_span() {
    let lines = told(|rig, mariadb| {
        let client = |rest: &str| format!("mariadb --no-defaults -h127.0.0.1 -P{} {rest}", mariadb.port);
        let large = "SELECT REPEAT('c4n4ry', 1000), seq FROM seq_1_to_1000";
        let script = [
            format!("{} || true", client("-unobody -pc4n4ry -e 'SELECT 1'")),
            client(&format!("-utester -pc4n4ry shop -e \"{large}; SELECT 2\"")),
        ];
        rig.run("sh", &["-c", &script.join("\n")]);
    });
    let expected = [
        "COM_CONNECT | 1045 | 28000",
        "shop | COM_CONNECT",
        "shop | SELECT seq_1_to_1000 | SELECT REPEAT(?, ?), seq FROM seq_1_to_1000",
        "shop | SELECT | SELECT ?",
    ];
    let lines: Vec<&String> = lines.iter().filter(|line| !line.contains("@@version_comment")).collect();
    assert_eq!(lines, expected);
}
