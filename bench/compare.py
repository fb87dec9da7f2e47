#!/usr/bin/env python3
"""Measures the C echo server against a plain echo server with fastwebsockets, or two builds of
the library against each other.

    WSLOAD=PROGRAM bench/compare.py [--rounds N]
    WSLOAD=PROGRAM bench/compare.py --library DIR_A DIR_B

The load generator and the servers are pinned to one core, and the servers take turns: what
disturbs the machine disturbs all of them. The first form judges by limits; its exit status is 0 when
everything was measured, whether the limits are met or not. It shows as well what the same bytes
cost a server that only sends them back: less than TCP no WebSocket server can cost.
"""

import argparse
import json
import os
import pathlib
import resource
import select
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[1]
ECHO_SERVER = ROOT / "build/examples/c/echo_server"
PEERS = ROOT / "build/peers"
FLOOR = ROOT / "build/bench/floor"
# The outer limit of each wait for a program, in seconds.
PATIENCE = 120
IDLE_CONNECTIONS = 10_000


@dataclass
class Workload:
    """What wsload does, and which field of its answer counts."""

    name: str
    unit: str
    arguments: list
    field: str = "server_cpu_us_per_msg"
    divisor: float = 1
    # The most that our figure may be, as a ratio to the peer's, or in the unit itself.
    ratio_limit: float | None = None
    limit: float | None = None
    # What is left over from the round before would count as this round's.
    fresh_server: bool = False
    # Whether TCP alone can be measured by it.
    has_floor: bool = False


def echo(size, connections, depth, limit=None):
    arguments = ["--mode", "echo", "--size", size, "--connections", connections, "--depth", depth]
    name = f"{size} B" if size < 1024 else f"{size // 1024} KiB"
    return Workload(f"{name}, {connections} x {depth}", "us", arguments, ratio_limit=limit, has_floor=True)


WORKLOADS = [
    echo(125, 1, 1),
    echo(125, 100, 1, limit=1.2),
    echo(125, 10, 16, limit=0.25),
    echo(16384, 100, 1, limit=0.9),
    Workload(
        "connect, upgrade, close",
        "us",
        ["--mode", "churn", "--connections", 16],
        ratio_limit=1.2,
    ),
    Workload(
        f"idle, {IDLE_CONNECTIONS} connections",
        "KiB",
        ["--mode", "idle", "--connections", IDLE_CONNECTIONS],
        field="bytes_per_conn",
        divisor=1024,
        limit=3,
        fresh_server=True,
    ),
]


class Failed(Exception):
    """Something could not be measured."""


@dataclass
class Subject:
    """A server to measure."""

    name: str
    command: list
    library: pathlib.Path | None = None
    # Sends bytes back, and knows nothing of WebSocket.
    raw: bool = False

    def start(self):
        return Server(self)


class Server:
    """A subject's process."""

    def __init__(self, subject):
        env = dict(os.environ)
        if subject.library:
            env["LD_LIBRARY_PATH"] = str(subject.library)
        self.process = subprocess.Popen(subject.command, env=env, stdout=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if not line.startswith("LISTENING "):
            self.stop()
            raise Failed(f"{subject.name} did not start: {line!r}")
        self.port = int(line.split()[1])
        if subject.library:
            self.check(subject.library)

    def check(self, library):
        """A figure of the wrong build would be worse than none."""
        wanted = (library / "libcoromega_ws.so.0").resolve()
        with open(f"/proc/{self.process.pid}/maps") as maps:
            loaded = {line.split()[-1] for line in maps if "libcoromega_ws" in line}
        if loaded != {str(wanted)}:
            self.stop()
            raise Failed(f"the server has loaded {sorted(loaded)}, not {wanted}")

    def stop(self):
        self.process.kill()
        self.process.communicate()


def measure(generator, subject, server, workload, seconds):
    """One run of the load generator: the figure that counts."""
    command = [
        generator, "--url", f"ws://127.0.0.1:{server.port}/", "--pid", server.process.pid,
        "--seconds", seconds, "--warmup", seconds / 2, *workload.arguments,
        *(["--raw"] if subject.raw else []),
    ]  # fmt: skip
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode != 0:
        raise Failed(f"{workload.name}: the load generator says: {done.stderr.strip()}")
    figure = json.loads(done.stdout)[workload.field] / workload.divisor
    if figure <= 0:
        raise Failed(f"{workload.name}: the load generator measured {figure}: {done.stdout.strip()}")
    return figure


def series(generator, subjects, workload, rounds, seconds):
    """The figures of each subject, round by round, who is first changing from round to round."""
    figures = {subject.name: [] for subject in subjects}
    servers = {}
    try:
        for number in range(rounds):
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                if workload.fresh_server and subject.name in servers:
                    servers.pop(subject.name).stop()
                if subject.name not in servers:
                    servers[subject.name] = subject.start()
                figure = measure(generator, subject, servers[subject.name], workload, seconds)
                figures[subject.name].append(figure)
    finally:
        for server in servers.values():
            server.stop()
    return figures


def line(workload, ours, others, floor):
    """A line of the table, and whether the limit is met (None where there is none)."""
    ratios = [a / b for a, b in zip(ours, others, strict=True)]
    ratio, figure = statistics.median(ratios), statistics.median(ours)
    text = (
        f"{workload.name:<26}{workload.unit:<5}{figure:>12.2f}{statistics.median(others):>16.2f}"
        f"{ratio:>8.2f}  {f'{min(ratios):.2f}..{max(ratios):.2f}':<13}"
    )
    if floor is not None:
        least = statistics.median(a / b for a, b in zip(floor, others, strict=True)) if floor else None
        text += f"{least:<8.2f}" if least else " " * 8
    if workload.ratio_limit is not None:
        met = ratio <= workload.ratio_limit
        return f"{text}ratio {workload.ratio_limit:.2f}  {'met' if met else 'NOT met'}", met
    if workload.limit is not None:
        met = figure <= workload.limit
        return f"{text}{workload.limit:.2f} {workload.unit}    {'met' if met else 'NOT met'}", met
    return text.rstrip(), None


def compare(generator, ours, other, floor, rounds, seconds):
    judge = floor is not None
    print(
        f"Servers and load generator on core {min(os.sched_getaffinity(0))}; {rounds} rounds of {seconds} s.\n"
        f"The server's CPU time per message or connection, and its memory per connection: medians;\n"
        f"the ratio's median and its lowest and highest round{', and what it is for TCP alone' if judge else ''}.\n\n"
        f"{'':<31}{ours.name:>12}{other.name:>16}{'ratio':>8}  {'spread':<13}{'TCP     limit' if judge else ''}".rstrip(),
        flush=True,
    )
    verdicts = {}
    for workload in WORKLOADS:
        if not judge:
            workload.ratio_limit = workload.limit = None
        subjects = [ours, other, floor] if judge and workload.has_floor else [ours, other]
        figures = series(generator, subjects, workload, rounds, seconds)
        least = figures.get(floor.name, []) if judge else None
        text, met = line(workload, figures[ours.name], figures[other.name], least)
        print(text, flush=True)
        if met is not None:
            verdicts[workload.name] = met
    if judge:
        for met, title in (True, "Limits met"), (False, "Limits not met"):
            print(f"\n{title}: {'; '.join(n for n, m in verdicts.items() if m == met) or 'none'}", end="")
        print()


def build(judge):
    """Builds what is measured. What the tools say goes to stderr: the table stands alone."""
    commands = [["make", "-C", ROOT, ECHO_SERVER.relative_to(ROOT)]]
    if judge:
        FLOOR.parent.mkdir(parents=True, exist_ok=True)
        commands.append(["cc", "-O2", "-o", FLOOR, ROOT / "bench/floor.c"])
        manifest = ROOT / "bench/peers/Cargo.toml"
        commands.append(
            ["cargo", "build", "--locked", "--release", "--manifest-path", manifest, "--target-dir", PEERS]
        )
    for command in commands:
        if subprocess.run([str(part) for part in command], stdout=sys.stderr).returncode != 0:
            raise Failed(f"could not build: {' '.join(str(part) for part in command)}")


def named(directory, place):
    """A folder in which the loader finds the library of `directory`, which may be cargo's own."""
    for name in "libcoromega_ws.so.0", "libcoromega_ws.so":
        if (directory / name).exists():
            place.mkdir()
            (place / "libcoromega_ws.so.0").symlink_to((directory / name).resolve())
            return place
    raise Failed(f"there is no libcoromega_ws.so.0 and no libcoromega_ws.so in {directory}")


def arguments():
    parser = argparse.ArgumentParser(description="Measures the C echo server; see the file's first lines.")
    parser.add_argument("--library", nargs=2, type=pathlib.Path, metavar=("DIR_A", "DIR_B"),
                        help="compare the libraries in two folders; the ratio is A to B")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each series (default 7)")
    parser.add_argument("--seconds", type=float, default=0.6, help="length of a round (default 0.6)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="default: the last")
    return parser.parse_args()


def run():
    options = arguments()
    generator = os.environ.get("WSLOAD")
    if not generator:
        raise Failed("WSLOAD= must be the path of the load generator wsload, as in: make bench WSLOAD=PROGRAM")
    judge = options.library is None
    build(judge)
    # The servers and the load generator inherit both.
    os.sched_setaffinity(0, {options.core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < IDLE_CONNECTIONS + 100:
        raise Failed(f"{IDLE_CONNECTIONS} connections need more than {most} open files (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as place:
        if judge:
            ours = Subject("coromega_ws", [ECHO_SERVER])
            other = Subject("fastwebsockets", [PEERS / "release/fastwebsockets"])
            floor = Subject("TCP", [FLOOR], raw=True)
        else:
            floor = None
            ours, other = (
                Subject(name, [ECHO_SERVER], named(directory, pathlib.Path(place, name)))
                for name, directory in zip("AB", options.library, strict=True)
            )
        compare(generator, ours, other, floor, options.rounds, options.seconds)


if __name__ == "__main__":
    try:
        run()
    except (Failed, OSError, subprocess.SubprocessError) as e:
        sys.exit(f"compare.py: {e}")
