"""S14 to S18: who gets which message, and what a message is."""

import asyncio
import math

import coromega_ws as coromega
import pytest
from support import pair, raw_client, read_frame, until


def test_S14_receive_beats_the_callback_in_order(run):
    async def main():
        _, client, server = await pair()
        called = []
        server.when_new_msg(called.append)
        first = asyncio.create_task(server.receive_message())
        second = asyncio.create_task(server.receive_message())
        await asyncio.sleep(0)
        for text in "1", "2", "3", "4":
            await client.send_message(text)
        await until(lambda: called == ["3", "4"])
        assert (await first, await second) == ("1", "2")
        server.when_new_msg(None)

    run(main())


def test_S14_a_taker_that_asks_again_at_once_is_the_first(run):
    async def main():
        _, client, server = await pair()
        got = []

        async def three():
            for _ in range(3):
                got.append(("three", await server.receive_message()))

        async def one():
            got.append(("one", await server.receive_message()))

        tasks = [asyncio.create_task(three()), asyncio.create_task(one())]
        await asyncio.sleep(0)
        for text in "1", "2", "3", "4":
            await client.send_message(text)
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
        assert got == [("three", "1"), ("three", "2"), ("three", "3"), ("one", "4")]

    run(main())


def test_S14_inside_a_callback_receive_takes_the_next(run):
    async def main():
        _, client, server = await pair()
        got = []

        async def callback(msg):
            if msg == "ask":
                got.append((msg, await server.receive_message(), await server.receive_message()))
            else:
                got.append(msg)

        server.when_new_msg(callback)
        for text in "a", "ask", "b", "c", "d":
            await client.send_message(text)
        await until(lambda: len(got) == 3)
        assert got == ["a", ("ask", "b", "c"), "d"]
        # The same, where what it asks for comes later.
        await client.send_message("ask")
        await asyncio.sleep(0.05)
        for text in "e", "f", "g":
            await client.send_message(text)
        await until(lambda: len(got) == 5)
        assert got[3:] == [("ask", "e", "f"), "g"]
        server.when_new_msg(None)

    run(main())


def test_S14_each_message_once_in_order_with_many_takers(run):
    async def main():
        _, client, server = await pair()
        total = 3000
        got = []

        async def taker(number):
            while len(got) < total:
                try:
                    got.append(int(await server.receive_message(timeout=0.5)))
                except TimeoutError:
                    continue
                if number % 3 == 0:
                    await asyncio.sleep(0)

        async def canceller():
            while len(got) < total:
                task = asyncio.create_task(server.receive_message())
                await asyncio.sleep(0)
                if not task.cancel():
                    got.append(int(task.result()))
                    continue
                try:
                    got.append(int(await task))
                except asyncio.CancelledError:
                    pass

        takers = [asyncio.create_task(taker(number)) for number in range(4)]
        takers.append(asyncio.create_task(canceller()))
        for number in range(total):
            await client.send_message(str(number))
            if number % 50 == 0:
                await asyncio.sleep(0.001)
        await asyncio.gather(*takers)
        assert sorted(got) == list(range(total))

    run(main())


def test_S15_setting_the_callback_takes_nothing_at_once(run):
    async def main():
        _, client, server = await pair()
        for text in "1", "2", "3":
            await client.send_message(text)
        await asyncio.sleep(0.1)
        called = []
        server.when_new_msg(called.append)
        assert await server.receive_message() == "1"
        assert called == []
        await asyncio.sleep(0)
        assert called == ["2", "3"]

    run(main())


def test_S15_the_callback_is_replaced_and_removed(run):
    async def main():
        _, client, server = await pair()
        one, two = [], []
        assert server.when_new_msg(one.append) == one.append
        await client.send_message("1")
        await until(lambda: one)
        server.when_new_msg(two.append)
        await client.send_message("2")
        await until(lambda: two)
        assert server.when_new_msg(None) is None
        await client.send_message("3")
        await asyncio.sleep(0.05)
        assert (one, two) == (["1"], ["2"])
        assert await server.receive_message() == "3"
        with pytest.raises(TypeError):
            server.when_new_msg(5)

    run(main())


def test_S16_callbacks_start_in_order_and_run_to_their_first_wait(run):
    async def main():
        _, client, server = await pair()
        log = []

        async def callback(msg):
            log.append("start " + msg)
            await asyncio.sleep(0)
            log.append("end " + msg)

        for number in range(20):
            await client.send_message(str(number))
        await asyncio.sleep(0.1)
        server.when_new_msg(callback)
        await until(lambda: len(log) == 40)
        starts = [line for line in log if line.startswith("start")]
        assert starts == [f"start {number}" for number in range(20)]
        assert log[:20] == starts
        server.when_new_msg(None)

    run(main())


def test_S16_max_callbacks(run):
    async def main():
        _, client, server = await pair(server_options={"max_callbacks": 3})
        gate = asyncio.Event()
        running = most = 0
        done = []

        async def callback(msg):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            done.append(msg)

        server.when_new_msg(callback)
        for number in range(10):
            await client.send_message(str(number))
        await until(lambda: running == 3)
        await asyncio.sleep(0.05)
        assert running == 3
        gate.set()
        await until(lambda: len(done) == 10)
        assert most == 3 and done == [str(number) for number in range(10)]
        server.when_new_msg(None)

    run(main())


def test_S16_no_callback_starts_while_a_send_waits(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0, write_limit=65536)
        accepted = asyncio.get_running_loop().create_future()
        listener.when_new_conn(accepted.set_result)
        reader, writer = await raw_client(listener, limit=1024)
        server = await accepted
        from support import frame

        started = []

        async def callback(msg):
            started.append(msg)
            await server.send_message("x" * 100000)

        server.when_new_msg(callback)
        for number in range(200):
            writer.write(frame(str(number)))
        await writer.drain()
        count = -1
        while count != len(started):
            count = len(started)
            await asyncio.sleep(0.2)
        assert count < 150
        for _ in range(200):
            opcode, payload = await read_frame(reader)
            assert (opcode, len(payload)) == (1, 100000)
        assert started == [str(number) for number in range(200)]
        server.when_new_msg(None)
        writer.close()

    run(main())


def test_S16_plain_functions_and_awaitables(run):
    async def main():
        _, client, server = await pair()
        server.when_new_msg(lambda msg: msg is not None and server.send_message("echo " + msg))
        await client.send_message("a")
        assert await client.receive_message() == "echo a"

        async def hidden(msg):
            await asyncio.sleep(0)
            await server.send_message("hidden " + msg)

        server.when_new_msg(lambda msg: None if msg is None else hidden(msg))
        await client.send_message("b")
        assert await client.receive_message() == "hidden b"

    run(main())


def test_S17_text_is_str_and_binary_is_bytes(run):
    async def main():
        _, client, server = await pair()
        called = []
        server.when_new_msg(called.append)
        messages = ["text", b"bytes", "", b"", "ü€😀\0", bytes(range(256)), "x" * 70000, b"y" * 70000]
        for message in messages:
            await (client.send_message(message) if isinstance(message, str) else client.send_binary(message))
        await until(lambda: len(called) == len(messages))
        assert called == messages and [type(m) for m in called] == [type(m) for m in messages]

    run(main())


def test_S17_any_buffer_is_binary(run):
    async def main():
        import array

        _, client, server = await pair()
        view = memoryview(b"0123456789")
        for buffer in (bytearray(b"abc"), view, view[::2], array.array("H", [1, 2]), bytearray()):
            await client.send_binary(buffer)
            assert await server.receive_message() == memoryview(buffer).tobytes()
        for wrong in ("text", 5, None, [1, 2]):
            with pytest.raises(TypeError):
                client.send_binary(wrong)

    run(main())


def test_S18_timeout(run):
    async def main():
        _, client, server = await pair()
        for timeout in (0.02, 0, -1):
            with pytest.raises(coromega.Timeout) as caught:
                await server.receive_message(timeout=timeout)
            assert isinstance(caught.value, TimeoutError)
        await client.send_message("x")
        await asyncio.sleep(0.1)
        assert await server.receive_message(timeout=0) == "x"
        assert not server.close_code
        with pytest.raises(TypeError):
            server.receive_message(timeout="1")
        with pytest.raises(ValueError):
            server.receive_message(timeout=math.nan)

    run(main())


def test_S18_a_message_that_has_arrived_beats_the_timeout(run):
    async def main():
        import time

        _, client, server = await pair()
        task = asyncio.create_task(server.receive_message(timeout=0.05))
        await asyncio.sleep(0.01)
        await client.send_message("x")
        # Both the message and the deadline come while the loop is held up.
        time.sleep(0.2)
        assert await task == "x"

    run(main())


def test_S18_a_cancelled_receive_loses_none(run):
    async def main():
        _, client, server = await pair()
        for number in range(50):
            task = asyncio.create_task(server.receive_message())
            await asyncio.sleep(0)
            task.cancel()
            await client.send_message(str(number))
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await server.receive_message() == str(number)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.receive_message(), 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await server.receive_message()
        await client.send_message("last")
        assert await server.receive_message() == "last"

    run(main())


def test_S18_a_callback_cancelled_before_its_task_took_over(run):
    async def main():
        _, client, server = await pair()
        state = {}

        async def callback(msg):
            state.setdefault("task", asyncio.current_task())
            if msg == "wait":
                # The task is cancelled in the same turn of the loop in which it begins to wait.
                asyncio.get_running_loop().call_soon(state["task"].cancel)
                state["got"] = await server.receive_message()

        server.when_new_msg(callback)
        await client.send_message("wait")
        await client.send_message("next")
        await until(lambda: "task" in state and state["task"].done())
        assert state["task"].cancelled() or state.get("got") == "next"
        server.when_new_msg(None)
        if "got" not in state and not state["task"].cancelled():
            assert await server.receive_message() == "next"

    run(main())


def test_S18_the_awaitable_works_with_asyncio(run):
    async def main():
        _, client, server = await pair()
        for text in "1234":
            await client.send_message(text)
        assert await asyncio.gather(server.receive_message(), server.receive_message()) == ["1", "2"]
        assert await asyncio.wait_for(server.receive_message(), 5) == "3"
        assert await asyncio.create_task(server.receive_message()) == "4"
        await asyncio.gather(client.send_message("5"), client.send_message("6"), client.send(None))
        assert await asyncio.ensure_future(server.receive_message()) == "5"
        done, pending = await asyncio.wait([asyncio.ensure_future(server.receive_message())])
        assert done.pop().result() == "6" and not pending
        used = server.receive_message()
        assert await used == "null"
        with pytest.raises(TypeError):
            await used
        shielded = asyncio.create_task(server.receive_message())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(shielded), 0.01)
        await client.send_message("7")
        assert await shielded == "7"

    run(main())


def test_S22_async_for_takes_what_comes_and_ends_with_the_connection(run):
    async def main():
        _, client, server = await pair()
        seen = []
        for message in "a", b"b", "":
            await (client.send_binary(message) if isinstance(message, bytes) else client.send_message(message))
        closing = asyncio.create_task(client.close(4000, "enough"))
        async for message in server:
            seen.append(message)
        assert seen == ["a", b"b", ""]
        assert server.close_code == 4000
        async for message in server:
            seen.append(message)
        assert len(seen) == 3
        await closing

    run(main())


def test_S14_a_loop_that_was_left_goes_on_where_it_was(run):
    async def main():
        _, client, server = await pair()
        for text in "1", "2", "3":
            await client.send_message(text)
        async for message in server:
            assert message == "1"
            break
        assert await server.receive_message() == "2"
        async for message in server:
            assert message == "3"
            await client.close()

    run(main())
