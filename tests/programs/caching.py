"""Talks to a memcached on the port of the first argument: `text` with pymemcache, `binary` with pylibmc (libmemcached), `meta` by hand."""
import socket
import sys

port, how = int(sys.argv[1]), sys.argv[2]
VALUE = b"c4n4ry" * 100

if how == "text":
    from pymemcache.client.base import Client
    from pymemcache.exceptions import MemcacheClientError

    client = Client(("127.0.0.1", port), default_noreply=False)
    client.set("one", VALUE)
    client.set("two", b"2", noreply=True)
    client.get("one")
    client.get("none")
    client.get_many(["one", "two", "none"])
    value, version = client.gets("two")
    client.cas("two", b"3", version)
    client.incr("two", 4)
    try:
        client.incr("one", 1)
    except MemcacheClientError:
        pass
    client.delete("one")
    client.version()
    client.quit()
elif how == "binary":
    import pylibmc

    client = pylibmc.Client([f"127.0.0.1:{port}"], binary=True)
    client.set("one", VALUE)
    client.get("one")
    client.get("none")
    client.get_multi(["one", "none", "never"])
    client.add("one", b"x")
    client.delete("one")
    client.disconnect_all()
else:
    connection = socket.create_connection(("127.0.0.1", port))
    answers = connection.makefile("rb")

    def ask(text, lines):
        connection.sendall(text)
        return [answers.readline() for _ in range(lines)]

    ask(b"ms one 6 T90\r\nc4n4ry\r\n", 1)
    ask(b"mg one v\r\n", 2)
    ask(b"mg none v\r\n", 1)
    ask(b"ms two 1 q\r\n2\r\nmg one v k q\r\nmg none v k q\r\nmg two k q\r\nmn\r\n", 4)
    ask(b"ma two N0\r\n", 1)
    ask(b"md one q\r\nmn\r\n", 1)
    ask(b"ma none\r\n", 1)
    ask(b"mn\r\n", 1)
    connection.close()
