"""S5: where callbacks run, and what they are."""

import asyncio

import pytest
from support import pair, python, until


def test_S5_callbacks_run_on_the_loop_and_never_inside_the_call(run):
    async def main():
        import threading

        me = threading.get_ident()
        _, client, server = await pair()
        await client.send_message("x")
        await asyncio.sleep(0.1)
        seen = []
        server.when_new_msg(lambda msg: seen.append((msg, threading.get_ident())))
        assert seen == []
        await asyncio.sleep(0)
        assert seen == [("x", me)]

    run(main())


def test_S5_callbacks_are_tasks(run, reports):
    async def main():
        _, client, server = await pair()
        log = []

        async def callback(msg):
            if msg is None:
                return
            me = asyncio.current_task()
            assert isinstance(me, asyncio.Task)
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(1000)
            except TimeoutError:
                log.append("timeout")
                assert me in asyncio.all_tasks()
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)
            except TimeoutError:
                log.append("wait_for")
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            log.append("group")
            assert asyncio.current_task() is me
            log.append(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)))

        server.when_new_msg(callback)
        await client.send_message("x")
        await until(lambda: len(log) == 4 or reports)
        assert log == ["timeout", "wait_for", "group", [1, 2]]

    run(main())


def test_S5_callbacks_have_contexts_of_their_own(run):
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)

    async def main():
        _, client, server = await pair()
        seen = []

        async def callback(msg):
            if msg is None:
                return
            seen.append((msg, variable.get()))
            variable.set(int(msg))
            if msg == "2":
                await asyncio.sleep(0.05)
                seen.append(("later", variable.get()))

        server.when_new_msg(callback)
        for text in "1", "2", "3":
            await client.send_message(text)
        await until(lambda: len(seen) == 4)
        assert seen == [("1", 0), ("2", 0), ("3", 0), ("later", 2)]

    run(main())


def test_S5_a_kept_task_of_a_callback_is_its_own(run):
    async def main():
        _, client, server = await pair()
        tasks = []

        async def callback(msg):
            if msg is not None:
                tasks.append(asyncio.current_task())

        server.when_new_msg(callback)
        for _ in range(3):
            await client.send_message("x")
        await until(lambda: len(tasks) == 3)
        assert len(set(tasks)) == 3
        assert await asyncio.gather(*tasks) == [None] * 3

    run(main())


def test_S5_methods_belong_to_the_loop_of_the_object(run):
    async def main():
        listener, client, server = await pair()

        def elsewhere():
            for method in (
                lambda: client.receive_message(),
                lambda: client.when_new_msg(None),
                lambda: listener.when_new_conn(None),
                lambda: listener.when_dead(None),
            ):
                with pytest.raises(RuntimeError):
                    method()

            async def other():
                elsewhere_in_loop = client.receive_message
                with pytest.raises(RuntimeError):
                    elsewhere_in_loop()
                await client.send_message("from another loop")
                await client.close(1000, "bye")

            client.send_message("from a thread")
            asyncio.run(other())

        await asyncio.to_thread(elsewhere)
        assert await server.receive_message() == "from a thread"
        assert await server.receive_message() == "from another loop"
        assert await server.receive_message() is None
        assert (server.close_code, server.close_reason) == (1000, "bye")

    run(main())


def test_S5_asyncio_run_does_not_adopt():
    done = python(
        "import asyncio, coromega_ws as c\n"
        "c.create_websocket_server('127.0.0.1', 0)\n"
        "async def main():\n"
        "    listener = c.create_websocket_server('127.0.0.1', 0)\n"
        "    await listener.close()\n"
        "asyncio.run(main())"
    )
    assert done.returncode == 0 and "RuntimeWarning" in done.stderr
    done = python(
        "import asyncio, coromega_ws as c\nc.start_new(print)\nasyncio.run(asyncio.sleep(0))"
    )
    assert done.returncode == 0 and "RuntimeWarning" in done.stderr and done.stdout == ""


def test_S5_a_callback_that_does_not_wait_leaves_its_task_to_nobody(run):
    async def main():
        _, client, server = await pair()
        tasks, done = [], []

        async def callback(message):
            if message is not None:
                task = asyncio.current_task()
                tasks.append((task.get_name(), message))
                task.set_name("mine")
                task.add_done_callback(lambda _: done.append(message))

        server.when_new_msg(callback)
        for message in "abc":
            await client.send_message(message)
        await until(lambda: len(done) == 3)
        assert [message for _, message in tasks] == done == ["a", "b", "c"]
        assert all(name != "mine" for name, _ in tasks)

    run(main())


def test_S3_run_waits_for_no_task_of_its_own():
    done = python(
        "import asyncio, time, coromega_ws as c\n"
        "async def serve(conn):\n"
        "    await asyncio.sleep(0.05)\n"
        "    await conn.send_message('hi')\n"
        "    await conn.close()\n"
        "    await listener.close()\n"
        "listener = c.create_websocket_server('127.0.0.1', 0).when_new_conn(serve)\n"
        "async def client():\n"
        "    conn = await c.connect_to_websocket('ws://127.0.0.1:%d' % listener.address[1])\n"
        "    async def callback(message): print(message)\n"
        "    conn.when_new_msg(callback)\n"
        "    for _ in range(20):\n"
        "        await asyncio.sleep(0)\n"
        "        assert len(asyncio.all_tasks()) <= 3, asyncio.all_tasks()\n"
        "        time.sleep(0.01)\n"
        "c.start_new(client)\n"
        "c.run()"
    )
    assert (done.returncode, done.stdout) == (0, "hi\nNone\n"), done.stderr


def test_S24_close_after_the_loop_was_closed():
    done = python(
        "import asyncio, coromega_ws as c\n"
        "loop = asyncio.new_event_loop()\n"
        "async def connect():\n"
        "    listener = c.create_websocket_server('127.0.0.1', 0)\n"
        "    return await c.connect_to_websocket('ws://127.0.0.1:%d' % listener.address[1])\n"
        "conn = loop.run_until_complete(connect())\n"
        "loop.close()\n"
        "async def main():\n"
        "    await asyncio.wait_for(conn.close(), 20)\n"
        "    print('closed')\n"
        "asyncio.run(main())"
    )
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr
