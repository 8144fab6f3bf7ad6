"""Asks a PostgreSQL server in the ways of psycopg 3: statements with values, prepared ones, a pipeline, rows in and out, errors."""
import sys

import psycopg

CONTEXT = "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/"

connection = psycopg.connect(sys.argv[1], autocommit=True)
cursor = connection.cursor()
cursor.execute("CREATE TABLE orders (id int PRIMARY KEY, item text)")
for number in range(3):
    cursor.execute("INSERT INTO orders VALUES (%s, %s)", (number, "secret"), prepare=True)
cursor.execute("SELECT item FROM orders WHERE id = ANY(%s) " + CONTEXT, ([1, 2],), binary=True)
assert len(cursor.fetchall()) == 2
with connection.pipeline():
    for number in range(3, 6):
        cursor.execute("INSERT INTO orders VALUES (%s, %s)", (number, "secret"))
try:
    with connection.pipeline():
        for number in (6, 6, 7):
            cursor.execute("UPDATE orders SET id = %s WHERE id = %s", (number, number - 3))
            cursor.execute("INSERT INTO orders VALUES (%s, %s)", (number, "secret"))
except psycopg.errors.UniqueViolation:
    pass
with cursor.copy("COPY orders FROM STDIN") as copy:
    for number in range(10, 15):
        copy.write_row((number, "secret"))
with cursor.copy("COPY orders TO STDOUT") as copy:
    assert sum(1 for _ in copy.rows()) > 5
try:
    cursor.execute("SELECT item FROM nowhere WHERE item = %s", ("secret",))
except psycopg.errors.UndefinedTable:
    pass
with connection.transaction(), connection.cursor(name="portal") as portions:
    portions.itersize = 4
    portions.execute("SELECT id FROM orders")
    assert len(list(portions)) > 5
