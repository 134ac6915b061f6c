"""gRPC without generated code: messages are bytes.

  grpc_calls.py server PORT [CERT KEY]     serves until SIGTERM, then finishes what it has
  grpc_calls.py client ADDRESS [CA NAME]   all four kinds of calls, and how they fail; prints "whole N" calls
  grpc_calls.py load ADDRESS SECONDS       calls from eight threads; prints how many, and how many failed
"""

import signal
import sys
import threading
import time
from concurrent import futures

import grpc


def unary(message, context):
    context.set_trailing_metadata((("x-length", str(len(message))),))
    if message == b"fail":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä")
    return message


def down(message, context):
    for n in range(int(message)):
        yield b"%d" % n


def up(messages, context):
    return b"%d" % sum(len(message) for message in messages)


def both(messages, context):
    for message in messages:
        yield message


class Hanging:
    """Calls that are never answered, and how many of them were cancelled."""

    def __init__(self):
        self.cancelled = 0
        self.gone = threading.Condition()

    def hang(self, message, context):
        over = threading.Event()
        context.add_callback(over.set)
        over.wait(60)
        with self.gone:
            self.cancelled += 1
            self.gone.notify_all()
        return b""

    def count(self, message, context):
        with self.gone:
            self.gone.wait_for(lambda: self.cancelled >= int(message), 30)
            return b"%d" % self.cancelled


def serve(port, cert=None, key=None):
    hanging = Hanging()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Hang": grpc.unary_unary_rpc_method_handler(hanging.hang),
        "Count": grpc.unary_unary_rpc_method_handler(hanging.count),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=80))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    address = f"127.0.0.1:{port}"
    if cert:
        pair = (open(key, "rb").read(), open(cert, "rb").read())
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    server.start()
    stopping.wait()
    server.stop(10).wait()


def channel(address, ca=None, name=None):
    if not ca:
        return grpc.insecure_channel(address)
    options = (("grpc.ssl_target_name_override", name),)
    credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
    return grpc.secure_channel(address, credentials, options)


def client(address, *tls):
    calls = 0
    with channel(address, *tls) as to:
        one = to.unary_unary("/t.T/Unary")
        for message in [b"", b"hello", b"x" * 3_000_000]:
            answer, call = one.with_call(message, metadata=(("x-asked", "1"),), timeout=30)
            assert answer == message
            assert ("x-length", str(len(message))) in call.trailing_metadata()
            calls += 1
        try:
            one(b"fail", timeout=30)
            raise SystemExit("it should have failed")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
            assert error.details() == "no such thing: ä", error
            assert ("x-length", "4") in error.trailing_metadata()
            calls += 1
        try:
            to.unary_unary("/t.T/Nothing")(b"", timeout=30)
            raise SystemExit("it should have failed")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
            calls += 1

        answers = list(to.unary_stream("/t.T/Down")(b"1000", timeout=30))
        assert answers == [b"%d" % n for n in range(1000)]
        calls += 1

        messages = (b"y" * 10_000 for _ in range(300))
        assert to.stream_unary("/t.T/Up")(messages, timeout=30) == b"3000000"
        calls += 1

        # Each message is sent when the one before has been answered.
        answered = threading.Semaphore(1)

        def talk():
            for n in range(100):
                answered.acquire()
                yield b"%d" % n

        for n, answer in enumerate(to.stream_stream("/t.T/Both")(talk(), timeout=30)):
            assert answer == b"%d" % n
            answered.release()
        assert n == 99
        calls += 1

        hang = to.unary_unary("/t.T/Hang")
        try:
            hang(b"", timeout=0.5)
            raise SystemExit("it should have taken too long")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
            calls += 1
        waiting = hang.future(b"", timeout=30)
        time.sleep(0.2)
        waiting.cancel()
        calls += 1
        assert to.unary_unary("/t.T/Count")(b"2", timeout=40) == b"2"

        # More than go on one connection.
        many = [one.future(b"%d" % n, timeout=30) for n in range(300)]
        assert [answer.result() for answer in many] == [b"%d" % n for n in range(300)]
        calls += len(many)
    print("whole", calls)


def load(address, seconds):
    until = time.monotonic() + float(seconds)
    done, failed = [], []

    def call():
        with channel(address) as to:
            one = to.unary_unary("/t.T/Unary")
            while time.monotonic() < until:
                try:
                    assert one(b"x" * 100, timeout=10) == b"x" * 100
                    done.append(1)
                except grpc.RpcError as error:
                    # What it has not begun a server cancels when it is stopped, whoever asks it.
                    if error.code() != grpc.StatusCode.CANCELLED:
                        failed.append(f"{error.code()}: {error.details()}")

    threads = [threading.Thread(target=call) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print(len(done), len(failed), *failed[:3])


{"server": serve, "client": client, "load": load}[sys.argv[1]](*sys.argv[2:])
