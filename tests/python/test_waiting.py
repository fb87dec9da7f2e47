"""What a task waits on: who else may look at it, cancel it, or come late to it (S14, S18, S20)."""

import asyncio
import random
import time

import coromega_ws as coromega
import pytest
from support import pair, read_frame, until
from test_sending import slow_peer


class Late:
    """Begins to wait at once, and listens only a while later."""

    def __init__(self, awaitable, seconds):
        self.awaitable, self.seconds = awaitable, seconds

    def __await__(self):
        steps = self.awaitable.__await__()
        first = next(steps)
        first._asyncio_future_blocking = False
        try:
            yield from asyncio.sleep(self.seconds).__await__()
        except asyncio.CancelledError as error:
            return steps.throw(error)
        first._asyncio_future_blocking = True
        yield first
        return (yield from steps)


async def arrived(client, *texts):
    """Sends messages that are there for the next turn of the loop, and not before."""
    for text in texts:
        await client.send_message(text)
    time.sleep(0.1)


def test_S18_a_taker_cancelled_in_the_turn_of_a_message_leaves_it_to_the_next(run):
    async def main():
        _, client, server = await pair()
        loop = asyncio.get_running_loop()
        for number in range(20):
            first, second = (asyncio.create_task(server.receive_message()) for _ in range(2))
            await asyncio.sleep(0)
            await arrived(client, str(number))
            loop.call_soon(first.cancel)
            await asyncio.wait([first])
            # uvloop looks for events before it makes such calls.
            assert first.cancelled() or first.result() == str(number)
            if first.cancelled():
                assert await second == str(number)
            second.cancel()
            await asyncio.wait([second])

            only = asyncio.create_task(server.receive_message())
            await asyncio.sleep(0)
            await arrived(client, "for a receive")
            loop.call_soon(only.cancel)
            await asyncio.wait([only])
            assert only.cancelled() or only.result() == "for a receive"
            if only.cancelled():
                assert await server.receive_message() == "for a receive"

            got = []
            only = asyncio.create_task(server.receive_message())
            server.when_new_msg(got.append)
            await asyncio.sleep(0)
            await arrived(client, "for the callback")
            loop.call_soon(only.cancel)
            await asyncio.wait([only])
            if only.cancelled():
                await until(lambda got=got: got)
            assert got == (["for the callback"] if only.cancelled() else [])
            server.when_new_msg(None)

    run(main())


def test_S14_messages_wait_for_a_taker_that_does_not_listen_yet(run):
    async def main():
        _, client, server = await pair()
        got = []

        async def late(seconds=0.2):
            got.append(await Late(server.receive_message(), seconds))
            got.append(await server.receive_message())

        for _ in range(3):
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
            behind = asyncio.create_task(server.receive_message())
            await arrived(client, "1", "2", "3")
            await task
            assert got == ["1", "2"] and await behind == "3"
            got.clear()

        task = asyncio.create_task(late())
        await asyncio.sleep(0)
        server.when_new_msg(lambda msg: got.append(f"callback {msg}"))
        await arrived(client, "1", "2", "3")
        await until(lambda: len(got) == 3)
        assert got == ["1", "2", "callback 3"]
        await task

        task = asyncio.create_task(late(60))
        await asyncio.sleep(0)
        await arrived(client, "4")
        await asyncio.sleep(0.01)
        task.cancel()
        await until(lambda: len(got) == 4)
        assert got[3] == "callback 4"
        server.when_new_msg(None)

    run(main())


def test_S18_the_timeout_of_a_taker_that_does_not_listen_yet(run):
    async def main():
        _, client, server = await pair()
        with pytest.raises(TimeoutError):
            await Late(server.receive_message(timeout=0.01), 0.1)
        late = asyncio.ensure_future(Late(server.receive_message(timeout=0.01), 0.1))
        await asyncio.sleep(0)
        await arrived(client, "in time")
        assert await late == "in time"
        await client.send_message("next")
        assert await server.receive_message() == "next"

    run(main())


def test_S20_a_send_whose_task_does_not_listen_yet(run):
    async def main():
        reader, writer, server, first, filled = await slow_peer()

        async def late(text):
            await Late(server.send_message(text), 0.2)

        tasks = [asyncio.create_task(late("kept"))]
        await asyncio.sleep(0)
        dropped = asyncio.create_task(late("dropped"))
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(asyncio.wait_for(server.send_message("last"), 60)))
        await asyncio.sleep(0)
        dropped.cancel()
        for _ in range(filled):
            await read_frame(reader)
        assert [(await read_frame(reader))[1] for _ in range(2)] == [b"kept", b"last"]
        await asyncio.gather(first, *tasks)
        assert dropped.cancelled()
        writer.close()

    run(main())


def test_S18_what_a_task_waited_on_is_done_for_those_who_look(run):
    async def main():
        _, client, server = await pair()
        for debug in (False, True):
            asyncio.get_running_loop().set_debug(debug)
            seen = []
            for number in range(5):
                task = asyncio.create_task(server.receive_message())
                await asyncio.sleep(0)
                waited = task._fut_waiter
                assert asyncio.isfuture(waited) and not waited.done()
                assert waited not in seen
                seen.append(waited)
                await client.send_message(str(number))
                assert await task == str(number)
                assert all(future.done() and not future.cancelled() for future in seen)
            # Somebody else listens to it as well.
            task = asyncio.create_task(server.receive_message())
            await asyncio.sleep(0)
            told = asyncio.get_running_loop().create_future()
            task._fut_waiter.add_done_callback(told.set_result)
            await client.send_message("for two")
            assert await task == "for two" and (await told).done()

    run(main())


@pytest.mark.parametrize("timeout", [None, 30])
def test_S14_of_two_tasks_that_await_the_same_the_first_gets_the_message(run, timeout):
    async def main():
        _, client, server = await pair()
        awaitable = server.receive_message(timeout)
        answers = asyncio.Queue()

        async def one(number):
            try:
                answers.put_nowait((number, await awaitable))
            except TypeError as error:
                answers.put_nowait((number, str(error)))

        tasks = [asyncio.create_task(one(number)) for number in range(2)]
        await asyncio.sleep(0)
        await client.send_message("1")
        assert [await answers.get(), await answers.get()] == [(0, "1"), (1, "this has been awaited already")]
        await asyncio.gather(*tasks)
        await client.send_message("2")
        assert await server.receive_message() == "2"

    run(main())


def test_S14_receives_that_begin_while_a_message_is_taken_are_served_in_their_order(run):
    async def main():
        _, client, server = await pair()
        got = []

        def look(number, steps):
            try:
                next(steps)
            except StopIteration as end:
                got.append((number, end.value))

        async def taker():
            got.append(await server.receive_message())
            for number in range(3):
                steps = server.receive_message().__await__()
                next(steps).add_done_callback(lambda _, n=number, s=steps: look(n, s))

        task = asyncio.create_task(taker())
        await asyncio.sleep(0)
        await client.send_message("first")
        await task
        for text in "abc":
            await client.send_message(text)
        await until(lambda: len(got) == 4)
        assert got == ["first", (0, "a"), (1, "b"), (2, "c")]

    run(main())


def test_S18_tasks_that_are_not_written_in_c(run):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **options: asyncio.tasks._PyTask(coro, loop=loop, **options))
        _, client, server = await pair()

        async def echo():
            while (message := await server.receive_message()) is not None:
                await server.send_message(message)

        task = asyncio.create_task(echo())
        for number in range(20):
            await client.send_message(str(number))
            assert await asyncio.create_task(client.receive_message()) == str(number)
        cancelled = asyncio.create_task(client.receive_message())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await client.close()
        await task

    run(main())


def test_S18_takers_of_many_connections_are_not_mixed_up(run):
    async def main():
        chance = random.Random(18)
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        total = 200

        async def serve(conn):
            for number in range(total):
                await conn.send_message(f"{conn.request().path} {number}")
                if chance.random() < 0.1:
                    await asyncio.sleep(0.001)
            await conn.close()

        listener.when_new_conn(serve)
        host, port = listener.address

        async def take(number):
            conn = await coromega.connect_to_websocket(f"ws://{host}:{port}/{number}")
            got = []
            while True:
                way = chance.random()
                try:
                    if way < 0.4:
                        async with asyncio.timeout(chance.random() / 1000):
                            got.append(await conn.receive_message())
                    elif way < 0.6:
                        got.append(await conn.receive_message(timeout=chance.random() / 1000))
                    elif way < 0.8:
                        task = asyncio.create_task(conn.receive_message())
                        await asyncio.sleep(chance.choice([0, 0.001]))
                        if not task.done():
                            task.cancel()
                        got.append(await task)
                    else:
                        got.append(await conn.receive_message())
                except (TimeoutError, asyncio.CancelledError):
                    continue
                if got[-1] is None:
                    return got == [*(f"/{number} {n}" for n in range(total)), None]

        assert all(await asyncio.gather(*map(take, range(20))))
        listener.close()

    run(main())
