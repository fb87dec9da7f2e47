#!/usr/bin/env python3
"""Counts the instructions that our echo servers spend on a message, outside the kernel.

    instructions.py            compares with the limits in instructions.txt
    instructions.py --write    writes that file anew
    instructions.py --where    says where they go as well

Names after that are those to count, such as: instructions.py --where "C 10x16".

Unlike time, the count hardly differs from run to run, whatever else the machine does. It does from one
compiler, C library or interpreter to another: where a version is not the one in the file, what depends
on it is counted and not judged. All messages have 125 bytes: large ones are judged by time alone, as
a copy by `rep movsb` counts as one instruction for each byte.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
LIMITS = BENCH / "instructions.txt"
LOAD = ROOT / "build/load/release/load"
# The system's where there is one, as the limits are for that; the module is in the environment of the tests.
PYTHON = next(filter(pathlib.Path.exists, map(pathlib.Path, ["/usr/bin/python3"])), ROOT / ".venv/bin/python")
MODULES = next(ROOT.glob(".venv/lib/python*/site-packages"), ROOT)
SIZE = 125
# A count may differ by so many percent from its limit: more than it does on a busy machine. Python's
# batches depend a little on when it is woken.
TOLERANCE, PYTHON_TOLERANCE = 5, 10
# The outer limit of each wait, in seconds.
PATIENCE = 120
ROWS = 25

# How each server is started, the messages of a short window, and whose version matters to it alone.
SERVERS = {
    "C": ([ROOT / "build/bench/ours/echo"], 4800, None),
    "Lua 5.4": ([BENCH / "ours/lua/run.sh", "lua5.4", "echo.lua"], 1600, "lua5.4"),
    "Python callbacks": ([PYTHON, BENCH / "ours/python/callbacks.py"], 1600, "python"),
    "Python awaited": ([PYTHON, BENCH / "ours/python/awaited.py"], 1600, "python"),
}
# Connections, and messages in flight on each.
WORKLOADS = [(1, 1), (10, 16), (100, 1)]


class Failed(Exception):
    """What went wrong, for the user."""


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def versions():
    """What counts depend on."""
    return {
        "machine": platform.machine(),
        "rustc": output("rustc", "--version").split()[1],
        "libc": output("getconf", "GNU_LIBC_VERSION").split()[1],
        "lua5.4": output("lua5.4", "-v").split()[1],
        "python": output(PYTHON, "--version").split()[1],
    }


class Server:
    """A server under callgrind."""

    def __init__(self, process, port, place):
        self.process, self.port, self.place, self.dumps = process, port, place, 0

    def rest(self):
        """Waits until it has nothing to do any more."""
        before, end = None, time.monotonic() + PATIENCE
        while (now := pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().split()[13:15]) != before:
            if time.monotonic() > end:
                raise Failed("the server does not come to rest")
            before = now
            time.sleep(0.2)

    def load(self, connections, depth, messages):
        """Returns how many messages came back, and the instructions they took."""
        load = [LOAD, "--port", self.port, "--size", SIZE, "--connections", connections, "--depth", depth]
        done = subprocess.run(
            [str(word) for word in [*load, "--messages", messages, "--rounds"]],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        self.rest()
        # A dump starts the counters anew.
        dump = ["vgdb", f"--pid={self.process.pid}", "dump"]
        subprocess.run(dump, capture_output=True, timeout=PATIENCE, check=True)
        self.dumps += 1
        sums = re.findall(r"^(?:totals|summary): (\d+)", self.dump().read_text(), re.MULTILINE)
        return json.loads(done.stdout)["count"], int(sums[-1])

    def dump(self):
        return self.place / f"counts.{self.dumps}"


@contextlib.contextmanager
def serving(command):
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        place = pathlib.Path(place)
        under = ["chrt", "--batch", "0", "valgrind", "-q", "--tool=callgrind", "--fair-sched=yes",
                 f"--callgrind-out-file={place}/counts"]  # fmt: skip
        # run.sh puts it before the interpreter itself.
        is_script = command[0].suffix == ".sh"
        environment = {
            **os.environ,
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": str(MODULES),
            "UNDER": " ".join(under) if is_script else "",
        }
        process = stack.enter_context(
            subprocess.Popen(
                [*([] if is_script else under), *command], stdout=subprocess.PIPE, text=True, env=environment
            )
        )
        stack.callback(process.kill)
        said = process.stdout.readline()
        if not said.startswith("LISTENING "):
            raise Failed(f"{command[0].name} did not start")
        yield Server(process, said.split()[1], place)


def count(server, connections, depth, messages):
    """Returns the instructions for a message, and how many messages there are in the last dump.

    The difference of two windows of different length leaves out the handshakes and the ends. Of three
    such counts the least is taken: what disturbs adds to them, such as a timer that fires.
    """
    server.load(connections, depth, messages)  # what the first ones do alone
    counts = []
    for _ in range(3):
        short, before = server.load(connections, depth, messages)
        long, after = server.load(connections, depth, 5 * messages)
        counts.append((after - before) / (long - short))
    return min(counts), long


def where(dump, messages):
    """Prints the functions that take the most; inlined code counts for the function that it is in."""
    # Functions that were running already when the counters began anew would be charged with all that
    # they call: their lines begin with calls=0.
    last = dump.with_suffix(".last")
    last.write_text(re.sub(r"^calls=0 .*\n.*\n", "", dump.read_text(), flags=re.MULTILINE))
    sums = collections.Counter()
    for line in output("callgrind_annotate", "--threshold=100", "--auto=no", last).splitlines():
        if found := re.match(r" *([\d,]+) *\([ \d.]+%\) *[^:]*:(.*?)( \[[^ ]*\])?$", line):
            sums[found[2]] += int(found[1].replace(",", ""))
    for function, instructions in sums.most_common(ROWS):
        print(f"{instructions / messages:10.1f}  {function:.110}")


def read_limits():
    lines = [line for line in LIMITS.read_text().splitlines() if not line.startswith("#")]
    return {name: value for name, value in (line.rsplit(maxsplit=1) for line in lines)}


def write_limits(found, counts):
    lines = [
        "# Instructions for each message of 125 bytes, as bench/instructions.py --write has counted them,",
        "# with the versions that they depend on.",
        *(f"{name:24}{value:>12}" for name, value in found.items()),
        *(f"{name:24}{value:12.0f}" for name, value in counts.items()),
    ]
    LIMITS.write_text("\n".join(lines) + "\n")


def judge(name, counted, limit):
    """Returns what is to be said, and whether it is a failure."""
    off = (counted / limit - 1) * 100
    text = f"{name:24}{counted:9.0f}  {off:+6.1f} % of {limit}"
    tolerance = PYTHON_TOLERANCE if name.startswith("Python") else TOLERANCE
    if off > tolerance:
        return f"{text}: more than {tolerance} % too many", True
    return f"{text}{': lower the limit (--write)' if off < -tolerance else ''}", False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--where", action="store_true")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.write and given.names:
        parser.error("--write counts all")
    # On one core, where the servers wait while the load generator sends, a round comes as a whole.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found, counts, failed = versions(), {}, False
    limits = {} if given.write else read_limits()
    others = {name for name in found if not given.write and limits.get(name) != found[name]}
    for language, (command, messages, own) in SERVERS.items():
        names = {f"{language} {c}x{d}": (c, d) for c, d in WORKLOADS}
        wanted = {name: w for name, w in names.items() if not given.names or name in given.names}
        if not wanted:
            continue
        other = others & {"machine", "rustc", "libc", own}
        for name, (connections, depth) in wanted.items():
            # Each with a server of its own: what Lua's collector does hangs on what was before.
            with serving(command) as server:
                counts[name], all_of_last = count(server, connections, depth, messages)
                if given.write:
                    text, is_much = f"{name:24}{counts[name]:9.0f}", False
                elif other:
                    why = ", ".join(f"{x} is {found[x]}, not {limits.get(x)}" for x in sorted(other))
                    text, is_much = f"{name:24}{counts[name]:9.0f}  skipped: {why}", False
                else:
                    text, is_much = judge(name, counts[name], int(limits[name]))
                failed |= is_much
                print(text, flush=True)
                if given.where:
                    where(server.dump(), all_of_last)
    if given.write:
        write_limits(found, counts)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"instructions.py: {error}")
