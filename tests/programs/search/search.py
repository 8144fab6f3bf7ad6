"""Asks an OpenSearch with its official client: `search.py PORT`."""
import sys

from opensearchpy import OpenSearch
from opensearchpy.exceptions import NotFoundError
from opensearchpy.helpers import bulk

client = OpenSearch(hosts=[{"host": "127.0.0.1", "port": int(sys.argv[1])}], http_compress=False, timeout=60)
client.search(body={"query": {"match_all": {}}})
client.indices.create(index="products", body={"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
client.index(index="products", id="7", body={"name": "a shoe"}, refresh=True)
client.get(index="products", id="7")
client.search(index="products", body={"query": {"match": {"name": "shoe"}}})
client.search(index="products", q="name:shoe")
bulk(client, [{"_index": "products", "_id": id, "name": "a boot"} for id in range(3)])
client.bulk(body=[{"create": {"_index": "products", "_id": "7"}}, {"name": "again"}])
client.count(index="products")
client.delete(index="products", id="7")
for missing in [lambda: client.get(index="products", id="nobody"), lambda: client.search(index="nothing")]:
    try:
        missing()
    except NotFoundError as error:
        print(error.error)
client.indices.delete(index="products")
