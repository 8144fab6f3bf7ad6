"""A thermostat and what it listens to, over MQTT as Eclipse Paho speaks it. Arguments: the port, and the version, 4 or 5."""
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PORT, VERSION = int(sys.argv[1]), int(sys.argv[2])


def properties(quality):
    if VERSION != 5:
        return None
    made = Properties(PacketTypes.PUBLISH)
    made.UserProperty = [("unit", "kelvin")]
    if quality == 1:
        made.UserProperty = ("traceparent", TRACEPARENT)
    made.CorrelationData = b"measurement-%d" % quality
    return made


def client(name):
    made = mqtt.Client(client_id=name, protocol=VERSION)
    made.username_pw_set("thermostat", "c4n4ry-password")
    made.connect("127.0.0.1", PORT)
    made.loop_start()
    return made


taken = threading.Semaphore(0)
subscribed = threading.Event()
listener = client("listener")
listener.on_message = lambda *_: taken.release()
listener.on_subscribe = lambda *_: subscribed.set()
listener.subscribe("home/+/temperature", 2)
subscribed.wait(10)
thermostat = client("thermostat")
for quality in [0, 1, 2]:
    sent = thermostat.publish("home/4711/temperature", b"295", quality, properties=properties(quality))
    sent.wait_for_publish(10)
    assert taken.acquire(timeout=10)
time.sleep(0.3)  # the last message is released to its listener
thermostat.disconnect()
listener.disconnect()
