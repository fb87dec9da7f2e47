#!/usr/bin/env python3
"""Two builds of the library beside each other, by the C echo server: builds.py DIR_A DIR_B [--rounds N]

Each folder has a libcoromega_ws.so.0. The ratio is A's CPU time per message to B's. What `bench/setup.sh
ours` builds is used.
"""

import argparse
import os
import pathlib
import statistics

from measure import Bench
from report import figures, ratios
from subjects import OURS, ROOT, Subject
from workloads import CELLS, CHURN, echo


def subject(name, folder):
    library = folder.resolve() / "libcoromega_ws.so.0"
    if not library.exists():
        raise SystemExit(f"builds.py: there is no {library}")
    return Subject(name, "C", ["env", f"LD_LIBRARY_PATH={library.parent}", OURS / "echo"])


def main():
    parser = argparse.ArgumentParser(description="Two builds beside each other; see the file's first lines.")
    parser.add_argument("folders", nargs=2, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    bench = Bench(ROOT / "build/load/release/load", None, None)
    subjects = [subject(name, folder) for name, folder in zip("AB", options.folders, strict=True)]
    for workload in (*CELLS, echo(64 * 1024, 10, 1), echo(1024 * 1024, 1, 1), CHURN):
        answers, failed = bench.series(subjects, workload, options.rounds, options.seconds)
        for why in failed.values():
            print(why)
        if not failed:
            a, b = (statistics.median(figures(answers, name, workload.figure)) for name in "AB")
            found = ratios(answers, "A", "B", workload.figure)
            spread = f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
            print(f"{workload.name:<26}{a:>10.2f}{b:>10.2f}  {spread}", flush=True)


if __name__ == "__main__":
    main()
