"""A host in Lua: a state on a thread of its own, driven through its descriptor."""

import importlib
import os
import queue
import select
import sys
import threading
from concurrent.futures import Future

from messages import WINDOW

from hosts import STAGE

HERE = os.path.dirname(__file__)


class Luas:
    """One of lupa's Luas; a process can have no second one, whose names would be the same."""

    def __init__(self, module):
        flags = sys.getdlopenflags()
        # A module for Lua takes Lua's functions from the process, as an interpreter offers them.
        sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
        self.lupa = importlib.import_module(f"lupa.{module}")
        sys.setdlopenflags(flags)
        self.version = {"lua52": "5.2", "lua53": "5.3", "lua54": "5.4"}.get(module, "5.1")
        with open(f"{HERE}/host.lua") as file:
            self.script = file.read()

    def state(self):
        state = self.lupa.LuaRuntime()
        state.globals().package.cpath = f"{STAGE}/lib/lua/{self.version}/?.so"
        state.globals().package.path = f"{STAGE}/share/lua/{self.version}/?.lua;{HERE}/?.lua"
        return state


class LuaHost:
    language = "lua"

    def __init__(self, luas, failed):
        self.luas, self.failed = luas, failed
        self.orders = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.ended = False
        self.pending = {}
        self.wake_read, self.wake_write = os.pipe()
        self.thread = threading.Thread(target=self._run, name="lua host")
        self.thread.start()

    def call(self, name, *arguments):
        future = Future()
        with self.lock:
            if self.ended:
                future.set_result("ended")
            else:
                self.orders.put((future, name, arguments))
                os.write(self.wake_write, b"x")
        return future

    def end(self, abrupt):
        """Lua states have one way to end: with all that is open."""
        with self.lock:
            self.ended = True
            os.write(self.wake_write, b"x")
        self.thread.join()
        os.close(self.wake_read)
        os.close(self.wake_write)

    def _answer(self, number, *results):
        # A number without a fraction is what it was before it came to Lua.
        results = [int(r) if isinstance(r, float) and r.is_integer() else r for r in results]
        while len(results) > 1 and results[-1] is None:
            results.pop()
        self.pending.pop(int(number)).set_result(tuple(results) if len(results) > 1 else results[0])

    def _run(self):
        try:
            self._drive()
        except BaseException as error:
            self.failed(f"a Lua state's host: {error!r}")
        # The state is closed, as nothing refers to it any more.
        for future in self.pending.values():
            future.set_result("ended")
        while not self.orders.empty():
            self.orders.get()[0].set_result("ended")

    def _drive(self):
        state = self.luas.state()
        command, poll, fd = state.execute(self.luas.script, self._answer, lambda text: self.failed(text), WINDOW)

        def given(value):
            if isinstance(value, dict):
                return state.table_from({k: given(v) for k, v in value.items()})
            return state.table_from(value) if isinstance(value, list) else value

        waiting = select.poll()
        waiting.register(fd, select.POLLIN)
        waiting.register(self.wake_read, select.POLLIN)
        number = 0
        while not self.ended:
            waiting.poll()
            while not self.orders.empty():
                future, name, arguments = self.orders.get()
                os.read(self.wake_read, 1)
                number += 1
                self.pending[number] = future
                command(number, name, *map(given, arguments))
            poll()
