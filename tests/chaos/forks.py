"""Forks in the middle of everything: what children do, and that they end."""

import asyncio
import gc
import os
import time
import traceback
from concurrent.futures import Future

import coromega_ws as coromega

TALK = """
local coromega = require("coromega_ws")
local listener = coromega:create_websocket_server("127.0.0.1", 0)
local _, port = listener:address()
listener:when_new_conn(function(conn)
    conn:send_message(conn:receive_message())
end)
local answer
coromega:start_new(function()
    local conn = assert(coromega:connect_to_websocket("ws://127.0.0.1:" .. port))
    conn:send_message("child")
    answer = conn:receive_message()
    conn:close()
    listener:close()
end)
coromega:run()
return answer
"""


async def _talk():
    listener = coromega.create_websocket_server("127.0.0.1", 0)

    async def echo(conn):
        await conn.send_message(await conn.receive_message())

    listener.when_new_conn(echo)
    conn = await coromega.connect_to_websocket(f"ws://127.0.0.1:{listener.address[1]}")
    await conn.send_message("child")
    assert await conn.receive_message(timeout=30) == "child"
    await conn.close()
    await listener.close()


class Forks:
    def __init__(self, world, failed):
        self.world, self.failed = world, failed
        self.children = {}

    def fork(self, kind):
        if kind == "c":
            handle = self.world.hosts[2].call("give", 0).result()
            pid = self.world.library.chaos_fork(handle if isinstance(handle, int) else 1)
        else:
            pid = os.fork()
        if pid == 0:
            # Nothing of the parent's may end in here: neither its objects nor its buffers.
            gc.disable()
            try:
                getattr(self, f"_{kind}")()
                os._exit(0)
            except BaseException:
                os.write(2, f"a child of {os.getppid()} ({kind}):\n{traceback.format_exc()}".encode())
            finally:
                os._exit(1)
        future = Future()
        self.children[pid] = (kind, future)
        return future

    def _exit(self):
        pass

    def _python(self):
        asyncio.run(_talk())

    def _lua(self):
        assert self.world.luas.state().execute(TALK) == "child"

    def _parents(self):
        """What is the parent's is refused, before and after there is something of the child's own."""
        conns = list(self.world.hosts[0].conns)
        listeners = list(self.world.hosts[0].listeners)
        for _ in range(2):
            for conn in conns:
                for call in (conn.info, conn.request, lambda c=conn: c.send_message("lost"), conn.close):
                    try:
                        result = call()
                        if hasattr(result, "__await__"):
                            next(result.__await__())
                    except (coromega.Error, StopIteration):
                        continue
            for listener in listeners:
                try:
                    listener.close()
                except coromega.Error:
                    continue
            asyncio.run(_talk())

    def reap(self):
        """Sees which children have ended."""
        for pid, (kind, future) in list(self.children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.children[pid]
                code = os.waitstatus_to_exitcode(status)
                if code != 0:
                    self.failed(f"the child of a fork ({kind}) ended with {code}")
                future.set_result(code)

    def wait(self, patience=60):
        deadline = time.monotonic() + patience
        while self.children and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.01)
        if self.children:
            self.failed(f"children do not end: {self.children}")
