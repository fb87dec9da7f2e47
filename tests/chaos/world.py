"""The hosts, what they can reach, and how each action of a schedule is carried out."""

import asyncio
import collections
import gc
import threading
from concurrent.futures import Future

import coromega_ws as coromega
import uvloop
from c_host import CHost
from forks import Forks
from lua_host import LuaHost
from messages import SECRET
from pairs import Pairs
from python_host import PythonHost
from schedule import HOSTS

REMEMBERED = 8  # addresses of listeners, the latest; some of them have gone


def done(result):
    future = Future()
    future.set_result(result)
    return future


def then(future, step):
    """The future of what `step` makes of a result, or gives as a future of its own."""
    out = Future()

    def came(first):
        try:
            result = step(first.result())
        except BaseException as error:
            out.set_exception(error)
            return
        if isinstance(result, Future):
            result.add_done_callback(lambda second: out.set_result(second.result()))
        else:
            out.set_result(result)

    future.add_done_callback(came)
    return out


class World:
    """Everything that lives in this process, until `end`."""

    def __init__(self, languages, certificates, hostile, folder, failed):
        self.luas, self.library = languages
        self.certificates, self.hostile, self.folder, self.failed = certificates, hostile, folder, failed
        self.heard = collections.Counter()  # records of the log, by language
        self.addresses = collections.deque(maxlen=REMEMBERED)
        self.sockets = 0
        self.loops = collections.deque([asyncio.new_event_loop, uvloop.new_event_loop])
        self.hosts = [self._make(place) for place in range(HOSTS)]
        self.forks = Forks(self, failed)
        self.pairs = Pairs(self, failed)
        self.ending = set()

    def _make(self, place):
        kind = place % 3
        if kind == 0:
            # asyncio's own loops, and those of uvloop.
            self.loops.rotate()
            return PythonHost(self.failed, self.loops[0])
        return LuaHost(self.luas, self.failed) if kind == 1 else CHost(self.library, self.failed)

    def do(self, action):
        """Carries an action out; returns the future of its result."""
        own = getattr(self, action.name, None)
        if own is not None:
            return own(*action.arguments)
        host, *arguments = action.arguments
        return self.hosts[host].call(action.name, *arguments)

    def end(self):
        """Ends all hosts, with all that is open."""
        for thread in list(self.ending):
            thread.join()
        for place, host in enumerate(self.hosts):
            host.end(place % 2)
        self.hosts = []
        coromega.on_log(None)
        gc.collect()

    def address(self, n):
        """The n-th of the addresses that are remembered: its URL and whether it is TLS."""
        return self.addresses[n % len(self.addresses)] if self.addresses else None

    # Actions that are not one order to one host.

    def listen(self, host, way, options, behaviour, review):
        if way == "tls":
            options = options | self.certificates.server
        place = "127.0.0.1"
        if way == "unix":
            self.sockets += 1
            place = f"unix:{self.folder}/{self.sockets % 50}.sock"

        def bound(result):
            if isinstance(result, tuple) and result[1] >= 0:
                if way == "unix":
                    self.addresses.append((f"ws+unix://{place[5:]}:/", way, 0))
                else:
                    scheme = "wss" if way == "tls" else "ws"
                    self.addresses.append((f"{scheme}://localhost:{result[1]}/", way, result[1]))
            return result

        return then(self.hosts[host].call("listen", options, behaviour, review, place, 0), bound)

    def connect(self, host, n, options, behaviour):
        address = self.address(n)
        if address is None:
            return done("nothing")
        if address[1] == "tls":
            options = options | self.certificates.client
        return self.hosts[host].call("connect", f"{address[0]}?{SECRET}", options, behaviour)

    def burst(self, host, n, options, behaviour, count):
        futures = [self.connect(host, n, options, behaviour) for _ in range(count)]
        out, left = Future(), [count]
        lock = threading.Lock()

        def one(_):
            with lock:
                left[0] -= 1
                last = left[0] == 0
            if last:
                out.set_result(count)

        for future in futures:
            future.add_done_callback(one)
        return out

    def move(self, host, n, to, behaviour):
        taker = self.hosts[to]
        given = self.hosts[host].call("give", n)
        return then(given, lambda h: taker.call("take", h, behaviour) if isinstance(h, int) else h)

    def move_end(self, pair, role, step):
        return self.pairs.move(pair, role, step)

    def break_off(self, pair, role):
        return self.pairs.break_off(pair, role)

    def hostile_client(self, way, n, seed):
        address = self.address(n)
        if address is None or address[2] == 0:
            return done("nothing")
        return self.hostile.client(way, address[2], seed)

    def hostile_server(self, host, way, seed, options, behaviour):
        port = self.hostile.deaf if way == "silent" and seed % 2 else self.hostile.port
        return self.hosts[host].call("connect", f"ws://127.0.0.1:{port}/{way}/{seed}?{SECRET}", options, behaviour)

    def log(self, place, level, throws):
        host = self.hosts[place]

        def heard(count):
            if isinstance(count, int):
                self.heard[host.language] += count
            return count

        return then(host.call("log", level, throws), heard)

    def fork(self, kind):
        return self.forks.fork(kind)

    def end_host(self, place, abrupt):
        host, self.hosts[place] = self.hosts[place], self._make(place)
        out = Future()

        def end():
            host.end(abrupt)
            self.ending.discard(threading.current_thread())
            out.set_result("ok")

        thread = threading.Thread(target=end, name="ends a host")
        self.ending.add(thread)
        thread.start()
        return out
