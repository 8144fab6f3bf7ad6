"""A service with an OpenTelemetry SDK of its own, which asks the stock service.

Arguments: own port, port of the stock service, URL that spans are exported to: over HTTP if it has a path, else over gRPC.
"""
import os
import socketserver
import sys
import urllib.request
import wsgiref.simple_server

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"

from opentelemetry import trace  # noqa: E402
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter  # noqa: E402
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter  # noqa: E402
from opentelemetry.instrumentation.urllib import URLLibInstrumentor  # noqa: E402
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: E402

PORT, STOCK, COLLECTOR = int(sys.argv[1]), sys.argv[2], sys.argv[3]

provider = TracerProvider(resource=Resource.create({"service.name": "sdk"}))
exporter = HttpExporter(endpoint=COLLECTOR) if COLLECTOR.endswith("/v1/traces") else GrpcExporter(endpoint=COLLECTOR, insecure=True)
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
trace.set_tracer_provider(provider)
URLLibInstrumentor().instrument()


def shop(environ, start_response):
    order = environ["PATH_INFO"].rsplit("/", 1)[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{STOCK}/stock/{order}") as answer:
        there = answer.read()
    body = b"order %s: %s\n" % (order.encode(), there)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


wsgiref.simple_server.make_server("127.0.0.1", PORT, OpenTelemetryMiddleware(shop), Server, Quiet).serve_forever()
