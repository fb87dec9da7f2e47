"""The process in which it all happens: chaos.py SEED SECONDS FOLDER. Started and watched by run.py.

A first round warms everything up. What is there when it has ended is the start; then comes the run,
and what is there when that has ended is compared with it.
"""

import collections
import faulthandler
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import Future
from types import SimpleNamespace

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/common"), str(ROOT / "tests/interop")]

import c_host  # noqa: E402
import coromega_ws as coromega  # noqa: E402
import measure  # noqa: E402
from authority import Authority  # noqa: E402
from faults import check_the_checks  # noqa: E402
from lua_host import Luas  # noqa: E402
from python_host import Thrown  # noqa: E402
from schedule import Schedule  # noqa: E402
from world import World  # noqa: E402

STUCK = 60  # seconds within which every action is through, and every pair goes on
AT_ONCE = 100  # actions under way


def say(*words):
    print(*words, flush=True)


class Hostile:
    """The process of the peers that misbehave."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("hostile.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port, self.deaf = map(int, self.process.stdout.readline().split())
        self.clients, self.number = {}, 0
        self.reader = threading.Thread(target=self._read, name="reads of the hostile")
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.clients.pop(int(line)).set_result("ok")

    def client(self, way, port, seed):
        self.number += 1
        future = self.clients[self.number] = Future()
        self.process.stdin.write(f"{self.number} {way} {port} {seed}\n")
        self.process.stdin.flush()
        return future

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


class Chaos:
    def __init__(self, seed, folder):
        self.seed, self.folder = seed, pathlib.Path(folder)
        self.failures = []
        self.log = open(self.folder / "actions.log", "w")
        self.counts = collections.Counter()
        self.heard = collections.Counter()
        self.beaten = 0
        schedule = Schedule(seed)
        self.languages = Luas(schedule.lua), c_host.load()
        self.lua = schedule.lua
        self.actions = iter(schedule)
        authority = Authority(self.folder, "ca")
        names = dict(option.split("=") for option in authority.sign("server"))
        self.certificates = SimpleNamespace(server=names, client={"ca_files": [authority.file]})

    def failed(self, what):
        self.failures.append(what)
        self.log.write(f"FAILED {what}\n")

    def on_error(self, error):
        if not isinstance(error, Thrown):
            self.failed("a callback in Python: " + "".join(traceback.format_exception(error)))

    def beat(self):
        """Tells who watches that this goes on."""
        if time.monotonic() - self.beaten > 1:
            self.beaten = time.monotonic()
            say("beat")

    def world(self):
        return World(self.languages, self.certificates, Hostile(), self.folder, self.failed)

    def run(self, seconds):
        """One round from nothing to nothing; returns what is left."""
        world = self.world()
        world.pairs.start()
        under_way, seen = {}, {}
        begun = now = time.monotonic()
        number = 0
        for action in self.actions:
            if now - begun > seconds or self.failures:
                break
            number += 1
            self.counts[action.name] += 1
            self.log.write(f"{now - begun:.3f} {number} {action.name} {action.arguments}\n")
            future = world.do(action)
            under_way[number] = (now, action, future)
            time.sleep(action.pause)
            now = time.monotonic()
            while True:
                self._look_after(world, under_way, seen)
                if len(under_way) < AT_ONCE:
                    break
                time.sleep(0.01)
        while under_way and not self.failures:
            self._look_after(world, under_way, seen)
            time.sleep(0.01)
        if self.failures:
            return None
        pairs = world.pairs.stop()
        world.forks.wait()
        world.end()
        world.hostile.end()
        self.heard += world.heard
        say(f"{number} actions; {pairs[0]} numbered messages came back, in order, over {pairs[1]} moves of an end")
        say(f"{pairs[2]} pairs were broken off by a message that stayed half")

    def _look_after(self, world, under_way, seen):
        now = time.monotonic()
        world.forks.reap()
        for number, (since, action, future) in list(under_way.items()):
            if future.done():
                del under_way[number]
                self.log.write(f"    {number} {action.name}: {future.result()}\n")
            elif now - since > STUCK:
                self.stuck(f"action {number}, {action}")
        if now - seen.get("looked", 0) < 2:
            self.beat()
            return
        seen["looked"] = now
        for pair in range(len(world.pairs.pairs)):
            count = world.pairs.progress(pair)
            if count is not None and count == seen.get(pair, (None,))[0] and now - seen[pair][1] > STUCK:
                self.stuck(f"pair {pair}, at message {count}")
            if count is not None and count != seen.get(pair, (None,))[0]:
                seen[pair] = (count, now)

    def stuck(self, what):
        """Leaves everything as it is for who watches, who looks at the stacks and ends it."""
        self.log.flush()
        say(f"stuck: {what}")
        threading.Event().wait()

    def report(self):
        """Says what failed; returns the status to end with."""
        for failure in self.failures[:20]:
            say(f"FAILED {failure}")
        self.log.close()
        return 1 if self.failures else 0


def main():
    seed, seconds, folder = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    chaos = Chaos(seed, folder)
    coromega.on_error(chaos.on_error)
    say(f"seed {seed}: {chaos.lua}, Python {sys.version.split()[0]}, C; {seconds:g} s")
    chaos.run(max(4, min(60, seconds / 5)))
    if chaos.failures:
        return chaos.report()
    check_the_checks(say)
    start = measure.settled(beat=chaos.beat)
    say("start:", start)
    chaos.run(seconds)
    if chaos.failures:
        return chaos.report()
    end = measure.settled(start, beat=chaos.beat)
    say("end:  ", end)
    for words in measure.more(start, end):
        chaos.failed(f"more than at the start: {words}")
    counters = coromega.counters()
    say(" ".join(f"{name}={value}" for name, value in counters._asdict().items()))
    say("the log: " + ", ".join(f"{count} records in {language}" for language, count in sorted(chaos.heard.items())))
    if chaos.counts["log"] > 30 and len(chaos.heard) < 3:
        chaos.failed(f"the log was heard in {sorted(chaos.heard)} only")
    say(" ".join(f"{name}={count}" for name, count in sorted(chaos.counts.items())))
    return chaos.report()


if __name__ == "__main__":
    ended_with = main()
    sys.stdout.flush()
    # After a failure, threads may be left that do not end.
    os._exit(ended_with)
