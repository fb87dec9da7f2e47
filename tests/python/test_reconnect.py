"""S36: connections with the option `reconnect`."""

import asyncio

import coromega_ws as coromega
import pytest
from support import until, url


async def reconnecting(**more):
    """A client's connection, a queue of the server's ends, what it told, and the listener."""
    accepted = asyncio.Queue()
    listener = coromega.create_websocket_server("127.0.0.1", 0)
    listener.when_new_conn(accepted.put_nowait)
    options = {"reconnect": True, "reconnect_delay": 0.02, "reconnect_max_delay": 0.1, **more}
    client = await coromega.connect_to_websocket(url(listener), **options)
    lost, back = [], []

    @client.when_lost
    def when_lost(why, code):
        lost.append((why, code))

    @client.when_back
    async def when_back():
        back.append(True)

    return client, accepted, lost, back, listener


def test_S36_a_connection_that_is_lost_comes_back(run):
    async def main():
        client, accepted, lost, back, _ = await reconnecting()
        server = await accepted.get()
        received = asyncio.create_task(client.receive_message())
        for n in range(1, 4):
            await server.close(1012, "restart")
            server = await accepted.get()
            await until(lambda n=n: len(back) == n)
            assert lost == [("restart", 1012)] * n
        await server.send_message("hello")
        assert await received == "hello"
        await client.send_message("there")
        assert await server.receive_message() == "there"
        await client.close()
        assert await server.receive_message() is None
        assert await client.receive_message() is None
        assert (client.close_code, len(lost)) == (1000, 3)

    run(main())


def test_S36_sends_while_it_is_away_are_refused(run):
    async def main():
        client, accepted, lost, back, listener = await reconnecting()
        server = await accepted.get()
        pinging = asyncio.create_task(client.ping())
        await listener.close()
        await server.close(1012)
        await until(lambda: lost)
        with pytest.raises(coromega.Away):
            await client.send_message("x")
        assert isinstance(await asyncio.gather(pinging, return_exceptions=True), list)
        with pytest.raises(coromega.Away):
            await client.ping()
        await until(lambda: len(lost) >= 3)
        assert "connection refused" in lost[2][0] and lost[2][1] is None
        await client.close()
        assert await client.receive_message() is None
        with pytest.raises(coromega.ConnectionClosed):
            await client.send_message("x")
        assert not back

    run(main())


def test_S36_sends_while_it_is_away_are_kept(run):
    async def main():
        client, accepted, lost, _, _ = await reconnecting(reconnect_buffer=1000)
        server = await accepted.get()
        await server.close(1012)
        await until(lambda: lost)

        async def send():
            for n in range(20):
                await client.send_message(f"message {n:02}, of 32 bytes or more")

        sending = asyncio.create_task(send())
        server = await accepted.get()
        for n in range(20):
            assert (await server.receive_message()).startswith(f"message {n:02}")
        await sending

    run(main())


def test_S36_what_the_server_decides_is_final(run):
    async def main():
        client, accepted, lost, _, _ = await reconnecting()
        await (await accepted.get()).close(4000, "go away")
        assert await client.receive_message() is None
        assert (client.close_code, client.close_reason, lost) == (4000, "go away", [])

    run(main())


def test_S36_errors_in_its_callbacks_are_reported(run, reports):
    async def main():
        client, accepted, _, _, _ = await reconnecting()

        def fail(*_):
            raise ZeroDivisionError

        client.when_lost(fail)
        client.when_back(fail)
        server = await accepted.get()
        await server.close(1012)
        server = await accepted.get()  # and keeps it: else it would be lost again
        await until(lambda: len(reports) >= 2)
        assert [type(error) for error in reports] == [ZeroDivisionError] * 2
        reports.clear()

    run(main())
