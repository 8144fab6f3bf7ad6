"""A service with a thread for each connection that looks up a name of its path with the system's resolver before it answers.

lookups.py PORT          serves
lookups.py PORT COUNT    asks it for /n0, /n1 and so on, each on a connection of its own
"""
import http.client
import http.server
import socket
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            found = socket.getaddrinfo(self.path[1:] + ".test", 80, type=socket.SOCK_STREAM)
            body = " ".join(sorted(entry[4][0] for entry in found)).encode()
            self.send_response(200)
        except OSError:
            body = b""
            self.send_response(502)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


port = int(sys.argv[1])
if len(sys.argv) == 2:
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
for number in range(int(sys.argv[2])):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/n{number}")
    answer = connection.getresponse()
    print(answer.status, answer.read().decode())
    connection.close()
