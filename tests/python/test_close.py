"""S22 to S26: ends."""

import asyncio
import time

import coromega_ws as coromega
import pytest
import websockets
from support import frame, pair, raw_client, read_frame, until, url


def test_S22_messages_before_the_end_come_first(run):
    async def main():
        _, client, server = await pair()
        for number in range(100):
            await client.send_message(str(number))
        await client.close()
        assert [await server.receive_message() for _ in range(100)] == [str(n) for n in range(100)]
        assert await server.receive_message() is None
        assert await server.receive_message() is None

    run(main())


def test_S22_everyone_is_told(run):
    async def main():
        _, client, server = await pair()
        tasks = [asyncio.create_task(server.receive_message()) for _ in range(3)]
        called = []

        async def callback(msg):
            called.append((msg, server.close_code, server.close_reason))

        server.when_new_msg(callback)
        await asyncio.sleep(0)
        await client.close(4001, "bye")
        assert await asyncio.gather(*tasks) == [None] * 3
        await until(lambda: called)
        await asyncio.sleep(0.05)
        assert called == [(None, 4001, "bye")]

    run(main())


def test_S22_a_callback_set_later_is_told(run):
    async def main():
        _, client, server = await pair()
        await client.send_message("left")
        await client.close()
        await asyncio.sleep(0.1)
        called = []
        server.when_new_msg(called.append)
        assert called == []
        await until(lambda: len(called) == 2)
        assert called == ["left", None]
        assert await server.receive_message() is None
        assert called == ["left", None]

    run(main())


def test_S22_an_error_in_the_last_call_is_one_line():
    from support import python

    done = python(
        "import coromega_ws as c\n"
        "listener = c.create_websocket_server('127.0.0.1', 0)\n"
        "listener.when_new_conn(lambda conn: conn.when_new_msg(lambda msg: 1 + msg))\n"
        "@c.start_new\n"
        "async def main():\n"
        "    conn = await c.connect_to_websocket('ws://127.0.0.1:%d' % listener.address[1])\n"
        "    await conn.close()\n"
        "    await listener.close()\n"
        "c.run()"
    )
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1 and "TypeError" in done.stderr, done.stderr


def test_S23_code_and_reason_are_those_of_the_first_frame(run):
    async def main():
        _, client, server = await pair()
        await server.close(3999, "größer")
        assert await client.receive_message() is None
        for conn in client, server:
            assert (conn.close_code, conn.close_reason) == (3999, "größer")

    run(main())


def test_S23_without_a_frame_it_is_1006(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        _, writer = await raw_client(listener)
        server = await accepted
        writer.transport.abort()
        assert await server.receive_message() is None
        assert server.close_code == 1006

    run(main())


def test_S24_calls_on_an_ended_connection(run):
    async def main():
        _, client, server = await pair()
        await client.close()
        assert await server.receive_message() is None
        for conn in client, server:
            for send in (lambda: conn.send_message("x"), lambda: conn.send_binary(b"x"), lambda: conn.send(1)):
                with pytest.raises(coromega.ConnectionClosed):
                    send()
            await asyncio.wait_for(conn.close(), 5)
            assert await conn.receive_message() is None
            assert await conn.receive_message(timeout=1) is None
            assert "closed" in repr(conn)

    run(main())


def test_S24_a_send_after_our_own_close(run):
    async def main():
        _, client, server = await pair()
        closing = client.close()
        with pytest.raises(coromega.ConnectionClosed):
            client.send_message("x")
        await closing
        assert await server.receive_message() is None

    run(main())


def test_S25_close_comes_after_all_accepted_messages(run):
    async def main():
        _, client, server = await pair()
        for number in range(200):
            await client.send_message(str(number) + "x" * 1000)
        await client.close()
        got = 0
        while await server.receive_message() is not None:
            got += 1
        assert got == 200

    run(main())


def test_S25_close_ends_within_close_timeout(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0, close_timeout=0.2)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        _, writer = await raw_client(listener)
        server = await accepted
        started = time.monotonic()
        await server.close(1000, "you never answer")
        assert 0.1 < time.monotonic() - started < 8
        assert (server.close_code, server.close_reason) == (1000, "you never answer")
        writer.close()

    run(main())


def test_S25_a_cancelled_close_completes(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0, close_timeout=5)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        reader, writer = await raw_client(listener)
        server = await accepted
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.close(4000, "x"), 0.05)
        opcode, payload = await read_frame(reader)
        assert opcode == 8
        writer.write(frame(payload, opcode=8))
        assert await server.receive_message() is None
        assert server.close_code == 4000
        writer.close()

    run(main())


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535, 65536, -1])
def test_S25_codes_that_may_not_be_sent(run, code):
    async def main():
        _, client, server = await pair()
        with pytest.raises(coromega.InvalidClose):
            client.close(code)
        await client.send_message("open still")
        assert await server.receive_message() == "open still"

    run(main())


def test_S25_bad_reasons(run):
    async def main():
        _, client, server = await pair()
        with pytest.raises(coromega.InvalidClose):
            client.close(1000, "ü" * 62)
        for wrong in ((1000, b"x"), ("1000", "x"), (True, "")):
            with pytest.raises(TypeError):
                client.close(*wrong)
        with pytest.raises(ValueError):
            client.close(1000, "\ud800")
        await client.close(1000, "ü" * 61)
        assert await server.receive_message() is None
        assert server.close_reason == "ü" * 61

    run(main())


def test_S25_another_librarys_close(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        socket = await websockets.connect(url(listener), compression=None)
        server = await accepted
        await socket.send("last words")
        await socket.close(4002, "done")
        assert await server.receive_message() == "last words"
        assert await server.receive_message() is None
        assert (server.close_code, server.close_reason) == (4002, "done")

    run(main())


def test_S26_a_protocol_error_ends_that_connection_alone(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        accepted = asyncio.Queue()
        listener.when_new_conn(accepted.put_nowait)
        good = await coromega.connect_to_websocket(url(listener))
        other = await accepted.get()
        for bad in (
            frame("x", masked=False),
            frame("x", opcode=3),
            b"\xf1\x80\0\0\0\0",
            frame(b"\xff\xff"),
            b"GET / HTTP/1.1\r\n",
        ):
            _, writer = await raw_client(listener)
            server = await accepted.get()
            writer.write(bad)
            assert await server.receive_message() is None
            writer.close()
        await good.send_message("unharmed")
        assert await other.receive_message() == "unharmed"

    run(main())
