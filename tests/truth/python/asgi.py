"""An ASGI application for uvicorn that calls with httpx; its variant comes in VARIANT, the backend's port in BACKEND.

GET /w/ID: `direct` makes one call, `parallel` two at once, `threads` one from a thread of the framework's pool.
"""
import asyncio
import contextlib
import os
import threading

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

BACKEND = f"http://127.0.0.1:{os.environ['BACKEND']}"
VARIANT = os.environ["VARIANT"]
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
MINE = threading.local()


async def call(request, number):
    answer = await request.app.state.client.get(f"{BACKEND}/b/{request.path_params['id']}/{number}")
    return answer.text


async def direct(request):
    return PlainTextResponse(await call(request, 1))


async def parallel(request):
    first, _ = await asyncio.gather(call(request, 1), call(request, 2))
    return PlainTextResponse(first)


def threads(request):
    if not hasattr(MINE, "client"):
        MINE.client = httpx.Client(limits=LIMITS)
    return PlainTextResponse(MINE.client.get(f"{BACKEND}/b/{request.path_params['id']}/1").text)


@contextlib.asynccontextmanager
async def lifespan(app):
    async with httpx.AsyncClient(limits=LIMITS) as client:
        app.state.client = client
        yield


handlers = {"direct": direct, "parallel": parallel, "threads": threads}
app = Starlette(routes=[Route("/w/{id}", handlers[VARIANT])], lifespan=lifespan)
