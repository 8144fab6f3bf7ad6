"""Thrift in Python. `shop.py PORT CODE FORM` serves, `shop.py PORT CODE FORM ask` asks; CODE has what `thrift --gen py` made of shop.thrift;
FORM is a protocol (strict, old or compact), and with `-framed` the transport that says how long messages are."""
import sys

port, code, form = int(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.path.insert(0, code)

from shop import Newer, Orders  # noqa: E402
from shop.ttypes import NoSuchOrder, Order  # noqa: E402
from thrift.protocol import TBinaryProtocol, TCompactProtocol  # noqa: E402
from thrift.server.TServer import TSimpleServer  # noqa: E402
from thrift.Thrift import TApplicationException  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402


class Old(TBinaryProtocol.TBinaryProtocol):
    """Messages without a version: since Python 3, the library forgets that names are texts."""

    def readMessageBegin(self):
        name, kind, sequence = super().readMessageBegin()
        return name.decode() if isinstance(name, bytes) else name, kind, sequence


class OldFactory:
    def getProtocol(self, wire):
        return Old(wire, False, False)


def protocol():
    if form.startswith("compact"):
        return TCompactProtocol.TCompactProtocolFactory()
    if form.startswith("old"):
        return OldFactory()
    return TBinaryProtocol.TBinaryProtocolFactory(strictRead=True, strictWrite=True)


def transport():
    framed = form.endswith("-framed")
    return TTransport.TFramedTransportFactory() if framed else TTransport.TBufferedTransportFactory()


class Handler:
    def find(self, id):
        if id == 404:
            raise NoSuchOrder(id)
        return Order(id, "shoe", {"eu": [41, 42], "us": []})

    def add(self, order):
        pass

    def broken(self):
        raise ValueError("for people")

    def seen(self, id):
        pass


def ask():
    wire = transport().getTransport(TSocket.TSocket("127.0.0.1", port))
    orders = Orders.Client(protocol().getProtocol(wire))
    newer = Newer.Client(protocol().getProtocol(wire))
    wire.open()
    assert orders.find(7).article == "shoe"
    try:
        orders.find(404)
    except NoSuchOrder:
        pass
    orders.add(Order(8, "boot" * 300, {}))
    orders.seen(8)
    for call in [newer.unheard, orders.broken]:
        try:
            call()
        except TApplicationException as error:
            print(error.type)
    wire.close()


if sys.argv[4:] == ["ask"]:
    ask()
else:
    server = TSocket.TServerSocket("127.0.0.1", port)
    TSimpleServer(Orders.Processor(Handler()), server, transport(), protocol()).serve()
