#!/usr/bin/env python3
"""Runs the chaos and watches over it: run.py SECONDS [SEED]. Without a seed one is chosen.

The actions are in build/chaos/actions.log, standard error in build/chaos/stderr.log. A process that
crashes, fails or says nothing for a minute is a failure; in the last case the stacks of its threads
are in build/chaos/stacks.log.
"""

import os
import pathlib
import random
import select
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "build/chaos"
SILENCE = 90  # seconds


def children_of(pid):
    """A process and its children, of which forks may be stuck, too."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        names = [open(f"/proc/{pid}/task/{t}/children").read() for t in threads]
    except OSError:
        return []
    return [pid, *(int(child) for name in names for child in name.split())]


def write_stacks(pid):
    """The stacks of Python and of the system, of all threads."""
    with open(FOLDER / "stacks.log", "w") as file:
        for each in children_of(pid):
            try:
                os.kill(each, signal.SIGUSR1 if each == pid else 0)
            except OSError:
                continue
            if shutil.which("gdb"):
                order = ["gdb", "-p", str(each), "-batch", "-ex", "thread apply all backtrace"]
                subprocess.run(order, stdout=file, stderr=subprocess.STDOUT, timeout=120)


def watch(process):
    """Passes on what the process says; returns what is wrong, if anything."""
    heard = time.monotonic()
    rest = b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 1)
        if ready:
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            heard = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line != b"beat":
                    print(line.decode(errors="replace"), flush=True)
                if line.startswith(b"stuck"):
                    write_stacks(process.pid)
                    return "it hangs"
        elif time.monotonic() - heard > SILENCE:
            write_stacks(process.pid)
            return f"it has said nothing for {SILENCE} s"
    status = process.wait()
    if status < 0:
        return f"it crashed: {signal.Signals(-status).name}"
    return None if status == 0 else "it failed"


def main():
    seconds = sys.argv[1]
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.randrange(1_000_000))
    replay = f"make chaos SEED={seed} SECONDS={seconds}"
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    print(f"== {replay}", flush=True)
    # With Python's own allocator out of the way, malloc knows of all memory that is in use; from one
    # arena it gives back all that is free, and not from the many that threads would have. No
    # connection goes out through a proxy.
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment |= {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with open(FOLDER / "stderr.log", "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "chaos.py"), seed, seconds, str(FOLDER)],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
        try:
            wrong = watch(process)
        finally:
            # With the children of its forks, and the peers.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    if wrong is None:
        return 0
    with open(FOLDER / "stderr.log", errors="replace") as file:
        sys.stderr.write("".join(file.readlines()[-60:]))
    sys.stderr.write(f"chaos: {wrong}. The actions are in {FOLDER}/actions.log. Again: {replay}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
