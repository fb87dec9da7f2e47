"""S28: pings, pongs and dead peers."""

import asyncio
import time

import coromega_ws as coromega
import pytest
from support import frame, pair, raw_client, read_frame

PINGS = {"ping_interval": 0.02, "ping_timeout": 0.5}


def test_S28_a_script_that_computes_keeps_its_connections(run):
    async def main():
        _, client, server = await pair(server_options=PINGS, **PINGS)
        time.sleep(1.5)  # noqa: ASYNC251
        await client.send_message("still here")
        assert await server.receive_message() == "still here"
        for conn in (client, server):
            last, smoothed = conn.latency
            assert 0 < last < 0.5 and 0 < smoothed < 0.5

    run(main())


def test_S28_a_script_can_ask_for_a_round_trip(run):
    async def main():
        _, client, server = await pair(server_options={"ping_interval": 0}, ping_interval=0)
        assert client.latency is None
        first, second = await asyncio.gather(client.ping(), client.ping())
        assert 0 < first < 5 and first == second == client.latency[0]
        with pytest.raises(asyncio.CancelledError):
            cancelled = asyncio.create_task(client.ping())
            await asyncio.sleep(0)
            cancelled.cancel()
            await cancelled
        assert await client.ping() > 0
        await server.close()
        with pytest.raises(coromega.ConnectionClosed):
            await client.ping()

    run(main())


def test_S28_a_ping_ends_with_its_connection(run):
    async def main():
        accepted = asyncio.get_running_loop().create_future()
        listener = coromega.create_websocket_server("127.0.0.1", 0, ping_interval=0, ping_timeout=0.2)
        listener.when_new_conn(accepted.set_result)
        _, writer = await raw_client(listener)
        with pytest.raises(coromega.ConnectionClosed):
            await (await accepted).ping()
        writer.close()

    run(main())


def test_S28_a_dead_peer_is_noticed_while_the_script_computes(run):
    async def main():
        accepted = asyncio.get_running_loop().create_future()
        listener = coromega.create_websocket_server("127.0.0.1", 0, ping_interval=0.05, ping_timeout=0.2)
        listener.when_new_conn(accepted.set_result)
        reader, writer = await raw_client(listener)
        server = await accepted
        assert server.latency is None
        writer.write(frame("last words"))
        time.sleep(1)  # noqa: ASYNC251
        assert await server.receive_message() == "last words"
        assert await server.receive_message() is None
        assert (server.close_code, server.close_reason) == (1011, "no pong within ping_timeout")
        while (received := await read_frame(reader))[0] == 9:
            pass
        assert received == (8, (1011).to_bytes(2, "big") + b"no pong within ping_timeout")
        writer.close()

    run(main())


def test_S28_pings_are_answered_while_the_script_computes(run):
    async def main():
        listener, kept = coromega.create_websocket_server("127.0.0.1", 0), []
        listener.when_new_conn(kept.append)
        reader, writer = await raw_client(listener)
        writer.write(frame(b"are you there", opcode=9))
        await writer.drain()
        time.sleep(0.5)  # noqa: ASYNC251
        assert await read_frame(reader) == (10, b"are you there")
        writer.close()

    run(main())
