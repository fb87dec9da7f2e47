#!/usr/bin/env python3
"""Plays the Autobahn TestSuite with the echo servers and client loops of every language.

    run.py                                    all cases; writes docs/autobahn.md
    run.py --quick                            a quick set
    run.py --only c:server --cases 1.*,2.*    some of them

The suite is Python 2 code: a Python 2.7 with pip is looked for at PYTHON27, on PATH and among
pyenv's versions. Exit status: 0 if no case failed, 1 if one did, 3 if there is no Python 2.7.
"""

import argparse
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "common"))

import report  # noqa: E402

from hosts import ROOT, EchoServer, compile_c, environment, run  # noqa: E402

BUILD = ROOT / "build/autobahn"
LANGUAGES = {"c": "c", "lua": "lua5.4", "python": "python"}
ROLES = ["server", "client"]
# What the cases need beyond the defaults: messages of 16 MiB (9.*); compression, which a server does
# not agree to unless it is told (12.*, 13.*); time, where the machine is busy.
OPTIONS = ["--max-message-size", str(16 * 1024 * 1024), "--compression", "1", "--open-timeout", "60"]

PLAIN = ["1", "2", "3", "4", "5", "6", "7", "9", "10"]
# A full run of Lua and Python leaves out compression, unless it is told not to: the engine is C's.
FULL = {"c": [*PLAIN, "12", "13"], "lua": PLAIN, "python": PLAIN}
# Of each kind of payload and of parameters, a small size, a middling one and a fragmented one.
SAMPLE = ["12.*.1", "12.*.5", "12.*.11", "13.*.1", "13.*.5", "13.*.11"]
BRIEF = ["1.*", "2.*", "5.*", "6.4.*", "7.1.*", "7.7.*", "9.1.6", "9.2.6", "9.4.1", "10.*", "12.1.1", "13.7.1"]
QUICK = {"c": [*(f"{number}.*" for number in PLAIN), *SAMPLE], "lua": BRIEF, "python": BRIEF}
# The outer limit of one job, in seconds. The longest takes a few minutes.
JOB_LIMIT = 3600


class NoPython27(Exception):
    pass


def find_python27():
    """The path of a Python 2.7 that has pip."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    candidates = [os.environ.get("PYTHON27"), shutil.which("python2.7")]
    candidates += sorted(pyenv.glob("versions/2.7*/bin/python2.7"))
    wanted = "import pip, sys; sys.exit(sys.version_info[:2] != (2, 7))"
    for candidate in filter(None, candidates):
        # Tried, because a pyenv shim is there also for versions that are not chosen.
        done = subprocess.run([candidate, "-sEc", wanted], capture_output=True)
        if done.returncode == 0:
            return str(candidate)
    raise NoPython27("no Python 2.7 with pip (looked at PYTHON27, PATH and pyenv)")


def install(python27):
    """Sees to it that the suite is installed; returns its folder."""
    requirements = HERE / "requirements.txt"
    packages = BUILD / "packages"
    ready = packages / "ready"
    key = hashlib.sha256(requirements.read_bytes() + python27.encode()).hexdigest()
    if not ready.exists() or ready.read_text() != key:
        print("Installing the Autobahn TestSuite in build: packages from the Python package index", flush=True)
        shutil.rmtree(packages, ignore_errors=True)
        pip = [python27, "-sE", "-W", "ignore", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "--target", packages, "-r", requirements], timeout=1200)
        ready.write_text(key)
    return packages


class Suite:
    """The suite, installed, and what it tells of itself."""

    def __init__(self):
        python27 = find_python27()
        self.command = [python27, "-sSEu", "-W", "ignore", str(HERE / "suite.py"), str(install(python27))]
        about = json.loads(run([*self.command, "about"]))
        self.cases = about["cases"]
        self.sections = about["sections"]
        self.versions = about["versions"]

    def start(self, mode, spec, **options):
        outdir = pathlib.Path(spec["outdir"])
        with open(outdir / "suite.log", "w", encoding="utf-8") as log:
            return subprocess.Popen(
                [*self.command, mode, json.dumps(spec)], stdout=log, stderr=subprocess.STDOUT, **options
            )


def stop(process):
    """Ends a suite, which writes its reports then."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def client_command(language):
    if language == "c":
        return [str(BUILD / "client")]
    if language == "python":
        return [sys.executable, str(HERE / "client.py")]
    return [LANGUAGES[language], str(HERE / "client.lua")]


def test_server(suite, language, spec):
    """The suite is the client of a language's echo server. Returns what went wrong beside cases."""
    with EchoServer(LANGUAGES[language], *OPTIONS) as server:
        spec["servers"] = [{"agent": spec.pop("agent"), "url": server.url}]
        process = suite.start("drive", spec)
        try:
            process.wait(JOB_LIMIT)
        except subprocess.TimeoutExpired:
            stop(process)
            return f"not done after {JOB_LIMIT} s"
        if server.process.poll() is not None:
            return f"the server ended with status {server.process.returncode}: {server.process.stderr.read()}"
    return "" if process.returncode == 0 else f"the suite ended with status {process.returncode}"


def test_client(suite, language, spec):
    """The suite is the server of a language's client loop. Returns what went wrong beside cases."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        listening.setblocking(False)
        agent = spec.pop("agent")
        spec.update(fd=listening.fileno(), url=url)
        process = suite.start("serve", spec, pass_fds=[listening.fileno()])
    command = [*client_command(language), url, agent, *OPTIONS]
    try:
        done = subprocess.run(
            command, env=environment(LANGUAGES[language]), timeout=JOB_LIMIT, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"not done after {JOB_LIMIT} s"
    finally:
        stop(process)
    failed = f"the client ended with status {done.returncode}: " if done.returncode else ""
    return failed + done.stderr


def play(suite, who, name, cases, skips):
    """One job: some cases, in one role of one language, with a process of each side of its own."""
    language, role = who.split(":")
    outdir = BUILD / "reports" / who.replace(":", "-") / name
    shutil.rmtree(outdir, ignore_errors=True)
    outdir.mkdir(parents=True)
    agent = f"{language}-{role}"
    start = time.monotonic()
    test = test_server if role == "server" else test_client
    trouble = test(suite, language, {"agent": agent, "cases": cases, "outdir": str(outdir)})
    results = report.judge(outdir, agent, cases, skips)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in report.count(results).items() if n)
    print(f"{who} {name}: {counts} ({time.monotonic() - start:.0f} s)", flush=True)
    if trouble:
        print(f"{who} {name}: {trouble.strip()}", file=sys.stderr, flush=True)
    return results, bool(trouble)


def matching(cases, patterns):
    return [case for case in cases if any(fnmatch.fnmatchcase(case, pattern) for pattern in patterns)]


def jobs(suite, args):
    """(who, name, cases), the longest first: compression in parts, everything else at one go."""
    found = []
    for who in args.only:
        language = who.split(":")[0]
        if args.cases:
            patterns = args.cases
        elif args.quick:
            patterns = QUICK[language]
        else:
            full = FULL["c"] if args.all else FULL[language]
            patterns = [f"{number}.*" for number in full]
        parts = {}
        for case in matching(suite.cases, patterns):
            compressed = report.section(case) in ("12", "13") and not args.quick
            parts.setdefault(case.rpartition(".")[0] if compressed else "cases", []).append(case)
        found += [(who, name, cases) for name, cases in parts.items()]
    return sorted(found, key=lambda job: job[1] == "cases")


def version_of(command):
    return re.search(r"\d+\.\d+(\.\d+)?", run(command)).group()


def versions(suite):
    """What was tested, with what, and by what."""
    version = re.search(r'^version *= *"(.*)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return [
        ("coromega_ws", version.group(1)),
        ("Lua", version_of(["lua5.4", "-e", "print(_VERSION)"])),
        ("Python", ".".join(map(str, sys.version_info[:3]))),
        *((f"{name} (the suite's)" if name == "CPython" else name, number) for name, number in suite.versions),
    ]


def arguments():
    everybody = [f"{language}:{role}" for language in LANGUAGES for role in ROLES]

    def selection(text):
        chosen = matching(everybody, [part if ":" in part else f"{part}:*" for part in text.split(",")])
        if not chosen:
            raise argparse.ArgumentTypeError(f"of {', '.join(everybody)}, {text} names none")
        return chosen

    parser = argparse.ArgumentParser(description="Plays the Autobahn TestSuite.")
    parser.add_argument("--quick", action="store_true", help="a quick set; writes no docs")
    parser.add_argument("--all", action="store_true", help="sections 12 and 13 for Lua and Python, too")
    parser.add_argument("--only", type=selection, default=everybody, help="c:server,lua:client or c, ...")
    parser.add_argument("--cases", type=lambda text: text.split(","), help="1.*,9.1.6, ...")
    parser.add_argument("--no-skips", action="store_true", help="a case without compression has failed")
    parser.add_argument("--if-possible", action="store_true", help="no Python 2.7 is no failure")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="how many at a time")
    args = parser.parse_args()
    args.partly = args.quick or args.only != everybody or args.cases is not None
    return args


def main():
    args = arguments()
    try:
        suite = Suite()
    except NoPython27 as error:
        print(f"Autobahn: not run: {error}", file=sys.stderr)
        return 0 if args.if_possible else 3
    if any(who == "c:client" for who in args.only):
        compile_c(HERE / "client.c", BUILD / "client")
    start = time.monotonic()
    everything = {who: [] for who in args.only}
    trouble = False
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        started = {pool.submit(play, suite, *job, not args.no_skips): job[0] for job in jobs(suite, args)}
        for future in concurrent.futures.as_completed(started):
            results, troubled = future.result()
            everything[started[future]] += results
            trouble |= troubled
    for results in everything.values():
        results.sort(key=lambda result: report.place(result.case))
    report.print_report(suite.sections, everything)
    print(f"{time.monotonic() - start:.0f} s; the suite's own reports are in build/autobahn/reports")
    if not args.partly:
        text = report.markdown(suite.sections, everything, versions(suite))
        (ROOT / "docs/autobahn.md").write_text(text, encoding="utf-8")
    played = [result for results in everything.values() for result in results]
    return 1 if trouble or not played or report.count(played)[report.FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
