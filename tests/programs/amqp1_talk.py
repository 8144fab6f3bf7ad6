"""One connection to a broker of AMQP 1.0 as Apache Qpid Proton speaks it: three messages are sent to a queue and taken from it, of which
one is rejected. Argument: the port."""
import sys

from proton import Message
from proton.utils import BlockingConnection

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

connection = BlockingConnection(f"amqp://guest:guest@127.0.0.1:{sys.argv[1]}", timeout=30, allowed_mechs="PLAIN")
sender = connection.create_sender("/queue/orders")
for number, body in enumerate(["tea", "coffee", "nothing"]):
    message = Message(id=f"order-{number}", body=body)
    if number == 1:
        message.properties = {"tries": 1, "traceparent": TRACEPARENT}
    sender.send(message)
receiver = connection.create_receiver("/queue/orders")
for _ in range(3):
    if receiver.receive(timeout=30).body == "nothing":
        receiver.reject()
    else:
        receiver.accept()
connection.close()
