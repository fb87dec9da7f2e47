"""S4: errors of callbacks and coroutines."""

import asyncio

import coromega_ws as coromega
import pytest
from support import pair, python, until, url


def test_S4_errors_are_reported_and_end_that_coroutine_alone(run, reports):
    async def main():
        _, client, server = await pair()
        got = []

        async def bad(msg):
            got.append(msg)
            if msg == "now":
                raise ValueError(msg)
            if msg == "later":
                await asyncio.sleep(0)
                raise KeyError(msg)

        server.when_new_msg(bad)
        for text in "now", "later", "fine":
            await client.send_message(text)
        await until(lambda: len(got) == 3 and len(reports) == 2)
        assert [type(error) for error in reports] == [ValueError, KeyError]
        assert reports[0].__traceback__ is not None
        reports.clear()

        def plain(_msg):
            raise OSError("plain")

        server.when_new_msg(plain)
        await client.send_message("x")
        await until(lambda: reports)
        assert isinstance(reports.pop(), OSError)

        async def failing():
            raise LookupError

        await coromega.start_new(failing)
        assert isinstance(reports.pop(), LookupError)
        server.when_new_msg(None)

    run(main())


def test_S4_an_error_in_when_new_conn_closes_with_1011(run, reports):
    async def main():
        for waits in False, True:
            listener = coromega.create_websocket_server("127.0.0.1", 0)

            async def serve(_conn, waits=waits):
                if waits:
                    await asyncio.sleep(0)
                raise ValueError

            listener.when_new_conn(serve)
            client = await coromega.connect_to_websocket(url(listener))
            assert await client.receive_message() is None
            assert client.close_code == 1011
            assert isinstance(reports.pop(), ValueError)

    run(main())


def test_S4_an_error_in_when_dead_is_reported(run, reports):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)

        @listener.when_dead
        def dead(_reason):
            raise ValueError

        await listener.close()
        await until(lambda: reports)
        assert isinstance(reports.pop(), ValueError)

    run(main())


def test_S4_by_default_the_traceback_goes_to_standard_error():
    done = python(
        "import coromega_ws as c\n"
        "def broken(): raise ValueError('here')\n"
        "c.start_new(broken)\n"
        "c.on_error(print); c.on_error(None)\n"
        "c.run()"
    )
    assert done.returncode == 0
    assert "Traceback" in done.stderr and "ValueError: here" in done.stderr and "broken" in done.stderr


def test_S4_an_error_in_the_handler_is_printed_and_ends_there():
    done = python(
        "import coromega_ws as c\n"
        "@c.on_error\n"
        "def handler(error): raise KeyError('inner')\n"
        "@c.start_new\n"
        "def broken(): raise ValueError('outer')\n"
        "c.run(); print('on')"
    )
    assert done.stdout == "on\n" and "inner" in done.stderr and "outer" in done.stderr


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("where", ["start", "later", "plain"])
def test_S4_ctrl_c_and_exit_pass_through(kind, where):
    body = {
        "start": f"async def cb(msg): raise {kind}(3)",
        "later": f"async def cb(msg):\n        await asyncio.sleep(0)\n        raise {kind}(3)",
        "plain": f"def cb(msg): raise {kind}(3)",
    }[where]
    done = python(
        "import asyncio, coromega_ws as c\n"
        "c.on_error(lambda error: print('reported', error))\n"
        "listener = c.create_websocket_server('127.0.0.1', 0)\n"
        "def serve(conn):\n"
        f"    {body}\n"
        "    conn.when_new_msg(cb)\n"
        "listener.when_new_conn(serve)\n"
        "async def main():\n"
        "    conn = await c.connect_to_websocket('ws://127.0.0.1:%d' % listener.address[1])\n"
        "    await conn.send_message('x')\n"
        "    await c.sleep(1000)\n"
        "c.start_new(main)\n"
        "try: c.run()\n"
        f"except {kind} as error: print('passed', error)\n"
    )
    assert done.stdout == "passed 3\n", done.stderr


def test_S4_cancelling_a_callback_is_not_reported(run):
    async def main():
        _, client, server = await pair()
        tasks = []

        async def callback(msg):
            tasks.append(asyncio.current_task())
            if msg == "itself":
                asyncio.current_task().cancel()
                await asyncio.sleep(1000)
            await asyncio.sleep(1000)

        server.when_new_msg(callback)
        await client.send_message("itself")
        await client.send_message("other")
        await until(lambda: len(tasks) == 2)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        server.when_new_msg(None)

    run(main())


def test_S4_an_error_in_every_kind_of_callback_is_reported_and_harms_nothing_else(run, reports):
    async def main():
        _, steady, steady_server = await pair()

        def thrower(name):
            def throw(*_):
                raise ValueError(name)

            return throw

        async def reported(name):
            await until(lambda: reports)
            assert [str(error) for error in reports] == [name]
            reports.clear()

        accepted = []
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        listener.when_new_conn(accepted.append)
        client = await coromega.connect_to_websocket(url(listener), reconnect=True, reconnect_delay=0.01)
        client.when_new_msg(thrower("when_new_msg"))
        client.when_lost(thrower("when_lost"))
        await until(lambda: accepted)
        await accepted[0].send_message("x")
        await reported("when_new_msg")
        await accepted[0].close(1011)
        await reported("when_lost")
        client.when_lost(None)
        client.when_back(thrower("when_back"))
        await until(lambda: len(accepted) == 2)
        await accepted[1].close(1011)
        await reported("when_back")
        client.when_back(None)
        await client.close()
        await until(lambda: reports)  # the last call, with None
        assert str(reports.pop()) == "when_new_msg"
        listener.when_dead(thrower("when_dead"))
        listener.close()
        await reported("when_dead")
        coromega.on_log(thrower("on_log"), 30)
        with pytest.raises(coromega.ConnectError):
            await coromega.connect_to_websocket("ws://127.0.0.1:1/")
        await reported("on_log")
        coromega.on_log(None)
        asyncio.get_running_loop().call_soon(coromega.start_new, thrower("start_new"))
        await reported("start_new")
        await steady.send_message("still there")
        assert await steady_server.receive_message() == "still there"

    run(main())
