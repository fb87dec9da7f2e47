"""S6 to S9, S13: connecting, and what a request tells."""

import asyncio
import base64
import time

import coromega_ws as coromega
import pytest
import websockets
from support import pair, until, url


def test_S6_success_returns_an_open_connection(run):
    async def main():
        _, client, server = await pair()
        assert isinstance(client, coromega.Connection)
        assert client.close_code is None and client.close_reason is None
        await client.send_message("hello")
        assert await server.receive_message() == "hello"

    run(main())


async def answering(answer):
    """A server that answers any request with fixed bytes."""

    async def serve(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]


def test_S6_a_refused_connection(run):
    async def main():
        server, address = await answering(b"")
        server.close()
        await server.wait_closed()
        with pytest.raises(coromega.TcpError) as caught:
            await coromega.connect_to_websocket(address)
        assert isinstance(caught.value, OSError) and isinstance(caught.value, coromega.ConnectError)
        assert address in str(caught.value) and "refused" in str(caught.value)

    run(main())


def test_S6_an_unknown_name(run):
    async def main():
        with pytest.raises(coromega.DnsError, match="no-such-host.invalid"):
            await coromega.connect_to_websocket("ws://no-such-host.invalid:1")

    run(main())


def test_S6_an_http_status(run):
    async def main():
        server, address = await answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(coromega.HttpError, match="403") as caught:
            await coromega.connect_to_websocket(address)
        assert caught.value.http_status == 403
        server.close()

    run(main())


def test_S6_a_handshake_that_is_none(run):
    async def main():
        server, address = await answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        with pytest.raises(coromega.HandshakeError):
            await coromega.connect_to_websocket(address)
        server.close()

    run(main())


def test_S6_a_cancelled_connect_leaves_no_connection(run):
    async def main():
        gone = asyncio.Event()

        async def silent(reader, writer):
            await reader.read()
            gone.set()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        address = "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(coromega.connect_to_websocket(address), 0.1)
        await gone.wait()
        server.close()

        # Cancelled when it was open already, and before anybody was told.
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        ended = []

        tasks = [asyncio.create_task(coromega.connect_to_websocket(url(listener)))]
        accepted = asyncio.Event()

        async def serve(conn):
            # The client's own OPEN is told in the same turn or the next.
            asyncio.get_running_loop().call_soon(tasks[0].cancel)
            accepted.set()
            ended.append(await conn.receive_message())

        listener.when_new_conn(serve)
        await accepted.wait()
        await asyncio.wait(tasks)
        if not tasks[0].cancelled():
            await tasks[0].result().close()
        tasks.clear()
        await until(lambda: ended == [None])

    run(main())


@pytest.mark.parametrize(
    "address",
    ["", "hello", "http://127.0.0.1/", "ws://", "ws://127.0.0.1:99999/", "ws:///path", "ws://[::1", "ws://a b/", "ws://h:x/", "ws://127.0.0.1/#f"],
)
def test_S7_a_bad_address(run, address):
    async def main():
        with pytest.raises(coromega.InvalidAddress) as caught:
            await coromega.connect_to_websocket(address)
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, coromega.ConnectError)

    run(main())


def test_S7_wss_where_there_is_no_tls(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        with pytest.raises(coromega.TlsError) as caught:
            await coromega.connect_to_websocket(f"wss://127.0.0.1:{listener.address[1]}/")
        assert "plain HTTP" in str(caught.value)
        listener.close()
        with pytest.raises(TypeError):
            await coromega.connect_to_websocket(b"ws://127.0.0.1/")

    run(main())


def test_S7_names_paths_and_passwords(run):
    async def main():
        listener, client, server = await pair()
        port = listener.address[1]
        requests = asyncio.Queue()
        listener.when_new_conn(lambda conn: requests.put_nowait(conn.request()))
        conn = await coromega.connect_to_websocket(f"ws://us%20er:pass@localhost:{port}/a/b?x=1&y=%20")
        request = await requests.get()
        assert (request.path, request.query) == ("/a/b", "x=1&y=%20")
        kind, _, text = request.headers["authorization"].partition(" ")
        assert kind == "Basic" and base64.b64decode(text) == b"us er:pass"
        assert request.headers["host"] == f"localhost:{port}"
        await conn.close()

    run(main())


def test_S7_ipv6(run):
    async def main():
        listener = coromega.create_websocket_server("::1", 0)
        conn = await coromega.connect_to_websocket(f"ws://[::1]:{listener.address[1]}/")
        await conn.close()

    run(main())


def test_S8_headers(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        requests = asyncio.Queue()
        listener.when_new_conn(lambda conn: requests.put_nowait(conn.request()))
        headers = {"X-Text": "a b", "X-Int": 5, "X-Float": 1.5, "X-List": ["1", 2], "Host": "other", "Sec-WebSocket-Protocol": "chat"}
        try:
            await coromega.connect_to_websocket(url(listener), headers)
        except coromega.HandshakeError:
            pass  # The server agreed on no subprotocol.
        found = (await requests.get()).headers
        assert found["x-text"] == "a b" and found["x-int"] == "5" and found["x-float"] == "1.5"
        assert found["x-list"] == "1, 2" and found["host"] == "other"
        assert found["sec-websocket-protocol"] == "chat"

    run(main())


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nb"},
        {"X": "a\0b"},
        {"X\n": "a"},
        {"": "a"},
        {"connection": "close"},
        {"Upgrade": "x"},
        {"Sec-WebSocket-Key": "x"},
        {"sec-websocket-version": 13},
        {"Sec-WebSocket-Extensions": "x"},
        {"Sec-WebSocket-Accept": "x"},
    ],
)
def test_S8_bad_headers(run, headers):
    async def main():
        with pytest.raises(coromega.InvalidHeader) as caught:
            await coromega.connect_to_websocket("ws://127.0.0.1:1/", headers)
        assert isinstance(caught.value, ValueError)

    run(main())


@pytest.mark.parametrize("headers", [["a"], "a", {1: "a"}, {"a": None}, {"a": True}, {"a": [[1]]}])
def test_S8_headers_of_a_wrong_type(run, headers):
    async def main():
        with pytest.raises(TypeError):
            await coromega.connect_to_websocket("ws://127.0.0.1:1/", headers)

    run(main())


def test_S9_the_attempt_ends_within_open_timeout(run):
    async def main():
        async def silent(reader, writer):
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        address = "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        started = time.monotonic()
        with pytest.raises(coromega.ConnectTimeout) as caught:
            await coromega.connect_to_websocket(address, open_timeout=0.2)
        assert 0.15 < time.monotonic() - started < 8
        assert isinstance(caught.value, TimeoutError) and isinstance(caught.value, coromega.ConnectError)
        server.close()

    run(main())


@pytest.mark.parametrize("options", [{"no_such": 1}, {"open_timeout": -1}, {"write_limit": -5}, {"open_timeout": float("nan")}])
def test_S9_bad_options(run, options):
    async def main():
        with pytest.raises(coromega.InvalidArgument) as caught:
            await coromega.connect_to_websocket("ws://127.0.0.1:1/", **options)
        assert next(iter(options)) in str(caught.value)
        with pytest.raises(coromega.InvalidArgument):
            coromega.create_websocket_server("127.0.0.1", 0, **options)

    run(main())


def test_S13_request(run):
    async def main():
        listener, client, server = await pair()
        request = server.request()
        assert request is server.request()
        assert (request.path, request.query, request.subprotocol) == ("/", "", "")
        assert request.headers["upgrade"].lower() == "websocket"
        assert request.peer[0] == "127.0.0.1" and request.peer[1] > 0
        assert client.request().peer == listener.address
        await client.close()
        assert await server.receive_message() is None
        assert server.request().path == "/"

    run(main())


def test_S6_another_librarys_server(run):
    async def main():
        async def echo(socket):
            async for message in socket:
                await socket.send(message)

        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            conn = await coromega.connect_to_websocket(f"ws://127.0.0.1:{port}/")
            await conn.send_message("grüße")
            assert await conn.receive_message() == "grüße"
            await conn.send_binary(b"\x00\xff")
            assert await conn.receive_message() == b"\x00\xff"
            await conn.close(4000, "enough")
            assert (conn.close_code, conn.close_reason) == (4000, "enough")

    run(main())
