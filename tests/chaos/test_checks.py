"""That the chaos can fail: what its checks and its watch see. What it leaves behind, faults.py tests."""

import itertools
import subprocess
import sys
import time

import coromega_ws as coromega
import pytest
import run
from messages import HALF, SECRET
from python_host import PythonHost
from schedule import Schedule

from hosts import PATIENCE

SLEEPING = "import faulthandler, signal, time; faulthandler.register(signal.SIGUSR1); print('up', flush=True); time.sleep(600)"


class Liar(PythonHost):
    """Its echo comes back in another order, twice, or not at all; or it is no half message that ends it."""

    way = None

    async def _echo(self, end):
        first, second = [await end.conn.receive_message() for _ in range(2)]
        answers = {"swapped": [second, first], "twice": [first, first], "lost": [second], "closed": []}[self.way]
        if self.way == "closed":
            await end.conn.close(1011)
        for text in answers:
            await end.send(text)
        await end.conn.receive_message()


class Finisher(PythonHost):
    """Finishes what is to stay half."""

    def _behave(self, conn, behaviour):
        self._task(conn.send_message(HALF))


def host(language, failed):
    if language == "python":
        return PythonHost(failed)
    if language == "lua":
        from lua_host import LuaHost, Luas

        return LuaHost(Luas("lua54"), failed)
    from c_host import CHost, load

    return CHost(load(), failed)


def until_it_fails(client, server, failures):
    deadline = time.monotonic() + PATIENCE
    while not failures and time.monotonic() < deadline:
        client.call("look").result(PATIENCE)
        time.sleep(0.01)
    client.end(False)
    server.end(False)


@pytest.mark.parametrize("way", ["swapped", "twice", "lost", "closed"])
@pytest.mark.parametrize("language", ["python", "lua", "c"])
def test_a_pair_sees_a_wrong_order_or_end(language, way):
    failures = []
    server, client = Liar(print), host(language, failures.append)
    server.way = way
    _, port = server.call("pair_listen", 0, {}).result(PATIENCE)
    assert client.call("pair_connect", 0, f"ws://127.0.0.1:{port}/", {}).result(PATIENCE) == "ok"
    if way == "closed":
        client.call("pair_break", 0, "client", False).result(PATIENCE)
    until_it_fails(client, server, failures)
    assert failures and failures[0].startswith("pair 0, client"), failures


@pytest.mark.parametrize("options", [{}, {"fragments": 1}])
@pytest.mark.parametrize("behaviour", ["take", "echo"])
@pytest.mark.parametrize("language", ["python", "lua", "c"])
def test_a_host_sees_a_half_message_that_came_whole(language, behaviour, options):
    failures = []
    server, client = Finisher(print), host(language, failures.append)
    _, port = server.call("listen", {}, "take", "", "127.0.0.1", 0).result(PATIENCE)
    client.call("connect", f"ws://127.0.0.1:{port}/", options, behaviour).result(PATIENCE)
    until_it_fails(client, server, failures)
    assert failures and "came whole" in failures[0], failures


@pytest.mark.parametrize("language", ["python", "lua", "c"])
def test_a_host_sees_what_the_log_must_not_tell(language):
    failures = []
    server, client = PythonHost(print), host(language, failures.append)
    coromega.on_error(lambda error: failures.append(str(error)))
    _, port = server.call("listen", {}, "take", "", "127.0.0.1", 0).result(PATIENCE)
    client.call("log", "debug", False).result(PATIENCE)
    # Of an address it does tell the path.
    client.call("connect", f"ws://127.0.0.1:{port}/{SECRET}", {}, "take").result(PATIENCE)
    until_it_fails(client, server, failures)
    coromega.on_log(None)
    coromega.on_error(None)
    assert failures and "the log tells" in failures[0], failures


def watched(code):
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    "code, wrong",
    [
        ("pass", None),
        ("raise SystemExit(1)", "it failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it crashed: SIGSEGV"),
    ],
)
def test_the_watch_sees_how_it_ends(code, wrong):
    assert run.watch(watched(code)) == wrong


@pytest.mark.parametrize("what", ["silence", "stuck: an action"])
def test_the_watch_sees_that_it_hangs_and_where(what, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "SILENCE", 1)
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    process = watched(SLEEPING.replace("up", what))
    try:
        assert run.watch(process) in ("it hangs", "it has said nothing for 1 s")
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / "stacks.log").exists()


def test_a_seed_says_what_happens():
    def beginning(seed):
        return list(itertools.islice(Schedule(seed), 500))

    assert beginning(1) == beginning(1)
    assert beginning(1) != beginning(2)
