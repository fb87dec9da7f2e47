"""Both roles against the WebSocket implementations of others.

Our side is the same program in each language: `ours serve [--OPTION VALUE]...` prints LISTENING and
a port, `ours connect URL SUBPROTOCOLS [--OPTION VALUE]...` connects once. In both roles it sends
back what it gets, but for three texts: `!close CODE REASON` makes it close, `!burst N` makes it
send N numbers, and `!request` is answered with the request's path and the subprotocol. When a
connection has ended it prints `CLOSED code reason`. The peer leads the conversation: talk.py and
talk.js say what it says. The path tells which conversation it is.
"""

import asyncio
import dataclasses
import os
import re
import shutil
import socket

import programs
import pytest
import python_peers
import talk
from certificates import Certificates
from programs import OFFERED, ours

from hosts import PATIENCE

LANGUAGES = ["c", "python", "lua5.4"]
PATHS = ["/talk", "/theirs", "/no-code", "/too-big"]


@dataclasses.dataclass(frozen=True)
class Way:
    """How our side is asked to talk, and how the peer is."""

    flags: tuple = ("--compression", "0")
    deflate: str | None = None
    tls: bool = False

    @property
    def compressed(self):
        return self.deflate is not None and self.flags[1] == "1"


ALL_SIZES = ("--compression", "1", "--compression-min-size", "0")
WAYS = {
    "plain": Way(),
    "declined": Way(deflate="usual"),
    "deflate": Way(ALL_SIZES, "usual"),
    "takeover": Way((*ALL_SIZES, "--context-takeover", "1"), "usual"),
    "small-windows": Way((*ALL_SIZES, "--context-takeover", "1", "--window-bits", "9"), "usual"),
    "strict": Way(ALL_SIZES, "strict"),
    "tls": Way(tls=True),
    "tls-deflate": Way(ALL_SIZES, "usual", tls=True),
}
FEW_WAYS = ["plain", "tls"]


def needs(what, present):
    """A peer that is not installed is a reason to skip, and to fail where all are asked for."""
    if not present:
        told = f"NOT TESTED against {what}: it is not installed (`make peers` does that)"
        assert os.environ.get("COROMEGA_PEERS") != "all", told
        pytest.skip(told)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def answer(language, certificates, *flags, tls=False):
    """What our server answers to a client that asks for all there is; nothing if it can't."""
    try:
        with ours(language, "serve", "--open-timeout", "2", *flags) as server:
            port = int(server.line("LISTENING "))
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
                client = certificates.client().wrap_socket(plain, server_hostname="localhost") if tls else plain
                client.sendall(
                    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                    b"Sec-WebSocket-Protocol: chat.v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
                )
                return client.recv(4096).decode().lower()
    except (AssertionError, OSError):
        return ""


def offer(language):
    """What our client asks a server for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        with ours(language, "connect", f"ws://127.0.0.1:{port}/", OFFERED, "--compression", "1"):
            accepted, _ = listener.accept()
            with accepted:
                return accepted.recv(4096).decode().lower()


@pytest.fixture(scope="session")
def landed(certificates):
    """Which of compression, TLS and the choice of subprotocols a language has yet."""
    return {
        language: {
            "compression": "permessage-deflate" in answer(language, certificates, "--compression", "1"),
            "compression as a client": "permessage-deflate" in offer(language),
            "protocols": "chat.v1" in answer(language, certificates, "--subprotocols", "chat.v1"),
            "TLS": "101" in answer(language, certificates, *server_tls(certificates), tls=True),
        }
        for language in LANGUAGES
    }


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture(params=WAYS)
def way(request, language, landed):
    way = WAYS[request.param]
    compression = "compression as a client" if "our_client" in request.node.name else "compression"
    for what, wanted in ((compression, way.compressed), ("TLS", way.tls)):
        if wanted and not landed[language][what]:
            pytest.skip(f"NOT TESTED: our side in {language} has no {what} yet")
    return way


def server_tls(certificates):
    return ("--certificate-file", certificates.certificate, "--key-file", certificates.key)


def client_tls(certificates):
    return ("--ca-files", certificates.ca)


class Serving:
    """Our server, with an address for the peer."""

    def __init__(self, language, way, certificates, landed):
        flags = [*way.flags]
        if way.tls:
            flags += server_tls(certificates)
        self.tls = certificates if way.tls else None
        self.protocols = ["chat.v2", "chat.v1"] if landed[language]["protocols"] else []
        if self.protocols:
            flags += ["--subprotocols", "chat.v1"]
        self.program = ours(language, "serve", *flags)

    def __enter__(self):
        self.port = int(self.program.line("LISTENING "))
        self.url = f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self.program.__exit__()


def calling(language, way, certificates, port, path):
    """Our client, on its way to a peer that serves."""
    flags = [*way.flags, *(client_tls(certificates) if way.tls else ())]
    return ours(language, "connect", f"{'wss' if way.tls else 'ws'}://127.0.0.1:{port}{path}", OFFERED, *flags)


def check_end(told, path):
    """Code and reason of a connection's end, as our side tells them."""
    wanted = talk.ENDS[path]
    assert re.fullmatch(wanted, told) if isinstance(wanted, re.Pattern) else told == wanted, (path, told)


PYTHON_CLIENTS = [python_peers.Websockets, python_peers.Aiohttp, python_peers.CurlCffi]


@pytest.mark.parametrize("peer", PYTHON_CLIENTS)
def test_a_python_client_talks_to_our_server(peer, language, way, certificates, landed):
    if peer is python_peers.CurlCffi and way.deflate:
        pytest.skip("curl_cffi has no compression")

    async def converse(server, path):
        async with (
            asyncio.timeout(PATIENCE),
            peer.client(server.url + path, way.deflate, server.tls) as end,
        ):
            assert end.compressed == way.compressed
            if server.protocols and end.subprotocol is not ...:
                assert end.subprotocol == "chat.v1"
            await talk.TALKS[path](end)

    with Serving(language, way, certificates, landed) as server:
        for path in talk.TALKS:
            asyncio.run(converse(server, path))
            check_end(server.program.line("CLOSED "), path)


@pytest.mark.parametrize("peer", PYTHON_CLIENTS[:2])
def test_our_client_talks_to_a_python_server(peer, language, way, certificates):
    async def converse():
        done = asyncio.Queue()

        async def attend(end, path):
            try:
                assert end.compressed == way.compressed
                assert end.subprotocol in OFFERED.split(", ")
                await talk.TALKS[path](end)
                done.put_nowait(None)
            except BaseException as error:
                done.put_nowait(error)
                raise

        tls = certificates if way.tls else None
        async with asyncio.timeout(PATIENCE), peer.server(attend, way.deflate, tls) as port:
            for path in talk.TALKS:
                with calling(language, way, certificates, port, path) as client:
                    told = await asyncio.to_thread(client.line)
                    if told.startswith("CLOSED") and (error := await done.get()):
                        raise error
                    check_end(told.removeprefix("CLOSED "), path)

    asyncio.run(converse())


def test_node_ws_talks_to_our_server(language, way, certificates, landed):
    needs("Node's ws", (programs.INSTALLED / "node_modules/ws").exists())
    with Serving(language, way, certificates, landed) as server:
        for path in PATHS:
            protocols = ",".join(server.protocols) or "-"
            ca = certificates.ca if way.tls else "-"
            with programs.node(
                way.compressed, "connect", server.url + path, way.deflate or "-", ca, protocols
            ) as peer:
                assert peer.line("DONE ") == f"{path} "
            check_end(server.program.line("CLOSED "), path)


def test_our_client_talks_to_node_ws(language, way, certificates):
    needs("Node's ws", (programs.INSTALLED / "node_modules/ws").exists())
    files = (certificates.key, certificates.certificate) if way.tls else ("-", "-")
    with programs.node(way.compressed, "serve", way.deflate or "-", *files) as peer:
        port = int(peer.line("LISTENING "))
        for path in PATHS:
            with calling(language, way, certificates, port, path) as client:
                told = client.line()
                assert told.startswith("FAILED") or peer.line("DONE ") == f"{path} "
                check_end(told.removeprefix("CLOSED "), path)


def test_chromium_talks_to_our_server(language, way, certificates, landed):
    needs("Chromium", programs.chromium())
    if way.deflate == "strict":
        pytest.skip("a browser's page can't choose the parameters of its compression")
    if way.tls and not way.compressed or way.deflate is None and not way.tls:
        pytest.skip("a browser always offers compression")
    with Serving(language, way, certificates, landed) as server:
        wrong = programs.browse(server.url, PATHS, server.protocols, way.compressed, server.tls)
        assert wrong == dict.fromkeys(PATHS, "")
        for path in PATHS:
            check_end(server.program.line("CLOSED "), path)


def say_lines(peer):
    """What websocat can say: a line is a message, with its end."""
    for line in ["hello", "grüß 你好 🦀", "x" * 60_000]:
        peer.write(line + "\n")
        assert peer.line() == line
    numbers = [str(number) for number in range(1000)]
    peer.write("\n".join(numbers) + "\n")
    assert [peer.line() for _ in numbers] == numbers
    peer.write("!burst 1000\n")
    assert [peer.line() for _ in numbers] == numbers


def websocat_way(request, language, landed):
    needs("websocat", programs.WEBSOCAT.exists())
    way = WAYS[request]
    if way.tls and not landed[language]["TLS"]:
        pytest.skip(f"NOT TESTED: our side in {language} has no TLS yet")
    return way


@pytest.mark.parametrize("name", FEW_WAYS)
def test_websocat_talks_to_our_server(name, language, certificates, landed, monkeypatch):
    way = websocat_way(name, language, landed)
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca)
    with Serving(language, way, certificates, landed) as server:
        close = ["--close-status-code", "4001", "--close-reason", "bye grüß"]
        with programs.websocat("--text", *close, server.url) as peer:
            say_lines(peer)
            peer.process.stdin.close()
            check_end(server.program.line("CLOSED "), "/talk")
        with programs.websocat("--text", "--exit-on-eof", server.url) as peer:
            peer.write("!close 4002 over ünd out\n")
            check_end(server.program.line("CLOSED "), "/theirs")
            assert peer.process.wait(PATIENCE) == 0
        with programs.websocat("--binary", server.url) as peer:
            peer.write("binary\n")
            assert peer.line() == "binary"


def test_our_client_talks_to_websocat(language, certificates, landed):
    way = websocat_way("plain", language, landed)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with programs.websocat("--text", "--exit-on-eof", "--oneshot", f"ws-l:127.0.0.1:{port}", "-") as peer:
        wait_for(port)
        with calling(language, way, certificates, port, "/") as client:
            say_lines(peer)
            peer.write("!close 4002 over ünd out\n")
            check_end(client.line("CLOSED "), "/theirs")


def wait_for(port):
    """Returns when somebody listens there; nobody is connected to."""
    local = f"0100007F:{port:04X}"
    for _ in range(PATIENCE * 100):
        with open("/proc/net/tcp", encoding="ascii") as table:
            if any(line.split()[1] == local and line.split()[3] == "0A" for line in table):
                return
        os.sched_yield()
    raise AssertionError(f"nobody listens on {port}")


def test_every_peer_of_the_tests_is_installed_where_all_are_asked_for():
    if os.environ.get("COROMEGA_PEERS") == "all":
        assert programs.chromium() and shutil.which("node") and programs.WEBSOCAT.exists()
