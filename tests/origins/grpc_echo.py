"""A gRPC service, and a client of it: `serve HOST:PORT` serves; `ask HOST:PORT CERT` prints what each kind of call came to.

Messages are plain bytes, so no compiler of protocols is needed.
"""
import sys, threading
from concurrent import futures

import grpc

SERVICE = "leeward.Echo"


def unary(request, context):
    context.set_trailing_metadata((("x-seen", str(len(request))),))
    return request


def fails(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def many(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def total(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield b"<" + request + b">"


HANDLERS = {
    "unary": grpc.unary_unary_rpc_method_handler(unary),
    "fails": grpc.unary_unary_rpc_method_handler(fails),
    "many": grpc.unary_stream_rpc_method_handler(many),
    "total": grpc.stream_unary_rpc_method_handler(total),
    "both": grpc.stream_stream_rpc_method_handler(both),
}


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, HANDLERS),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def ask(address, certificate):
    with open(certificate, "rb") as pem:
        credentials = grpc.ssl_channel_credentials(pem.read())
    channel = grpc.secure_channel(address, credentials, (("grpc.ssl_target_name_override", "localhost"),))
    path = lambda name: f"/{SERVICE}/{name}"
    patience = {"timeout": 20, "wait_for_ready": True}
    answer, call = channel.unary_unary(path("unary")).with_call(b"hello", **patience)
    print("unary", answer.decode(), dict(call.trailing_metadata())["x-seen"])
    large = channel.unary_unary(path("unary"))(b"x" * 1_000_000, **patience)
    print("large", len(large))
    try:
        channel.unary_unary(path("fails"))(b"", **patience)
    except grpc.RpcError as error:
        print("fails", error.code().name, error.details())
    print("many", b"".join(channel.unary_stream(path("many"))(b"1000", **patience))[-6:].decode())
    print("total", channel.stream_unary(path("total"))(iter([b"x" * 50_000] * 20), **patience).decode())
    # Each word is said only after the answer to the one before has come: both directions at once.
    heard, words = threading.Semaphore(1), [b"one", b"two", b"three"]
    def said():
        for word in words:
            heard.acquire()
            yield word
    answers = []
    for answer in channel.stream_stream(path("both"))(said(), **patience):
        answers.append(answer.decode())
        heard.release()
    print("both", " ".join(answers))


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
