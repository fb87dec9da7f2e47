"""S29, S30 and the echo of S14 under load: nothing grows, nothing is lost."""

import asyncio
import os
import random

import coromega_ws as coromega
from support import frame, pair, raw_client, read_frame, rss, url

# Messages of the load test. A longer run sets another number.
COUNT = int(os.environ.get("COROMEGA_SOAK", "20000"))


def test_S29_a_script_that_never_receives_stops_the_peer(run):
    async def main():
        listener, client, server = await pair()
        before = rss()
        message = "m" * 10000
        sent = 0
        try:
            async with asyncio.timeout(2):
                while True:
                    await client.send_message(message)
                    sent += 1
        except TimeoutError:
            pass
        # The inbox, two socket buffers and the write limit; not what a second could carry.
        assert rss() - before < 64 << 20
        # Others go on.
        _, other, answer = await pair()
        await other.send_message("on")
        assert await answer.receive_message() == "on"
        # Everything arrives once it is received.
        closing = client.close()
        got = 0
        while (received := await server.receive_message()) is not None:
            assert received == message
            got += 1
        assert got == sent
        await closing

    run(main(), timeout=120)


def test_S29_read_limit(run):
    async def main():
        _, client, server = await pair(server_options={"read_limit": 20000})
        for number in range(3000):
            task = asyncio.ensure_future(client.send_message(str(number) + "x" * 1000))
            done, _ = await asyncio.wait([task], timeout=0.5)
            if not done:
                task.cancel()
                break
        for expected in range(number):
            assert (await server.receive_message()).startswith(str(expected))

    run(main(), timeout=120)


def test_S29_a_peer_that_never_reads(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)

        def serve(conn):
            async def echo(msg):
                if msg is not None:
                    try:
                        await conn.send_message(msg)
                    except coromega.ConnectionClosed:
                        pass

            conn.when_new_msg(echo)

        listener.when_new_conn(serve)
        before = rss()
        reader, writer = await raw_client(listener, limit=1024)
        reader._transport.pause_reading()
        block = frame("z" * 1000) * 100
        try:
            async with asyncio.timeout(2):
                while True:
                    writer.write(block)
                    await writer.drain()
        except TimeoutError:
            pass
        assert rss() - before < 64 << 20
        writer.transport.abort()

    run(main())


def test_S30_a_message_over_max_message_size(run):
    async def main():
        _, client, server = await pair(server_options={"max_message_size": 1000})
        await client.send_message("x" * 1000)
        assert await server.receive_message() == "x" * 1000
        await client.send_message("x" * 1001)
        assert await server.receive_message() is None
        assert await client.receive_message() is None
        assert client.close_code == 1009

    run(main())


def test_S30_a_declared_size_costs_nothing(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        accepted = asyncio.Queue()
        listener.when_new_conn(accepted.put_nowait)
        before = rss()
        for length in (1 << 31, (1 << 62) - 1, (1 << 63) - 1):
            reader, writer = await raw_client(listener)
            server = await accepted.get()
            writer.write(b"\x82\xff" + length.to_bytes(8, "big") + bytes(4))
            assert await server.receive_message() is None
            opcode, payload = await read_frame(reader)
            assert opcode == 8 and int.from_bytes(payload[:2], "big") == 1009
            writer.close()
        assert rss() - before < 16 << 20

    run(main())


def test_S14_echo_over_100_connections(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)

        def serve(conn):
            async def echo(msg):
                if isinstance(msg, str):
                    await conn.send_message(msg)
                elif msg is not None:
                    await conn.send_binary(msg)

            conn.when_new_msg(echo)

        listener.when_new_conn(serve)
        sizes = [0, 1, 20, 125, 126, 500, 2000, 65535, 65536, 100000]
        weights = [5, 10, 30, 20, 10, 20, 10, 1, 1, 1]
        each = max(1, COUNT // 100)

        def make(rng, number):
            head = f"{number} "
            text = head + "abcdefghij" * (rng.choices(sizes, weights)[0] // 10)
            return text if rng.random() < 0.5 else text.encode()

        async def client(seed):
            conn = await coromega.connect_to_websocket(url(listener))
            sending, checking = random.Random(seed), random.Random(seed)

            async def send():
                for number in range(each):
                    message = make(sending, number)
                    await (conn.send_message if isinstance(message, str) else conn.send_binary)(message)

            task = asyncio.create_task(send())
            for number in range(each):
                assert await conn.receive_message() == make(checking, number)
            await task
            await conn.close()
            assert await conn.receive_message() is None

        await asyncio.gather(*(client(seed) for seed in range(100)))

    run(main(), timeout=120 + COUNT / 1000)
