"""A server that looks at a request for a while before it takes it. Argument: own port."""
import socket
import sys
import time

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    until = time.monotonic() + 0.25
    while time.monotonic() < until:
        connection.recv(4096, socket.MSG_PEEK)
        time.sleep(0.01)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    connection.close()
