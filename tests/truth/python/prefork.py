"""A WSGI application for gunicorn's sync workers, each of which serves one connection at a time: one call for GET /w/ID."""
import http.client
import os

BACKEND = http.client.HTTPConnection("127.0.0.1", int(os.environ["BACKEND"]))


def application(environ, start_response):
    request = environ["PATH_INFO"].removeprefix("/w/")
    BACKEND.request("GET", f"/b/{request}/1")
    answer = BACKEND.getresponse().read()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
