"""Two connections to RabbitMQ as pika uses them: a caller that waits for its answer on a queue of its own, whose name the broker makes up,
and a worker that answers. Argument: the port."""
import sys
import threading

import pika

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PARAMETERS = pika.ConnectionParameters(host="127.0.0.1", port=int(sys.argv[1]))
READY = threading.Event()


def work():
    with pika.BlockingConnection(PARAMETERS) as connection:
        channel = connection.channel()
        channel.queue_declare("prices")
        channel.basic_qos(prefetch_count=1)
        READY.set()
        left = 3
        for method, properties, _ in channel.consume("prices", inactivity_timeout=10):
            answer = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, b"17", answer)
            channel.basic_ack(method.delivery_tag)
            left -= 1
            if left == 0:
                break
        channel.cancel()


worker = threading.Thread(target=work)
worker.start()
READY.wait()
with pika.BlockingConnection(PARAMETERS) as connection:
    channel = connection.channel()
    answers = channel.queue_declare("", exclusive=True).method.queue
    replies = channel.consume(answers, auto_ack=True, inactivity_timeout=10)
    for number, body in enumerate([b"tea", b"x" * 150_000, b"coffee"]):
        headers = {"traceparent": TRACEPARENT, "tries": 1} if number == 0 else None
        properties = pika.BasicProperties(correlation_id=f"call-{number}", reply_to=answers, headers=headers)
        channel.basic_publish("", "prices", body, properties)
        assert next(replies)[2] == b"17"
    channel.cancel()
worker.join()
