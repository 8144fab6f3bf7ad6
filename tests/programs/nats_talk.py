"""One connection to NATS as its client for asyncio uses it: a service that asks itself, a stream whose messages are pushed, and an
answer that is no success. Arguments: the URL, and `verbose` for a connection on which the server confirms everything."""
import asyncio
import sys

import nats
from nats.errors import NoRespondersError

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def main(url, verbose):
    nc = await nats.connect(url, verbose=verbose)

    async def answer(message):
        await message.respond(b"17")

    await nc.subscribe("prices.get", queue="pricing", cb=answer)
    await nc.request("prices.get", b"tea", timeout=5, headers={"traceparent": TRACEPARENT})
    try:
        await nc.request("nobody.home", b"", timeout=5)
    except NoRespondersError:
        pass
    js = nc.jetstream()
    await js.add_stream(name="SHIPMENTS", subjects=["shipments.*"])
    taken = asyncio.Queue()
    await js.subscribe("shipments.*", durable="carrier", cb=taken.put, manual_ack=True)
    for parcel in [b"one", b"two"]:
        await js.publish("shipments.4711", parcel)
        message = await taken.get()
        await message.ack()
    await nc.publish("done", b"")
    await nc.flush()
    await nc.close()


asyncio.run(main(sys.argv[1], "verbose" in sys.argv[2:]))
