"""aiohttp at both ends, one event loop: PORT BACKEND DATABASE VARIANT.

GET /w/ID makes the variant's calls and answers "ok".
"""
import asyncio
import itertools
import sys

import aiohttp
import redis.asyncio
from aiohttp import web

PORT, BACKEND, REDIS, VARIANT = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
# Connections of the client's pool; zero is as many as it likes.
LIMIT = 4 if VARIANT == "pool" else 0
TIMER = 0.005
BACKGROUND = 0.003
later = set()


async def call(app, request, number):
    async with app["session"].get(f"http://127.0.0.1:{BACKEND}/b/{request}/{number}") as answer:
        return await answer.text()


def read_file():
    with open("/etc/hostname", "rb") as file:
        return file.read()


def detach(coroutine):
    task = asyncio.create_task(coroutine)
    later.add(task)
    task.add_done_callback(later.discard)


async def work(app, request):
    match VARIANT:
        case "direct" | "pool" | "background":
            await call(app, request, 1)
        case "sequential":
            await call(app, request, 1)
            await call(app, request, 2)
        case "parallel":
            await asyncio.gather(call(app, request, 1), call(app, request, 2))
        case "timer":
            await asyncio.sleep(TIMER)
            await call(app, request, 1)
        case "file":
            await asyncio.to_thread(read_file)
            await call(app, request, 1)
        case "redis":
            await app["cache"].get(f"b:{request}:1")
        case "after":
            detach(after(app, request))


async def after(app, request):
    """A call made when the response has long been sent."""
    await asyncio.sleep(TIMER)
    await call(app, request, 1)


async def background(app):
    """Calls that no request caused."""
    for number in itertools.count():
        await asyncio.sleep(BACKGROUND)
        await call(app, f"bg{number}", 1)


async def handle(request):
    await work(request.app, request.match_info["id"])
    return web.Response(text="ok")


async def start(app):
    app["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=LIMIT))
    app["cache"] = redis.asyncio.Redis(port=REDIS)
    if VARIANT == "background":
        detach(background(app))


app = web.Application()
app.router.add_get("/w/{id}", handle)
app.on_startup.append(start)
web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None)
