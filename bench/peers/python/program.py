"""What the echo programs in Python have in common: their options, their loop, and a client's measurement.

SERVER: PROGRAM [--uvloop] [--tls CERT KEY] [--compress] [--broadcast]
CLIENT: PROGRAM [--uvloop] --client URL --size N --connections C --depth D --seconds S --warmup W
"""

import argparse
import asyncio
import json
import logging
import ssl
import sys
import time

# Messages of 1 MiB must pass, and the limit of some libraries is exactly that.
MAX_MESSAGE_SIZE = 2 * 1024 * 1024


def options(doc, lacks=()):
    """The options given. One that the library lacks ends the program with status 2."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--compress", action="store_true")
    parser.add_argument("--broadcast", action="store_true")
    parser.add_argument("--client", metavar="URL")
    parser.add_argument("--size", type=int, default=125)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--warmup", type=float, default=0.5)
    given = parser.parse_args()
    for name in lacks:
        if getattr(given, name):
            parser.error(f"this library cannot do --{name}")
    if given.client and (given.tls or given.compress or given.broadcast):
        parser.error("--tls, --compress and --broadcast are for the server")
    return given


def run(main, uvloop):
    """Runs a coroutine on asyncio's own loop or on uvloop; a client that failed ends with status 1."""
    # A client that leaves in the middle of its messages is no news here.
    logging.disable(logging.WARNING)
    factory = None
    if uvloop:
        from uvloop import new_event_loop as factory
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main)
    except Broken as error:
        sys.exit(f"client: {error}")


def tls_context(files):
    """A server's SSLContext, or None without --tls."""
    if files is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context


async def serve_on(port):
    """Tells that the server is there; SIGTERM ends it."""
    print("LISTENING", port, flush=True)
    await asyncio.Event().wait()


class Broken(Exception):
    """A connection ended, or what came back is not what was sent."""


class Tally:
    """What a client counts. Clients count in the field `received` themselves: a call would cost as
    much as some libraries take for a message."""

    def __init__(self, given):
        self.received = 0
        self.size = given.size
        self.broken = asyncio.get_running_loop().create_future()

    def fail(self, why):
        if not self.broken.done():
            self.broken.set_result(why)

    def watch(self, task):
        """A task that echoes for ever: its end is a failure."""
        task.add_done_callback(self.ended)

    def ended(self, task):
        if not task.cancelled():
            self.fail(repr(task.exception() or "the connection was closed"))

    async def wait(self, seconds):
        await asyncio.wait([self.broken], timeout=seconds)
        if self.broken.done():
            raise Broken(self.broken.result())

    async def measure(self, given):
        """Lets the connections run, and prints what the window has seen."""
        await self.wait(given.warmup)
        received, cpu, start = self.received, time.process_time_ns(), time.perf_counter()
        await self.wait(given.seconds)
        received, cpu = self.received - received, time.process_time_ns() - cpu
        seconds = time.perf_counter() - start
        print(json.dumps({"messages": received, "cpu_us": cpu / 1000, "seconds": seconds}), flush=True)
