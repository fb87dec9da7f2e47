"""The error table, the public names, the examples and what the wheel carries."""

import asyncio
import pathlib
import signal
import subprocess
import sys

import coromega_ws as coromega
import pytest
import websockets
from coromega_ws import _native, error
from support import EXAMPLES, PATIENCE


def test_S6_the_exceptions_are_those_of_the_librarys_table():
    status = 1
    while (name := _native.status_words(status)[0]) and name != _native.status_words(10**6)[0]:
        cls = error.CLASSES[status]
        assert issubclass(cls, coromega.Error) and cls.status == status
        # CLOSED is ConnectionClosed, DNS is DnsError, INVALID_TEXT is InvalidText.
        words = name.replace("_", "").lower()
        assert words in cls.__name__.lower(), (name, cls)
        assert str(error.from_status(status, "")) == _native.status_words(status)[1]
        assert getattr(coromega, cls.__name__) is cls
        status += 1
    assert set(error.CLASSES) == set(range(1, status))


def test_S6_failures_of_a_connect_are_os_errors():
    for status, cls in error.CLASSES.items():
        made = error.in_connect(error.from_status(status, "text"))
        assert isinstance(made, coromega.ConnectError) and isinstance(made, OSError)
        assert isinstance(made, cls) and made.status == status and str(made) == "text"
        assert type(made) is type(error.in_connect(error.from_status(status, "again")))


def test_S31_the_wheel_carries_the_library_under_its_own_name():
    folder = pathlib.Path(coromega.__file__).parent
    assert (folder / "libcoromega_ws.so.0").is_file()
    assert (folder / "_native.abi3.so").is_file() and (folder / "py.typed").is_file()
    maps = pathlib.Path("/proc/self/maps").read_text()
    loaded = {line.split()[-1] for line in maps.splitlines() if "libcoromega_ws" in line}
    assert len(loaded) == 1 and loaded.pop().endswith("libcoromega_ws.so.0")
    native = (folder / "_native.abi3.so").read_bytes()
    assert b"tokio" not in native


def test_every_public_name_exists():
    for name in coromega.__all__:
        assert hasattr(coromega, name), name
    assert coromega.__version__.count(".") == 2


LINES = """\
websocket client received (first message): \tserver hello
websocket server received (first message): \tclient hello
websocket server received (not intercepted): \tclient hello 1
websocket client received (not intercepted): \tserver echo: client hello 1
websocket server received (not intercepted): \tclient hello 2
websocket client received (not intercepted): \tserver echo: client hello 2
websocket server received (not intercepted): \tclient hello 3
websocket client received: \tserver echo: client hello 3
websocket server received (not intercepted): \tclient hello 4
websocket client received: \tserver echo: client hello 4
"""


def example(name, *arguments, **options):
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)],
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        **options,
    )


def test_S14_the_dialogue():
    done = example("dialogue")
    assert (done.stdout, done.stderr, done.returncode) == (LINES, "", 0)


@pytest.fixture
def echo_server():
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "echo_server.py", "--port", "0", "--max-message-size", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    word, port = process.stdout.readline().split()
    assert word == "LISTENING"
    yield int(port)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (out, err, process.returncode) == ("", "", 0)


def test_S17_the_echo_server_and_the_client(echo_server):
    done = example("client", f"ws://127.0.0.1:{echo_server}/", "one", "zwölf")
    assert (done.stdout, done.stderr, done.returncode) == ("one\nzwölf\n", "", 0)
    done = example("client", f"ws://127.0.0.1:{echo_server}/", input="a\nb\n")
    assert done.stdout == "a\nb\n"
    done = example("client", f"ws://127.0.0.1:{echo_server}/", "x" * 1001)
    assert done.returncode == 1 and "1009" in done.stderr


def test_S17_the_echo_server_keeps_text_and_binary_apart(echo_server):
    async def main():
        async with websockets.connect(f"ws://127.0.0.1:{echo_server}/", compression=None) as socket:
            for message in ("text", b"binary", "", b""):
                await socket.send(message)
                assert await asyncio.wait_for(socket.recv(), PATIENCE) == message

    asyncio.run(main())


def test_S6_the_examples_complain_in_one_line():
    done = example("client", "ws://127.0.0.1:1/", "x")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "refused" in done.stderr
    done = example("echo_server", "--no-such-option", "5")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no_such_option" in done.stderr
