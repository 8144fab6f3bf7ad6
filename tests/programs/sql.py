"""Asks a MariaDB on the port of the first argument, with PyMySQL: statements, a procedure, an error, a file, and another database."""
import sys
import tempfile

import pymysql
from pymysql.constants import CLIENT

connection = pymysql.connect(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    user="tester",
    password="c4n4ry",
    database="shop",
    local_infile=True,
    client_flag=CLIENT.MULTI_STATEMENTS,
)
cursor = connection.cursor()
cursor.execute("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(4000))")
cursor.executemany("INSERT INTO users VALUES (%s, %s)", [(1, "c4n4ry"), (2, "c4n4ry" * 500)])
cursor.execute("SELECT name FROM users WHERE id = %s OR name = %s", (2, "c4n4ry"))
cursor.fetchall()
cursor.execute("SELECT 1; SELECT id FROM users; DO 2")
while cursor.nextset():
    pass
cursor.execute("CREATE PROCEDURE pick (IN least INT) SELECT id FROM users WHERE id >= least")
cursor.callproc("pick", (1,))
while cursor.nextset():
    pass
try:
    cursor.execute("SELECT nothing FROM nowhere")
except pymysql.err.ProgrammingError:
    pass
with tempfile.NamedTemporaryFile("w") as file:
    file.write("3\tc4n4ry\n")
    file.flush()
    cursor.execute(f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE users")
connection.commit()
connection.ping()
connection.select_db("mysql")
cursor.execute("USE shop")
context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
cursor.execute(f"SELECT COUNT(*) FROM users /*traceparent='{context}'*/")
connection.close()
