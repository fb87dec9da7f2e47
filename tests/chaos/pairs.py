"""Pairs that behave: numbered messages go out all the time, and each comes back once and in order.

The ends of a pair begin in two languages, and move from host to host as the schedule has it. Some of
the messages are sent in fragments. Where an end leaves one half, the other gets all that were before
it and then 1011, and the pair begins anew.
"""

import threading
import time
from concurrent.futures import Future

from messages import WITHIN
from schedule import LASTING, PAIRS

PATIENCE = 60
PLAIN = {"close_timeout": 30, "open_timeout": 30}
DEFLATE = {"compression": 1, "context_takeover": 1, "compression_min_size": 0}
# The options of both sides, and the ends that receive in fragments.
KINDS = [({}, ["server"]), (DEFLATE, []), ("tls", ["client"]), (DEFLATE, ["client", "server"])]


class Pair:
    def __init__(self):
        self.place = {}  # of each end: the host where it is
        self.moving = {}  # of each end: the future of its last move, or of the last break
        self.moves = self.breaks = 0
        self.before = 0  # messages that came back before the last break


class Pairs:
    def __init__(self, world, failed):
        self.world, self.failed = world, failed
        self.pairs = [Pair() for _ in range(PAIRS)]
        self.lock = threading.Lock()

    def start(self):
        for number, pair in enumerate(self.pairs):
            pair.place = {"client": number % LASTING, "server": (number + 1) % LASTING}
            self._open(number)
        for number in range(PAIRS):
            self._wait_for(number)

    def _call(self, name, number, role, *arguments):
        host = self.world.hosts[self.pairs[number].place[role]]
        return host.call(name, number, *arguments).result(PATIENCE)

    def _options(self, number, role):
        kind, in_fragments = KINDS[number]
        options = getattr(self.world.certificates, role) if kind == "tls" else kind
        return PLAIN | options | ({"fragments": 1} if role in in_fragments else {})

    def _open(self, number):
        """Both ends, where they are to be."""
        _, port = self._call("pair_listen", number, "server", self._options(number, "server"))
        url = f"{'wss' if KINDS[number][0] == 'tls' else 'ws'}://localhost:{port}/"
        result = self._call("pair_connect", number, "client", url, self._options(number, "client"))
        assert result == "ok", result

    def progress(self, number, role="client"):
        """How many messages came back; None while that end moves."""
        pair = self.pairs[number]
        future = pair.moving.get(role)
        if future is not None and not future.done():
            return None
        return self._call("pair_progress", number, role, role)

    def _wait_for(self, number):
        """It has to work before it may move."""
        deadline = time.monotonic() + PATIENCE
        while self._call("pair_progress", number, "client", "client") < 10:
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
            if result == WITHIN:
                out.set_result(result)
                return
            if not isinstance(result, tuple):
                self.failed(f"pair {number}: the {role} can't be given away: {result}")
                out.set_result(result)
                return
            in_fragments = role in KINDS[number][1]
            target.call("pair_take", number, role, in_fragments, *result).add_done_callback(taken)

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

    def break_off(self, number, role):
        """One end leaves a message half. All before it come to the other one, and no more."""
        pair = self.pairs[number]
        out = Future()
        if not all(future.done() for future in pair.moving.values()):
            out.set_result("it moves")
            return out
        pair.moving = {"client": out, "server": out}

        def work():
            try:
                self._break(number, role, "server" if role == "client" else "client")
            except Exception as error:
                self.failed(f"pair {number}, broken off by the {role}: {error!r}")
            out.set_result("ok")

        threading.Thread(target=work, name="breaks a pair off").start()
        return out

    def _break(self, number, role, other):
        pair = self.pairs[number]
        # Whoever expects it is told first.
        for each in (other, role):
            self._call("pair_break", number, each, each, each == role)
        counts = {each: self._broken(number, each) for each in (other, role)}
        if counts[other][1] != counts[role][0]:
            self.failed(f"pair {number}: {counts[other][1]} came of {counts[role][0]} before a half message of the {role}")
        for each in (other, role):
            self._call("pair_forget", number, each, each)
        pair.before += counts["client"][1]
        pair.breaks += 1
        self._open(number)
        self._wait_for(number)

    def _broken(self, number, role):
        deadline = time.monotonic() + PATIENCE
        while True:
            counts = self._call("pair_broken", number, role, role)
            if counts is not None:
                return counts
            assert time.monotonic() < deadline, f"the {role} does not end"
            time.sleep(0.01)

    def stop(self):
        """Lets what is under way come back, and closes. Returns how many came back, moves and breaks."""
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
                    total += count + pair.before
                    break
                if time.monotonic() > deadline:
                    self.failed(f"pair {number} does not come to its end")
                    break
                time.sleep(0.01)
        return total, sum(pair.moves for pair in self.pairs), sum(pair.breaks for pair in self.pairs)
