//! Statements as a specification, beyond the published cases.
use super::{Dialect, Statement, read};
use crate::protocol::context::testing;
use proptest::prelude::*;

const P: Dialect = Dialect::POSTGRESQL;
const M: Dialect = Dialect::MYSQL;
const Q: Dialect = Dialect::CQL;

fn whole(text: &str, dialect: Dialect) -> Statement {
    read(text.as_bytes(), dialect, true)
}

#[test]
fn each_dialect_has_its_own_literals_names_and_comments() {
    for (dialect, query, text) in [
        (P, r"SELECT E'it\'s' , U&'d\0061t' , b'01', X'1F', N'n'", "SELECT ? , U&? , ?, ?, ?"),
        (P, r"SELECT 'C:\', 'secret'", "SELECT ?, ?"),
        (P, "SELECT 'one'\n  'two''s', E'a'\n'b\\'c'", "SELECT ?, ?"),
        (P, "SELECT $$it's$$, $body$ $$ $x$ 'y' $body$, $1, $12::int, a$b$ FROM t", "SELECT ?, ?, $1, $12::int, a$b$ FROM t"),
        (P, "SELECT \"it's\"\"so\" FROM \"my table\" WHERE x = \"unended", "SELECT \"it's\"\"so\" FROM \"my table\" WHERE x = ?"),
        (P, "SELECT 1 /* a /* nested */ comment */ + 2 -- end", "SELECT ?  + ?"),
        (P, "SELECT a::text, b->>'k', c #> '{a}', d @> '{}', e ? 'f'", "SELECT a::text, b->>?, c #> ?, d @> ?, e ? ?"),
        (P, "SELECT a-1, a - 1, (a)-1, $1-1, TRUE, t.true, NULL", "SELECT a-?, a - ?, (a)-?, $1-?, ?, t.true, NULL"),
        (M, r#"SELECT "it\"s", 'it\'s', `it's`, _utf8mb4'x', 0x1F FROM `a``b`"#, "SELECT ?, ?, `it's`, _utf8mb4?, ? FROM `a``b`"),
        (M, "SELECT 1 # secret\n, 5--1 -- secret\n, a--b", "SELECT ? \n, ?-? \n, a- -b"),
        (M, "/*!40101 SET NAMES utf8 */; /*M!100100 SELECT */ 2*/* x */3", "SET NAMES utf8 ;  SELECT  ?* ?"),
        (
            M,
            "INSERT INTO t VALUES (1, 'a'), (2, NOW()),\n(3, ((4))) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 2",
            "INSERT INTO t VALUES (?, ?) ON DUPLICATE KEY UPDATE a = VALUES(a), b = ?",
        ),
        (
            M,
            "SELECT 1 WHERE (a, b) IN ((1, 2), (3, 4)) AND c IN (?) AND d IN (1, e)",
            "SELECT ? WHERE (a, b) IN (?) AND c IN (?) AND d IN (?, e)",
        ),
        (
            Q,
            "SELECT * FROM t WHERE id = f47ac10b-58cc-4372-a567-0e02b2c3d479 AND b = 0xCAFE // secret",
            "SELECT * FROM t WHERE id = ? AND b = ?",
        ),
        (
            Q,
            "INSERT INTO t (a, m) VALUES (123e4567-e89b-12d3-a456-426614174000, {'k': 'v''s', 1: true}) USING TTL 3",
            "INSERT INTO t (a, m) VALUES (?, {?: ?, ?: ?}) USING TTL ?",
        ),
        (
            Q,
            "SELECT a FROM t WHERE k = :name AND id IN (f47ac10b-58cc-4372-a567-0e02b2c3d479, ?)",
            "SELECT a FROM t WHERE k = :name AND id IN (?)",
        ),
    ] {
        assert_eq!(whole(query, dialect).text, text, "{dialect:?}: {query}");
    }
    let plain = whole(r"SELECT 'C:\', 'secret'", M.with_backslash(false));
    assert_eq!(plain.text, "SELECT ?, ?");
}

#[test]
fn summaries_tell_operations_and_targets_in_order() {
    for (query, summary) in [
        ("", ""),
        (" ; ;", ""),
        ("COMMIT", "COMMIT"),
        ("begin", "begin"),
        ("START TRANSACTION READ ONLY", "START TRANSACTION"),
        ("SET search_path TO a, b", "SET"),
        ("UPDATE ONLY a.b SET x = 1, y = 2 FROM c, d WHERE a.id IN (SELECT id FROM e FOR UPDATE)", "UPDATE a.b c d SELECT e"),
        ("DELETE FROM a USING (SELECT b FROM c) d, e WHERE true", "DELETE a SELECT c e"),
        ("DELETE FROM a USING b WHERE a.x = b.x RETURNING id", "DELETE a b"),
        ("INSERT INTO \"a b\".\"c\" AS x (y, z) VALUES ($1, $2) ON CONFLICT (y) DO UPDATE SET z = 1", "INSERT \"a b\".\"c\""),
        (
            "WITH x AS (SELECT a, b FROM c), y AS (DELETE FROM d RETURNING *) INSERT INTO e SELECT * FROM x, y",
            "SELECT c DELETE d INSERT e SELECT x y",
        ),
        ("SELECT EXTRACT(year FROM at), a IS DISTINCT FROM b, TRIM(BOTH FROM c) FROM d", "SELECT d"),
        ("SELECT * FROM (a JOIN b ON a.x = b.x), LATERAL (SELECT 1, 2 FROM c) l, f(1, g), ONLY h", "SELECT a b SELECT c f h"),
        ("(SELECT a FROM b) UNION ALL (SELECT a FROM c) ORDER BY d, e", "SELECT b c"),
        (
            "SELECT 1; SELECT 2; INSERT INTO a VALUES (1); INSERT INTO a VALUES (2); INSERT INTO b SELECT 1; COMMIT",
            "SELECT INSERT a INSERT b SELECT COMMIT",
        ),
        ("EXPLAIN (ANALYZE, COSTS off) SELECT * FROM a", "EXPLAIN SELECT a"),
        ("EXPLAIN ANALYZE VERBOSE WITH x AS (SELECT 1) UPDATE a SET b = 1", "EXPLAIN SELECT UPDATE a"),
        ("COPY a.b (c, d) FROM STDIN WITH (FORMAT binary)", "COPY a.b"),
        ("COPY (SELECT a FROM b) TO STDOUT", "COPY SELECT b"),
        ("TRUNCATE TABLE ONLY a, b CASCADE", "TRUNCATE a b"),
        ("DROP TABLE IF EXISTS a, b.c CASCADE", "DROP TABLE a b.c"),
        ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1; SELECT 2 FROM t", "CREATE VIEW v SELECT t"),
        ("CREATE INDEX ON t (a)", "CREATE INDEX"),
        ("DECLARE c CURSOR FOR SELECT * FROM a", "DECLARE SELECT a"),
        ("PREPARE p AS UPDATE a SET b = $1", "PREPARE UPDATE a"),
        ("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN UPDATE SET y = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)", "MERGE a b"),
        ("GRANT SELECT ON a TO b", "GRANT"),
        ("\u{1}\u{2}not sql", ""),
        ("sup3rsecret", ""),
    ] {
        assert_eq!(whole(query, P).summary, summary, "{query}");
    }
    for (dialect, query, summary) in [
        (M, "REPLACE INTO `a`.`b` SET c = REPLACE(d, 'x', 'y')", "REPLACE `a`.`b`"),
        (M, "INSERT IGNORE a VALUES (1)", "INSERT a"),
        (M, "UPDATE a, b SET a.x = 1, b.y = 2", "UPDATE a b"),
        (M, "DELETE a FROM a STRAIGHT_JOIN b USING (id)", "DELETE a b"),
        (M, "SHOW TABLES FROM a", "SHOW"),
        (
            Q,
            "BEGIN UNLOGGED BATCH USING TIMESTAMP 1 INSERT INTO a (b) VALUES (1); UPDATE c USING TTL 1 SET d = 2 WHERE e = 3; APPLY BATCH",
            "BEGIN BATCH INSERT a UPDATE c APPLY BATCH",
        ),
        (Q, "DELETE b FROM ks.a USING TIMESTAMP 5 WHERE c = 1", "DELETE ks.a"),
        (Q, "CREATE KEYSPACE IF NOT EXISTS ks WITH replication = {'class': 'SimpleStrategy'}", "CREATE KEYSPACE ks"),
    ] {
        assert_eq!(whole(query, dialect).summary, summary, "{query}");
    }
}

#[test]
fn one_operation_on_one_target_is_known_by_its_parts() {
    let parts = |query: &str| {
        let statement = whole(query, Q);
        [statement.operation(), statement.collection(), statement.procedure(), statement.namespace()].map(|part| part.map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(parts("SELECT * FROM ks.t WHERE a = 1"), [some("SELECT"), some("ks.t"), None, None]);
    assert_eq!(parts("DROP TABLE t"), [some("DROP TABLE"), some("t"), None, None]);
    assert_eq!(parts("CREATE FUNCTION f(a int) RETURNS int AS BEGIN; END"), [some("CREATE FUNCTION"), None, None, None]);
    assert_eq!(parts("CALL p(1)"), [some("CALL"), None, some("p"), None]);
    assert_eq!(parts("USE \"Ks\";"), [some("USE"), None, None, some("\"Ks\"")]);
    assert_eq!(parts("COMMIT"), [some("COMMIT"), None, None, None]);
    assert_eq!(parts("SELECT a FROM b, c"), [None, None, None, None]);
    assert_eq!(parts("INSERT INTO a SELECT b"), [None, None, None, None]);
}

#[test]
fn context_in_a_comment_is_carried() {
    let headers = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
    ];
    let expected = testing::carried(&headers);
    assert!(expected.is_some());
    for query in [
        "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/",
        "/* db_driver='pg%20\\'x\\'', route='%2Fa,b', tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7' , traceparent='00%2D4bf92f3577b34da6a3ce929d0e0e4736%2D00f067aa0ba902b7%2D01' */ SELECT 1",
        "SELECT 1 -- a=b, traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'\n",
    ] {
        for dialect in [P, M, Q] {
            let statement = whole(query, dialect);
            assert_eq!((statement.text.as_str(), &statement.carried), ("SELECT ?", &expected), "{query}");
        }
    }
    for query in [
        "SELECT 'x' /* nothing */",
        "SELECT '/*traceparent=\\'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\\'*/'",
        "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "SELECT 1 /*traceparent='%zz'*/",
    ] {
        assert_eq!(whole(query, M).carried, None, "{query}");
    }
}

#[test]
fn long_statements_are_cut_behind_a_token_and_long_lists_are_not_long() {
    let list = format!(
        "SELECT a FROM b WHERE c IN ({}) AND d = 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/",
        vec!["'secret'"; 100_000].join(", ")
    );
    let statement = whole(&list, P);
    assert_eq!(statement.text, "SELECT a FROM b WHERE c IN (?) AND d = ?");
    assert!(statement.carried.is_some());
    let rows = format!("INSERT INTO a VALUES {}", vec!["(1, 'secret')"; 100_000].join(","));
    assert_eq!(whole(&rows, P).text, "INSERT INTO a VALUES (?, ?)");
    let long = format!("SELECT {} FROM b JOIN c", vec!["column"; 10_000].join(", "));
    let statement = whole(&long, P);
    assert!(statement.text.len() <= 4096 && statement.text.ends_with("column,"), "{}", statement.text.len());
    assert_eq!(statement.summary, "SELECT b c");
}

#[test]
fn what_is_cut_leaves_out_the_word_that_it_cuts() {
    for (query, text, summary) in [
        ("SELECT a FROM orders", "SELECT a FROM", "SELECT"),
        ("SELECT a FROM shop.", "SELECT a FROM shop", "SELECT"),
        ("SELECT a FROM orders WHERE b = 'sec", "SELECT a FROM orders WHERE b = ?", "SELECT orders"),
        ("SELECT a FROM orders WHERE b = 12", "SELECT a FROM orders WHERE b = ?", "SELECT orders"),
        ("SEL", "", ""),
    ] {
        let statement = read(query.as_bytes(), P, false);
        assert_eq!((statement.text.as_str(), statement.summary.as_str()), (text, summary), "{query}");
    }
}

/// A literal that has the canary in it, of a dialect.
fn literal(dialect: Dialect) -> BoxedStrategy<String> {
    let mut all =
        vec!["'canary'", "'it''s canary'", "''", "'canary\n--'", "'/*canary'", "'canary$$\"`'", "77777", "-7777.7e-7", "0x7777", ".7777"];
    if dialect == P {
        all.extend(["E'\\'canary'", "$$canary'$$", "$t1$ $canary$ '$t1$", "'\\'", "'a'\n 'canary'", "B'7777'"]);
    } else if dialect == M {
        all.extend(["\"canary\"", "'\\'canary'", "\"it\\\"s canary'\"", "x'7777'", "_utf8'canary'"]);
    } else {
        all.extend(["$$canary'$$", "77777777-7777-7777-a777-777777777777", "a7777777-7777-7777-a777-777777777777"]);
    }
    prop::sample::select(all).prop_map(str::to_owned).boxed()
}

/// Pieces of statements that have neither canary nor digit.
fn piece(dialect: Dialect) -> BoxedStrategy<String> {
    let words = [
        "SELECT",
        "INSERT INTO",
        "UPDATE",
        "FROM",
        "IN",
        "VALUES",
        "(",
        ")",
        ",",
        ";",
        "a",
        "\"b c\"",
        "t.x",
        "=",
        "-",
        "- -",
        "+",
        "/*c*/",
        "/*traceparent='x'*/",
        "--c\n",
        "NULL",
        "?",
        "AND",
        "WHERE",
        "CREATE TABLE",
        "EXPLAIN",
        "WITH x AS",
        "UNION",
        "*",
        "/",
        ".",
        "é",
    ];
    prop_oneof![3 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 2 => literal(dialect)].boxed()
}

/// A statement of a dialect, its tokens apart or not.
fn statement() -> impl Strategy<Value = (Dialect, String)> {
    prop::sample::select(vec![P, M, Q])
        .prop_flat_map(|dialect| (Just(dialect), prop::collection::vec(piece(dialect), 0..40).prop_map(|pieces| pieces.join(" "))))
}

fn tells(statement: &Statement) -> bool {
    [&statement.text, &statement.summary].iter().any(|text| text.contains("canary") || text.contains('7'))
}

proptest! {
    #[test]
    fn no_literal_survives_wherever_the_statement_is_cut((dialect, text) in statement()) {
        prop_assert!(!tells(&read(text.as_bytes(), dialect, true)), "{text}");
        for cut in 0..text.len() {
            let statement = read(&text.as_bytes()[..cut], dialect, false);
            prop_assert!(!tells(&statement), "{text:?} cut at {cut}: {statement:?}");
        }
    }

    #[test]
    fn what_was_hidden_once_stays_as_it_is(dialect in prop::sample::select(vec![P, M, Q]), text in "([a-zA-Z0-9 ,.;()?$'\"`@#:=+*/!\\\\\n-]|--|/\\*|\\*/|IN|VALUES|\\$\\$){0,60}") {
        let once = whole(&text, dialect).text;
        prop_assert_eq!(&whole(&once, dialect).text, &once);
    }

    #[test]
    fn hostile_bytes_are_read_too(bytes in prop::collection::vec(any::<u8>(), 0..400), whole in any::<bool>()) {
        for dialect in [P, M, Q] {
            let statement = read(&bytes, dialect, whole);
            prop_assert!(statement.summary.len() <= 255);
        }
    }
}
