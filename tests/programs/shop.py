"""A shop: one thread a connection, a keep-alive connection to Redis for each thread, a new one to the stock service for each order.

Arguments: own port, port of the stock service, port of Redis.
"""
import http.client
import http.server
import socket
import sys
import threading

STOCK, REDIS = int(sys.argv[2]), int(sys.argv[3])
state = threading.local()


def redis(*words):
    if not hasattr(state, "redis"):
        state.redis = socket.create_connection(("127.0.0.1", REDIS))
        state.replies = state.redis.makefile("rb")
    request = b"*%d\r\n" % len(words)
    for word in words:
        request += b"$%d\r\n%s\r\n" % (len(word), word.encode())
    state.redis.sendall(request)
    reply = state.replies.readline()
    if reply.startswith(b"$") and reply != b"$-1\r\n":
        return state.replies.read(int(reply[1:]) + 2)[:-2].decode()
    return reply.decode()


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        order = self.path.rsplit("/", 1)[-1]
        stock = http.client.HTTPConnection("127.0.0.1", STOCK)
        stock.request("GET", "/stock/" + order)
        there = stock.getresponse().read()
        stock.close()
        redis("GET", "order:" + order)
        body = b"order %s: %s\n" % (order.encode(), there)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
