"""A host in Python: an event loop on a thread of its own, which does what it is told."""

import asyncio
import contextlib
import gc
import logging
import threading
import traceback
from concurrent.futures import Future

import coromega_ws as coromega
from messages import HALF, SECRET
from python_pairs import PairEnds

ROOM = 12  # connections that a host keeps; the oldest has to go for the next
LISTENERS = 4
EXPECTED = (coromega.Error, TimeoutError)


class Thrown(Exception):
    """What callbacks throw on purpose."""


class Log:
    """What the library says, in all loops."""

    heard = 0
    LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}

    @classmethod
    def hear(cls, level, text):
        cls.heard += 1
        assert SECRET not in text and "mmmmmm" not in text, f"the log tells: {text}"

    @classmethod
    def hear_and_throw(cls, level, text):
        cls.hear(level, text)
        raise Thrown


class PythonHost(PairEnds):
    language = "python"

    def __init__(self, failed, new_loop=asyncio.new_event_loop):
        self.failed = failed  # called with what must not be
        self.new_loop = new_loop
        self.conns, self.listeners, self.ends, self.tasks = [], [], {}, set()
        self.pending = set()
        self.loop = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, name="python host")
        self.thread.start()
        self.ready.wait()

    # The thread, and orders for it.

    def _run(self):
        self.loop = self.new_loop()
        self.over = self.loop.create_future()
        self.loop.call_soon(self.ready.set)
        try:
            abrupt = self.loop.run_until_complete(self.over)
            if not abrupt:
                for task in asyncio.all_tasks(self.loop):
                    task.cancel()
                self.loop.run_until_complete(asyncio.sleep(0))
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            if abrupt:
                # Tasks that nobody will run: what they say of that is no news.
                self.loop.set_exception_handler(lambda *_: None)
            self.loop.close()
            for future in list(self.pending):
                future.set_result("ended")
            self.conns, self.listeners, self.ends, self.tasks = [], [], {}, set()
            self.pending = set()

    def call(self, name, *arguments):
        future = Future()

        def start():
            self.pending.add(future)
            task = self._task(self._answer(future, getattr(self, name), arguments))
            task.set_name(name)

        try:
            self.loop.call_soon_threadsafe(start)
        except RuntimeError:
            future.set_result("ended")
        return future

    def end(self, abrupt):
        def stop():
            if not self.over.done():
                self.over.set_result(abrupt)

        self.loop.call_soon_threadsafe(stop)
        self.thread.join()

    def _task(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _answer(self, future, method, arguments):
        try:
            result = await method(*arguments)
        except EXPECTED as error:
            result = type(error).__name__
        except (asyncio.CancelledError, GeneratorExit):
            result = "ended"
        except BaseException as error:
            trace = "".join(traceback.format_exception(error))
            self.failed(f"python {method.__name__}{arguments}: {trace}")
            result = repr(error)
        if future in self.pending:
            self.pending.discard(future)
            future.set_result(result)

    # Connections and their behaviours.

    def _keep(self, conn, behaviour):
        if behaviour == "drop":
            return
        self.conns.append(conn)
        self._behave(conn, behaviour)
        while len(self.conns) > ROOM:
            oldest = self.conns.pop(0)
            if len(self.tasks) % 2:
                self._task(self._quietly(oldest.close, 1001))

    @staticmethod
    async def _quietly(call, *arguments):
        """What a call gives in the end, or None; it may fail at once as well as later."""
        try:
            return await call(*arguments)
        except (*EXPECTED, Thrown):
            return None

    def _behave(self, conn, behaviour):
        async def echo(text):
            self._check(text)
            # An answer is not answered again.
            if text and text[0] in ("m", ord("m")):
                send = conn.send_message if isinstance(text, str) else conn.send_binary
                await self._quietly(send, "e" + text[1:] if isinstance(text, str) else b"e" + text[1:])

        def throw(_):
            raise Thrown

        async def close(text):
            if text is not None:
                await self._quietly(conn.close, 4001, "on the first message")

        async def take(pause):
            while await self._quietly(self._receive, conn) is not None:
                await asyncio.sleep(pause)

        async def flood():
            for n in range(200):
                await conn.send_message("f" * (n * 37 % 2000))
            await conn.close()

        async def in_parts():
            await self._write(conn, False, 1000, 100, True)
            await conn.close()

        async def each(callback):
            text = ""
            while text is not None:
                text = await self._receive(conn)
                answer = callback(text)
                if answer is not None:
                    await answer

        callbacks = {"echo": echo, "throw": throw, "close": close}
        if behaviour in callbacks:
            if conn._fragments:
                self._task(self._quietly(each, callbacks[behaviour]))
            else:
                conn.when_new_msg(callbacks[behaviour])
        elif behaviour in ("take", "slow"):
            self._task(take(0.01 if behaviour == "slow" else 0))
        elif behaviour == "flood":
            self._task(self._quietly(flood))
        elif behaviour == "parts":
            self._task(self._quietly(in_parts))

    async def _receive(self, conn):
        """The next message, or its first part where it comes in fragments."""
        if conn._fragments:
            part = first = await conn.receive_fragment()
            while part is not None and not part.fin:
                part = await conn.receive_fragment()
            text = part and first.data
        else:
            text = await conn.receive_message()
        self._check(text)
        return text

    def _check(self, text):
        if text is not None and text[:4] in (HALF, HALF.encode()):
            self.failed("python: a message that stayed half came whole")

    @staticmethod
    async def _write(conn, binary, size, count, whole, compress=True):
        """A message in fragments, with pauses. One that stays half is left by an exception."""
        text = ("m" if whole else HALF) + "m" * size
        with contextlib.suppress(Thrown):
            async with (conn.begin_binary if binary else conn.begin_message)(compress=compress) as writer:
                for _ in range(count):
                    await writer.write(text.encode() if binary else text)
                    await asyncio.sleep(0.005)
                if not whole:
                    raise Thrown

    def _nth(self, n):
        return self.conns[n % len(self.conns)] if self.conns else None

    # What it can be told to do. What these return is written down.

    async def listen(self, options, behaviour, review, host, port):
        def greet(conn):
            if behaviour == "throw" and len(self.conns) % 3 == 0:
                raise Thrown
            self._keep(conn, behaviour)

        async def look(_):
            if review == "throw":
                raise Thrown
            if review == "leave":
                await asyncio.sleep(60)
            return 403 if review == "refuse" else coromega.Accept(headers={"X-Seen": "yes"})

        def dead(_):
            if behaviour == "throw":
                raise Thrown

        listener = coromega.create_websocket_server(host, port, when_request=look if review else None, **options)
        listener.when_new_conn(greet).when_dead(dead)
        self.listeners.append(listener)
        if len(self.listeners) > LISTENERS:
            self._task(self._quietly(self.listeners.pop(0).close))
        return listener.address

    async def connect(self, url, options, behaviour):
        conn = await coromega.connect_to_websocket(url, **options)
        if options.get("reconnect"):
            conn.when_lost(lambda *_: None)
            conn.when_back(lambda: None)
        self._keep(conn, behaviour)
        return "ok"

    async def send(self, n, binary, size, count, compress):
        conn = self._nth(n)
        if conn is None:
            return "nothing"
        async with asyncio.timeout(2):
            for _ in range(count):
                if binary:
                    await conn.send_binary(b"m" * size, compress=compress)
                else:
                    await conn.send_message("m" * size, compress=compress)
        return "ok"

    async def write(self, n, *how):
        conn = self._nth(n)
        if conn is None:
            return "nothing"
        async with asyncio.timeout(2):
            await self._write(conn, *how)
        return "ok"

    async def send_to_many(self, slow, size, compress):
        async with asyncio.timeout(2):
            return await coromega.send_to_many(self.conns, "m" * size, slow=slow, compress=compress)

    async def close(self, n, code):
        conn = self._nth(n)
        if conn is None:
            return "nothing"
        self.conns.remove(conn)
        await conn.close(code, "chaos")
        return "ok"

    async def drop(self, n):
        if self.conns:
            self.conns.pop(n % len(self.conns))
        return "ok"

    async def ping(self, n):
        conn = self._nth(n)
        if conn is None:
            return "nothing"
        async with asyncio.timeout(5):
            await conn.ping()
        return "ok"

    async def cancel(self, n):
        """A wait of each kind that is given up."""
        conn = self._nth(n)
        if conn is None:
            return "nothing"
        waits = [lambda: self._receive(conn), conn.ping, lambda: conn.send_binary(b"m" * 100_000), conn.close]
        task = self._task(self._quietly(waits[n % len(waits)]))
        await asyncio.sleep(0.001 * (n % 3))
        task.cancel()
        return "ok"

    async def replace(self, n):
        """Another callback, or none, in the middle of everything."""
        conn = self._nth(n)
        if conn is None or conn._fragments:
            return "nothing"
        conn.when_new_msg(None if n % 2 else lambda _: None)
        return "ok"

    async def give(self, n):
        conn = self._nth(n)
        return "nothing" if conn is None else conn.handle

    async def take(self, handle, behaviour):
        conn = coromega.from_handle(handle)
        if conn not in self.conns:
            self._keep(conn, behaviour)
        return "ok"

    async def close_listener(self, n, drain):
        if not self.listeners:
            return "nothing"
        listener = self.listeners.pop(n % len(self.listeners))
        await listener.close("chaos", drain=drain or None)
        return "ok"

    async def reload(self, n):
        if not self.listeners:
            return "nothing"
        self.listeners[n % len(self.listeners)].reload()
        return "ok"

    async def look(self):
        for conn in self.conns:
            try:
                conn.info(), conn.request(), conn.latency, repr(conn)
            except EXPECTED:
                pass
        for listener in self.listeners:
            listener.counters(), listener.connections()
        return coromega.counters().connections, len(coromega.metrics()) > 0

    async def log(self, level, throws):
        """Returns how much has been heard since the last time."""
        if level == "nothing":
            coromega.on_log(None)
        else:
            coromega.on_log(Log.hear_and_throw if throws else Log.hear, Log.LEVELS[level])
        heard, Log.heard = Log.heard, 0
        return heard

    async def collect(self):
        return gc.collect() >= 0

    async def misuse(self, n):
        """Calls of the wrong shape."""
        calls = [
            lambda: coromega.from_handle(n + (1 << 40)),
            lambda: coromega.create_websocket_server("127.0.0.1", 0, no_such_option=1),
            lambda: coromega.create_websocket_server("192.0.2.1", 1),
            lambda: self.conns[0].close(99999),
            lambda: self.conns[0].send(float("nan")),
            lambda: self.conns[0].send_message("\ud800"),
        ]
        try:
            result = calls[n % len(calls)]()
            if hasattr(result, "__await__"):
                await result
        except (*EXPECTED, IndexError, TypeError, ValueError):
            return "ok"
        # Only where there was nobody to send to.
        return "nothing"

    async def throw(self):
        def throw():
            raise Thrown

        coromega.start_new(throw)
        return "ok"
