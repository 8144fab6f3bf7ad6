"""gRPC as Python's library speaks it, without generated code: messages are bytes.

calls.py PORT            a server with a method of each kind
calls.py PORT call       calls each of them once, in order, on one connection; with a further `large`, gets a megabyte in between
"""
import sys
import time
from concurrent import futures

import grpc

SERVICE = "wirespan.Test"


def refuse(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no")


def serve(port):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(lambda request, context: b"here"),
        "Refused": grpc.unary_unary_rpc_method_handler(refuse),
        "Slow": grpc.unary_unary_rpc_method_handler(lambda request, context: time.sleep(1) or b"late"),
        "Down": grpc.unary_stream_rpc_method_handler(lambda request, context: iter([b"1", b"2" * 20_000, b"3"])),
        "Large": grpc.unary_unary_rpc_method_handler(lambda request, context: b"x" * 1_000_000),
        "Up": grpc.stream_unary_rpc_method_handler(lambda requests, context: b"%d" % len(list(requests))),
        "Both": grpc.stream_stream_rpc_method_handler(lambda requests, context: (b"echo" for _ in requests)),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(port, large):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        name = lambda method: f"/{SERVICE}/{method}"
        say = lambda method, code: print(method, code.name)
        channel.unary_unary(name("Unary"))(b"please")
        list(channel.unary_stream(name("Down"))(b"please"))
        if large:
            channel.unary_unary(name("Large"))(b"please")
        channel.stream_unary(name("Up"))(iter([b"1", b"2", b"3" * 50_000, b"4"]))
        list(channel.stream_stream(name("Both"))(iter([b"1", b"2"])))
        for method, timeout in [("Refused", None), ("Missing", None), ("Slow", 0.2)]:
            try:
                channel.unary_unary(name(method))(b"please", timeout=timeout)
            except grpc.RpcError as error:
                say(method, error.code())
        given_up = channel.unary_unary(name("Slow")).future(b"please")
        time.sleep(0.2)
        given_up.cancel()
        time.sleep(0.2)


if len(sys.argv) > 2:
    call(sys.argv[1], "large" in sys.argv)
else:
    serve(sys.argv[1])
