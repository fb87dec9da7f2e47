#!/usr/bin/env python3
"""Measures our echo servers and clients beside those of others: `make bench`.

    bench/run.py [--quick] [--only PART]... [--rounds N] [--seconds S] [--write]

--quick measures what the first tables need, within five minutes. --only restricts the subjects to those
whose names contain one of the parts. --write replaces docs/benchmark.md and its plots; without it the
same goes to build/bench/report/. All answers of the load generator go to answers.json there.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace

import plots
import report
import workloads
from measure import Bench, Failed
from subjects import BY_NAME, OURS_IN_C, ROOT, SUBJECTS
from workloads import CELLS, FULL, GATES, IDLE, IDLE_CONNECTIONS

LOAD = ROOT / "build/load/release/load"
PLACE = ROOT / "build/bench/report"


def arguments():
    parser = argparse.ArgumentParser(description="The benchmark; see the file's first lines.")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", action="append", metavar="PART")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options = parser.parse_args()
    options.seconds = options.seconds or (0.3 if options.quick else 0.15)
    return options


def certificate(place):
    """For TLS on loopback."""
    files = place / "certificate.pem", place / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-addext", "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1],
    ]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return files


class Run:
    """One run of the benchmark."""

    def __init__(self, bench, options, subjects):
        self.bench, self.options, self.subjects = bench, options, subjects
        self.failed = {}

    def series(self, workload, subjects):
        subjects = [subject for subject in subjects if subject.can(workload)]
        answers, failed = self.bench.series(subjects, workload, self.options.rounds, self.options.seconds)
        self.note(workload.name, answers, failed, workload.figure)
        return answers

    def note(self, title, answers, failed, figure):
        self.failed |= {(title, name): why for name, why in failed.items()}
        shown = [f"{name} {report.middle_of(answers, name, figure)}" for name in answers]
        print(f"{title}: {'; '.join([*shown, *failed.values()])}", file=sys.stderr, flush=True)

    def all_of(self, workloads):
        return {w: self.series(w, self.subjects) for w in workloads}

    def of_gates(self, workloads):
        return {w: self.series(w, [s for s in self.subjects if s.name in gate_subjects(w)]) for w in workloads}

    def clients(self):
        """With the C echo server as the other end."""
        results = {}
        for workload in (workloads.MANY, workloads.DEEP, workloads.LARGE):
            server = self.bench.start(BY_NAME[OURS_IN_C], workload)
            try:
                subjects = [subject for subject in self.subjects if subject.client]
                rounds, seconds = self.options.rounds, self.options.seconds
                answers, failed = self.bench.clients(subjects, server, workload, rounds, seconds)
            finally:
                server.stop()
            self.note(f"client, {workload.name}", answers, failed, "client_us")
            results[replace(workload, figure="client_us")] = answers
        return results


def gate_subjects(workload):
    if workload is IDLE:
        return {OURS_IN_C}
    return {"TCP alone"} | {n for g in GATES if g.most[workload] is not None for n in (g.ours, g.peer)}


def run(options):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < IDLE_CONNECTIONS + 100:
        raise Failed(f"{IDLE_CONNECTIONS} connections need more than {most} open files (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    subjects = [s for s in SUBJECTS if not options.only or any(part in s.name for part in options.only)]
    folder = ROOT / "docs/benchmark" if options.write else PLACE
    page = ROOT / "docs/benchmark.md" if options.write else PLACE / "benchmark.md"
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        it = Run(Bench(LOAD, *certificate(pathlib.Path(place))), options, subjects)
        cores = os.sched_getaffinity(0)
        # The servers and the load generator inherit it.
        os.sched_setaffinity(0, {options.core})
        servers = it.of_gates([*CELLS, IDLE]) if options.quick else it.all_of(FULL)
        clients = {} if options.quick else it.clients()
        os.sched_setaffinity(0, cores)
        free = {} if options.quick else it.of_gates(CELLS)
    text = report.HEAD.format(
        rounds=options.rounds,
        seconds=options.seconds,
        slow=workloads.SLOW,
        machine=report.machine(),
        versions=report.versions(),
    )
    parts = [text, report.gates(servers), report.round_trips(servers)]
    for name in plots.write(servers, CELLS, folder).values():
        parts.append(f"![CPU time of each server for a message]({os.path.relpath(folder / name, page.parent)})\n")
    if not options.quick:
        note = "Medians; in brackets the ratio of the first of ours to it."
        parts.append(report.languages(servers, "Servers", note))
        parts.append(report.languages(clients, "Clients", note + " The server is ours in C."))
        parts.append(report.free(free))
    parts.append(report.failures(it.failed))
    page.write_text("\n".join(part for part in parts if part))
    everything = {"servers": servers, "clients": clients, "all cores": free}
    named = {kind: {w.name: answers for w, answers in results.items()} for kind, results in everything.items()}
    (PLACE / "answers.json").write_text(json.dumps(named, indent=1))
    print(report.gates(servers))
    print(f"The whole report is in {page.relative_to(ROOT)}.")
    if any(BY_NAME[name].ours for _, name in it.failed):
        raise Failed("a server or client of ours failed")


if __name__ == "__main__":
    try:
        run(arguments())
    except (Failed, OSError, subprocess.SubprocessError) as e:
        sys.exit(f"run.py: {e}")
