"""S27, S31 to S33, S35: references, loops, threads, loading, the end of the process."""

import asyncio
import gc
import os
import sys
import threading
import weakref

import coromega_ws as coromega
import pytest
import uvloop
from support import pair, python, raw_client, read_frame, threads, until, url


def test_S27_an_unreferenced_connection_is_closed_with_1001(run):
    async def main():
        _, client, server = await pair()
        del client
        gc.collect()
        assert await server.receive_message() is None
        assert server.close_code == 1001

    run(main())


def test_S27_a_cycle_is_found_by_the_collector(run):
    async def main():
        _, client, server = await pair()
        client.myself = [client]
        ref = weakref.ref(client)
        del client
        gc.collect()
        assert ref() is None
        assert await server.receive_message() is None

    run(main())


def test_S27_a_callback_or_a_waiter_keeps_it(run):
    async def main():
        _, client, server = await pair()
        got = []
        client.when_new_msg(got.append)
        ref = weakref.ref(client)
        del client
        gc.collect()
        assert ref() is not None
        await server.send_message("still there")
        await until(lambda: got)

        async def waiter(conn):
            got.append(await conn.receive_message())

        _, client, server2 = await pair()
        coromega.start_new(waiter, client)
        del client
        await asyncio.sleep(0.01)
        gc.collect()
        await server2.send_message("waited for")
        await until(lambda: len(got) == 2)
        assert got == ["still there", "waited for"]

    run(main())


def test_S27_a_callback_over_itself_is_freed_once_it_ended(run):
    async def main():
        refs = []

        async def once():
            listener, client, server = await pair()
            await listener.close()
            listener.when_new_conn(None)

            def remember(conn):
                async def callback(msg):
                    conn.last = msg

                conn.when_new_msg(callback)
                refs.append(weakref.ref(conn))

            remember(client)
            remember(server)
            await client.send_message("x")
            await client.close()
            await asyncio.sleep(0.05)

        for _ in range(20):
            await once()
        gc.collect()
        await asyncio.sleep(0)
        gc.collect()
        assert [ref for ref in refs if ref() is not None] == []

    run(main())


def test_S27_connections_come_and_go_without_leaks(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)

        async def serve(conn):
            await conn.send_message(await conn.receive_message())

        listener.when_new_conn(serve)

        async def once():
            conn = await coromega.connect_to_websocket(url(listener))
            await conn.send_message("x")
            assert await conn.receive_message() == "x"
            await conn.close()

        for _ in range(20):
            await once()
        gc.collect()
        objects, files = len(gc.get_objects()), len(os.listdir("/proc/self/fd"))
        for _ in range(200):
            await once()
        await asyncio.sleep(0.1)
        gc.collect()
        assert len(gc.get_objects()) - objects < 200
        assert len(os.listdir("/proc/self/fd")) - files < 20

    run(main())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("polite", [True, False])
def test_S27_the_end_of_the_loop_ends_its_connections(factory, polite):
    loop = factory()
    seen = {}

    async def main():
        listener, client, server = await pair()
        server.when_new_msg(lambda msg: None)
        kept = seen["kept"] = []
        listener.when_new_conn(kept.append)
        seen["listener"] = listener
        seen["conn"] = client
        await client.send_message("x")

    async def outside():
        # A peer on another loop sees the end.
        reader, _ = await raw_client(seen["listener"])
        seen["ready"].set()
        return await read_frame(reader)

    loop.run_until_complete(main())
    seen["ready"] = threading.Event()
    result = []
    peer = threading.Thread(target=lambda: result.append(asyncio.run(asyncio.wait_for(outside(), 60))))

    async def accept():
        peer.start()
        await asyncio.to_thread(seen["ready"].wait)

    loop.run_until_complete(accept())
    if polite:
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    conn = seen.pop("conn")
    if not polite:
        # Nobody told the library: the next use of it on this thread notices.
        asyncio.run(pair_and_close())
    peer.join(60)
    assert result and result[0][0] == 8 and int.from_bytes(result[0][1][:2], "big") == 1001
    assert conn.close_code == 1001
    with pytest.raises(coromega.ConnectionClosed):
        conn.send_message("x")
    conn.close()


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("kept", [True, False])
def test_S27_waits_whose_loop_was_closed_trouble_nobody(factory, kept, monkeypatch):
    complaints, tasks = [], []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    loop = factory()
    # That tasks were left is what asyncio itself has to say.
    loop.set_exception_handler(lambda *_: None)

    async def send_for_ever(conn):
        while True:
            await conn.send_binary(b"x" * 1000)

    async def write_for_ever(conn):
        async with conn.begin_binary() as writer:
            while True:
                await writer.write(b"x" * 1000)

    async def main():
        _, client, server = await pair({"write_limit": 1000}, read_limit=1000)
        _, reader, writing = await pair({"write_limit": 1000}, read_limit=1000, fragments=True)
        waits = [server.receive_message(), server.receive_message(50), client.ping(), send_for_ever(server)]
        waits.append(write_for_ever(writing))
        tasks.extend(asyncio.create_task(wait) for wait in waits)
        for task in tasks[:2] + tasks[3:]:
            done, _ = await asyncio.wait([task], timeout=0.1)
            assert not done
        assert reader.close_code is None

    loop.run_until_complete(main())
    loop.close()
    if kept:
        # Another loop ends what that one has left.
        asyncio.run(pair_and_close())
    tasks.clear()
    del loop
    gc.collect()
    assert complaints == []


async def pair_and_close():
    listener, client, _ = await pair()
    await client.close()
    await listener.close()


def test_S27_a_loop_that_nobody_refers_to_is_collected():
    async def main():
        _, client, server = await pair()
        server.when_new_msg(lambda msg: None)
        return weakref.ref(client), weakref.ref(server)

    def once():
        loop = asyncio.new_event_loop()
        refs = loop.run_until_complete(main())
        loop.close()
        return refs

    refs = once()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_S31_loops_in_several_threads_share_one_runtime():
    results = []

    def thread():
        async def main():
            listener, client, server = await pair()
            for number in range(200):
                await client.send_message(str(number))
                assert await server.receive_message() == str(number)
            return True

        results.append(asyncio.run(main()))

    workers = [threading.Thread(target=thread) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [True] * 4
    assert threads().count("coromega-ws") == 1


def test_S31_handles_name_connections_of_the_process(run):
    async def main():
        _, client, server = await pair()
        assert coromega.from_handle(client.handle) is client
        assert coromega.from_handle(server.handle) is server
        foreign = coromega.ForeignConnection(client.handle)
        await foreign.send_message("by handle")
        await foreign.send_binary(b"bytes")
        await foreign.send([1])
        assert [await server.receive_message() for _ in range(3)] == ["by handle", b"bytes", "[1]"]
        with pytest.raises(RuntimeError):
            foreign.receive_message()
        await foreign.close(4000, "by handle")
        assert await server.receive_message() is None
        assert server.close_code == 4000

    run(main())


def test_S32_import_starts_nothing():
    done = python(
        "import os, signal\n"
        "before = [signal.getsignal(n) for n in range(1, 32)], len(os.listdir('/proc/self/fd'))\n"
        "import coromega_ws\n"
        "after = [signal.getsignal(n) for n in range(1, 32)], len(os.listdir('/proc/self/fd'))\n"
        "assert before == after\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_S32_the_first_use_starts_one_thread():
    done = python(
        "import os, coromega_ws as c\n"
        "c.create_websocket_server('127.0.0.1', 0)\n"
        "print(sorted(open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task'))[0])"
    )
    assert done.stdout == "coromega-ws\n", done.stderr


TRAFFIC = """
import asyncio, os, sys, threading, coromega_ws as c
async def main():
    listener = c.create_websocket_server("127.0.0.1", 0)
    def serve(conn):
        async def echo(msg):
            if msg is not None: await conn.send_message(msg)
        conn.when_new_msg(echo)
    listener.when_new_conn(serve)
    for _ in range(4):
        conn = await c.connect_to_websocket("ws://127.0.0.1:%d" % listener.address[1])
        async def again(msg, conn=conn):
            if msg is not None: await conn.send_message(msg)
        conn.when_new_msg(again)
        for _ in range(64): await conn.send_message("x" * 500)
    await asyncio.sleep(0.2)
    HOW
"""
ENDS = {
    "return": ("return", "asyncio.run(main())"),
    "sys.exit": ("sys.exit(0)", "asyncio.run(main())"),
    "os._exit": ("os._exit(0)", "asyncio.run(main())"),
    "unclosed": ("return", "loop = asyncio.new_event_loop(); loop.run_until_complete(main())"),
    "daemon": (
        "done.set(); await asyncio.sleep(1000)",
        "done = threading.Event(); threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start(); done.wait()",
    ),
    "error": ("1 / 0", "asyncio.run(main())"),
}


@pytest.mark.parametrize("how", ENDS)
def test_S33_the_interpreter_ends_in_mid_traffic(how):
    import time

    inside, start = ENDS[how]
    for _ in range(3):
        started = time.monotonic()
        done = python(TRAFFIC.replace("HOW", inside) + start)
        assert done.returncode == (1 if how == "error" else 0), (done.returncode, done.stderr[-3000:])
        assert "Fatal" not in done.stderr and "panicked" not in done.stderr
        assert time.monotonic() - started < 30


def test_S33_accepted_messages_leave_before_the_end(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        code = (
            "import asyncio, sys, coromega_ws as c\n"
            "async def main():\n"
            "    conn = await c.connect_to_websocket(sys.argv[1])\n"
            "    for number in range(50): conn.send_message(str(number) * 100)\n"
            "asyncio.run(main())"
        )
        process = asyncio.create_task(asyncio.to_thread(python, code, url(listener)))
        server = await accepted
        for number in range(50):
            assert await server.receive_message() == str(number) * 100
        assert await server.receive_message() is None
        assert server.close_code == 1001
        assert (await process).returncode == 0

    run(main())


def test_S33_many_loops_one_after_the_other():
    for _ in range(100):
        asyncio.run(pair_and_close())
    assert threads().count("coromega-ws") == 1
    assert len(os.listdir("/proc/self/fd")) < 100


@pytest.mark.parametrize("handle", [0, -1, 1, 12345678901, 1 << 52, 1 << 53, 1 << 64])
def test_S35_made_up_handles(run, handle):
    async def main():
        await pair()
        with pytest.raises(coromega.InvalidHandle):
            coromega.from_handle(handle)
        for wrong in ("1", 1.5, None, True):
            with pytest.raises(TypeError):
                coromega.from_handle(wrong)

    run(main())


def test_S35_stale_handles(run):
    async def main():
        listener, client, server = await pair()
        foreign = coromega.ForeignConnection(client.handle)
        handle = client.handle
        del client
        gc.collect()
        with pytest.raises(coromega.InvalidHandle):
            coromega.from_handle(handle)
        with pytest.raises(coromega.InvalidHandle):
            foreign.send_message("x")
        with pytest.raises(coromega.InvalidHandle):
            foreign.close()
        with pytest.raises(coromega.InvalidHandle):
            coromega.from_handle(listener._handle)

    run(main())
