"""S31, S35: a connection's number, and the connection behind it in another loop."""

import asyncio
import threading

import coromega_ws as coromega
import pytest
from support import pair


def in_thread(main):
    """Runs it in a loop of another thread; returns what that returns, to be awaited."""
    return asyncio.to_thread(asyncio.run, main())


def test_S31_a_connection_moves_to_another_loop(run):
    async def main():
        _, client, server = await pair()
        for n in range(50):
            await client.send_message(str(n))
        for n in range(5):
            assert await server.receive_message() == str(n)
        handle = server.handle

        async def elsewhere():
            taken = coromega.from_handle(handle)
            assert taken.handle != handle
            assert coromega.from_handle(taken.handle) is taken
            for n in range(5, 50):
                assert await taken.receive_message() == str(n)
            await taken.send_message("from there")
            assert await taken.receive_message() == "to there"
            await taken.close(4000, "done there")

        there = asyncio.create_task(in_thread(elsewhere))
        assert await client.receive_message() == "from there"
        # The old object has nothing any more.
        with pytest.raises(coromega.Moved):
            await server.send_message("x")
        with pytest.raises(coromega.Moved):
            await server.close()
        with pytest.raises(coromega.Moved):
            server.info()
        for _ in range(2):
            with pytest.raises(coromega.Moved):
                await server.receive_message()
        assert server.close_reason == "moved"
        with pytest.raises(coromega.Moved):
            coromega.from_handle(handle)
        await client.send_message("to there")
        await there
        assert await client.receive_message() is None
        assert client.close_code == 4000

    run(main())


def test_S31_waits_end_when_their_connection_moves(run):
    async def main():
        _, client, server = await pair({"write_limit": 1000}, read_limit=1000)
        handle = server.handle
        receiving = asyncio.create_task(server.receive_message())
        pinging = asyncio.create_task(server.ping())
        await asyncio.sleep(0)
        pinging.cancel()

        async def send_all():
            while True:
                await server.send_binary(b"x" * 1000)

        sending = asyncio.create_task(send_all())
        await asyncio.sleep(0.2)
        assert not receiving.done() and not sending.done()
        release = threading.Event()

        async def elsewhere():
            taken = coromega.from_handle(handle)
            await asyncio.to_thread(release.wait, 30)
            await taken.close()

        there = asyncio.create_task(in_thread(elsewhere))
        with pytest.raises(coromega.Moved):
            await receiving
        with pytest.raises(coromega.Moved):
            await sending
        release.set()
        while await client.receive_message() is not None:
            pass
        await there

    run(main())


def test_S31_a_connection_goes_from_loop_to_loop_under_load(run):
    async def main():
        _, client, server = await pair()
        count = 3000

        async def flood():
            for n in range(count):
                await client.send_message(str(n))

        flooding = asyncio.create_task(flood())
        conn, seen = server, 0
        while seen < count:
            handle = conn.handle

            async def elsewhere(handle=handle, first=seen):
                taken = coromega.from_handle(handle)
                for n in range(first, min(first + 100, count)):
                    assert await taken.receive_message() == str(n)
                back = asyncio.get_running_loop().create_future()
                result.append((taken.handle, taken, back))
                await asyncio.to_thread(done.wait, 30)

            result, done = [], threading.Event()
            there = asyncio.create_task(in_thread(elsewhere))
            while not result and not there.done():
                await asyncio.sleep(0.001)
            if there.done():
                await there
            conn = coromega.from_handle(result[0][0])
            done.set()
            await there
            seen = min(seen + 100, count)
            for n in range(seen, min(seen + 7, count)):
                assert await conn.receive_message() == str(n)
            seen = min(seen + 7, count)
        await flooding

    run(main())
