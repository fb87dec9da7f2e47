"""S8 to S10: options of every kind, and headers where they belong."""

import asyncio
import gc
import pathlib

import coromega_ws as coromega
import pytest
from support import pair, rss, url

NOWHERE = "ws://127.0.0.1:1/"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"no_such": "x"}, "no_such"),
        ({"no_such": ["x"]}, "no_such"),
        ({"no_such": True}, "no_such"),
        ({"open_timeout": "5"}, "open_timeout is a text"),
        ({"open_timeout": ["5"]}, "open_timeout is a text"),
        ({"compression": 2}, "compression is 2"),
        ({"compression": 0.5}, "compression is 0.5"),
        ({"window_bits": 8.5}, "window_bits"),
        ({"ca_files": 5}, "ca_files is 5"),
        ({"ca_files": True}, "ca_files is 1"),
        ({"subprotocols": ["fine", ""]}, "subprotocols is empty"),
        ({"key_file": "with\0nul"}, "key_file"),
        ({"certificate_file": pathlib.Path("x"), "key_file": 1}, "key_file"),
    ],
)
def test_S9_options_that_the_library_refuses(run, options, words):
    async def main():
        with pytest.raises(coromega.InvalidArgument, match=words):
            await coromega.connect_to_websocket(NOWHERE, **options)
        with pytest.raises(coromega.InvalidArgument, match=words):
            coromega.create_websocket_server("127.0.0.1", 0, **options)

    run(main())


@pytest.mark.parametrize("value", [None, {"a": "b"}, {"a"}, [1], ["a", None], [["a"]], object(), len])
def test_S9_options_of_a_wrong_type_are_named(run, value):
    async def main():
        with pytest.raises(TypeError, match="option subprotocols"):
            await coromega.connect_to_websocket(NOWHERE, subprotocols=value)
        with pytest.raises(TypeError, match="option subprotocols"):
            coromega.create_websocket_server("127.0.0.1", 0, subprotocols=value)

    run(main())


def test_S9_an_option_belongs_to_its_side(run):
    async def main():
        for name, value in {
            "origins": ["http://a.example"],
            "path": "/ws",
            "health_path": "/health",
            "response_headers": {"X-A": "b"},
        }.items():
            with pytest.raises(coromega.InvalidArgument, match=f"option {name} is a listener's"):
                await coromega.connect_to_websocket(NOWHERE, **{name: value})
        for name, value in {"proxy": "http://p:1", "server_name": "a", "insecure": True, "max_redirects": 3}.items():
            with pytest.raises(coromega.InvalidArgument, match=f"option {name} is a connect's"):
                coromega.create_websocket_server("127.0.0.1", 0, **{name: value})

    run(main())


def test_S9_flags_numbers_and_lists_are_taken(run):
    async def main():
        server = {"compression": False, "max_message_size": 1000, "subprotocols": ("a", "b"), "origins": []}
        _, client, conn = await pair(server, compression=False, insecure=False, max_callbacks=3, open_timeout=5.5)
        await client.send_message("hello")
        assert await conn.receive_message() == "hello"
        await client.close()

    run(main())


def test_S9_every_element_of_a_list_is_set(run):
    async def main():
        listener = coromega.create_websocket_server(
            "127.0.0.1",
            0,
            path="/ws",
            subprotocols=["chat.v2", "chat.v1"],
            origins=("http://a.example", "http://b.example"),
            response_headers=[("X-Twice", ["one", 2]), ("X-Once", "yes")],
        )
        host, port = listener.address

        async def answer_to(path, headers):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            return head.decode()

        for origin in "http://a.example", "http://b.example":
            head = await answer_to("/ws", f"Origin: {origin}\r\nSec-WebSocket-Protocol: chat.v1\r\n")
            assert head.startswith("HTTP/1.1 101 ") and "\r\nSec-WebSocket-Protocol: chat.v1\r\n" in head
            assert "\r\nX-Twice: one\r\nX-Twice: 2\r\nX-Once: yes\r\n" in head
        assert (await answer_to("/ws", "Origin: http://c.example\r\n")).startswith("HTTP/1.1 403 ")
        assert (await answer_to("/elsewhere", "")).startswith("HTTP/1.1 404 ")

    run(main())


@pytest.mark.parametrize("headers", [5, "X: y", ["X: y"], [("X",)], {5: "y"}, {"X": None}, {"X": [{}]}, [("X", b"y")]])
def test_S9_response_headers_of_a_wrong_type(headers):
    with pytest.raises(TypeError, match="header"):
        coromega.create_websocket_server("127.0.0.1", 0, response_headers=headers)


def test_S9_what_options_hold_is_given_back(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        address = url(listener)
        text = "x" * 100_000

        async def rounds(count):
            for _ in range(count):
                with pytest.raises(coromega.InvalidArgument):
                    await coromega.connect_to_websocket(address, health_path=text, no_such=1)
                with pytest.raises(coromega.InvalidArgument):
                    await coromega.connect_to_websocket(address, path=text)
                with pytest.raises(coromega.InvalidArgument):
                    coromega.create_websocket_server("127.0.0.1", 0, proxy=text)

        await rounds(50)
        gc.collect()
        before = rss()
        await rounds(300)  # of 300,000 bytes each, if they stayed
        gc.collect()
        assert rss() - before < 30_000_000
        await listener.close()

    run(main())


def test_S8_options_are_not_sent_as_headers(run):
    async def main():
        for name in ("open_timeout", "compression", "proxy", "subprotocols"):
            with pytest.raises(coromega.InvalidHeader, match=f"{name}.*keyword"):
                await coromega.connect_to_websocket(NOWHERE, {name: 1})
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        requests = []
        listener.when_new_conn(lambda conn: requests.append(conn.request()))
        conn = await coromega.connect_to_websocket(url(listener), [("Proxy", "x"), ("no_such_option", 1)])
        await conn.close()
        assert requests[0].headers["proxy"] == "x" and requests[0].headers["no_such_option"] == "1"

    run(main())
