"""A web server as Python ships it: wsgiref, one thread, blocking, no timeout anywhere.

    python3 wsgi.py ADDRESS PORT

Says `wsgi: listening on ADDRESS:PORT` when it does. Its pages:

    /                   its process number
    /bytes/N            N bytes, each its place modulo 251
    /echo               the body of the request
    /status/N           a page with this status
    /slow/MS            a page after so many milliseconds
    /block/lock         takes a lock that is taken
    /block/read         reads from a socket whose other end says nothing
    /block/database     asks another server, which accepts and never answers
    /stop               stops its own process, as SIGSTOP does
"""

import os
import signal
import socket
import sys
import threading
import time
from wsgiref.simple_server import make_server

PERIOD = 251
PIECE = 256 * PERIOD

# Kept here, or the other end would be closed when nobody refers to it any more.
PAIR = socket.socketpair()
DATABASE = socket.create_server(("127.0.0.1", 0))


def application(environ, start_response):
    """Answers one request; nothing else is answered meanwhile."""
    _, name, *arguments = environ["PATH_INFO"].split("/")
    number = int(arguments[0]) if arguments and arguments[0].isdigit() else 0
    status, body = "200 OK", b""
    if name == "bytes":
        fields = [("Content-Type", "application/octet-stream"), ("Content-Length", str(number))]
        start_response(status, fields)
        return pattern(number)
    if name == "echo":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    elif name == "status":
        status = f"{number} As Asked"
    elif name == "slow":
        time.sleep(number / 1000)
    elif name == "block":
        block(arguments[0])
    elif name == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif name != "":
        status = "404 Not Found"
    body = body or f"wsgiref\npid={os.getpid()}\n".encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def pattern(length):
    """The pieces of a body of this length."""
    piece = bytes(range(PERIOD)) * (PIECE // PERIOD)
    for begin in range(0, length, PIECE):
        yield piece[: length - begin]


def block(where):
    """Never returns."""
    if where == "lock":
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    elif where == "read":
        PAIR[0].recv(1)
    elif where == "database":
        with socket.create_connection(DATABASE.getsockname()) as question:
            question.sendall(b"SELECT 1;")
            question.recv(1)


def main():
    """Serves for ever."""
    address, port = sys.argv[1], int(sys.argv[2])
    with make_server(address, port, application) as server:
        print(f"wsgi: listening on {address}:{server.server_port}", flush=True)
        server.serve_forever()


main()
