"""Talks to a MongoDB on the port of the first argument, with PyMongo."""
import sys

import pymongo
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]))
shop = client.shop
shop.products.insert_one({"_id": 1, "name": "c4n4ry"})
shop.products.insert_many([{"_id": id, "name": "c4n4ry" * 20} for id in range(2, 8)])
list(shop.products.find({"name": "c4n4ry"}))
list(shop.products.find({}, batch_size=3))
shop.products.update_one({"_id": 1}, {"$set": {"name": "c4n4ry"}})
shop.products.count_documents({"_id": {"$gt": 2}})
try:
    shop.products.insert_one({"_id": 1})
except DuplicateKeyError:
    pass
try:
    shop.products.insert_many([{"_id": 9}, {"_id": 9}])
except BulkWriteError:
    pass
try:
    shop.command("noSuchCommand", "c4n4ry")
except OperationFailure:
    pass
shop.products.drop()
client.close()
