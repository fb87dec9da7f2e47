"""Pairs that behave: numbered messages go out all the time, and each comes back once and in order.

The ends of a pair begin in two languages, and move from host to host as the schedule has it.
"""

import threading
import time
from concurrent.futures import Future

from schedule import LASTING, PAIRS

PATIENCE = 60
PLAIN = {"close_timeout": 30, "open_timeout": 30}
DEFLATE = {"compression": 1, "context_takeover": 1, "compression_min_size": 0}


class Pair:
    def __init__(self):
        self.place = {}  # of each end: the host where it is
        self.moving = {}  # of each end: the future of its last move
        self.moves = 0


class Pairs:
    def __init__(self, world, failed):
        self.world, self.failed = world, failed
        self.pairs = [Pair() for _ in range(PAIRS)]
        self.lock = threading.Lock()

    def start(self):
        certificates = self.world.certificates
        for number, pair in enumerate(self.pairs):
            ours, theirs = number % LASTING, (number + 1) % LASTING
            pair.place = {"client": ours, "server": theirs}
            server = PLAIN | (DEFLATE if number == 1 else certificates.server if number == 2 else {})
            client = PLAIN | (DEFLATE if number == 1 else certificates.client if number == 2 else {})
            _, port = self.world.hosts[theirs].call("pair_listen", number, server).result(PATIENCE)
            url = f"{'wss' if number == 2 else 'ws'}://localhost:{port}/"
            result = self.world.hosts[ours].call("pair_connect", number, url, client).result(PATIENCE)
            assert result == "ok", result
        # Each has to work before it may move.
        for number, pair in enumerate(self.pairs):
            self._wait_for(number, "client", 10)

    def progress(self, number, role="client"):
        """How many messages came back; None while that end moves."""
        pair = self.pairs[number]
        future = pair.moving.get(role)
        if future is not None and not future.done():
            return None
        return self.world.hosts[pair.place[role]].call("pair_progress", number, role).result(PATIENCE)

    def _wait_for(self, number, role, count):
        deadline = time.monotonic() + PATIENCE
        while (self.progress(number, role) or 0) < count:
            if time.monotonic() > deadline:
                self.failed(f"pair {number} stands still")
                return
            time.sleep(0.01)

    def move(self, number, role, step):
        """Moves an end to another of the hosts that last. One move of an end at a time."""
        pair = self.pairs[number]
        out = Future()
        before = pair.moving.get(role)
        if before is not None and not before.done():
            out.set_result("it moves")
            return out
        pair.moving[role] = out
        source = self.world.hosts[pair.place[role]]
        to = (pair.place[role] + step) % LASTING
        target = self.world.hosts[to]

        def given(future):
            result = future.result()
            if not isinstance(result, tuple):
                self.failed(f"pair {number}: the {role} can't be given away: {result}")
                out.set_result(result)
                return
            target.call("pair_take", number, role, *result).add_done_callback(taken)

        def taken(future):
            if future.result() != "ok":
                self.failed(f"pair {number}: the {role} can't be taken over: {future.result()}")
            # Only now may the object that had it go.
            source.call("pair_forget", number, role).add_done_callback(forgotten)

        def forgotten(_):
            pair.place[role] = to
            pair.moves += 1
            out.set_result(f"{source.language} to {target.language}")

        source.call("pair_give", number, role).add_done_callback(given)
        return out

    def stop(self):
        """Lets what is under way come back, and closes. Returns how many came back, and all moves."""
        total = 0
        for number, pair in enumerate(self.pairs):
            for future in pair.moving.values():
                future.result(PATIENCE)
            host = self.world.hosts[pair.place["client"]]
            deadline = time.monotonic() + PATIENCE
            while True:
                count = host.call("pair_stop", number).result(PATIENCE)
                if not isinstance(count, int):
                    self.failed(f"pair {number} does not stop: {count}")
                    break
                if count >= 0:
                    echoed = self.progress(number, "server")
                    if echoed != count:
                        self.failed(f"pair {number}: {count} came back of {echoed} that came")
                    total += count
                    break
                if time.monotonic() > deadline:
                    self.failed(f"pair {number} does not come to its end")
                    break
                time.sleep(0.01)
        return total, sum(pair.moves for pair in self.pairs)
