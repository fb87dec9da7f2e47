"""S37: messages that are sent, and received, in fragments."""

import asyncio
import gc

import coromega_ws as coromega
import pytest
from support import frame, pair, raw_client, read_frame, rss


def test_S37_a_message_is_written_in_fragments(run):
    async def main():
        _, client, server = await pair()
        order = []

        async def send(text):
            await client.send_message(text)
            order.append(text)

        async def second():
            async with client.begin_binary(compress=False) as writer:
                await writer.write(b"\0")
                await writer.write(memoryview(b"\1\2"))
            order.append("second")

        writer = await client.begin_message()
        await writer.write("one ")
        await writer.write("")
        await writer.write("grüße 🦀")
        for wrong in (b"bytes", 1, None):
            with pytest.raises(TypeError, match="text as str"):
                await writer.write(wrong)
        with pytest.raises(UnicodeEncodeError):
            await writer.write("\ud800")
        tasks = [asyncio.create_task(work) for work in (send("a"), send("b"), second())]
        await asyncio.sleep(0.05)
        assert order == []
        with pytest.raises(RuntimeError, match="has begun already"):
            await writer
        await writer.finish()
        assert await server.receive_message() == "one grüße 🦀"
        assert await server.receive_message() == "a"
        assert await server.receive_message() == "b"
        assert await server.receive_message() == b"\0\1\2"
        await asyncio.gather(*tasks)
        assert order == ["a", "b", "second"]
        with pytest.raises(RuntimeError, match="the message is finished"):
            await writer.write("x")
        with pytest.raises(RuntimeError, match="has not begun"):
            await client.begin_binary().write(b"x")
        with pytest.raises(TypeError, match="bytes"):
            async with client.begin_binary() as binary:
                await binary.write("text")
        # Nothing of it was sent: it costs nothing.
        await client.send_message("still there")
        assert await server.receive_message() == "still there"

    run(main())


def test_S37_fragments_come_as_they_are_sent(run):
    async def main():
        listener, client, server = await pair({"fragments": True})
        await client.send_message("whole")
        assert await server.receive_fragment() == ("whole", True)
        async with client.begin_binary() as writer:
            await writer.write(b"one")
            assert await server.receive_fragment(10) == coromega.Fragment(b"one", False)
            with pytest.raises(TimeoutError, match="receive_fragment"):
                await server.receive_fragment(0.01)
            # What was taken goes back as what it was.
            await writer.write(b"two")
            await asyncio.sleep(0.05)
            assert server.handle
            assert await server.receive_fragment() == (b"two", False)
        assert await server.receive_fragment() == (b"", True)
        with pytest.raises(RuntimeError, match="use receive_fragment"):
            await server.receive_message()
        with pytest.raises(RuntimeError, match="use receive_fragment"):
            server.when_new_msg(print)
        await client.send_binary(b"one is one")
        await client.close()
        assert await server.receive_fragment() == (b"one is one", True)
        assert await server.receive_fragment() is None

        # A frame that comes in two parts, cut within a character.
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        _, peer = await raw_client(listener)
        conn = await accepted
        whole = frame("grüße")
        peer.write(whole[:9])
        assert await conn.receive_fragment() == ("gr", False)
        peer.write(whole[9:])
        assert await conn.receive_fragment() == ("üße", True)
        peer.close()

        _, client, server = await pair()
        await server.send_message("x")
        assert await client.receive_fragment() == ("x", True)
        with pytest.raises(coromega.InvalidArgument, match="fragments does not go with reconnect"):
            await coromega.connect_to_websocket("ws://127.0.0.1:1/", fragments=True, reconnect=True)

    run(main())


def test_S37_a_message_that_is_not_finished_closes_the_connection(run):
    async def main():
        _, client, server = await pair()
        with pytest.raises(ZeroDivisionError):
            async with client.begin_message() as writer:
                await writer.write("half")
                raise ZeroDivisionError
        assert await server.receive_message() is None
        assert (server.close_code, server.close_reason) == (1011, "a message was not finished")
        with pytest.raises(coromega.ConnectionClosed):
            await writer.write("more")

        _, client, server = await pair()
        writer = await client.begin_message()
        await writer.write("half")
        del writer
        gc.collect()
        assert await server.receive_message() is None
        assert server.close_code == 1011

    run(main())


def test_S37_whoever_waits_to_write_hears_of_the_end(run):
    async def main():
        limits = {"fragments": True, "read_limit": 4096, "max_message_size": 1 << 40}
        _, client, server = await pair(limits, write_limit=4096, close_timeout=0.3)
        writer = await client.begin_binary()
        waiting = asyncio.create_task(client.begin_message()._begin())
        sending = asyncio.create_task(client.send_message("waits"))

        async def fill():
            while True:
                await writer.write(bytes(8000))

        filling = asyncio.create_task(fill())
        await asyncio.sleep(0.2)
        assert not (waiting.done() or sending.done() or filling.done())
        await client.close()
        for task in (waiting, sending, filling):
            with pytest.raises(coromega.ConnectionClosed):
                await task

    run(main())


def test_S5_a_writer_belongs_to_the_loop_of_its_connection(run):
    async def main():
        _, client, server = await pair()
        writer = await client.begin_message()

        async def use():
            with pytest.raises(RuntimeError, match="another event loop"):
                await writer.write("x")
            with pytest.raises(RuntimeError, match="another event loop"):
                await writer.finish()

        await asyncio.to_thread(asyncio.run, use())
        await writer.write("here")
        await writer.finish()
        assert await server.receive_message() == "here"

    run(main())


def test_S37_a_message_may_be_larger_than_memory_should_hold(run):
    async def main():
        parts, part = 1024, bytes(range(256)) * 256
        limits = {"fragments": True, "read_limit": 65536, "max_message_size": parts * len(part)}
        _, client, server = await pair(limits)

        async def write():
            async with client.begin_binary() as writer:
                for _ in range(parts):
                    await writer.write(part)

        writing = asyncio.create_task(write())
        before, most, got, fin = rss(), 0, 0, False
        while not fin:
            data, fin = await server.receive_fragment()
            at = got % len(part)
            assert (part + part)[at : at + len(data)] == data
            got += len(data)
            most = max(most, rss())
        await writing
        assert got == parts * len(part)
        assert most - before < 16 << 20

    run(main())


def test_S37_compressed_fragments_are_one_message_to_any_peer(run):
    async def main():
        _, client, server = await pair({"compression": True})
        text = "again and again, " * 1000
        for conn, other in ((client, server), (server, client)):
            for _ in range(3):
                async with conn.begin_message() as writer:
                    for at in range(0, len(text), 1700):
                        await writer.write(text[at : at + 1700])
                await conn.send_message(text)
                assert await other.receive_message() == text
                assert await other.receive_message() == text
        listener = coromega.create_websocket_server("127.0.0.1", 0, compression=True)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        reader, peer = await raw_client(listener, headers="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        async with (await accepted).begin_message() as writer:
            await writer.write(text)
        opcode, first = await read_frame(reader)
        assert opcode == 1 and len(first) < 200
        assert await read_frame(reader) == (0, b"\0")
        peer.close()

    run(main())
