"""librdkafka's client: `calls.py BROKER WHAT`, for each WHAT in order.

send: two messages at once to `orders`, both with trace context. take N: polls `orders` as the group `shipping` until N messages are
there, and commits.
"""

import sys

from confluent_kafka import Consumer, Producer

SECRET = "c4n4ry-in-a-coal-mine"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01"


def send(broker):
    producer = Producer({"bootstrap.servers": broker, "client.id": "shop-python", "linger.ms": 200})
    for key in ("order-6", "order-7"):
        producer.produce("orders", SECRET, key, partition=0, headers={"traceparent": TRACEPARENT, "token": SECRET})
    assert producer.flush(30) == 0


def take(broker, wanted):
    settings = {"bootstrap.servers": broker, "client.id": "shipping-1", "group.id": "shipping", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings | {"enable.auto.commit": False})
    consumer.subscribe(["orders"])
    have = 0
    while have < wanted:
        message = consumer.poll(30)
        assert message is not None and message.error() is None, message
        have += 1
    consumer.commit(asynchronous=False)
    consumer.close()


def main():
    broker, *words = sys.argv[1:]
    while words:
        match words.pop(0):
            case "send":
                send(broker)
            case "take":
                take(broker, int(words.pop(0)))
            case other:
                raise SystemExit(other)


main()
