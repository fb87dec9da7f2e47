"""The programs on both sides of the tests: ours in each language, Node, Chromium and websocat."""

import contextlib
import http.server
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.parse

from hosts import LUAS, PATIENCE, ROOT, compile_c, environment

HERE = ROOT / "tests/interop/peers"
INSTALLED = ROOT / "build/peers"
WEBSOCAT = INSTALLED / "bin/websocat"
OFFERED = "chat.v1, chat.v2"


def chromium():
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


class Program:
    """A process whose lines are read one by one. Its standard error is shown when it disappoints.

    It has a group of its own, with which it ends: a browser is started by a script.
    """

    def __init__(self, arguments, **options):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(a) for a in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            bufsize=0, start_new_session=True, **options,
        )
        self.read = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()

    def line(self, begin=""):
        """The next line, which begins so; returns what follows."""
        while b"\n" not in self.read:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            more = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not more:
                self.errors.seek(0)
                raise AssertionError(f"no line {begin!r}: {self.read!r} {self.errors.read().decode()}")
            self.read += more
        line, _, self.read = self.read.partition(b"\n")
        line = line.decode()
        assert line.startswith(begin), f"{line!r} instead of {begin!r}"
        return line.removeprefix(begin)

    def write(self, text):
        self.process.stdin.write(text.encode())


def ours(language, *arguments):
    """Our side. What it does is told in test_peers.py."""
    if language == "c":
        start = [compile_once()]
    elif language == "python":
        start = [sys.executable, HERE / "ours.py"]
    else:
        assert language in LUAS
        start = [language, HERE / "ours.lua"]
    return Program([*start, *arguments], env=environment(language))


def compile_once(done=[]):
    if not done:
        done.append(compile_c(HERE / "ours.c", ROOT / "build/tests/interop/peers/ours"))
    return done[0]


def node(compressed, *arguments):
    env = {**os.environ, "NODE_PATH": str(INSTALLED / "node_modules"), "COMPRESSED": str(int(compressed))}
    return Program(["node", HERE / "node_peer.js", *arguments], env=env)


def websocat(*arguments):
    return Program([WEBSOCAT, *arguments])


def browse(url, paths, protocols, compressed, tls):
    """Lets Chromium talk to `url`, path by path; returns what it found wrong, by path."""
    results = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=HERE)

        def do_POST(self):
            results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    question = urllib.parse.urlencode(
        {"url": url, "path": paths, "protocol": protocols, "compressed": int(compressed)}, doseq=True
    )
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        program = stack.enter_context(
            Program(
                [
                    chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--no-proxy-server",
                    # It leaves this machine for nothing.
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    f"--user-data-dir={profile}",
                    *([f"--ignore-certificate-errors-spki-list={tls.fingerprint()}"] if tls else []),
                    f"http://127.0.0.1:{server.server_address[1]}/page.html?{question}",
                ]
            )
        )
        try:
            return results.get(timeout=PATIENCE)
        except queue.Empty:
            program.errors.seek(0)
            raise AssertionError(f"Chromium told nothing: {program.errors.read().decode()[-2000:]}") from None
