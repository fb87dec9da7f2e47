"""S20: one message for many connections."""

import asyncio

import coromega_ws as coromega
import pytest
from support import url


async def room(count, server_options=None, **client_options):
    """So many clients' connections, and the server's ends of them."""
    accepted = asyncio.Queue()
    listener = coromega.create_websocket_server("127.0.0.1", 0, **(server_options or {}))
    listener.when_new_conn(accepted.put_nowait)
    clients, servers = [], []
    for _ in range(count):
        clients.append(await coromega.connect_to_websocket(url(listener), **client_options))
        servers.append(await accepted.get())
    return clients, servers


async def stuck():
    """A room of two, of which the first does not receive, and takes no more."""
    clients, servers = await room(2, {"write_limit": 4096}, read_limit=4096)
    misses = 0
    while misses < 3:
        if await coromega.send_to_many(servers[:1], "." * 8000, slow="drop_newest") == 0:
            misses += 1
            await asyncio.sleep(0.05)
    return clients, servers


async def next_of(conn):
    """What comes behind what filled it."""
    while (message := await conn.receive_message()) and message.startswith("."):
        pass
    return message


def test_S20_one_message_for_many_connections(run):
    async def main():
        clients, servers = await room(10)
        assert await coromega.send_to_many(servers, "hello") == 10
        assert await coromega.send_to_many(servers, b"\0\xff", compress=False) == 10
        assert await coromega.send_to_many(iter(servers), memoryview(b"view")) == 10
        for client in clients:
            assert await client.receive_message() == "hello"
            assert await client.receive_message() == b"\0\xff"
            assert await client.receive_message() == b"view"
        await servers[3].close()
        assert await coromega.send_to_many(servers, "again", slow="close") == 9
        assert await coromega.send_to_many([], "nobody") == 0
        assert await coromega.send_to_many(clients[:2], "back") == 2
        assert await servers[0].receive_message() == "back"

    run(main())


def test_S20_a_slow_receiver_is_waited_for(run):
    async def main():
        clients, servers = await stuck()
        first = asyncio.create_task(coromega.send_to_many(servers, "1"))
        assert await clients[1].receive_message() == "1"
        second = asyncio.create_task(coromega.send_to_many(servers, "2"))
        assert await clients[1].receive_message() == "2"
        assert not first.done() and not second.done()
        assert await next_of(clients[0]) == "1"
        assert await clients[0].receive_message() == "2"
        assert (await first, await second) == (2, 2)

    run(main())


def test_S20_a_slow_receiver_misses_the_newest_or_the_oldest_or_is_closed(run):
    async def main():
        clients, servers = await stuck()
        assert await coromega.send_to_many(servers, "missed", slow="drop_newest") == 1
        assert await clients[1].receive_message() == "missed"
        for n in range(50):
            assert await coromega.send_to_many(servers, f"{n:02}" + "x" * 1000, slow="drop_oldest") == 2
            assert (await clients[1].receive_message())[:2] == f"{n:02}"
        for n in range(47, 50):
            assert (await next_of(clients[0]))[:2] == str(n)
        clients, servers = await stuck()
        assert await coromega.send_to_many(servers, "missed", slow="close") == 1
        assert await next_of(clients[0]) is None
        assert clients[0].close_code == 1008

    run(main())


def test_S20_what_is_no_connection_or_policy_is_refused(run):
    async def main():
        _, servers = await room(1)
        with pytest.raises(ValueError, match="slow is one of"):
            await coromega.send_to_many(servers, "x", slow="never")
        with pytest.raises(TypeError, match="Connections"):
            await coromega.send_to_many([servers], "x")
        with pytest.raises(TypeError):
            await coromega.send_to_many(servers, 5)

    run(main())
