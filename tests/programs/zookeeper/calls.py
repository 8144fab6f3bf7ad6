"""kazoo, a client of ZooKeeper: `calls.py SERVER`. Makes a node, watches it, changes it, does three things as one, and fails at some."""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

SECRET = b"c4n4ry-in-a-coal-mine"

client = KazooClient(hosts=sys.argv[1], timeout=30)
client.start()
client.add_auth("digest", "shop:" + SECRET.decode())
client.create("/shop", SECRET)
try:
    client.create("/shop", SECRET)
    raise SystemExit("made twice")
except NodeExistsError:
    pass
changed = threading.Event()
assert client.get("/shop", watch=lambda _: changed.set())[0] == SECRET
client.set("/shop", SECRET * 300)
assert changed.wait(30)
assert client.exists("/shop/none") is None
try:
    client.delete("/shop/none")
    raise SystemExit("nothing was deleted")
except NoNodeError:
    pass
for version in (7, -1):
    transaction = client.transaction()
    transaction.create("/shop/order", SECRET)
    transaction.check("/shop", version)
    transaction.set_data("/shop", SECRET)
    results = transaction.commit()
    assert isinstance(results[1], BadVersionError) == (version == 7), results
assert client.get_children("/shop") == ["order"]
client.stop()
client.close()
