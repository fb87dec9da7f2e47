"""S10 to S12: serving."""

import asyncio

import coromega_ws as coromega
import pytest
import websockets
from support import pair, until, url


def test_S10_the_port_is_bound_when_it_returns(run):
    async def main():
        listener = coromega.create_websocket_server("localhost", 0)
        host, port = listener.address
        assert host in ("127.0.0.1", "::1") and port > 0
        with pytest.raises(coromega.ListenError, match="in use") as caught:
            coromega.create_websocket_server(host, port)
        assert isinstance(caught.value, OSError)
        await listener.close()

    run(main())


def test_S10_without_a_loop_it_is_bound_at_once():
    import socket

    listener = coromega.create_websocket_server("127.0.0.1", 0)
    socket.create_connection(listener.address).close()
    assert "Listener 127.0.0.1" in repr(listener)

    @coromega.start_new
    async def end():
        await listener.close()

    coromega.run()


def test_S10_what_can_not_be_bound(run):
    async def main():
        with pytest.raises(OSError):
            coromega.create_websocket_server("no-such-host.invalid", 0)
        with pytest.raises(OSError):
            coromega.create_websocket_server("192.0.2.1", 0)
        for host, port in ((5, 0), ("127.0.0.1", "0"), ("127.0.0.1", True), (None, 0)):
            with pytest.raises(TypeError):
                coromega.create_websocket_server(host, port)
        for port in (-1, 65536):
            with pytest.raises(ValueError):
                coromega.create_websocket_server("127.0.0.1", port)

    run(main())


def test_S11_clients_that_came_before_the_callback_wait_for_it(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        clients = [await coromega.connect_to_websocket(url(listener)) for _ in range(5)]
        for number, client in enumerate(clients):
            await client.send_message(str(number))
        await asyncio.sleep(0.1)
        seen = []

        async def serve(conn):
            seen.append(await conn.receive_message())

        assert listener.when_new_conn(serve) is listener
        assert seen == []
        await until(lambda: len(seen) == 5)
        assert seen == ["0", "1", "2", "3", "4"]

    run(main())


def test_S11_each_client_starts_a_task_of_its_own(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        tasks = []

        @listener.when_new_conn
        async def serve(conn):
            tasks.append(asyncio.current_task())
            await conn.receive_message()

        for _ in range(3):
            await coromega.connect_to_websocket(url(listener))
        await until(lambda: len(tasks) == 3)
        assert len(set(tasks)) == 3

    run(main())


def test_S11_many_clients_at_once(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)

        async def serve(conn):
            await conn.send_message("hello")

        pending = [asyncio.create_task(coromega.connect_to_websocket(url(listener))) for _ in range(200)]
        await asyncio.sleep(0.2)
        listener.when_new_conn(serve)
        clients = await asyncio.gather(*pending)
        for client in clients:
            assert await client.receive_message() == "hello"

    run(main(), timeout=120)


def test_S12_when_dead_is_called_once_with_the_reason(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        reasons = []
        assert listener.when_dead(reasons.append) is listener
        await listener.close("enough")
        await listener.close("again")
        await until(lambda: reasons)
        await asyncio.sleep(0.05)
        assert reasons == ["enough"]

    run(main())


def test_S12_when_dead_may_be_set_later(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        await listener.close()
        reasons = []

        async def dead(reason):
            await asyncio.sleep(0)
            reasons.append(reason)

        listener.when_dead(dead)
        assert reasons == []
        await until(lambda: reasons)
        assert reasons == ["closed"]

    run(main())


def test_S12_connections_that_were_handed_over_live_on(run):
    async def main():
        listener, client, server = await pair()
        listener.when_new_conn(None)
        waiting = await coromega.connect_to_websocket(url(listener))
        await listener.close()
        assert await waiting.receive_message() is None
        assert waiting.close_code == 1001
        await client.send_message("still here")
        assert await server.receive_message() == "still here"
        with pytest.raises(coromega.ConnectError):
            await coromega.connect_to_websocket(url(listener))

    run(main())


def test_S12_a_listener_lives_without_references(run):
    async def main():
        import gc

        address = url(coromega.create_websocket_server("127.0.0.1", 0).when_new_conn(lambda conn: None))
        gc.collect()
        assert await (await coromega.connect_to_websocket(address)).receive_message() is None

    run(main())


def test_S12_a_close_of_the_wrong_shape_leaves_it_open(run):
    async def main():
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        with pytest.raises(TypeError):
            listener.close(5)
        for wrong in "soon", True:
            with pytest.raises(TypeError):
                listener.close(drain=wrong)
        with pytest.raises(ValueError):
            listener.close(drain=0)
        with pytest.raises(ValueError):
            listener.close("x" * 124, drain=1)
        await coromega.connect_to_websocket(url(listener))
        await listener.close()

    run(main())


def test_S12_a_drained_listener_closes_its_connections_and_waits_for_their_end(run):
    async def main():
        ends, dead = [], []
        listener = coromega.create_websocket_server("127.0.0.1", 0)
        listener.when_dead(dead.append)

        @listener.when_new_conn
        def _(conn):
            conn.when_new_msg(lambda message: ends.append((message, conn.close_code, conn.close_reason)))

        assert listener.connections() == []
        clients = [await coromega.connect_to_websocket(url(listener)) for _ in range(100)]
        await until(lambda: len(listener.connections()) == 100)
        assert listener.connections()[0] is listener.connections()[0]
        closing = listener.close("maintenance", drain=0.4)
        again = listener.close()  # it is being closed: this waits for the same end
        await closing
        assert ends == [(None, 1001, "maintenance")] * 100
        assert listener.connections() == []
        await again
        await until(lambda: dead)
        assert dead == ["maintenance"]
        for client in clients:
            assert await client.receive_message() is None
            assert client.close_code == 1001

    run(main())


def test_S11_another_librarys_client(run):
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
        async with websockets.connect(url(listener), compression=None) as socket:
            for message in ("text", b"binary", "", b"", "ü" * 40000):
                await socket.send(message)
                assert await socket.recv() == message

    run(main())
