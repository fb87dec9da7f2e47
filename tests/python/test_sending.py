"""S20 and S21: accepting, waiting for room, order."""

import asyncio
import threading
import time

import coromega_ws as coromega
import pytest
from support import frame, pair, python, raw_client, read_frame

BIG = "x" * 50000


async def slow_peer(**options):
    """A connection whose peer reads only what the test reads, filled until sends wait."""
    listener = coromega.create_websocket_server("127.0.0.1", 0, **options)
    accepted = asyncio.get_running_loop().create_future()
    listener.when_new_conn(accepted.set_result)
    reader, writer = await raw_client(listener, limit=1024)
    server = await accepted
    filled = 0
    while True:
        send = server.send_message(BIG)
        filled += 1
        if isinstance(send, coromega._native.PendingSend):
            return reader, writer, server, send, filled
        await send
        # What the socket takes, it takes first.
        if filled % 16 == 0:
            await asyncio.sleep(0.01)


async def compressed(reader):
    """Whether the next message was, by RSV1 (RFC 7692, 6), and how long it came."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    await reader.readexactly(length)
    return bool(first & 0x40), length


def test_S19_a_message_that_is_not_to_be_compressed(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0, compression=True)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        reader, _ = await raw_client(listener, limit=1024, headers=offer)
        server = await accepted
        for send, value in (server.send_message, BIG), (server.send_binary, BIG.encode()), (server.send, [BIG]):
            await send(value)
            squeezed, length = await compressed(reader)
            assert squeezed and length < 1000
            await send(value, compress=False)
            squeezed, length = await compressed(reader)
            assert not squeezed and length >= len(BIG)
        # Those that wait for room keep what they were sent with.
        filled = 1
        while not isinstance(server.send_message(BIG, compress=False), coromega._native.PendingSend):
            filled += 1
            if filled % 16 == 0:
                await asyncio.sleep(0.01)
        server.send_message(BIG)
        last = server.send_message(BIG, compress=False)
        reading = asyncio.create_task(collect_compressed(reader, filled + 2))
        await last
        assert await reading == [False] * filled + [True, False]

    run(main())


async def collect_compressed(reader, count):
    return [(await compressed(reader))[0] for _ in range(count)]


def test_S19_compress_is_a_keyword(run):
    async def main():
        _, client, server = await pair()
        await client.send_message("a", compress=True)
        await client.send_binary(b"b", compress=True)
        await client.send({}, compress=True)
        assert [await server.receive_message() for _ in range(3)] == ["a", b"b", "{}"]
        for send, value in ((client.send_message, "a"), (client.send_binary, b"b"), (client.send, {})):
            with pytest.raises(TypeError):
                send(value, False)
            with pytest.raises(TypeError):
                send(value, compress=0)

    run(main())


def test_S20_an_accepted_send_returns_none_at_once(run):
    async def main():
        _, client, server = await pair()
        assert await client.send_message("a") is None
        assert await client.send_binary(b"b") is None
        assert await client.send([1]) is None
        assert [await server.receive_message() for _ in range(3)] == ["a", b"b", "[1]"]
        # A send is made by the call.
        client.send_message("c")
        assert await server.receive_message() == "c"

    run(main())


def test_S20_sends_wait_for_room_in_turn(run):
    async def main():
        reader, writer, server, first, filled = await slow_peer()
        order = []

        async def send(number):
            await server.send_message(str(number))
            order.append(number)

        tasks = [asyncio.create_task(send(number)) for number in range(20)]
        await asyncio.sleep(0.05)
        assert order == []
        for _ in range(filled):
            assert await read_frame(reader) == (1, BIG.encode())
        await first
        for number in range(20):
            assert await read_frame(reader) == (1, str(number).encode())
        await asyncio.gather(*tasks)
        assert order == list(range(20))
        writer.close()

    run(main())


def test_S20_a_cancelled_send_that_waited_sent_nothing(run):
    async def main():
        reader, writer, server, first, filled = await slow_peer()
        kept = [asyncio.create_task(server.send_message(f"kept {n}")) for n in range(3)]
        dropped = [asyncio.create_task(server.send_message(f"dropped {n}")) for n in range(3)]
        never_begun = asyncio.create_task(server.send_message("never begun"))
        never_begun.cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.send_message("timed out"), 0.01)
        later = asyncio.create_task(server.send_message("later"))
        await asyncio.sleep(0.01)
        for task in dropped:
            task.cancel()
        for _ in range(filled):
            await read_frame(reader)
        got = [(await read_frame(reader))[1].decode() for _ in range(4)]
        assert got == ["kept 0", "kept 1", "kept 2", "later"]
        await asyncio.gather(first, *kept, later)
        for task in (*dropped, never_begun):
            with pytest.raises(asyncio.CancelledError):
                await task
        writer.close()

    run(main())


def test_S20_a_send_that_is_not_awaited_goes_out_in_its_turn(run):
    async def main():
        reader, writer, server, first, filled = await slow_peer()
        server.send_message("not awaited")
        await asyncio.sleep(0)
        for _ in range(filled):
            await read_frame(reader)
        assert await read_frame(reader) == (1, b"not awaited")
        await first
        writer.close()

    run(main())


def test_S20_waiting_sends_end_with_the_connection(run):
    async def main():
        _, writer, server, first, _ = await slow_peer()
        task = asyncio.create_task(server.send_message("never"))
        await asyncio.sleep(0)
        writer.transport.abort()
        for waiting in (first, task):
            with pytest.raises(coromega.ConnectionClosed):
                await waiting

    run(main())


def test_S20_without_a_loop_it_would_block(run):
    async def main():
        reader, writer, server, first, filled = await slow_peer()

        def thread():
            with pytest.raises(coromega.WouldBlock):
                server.send_message("nothing of this")

            async def other_loop():
                await server.send_message("from another loop")

            asyncio.run(other_loop())

        task = asyncio.create_task(asyncio.to_thread(thread))
        await asyncio.sleep(0.1)
        for _ in range(filled):
            await read_frame(reader)
        await first
        assert await read_frame(reader) == (1, b"from another loop")
        await task
        writer.close()

    run(main())


def test_S20_what_was_accepted_does_not_wait_for_the_script(run):
    async def main():
        _, client, server = await pair()
        arrived = []

        def busy(msg):
            if msg == "go":
                server.send_message("one")
                server.send_message("two")
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    pass

        # The peer is a thread of its own: this loop computes.
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        code = (
            "import asyncio, sys, time, coromega_ws as c\n"
            "async def main():\n"
            "    conn = await c.connect_to_websocket(sys.argv[1])\n"
            "    await conn.send_message('go')\n"
            "    for _ in range(2): await conn.receive_message()\n"
            "    print(time.monotonic())\n"
            "asyncio.run(main())"
        )
        from support import url

        took = []
        for _ in range(3):
            started = []

            def callback(msg, started=started):
                if msg == "go":
                    started.append(time.monotonic())
                busy(msg)

            process = asyncio.create_task(asyncio.to_thread(python, code, url(listener)))
            server = await accepted
            accepted = asyncio.get_running_loop().create_future()
            listener.when_new_conn(accepted.set_result)
            server.when_new_msg(callback)
            done = await process
            assert done.returncode == 0, done.stderr
            took.append(float(done.stdout) - started[0])
        arrived.extend(took)
        assert min(arrived) < 0.1, arrived

    run(main())


def test_S20_bounded_waiting_coroutines(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        started = 0

        def serve(conn):
            async def echo(msg):
                nonlocal started
                started += 1
                if msg is not None:
                    try:
                        await conn.send_message(msg)
                    except coromega.ConnectionClosed:
                        pass

            conn.when_new_msg(echo)

        listener.when_new_conn(serve)
        # A peer that sends and never reads.
        reader, writer = await raw_client(listener, limit=1024)
        reader._transport.pause_reading()
        data = frame("y" * 1000)
        sent = 0
        try:
            async with asyncio.timeout(1.5):
                while True:
                    writer.write(data * 64)
                    sent += 64
                    await writer.drain()
        except TimeoutError:
            pass
        assert len(asyncio.all_tasks()) < 100
        count = started
        await asyncio.sleep(0.2)
        assert started == count < sent
        writer.transport.abort()

    run(main())


def test_S21_order_of_calls(run):
    async def main():
        _, client, server = await pair()

        async def sender(name):
            for number in range(300):
                await client.send_message(f"{name} {number} " + "z" * 1000)

        tasks = [asyncio.create_task(sender(name)) for name in "abc"]
        last = dict.fromkeys("abc", -1)
        for _ in range(900):
            name, number, _ = (await server.receive_message()).split()
            assert int(number) == last[name] + 1
            last[name] = int(number)
        await asyncio.gather(*tasks)

    run(main())


def test_S21_order_of_calls_from_threads(run):
    async def main():
        _, client, server = await pair()

        def sender(name):
            for number in range(500):
                while True:
                    try:
                        client.send_message(f"{name} {number}")
                        break
                    except coromega.WouldBlock:
                        time.sleep(0.001)

        threads = [threading.Thread(target=sender, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        last = dict.fromkeys("abcd", -1)
        for _ in range(2000):
            name, number = (await server.receive_message()).split()
            assert int(number) == last[name] + 1
            last[name] = int(number)
        for thread in threads:
            thread.join()

    run(main())
