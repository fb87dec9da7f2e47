"""That the chaos can fail: what its checks and its watch see. What it leaves behind, faults.py tests."""

import itertools
import subprocess
import sys
import time

import pytest
import run
from python_host import PythonHost
from schedule import Schedule

from hosts import PATIENCE

SLEEPING = "import faulthandler, signal, time; faulthandler.register(signal.SIGUSR1); print('up', flush=True); time.sleep(600)"


class Liar(PythonHost):
    """Its echo comes back in another order, twice, or not at all."""

    way = None

    async def _echo(self, end):
        first, second = [await end.conn.receive_message() for _ in range(2)]
        answers = {"swapped": [second, first], "twice": [first, first], "lost": [second]}[self.way]
        for text in answers:
            await end.send(text)
        await end.conn.receive_message()


def host(language, failed):
    if language == "python":
        return PythonHost(failed)
    if language == "lua":
        from lua_host import LuaHost, Luas

        return LuaHost(Luas("lua54"), failed)
    from c_host import CHost, load

    return CHost(load(), failed)


@pytest.mark.parametrize("way", ["swapped", "twice", "lost"])
@pytest.mark.parametrize("language", ["python", "lua", "c"])
def test_a_pair_sees_a_wrong_order(language, way):
    failures = []
    server, client = Liar(print), host(language, failures.append)
    server.way = way
    _, port = server.call("pair_listen", 0, {}).result(PATIENCE)
    assert client.call("pair_connect", 0, f"ws://127.0.0.1:{port}/", {}).result(PATIENCE) == "ok"
    deadline = time.monotonic() + PATIENCE
    while not failures and time.monotonic() < deadline:
        client.call("look").result(PATIENCE)
        time.sleep(0.01)
    client.end(False)
    server.end(False)
    assert failures and failures[0].startswith("pair 0, client"), failures


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
