"""A thread for each connection: PORT BACKEND DATABASE VARIANT.

GET /w/ID makes the variant's calls and answers "ok": `direct` one, `sequential` two, `redis` one GET.
"""
import http.client
import http.server
import sys
import threading

PORT, BACKEND, REDIS, VARIANT = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
MINE = threading.local()
if VARIANT == "redis":
    # Not for the others: this client loads asyncio.
    import redis

    CACHE = redis.Redis(port=REDIS)


def call(request, number):
    if not hasattr(MINE, "backend"):
        MINE.backend = http.client.HTTPConnection("127.0.0.1", BACKEND)
    MINE.backend.request("GET", f"/b/{request}/{number}")
    return MINE.backend.getresponse().read()


def work(request):
    match VARIANT:
        case "direct":
            return call(request, 1)
        case "sequential":
            call(request, 1)
            return call(request, 2)
        case "redis":
            return CACHE.get(f"b:{request}:1")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body would leave in two segments, and the second wait for the first one's acknowledgement.
    wbufsize = -1

    def do_GET(self):
        answer = work(self.path.removeprefix("/w/"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


Server(("127.0.0.1", PORT), Handler).serve_forever()
