"""A server that is given connections together with their first request, and asks another before it answers. Arguments: own port, the other's URL."""
import http.server
import socket
import sys
import urllib.request


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        urllib.request.urlopen(sys.argv[2]).read()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
server.serve_forever()
