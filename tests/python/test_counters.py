"""S13: what is known of a connection, and what was counted. S30: what a listener lets in."""

import asyncio
import time

import coromega_ws as coromega
import pytest
from support import pair, until, url


def test_S13_a_connection_tells_what_it_is_and_has_done(run):
    async def main():
        _, client, server = await pair()
        await client.send_message("four")
        assert await server.receive_message() == "four"
        await server.send_binary(b"abc")
        assert await client.receive_message() == b"abc"
        of_client, of_server = client.info(), server.info()
        assert (of_client.state, of_client.subprotocol) == ("open", "")
        assert (of_client.closed_by, of_client.close_code, of_client.close_reason) == (None, None, None)
        assert of_client.local_address == of_server.peer
        assert of_server.local_address == of_client.peer
        assert of_client[-4:] == (1, 3, 1, 4)
        assert (of_server.messages_received, of_server.bytes_received) == (1, 4)
        assert (of_server.messages_sent, of_server.bytes_sent) == (1, 3)
        await client.close(4001, "enough")
        assert await server.receive_message() is None
        of_client, of_server = client.info(), server.info()
        assert (of_client.state, of_client.closed_by) == ("closed", "us")
        assert (of_server.closed_by, of_server.close_code, of_server.close_reason) == ("peer", 4001, "enough")

    run(main())


def test_S13_a_listener_and_the_process_count_their_connections(run):
    async def main():
        before = coromega.counters()
        listener, client, server = await pair()
        for n in range(10):
            await client.send_message(str(n))
        for n in range(10):
            assert await server.receive_message() == str(n)
        counters, after = listener.counters(), coromega.counters()
        assert counters == coromega.Counters(1, 1, 0, 0, 10, 10, 0, 0)
        assert after.opened - before.opened == 2
        assert after.messages_received - before.messages_received == 10
        at = f'role="server",listener="127.0.0.1:{listener.address[1]}"'
        assert f"coromega_ws_messages_received_total{{{at}}} 10\n" in coromega.metrics()
        await client.close()
        await listener.close()
        assert listener.counters().messages_received == 10
        assert at not in coromega.metrics()

    run(main())


def test_S30_a_listener_lets_in_no_more_than_max_connections(run):
    async def main():
        listener, client, _ = await pair({"max_connections": 1})
        with pytest.raises(coromega.HttpError) as refused:
            await coromega.connect_to_websocket(url(listener))
        assert refused.value.http_status == 503
        assert listener.counters().refused == 1
        listener.when_new_conn(lambda _: None)
        await client.close()
        async with asyncio.timeout(30):
            while listener.counters().opened < 2:
                try:
                    await coromega.connect_to_websocket(url(listener))
                except coromega.HttpError:
                    pass

    run(main())


def test_S30_a_listener_lets_in_no_more_than_max_connections_per_address(run):
    async def main():
        listener, _client, _ = await pair({"max_connections_per_address": 1})
        with pytest.raises(coromega.HttpError) as refused:
            await coromega.connect_to_websocket(url(listener))
        assert refused.value.http_status == 429

    run(main())


def test_S30_messages_over_max_message_rate_wait(run):
    async def main():
        _, client, server = await pair({"max_message_rate": 20})
        start = time.monotonic()
        for n in range(40):
            await client.send_message(str(n))
        for n in range(40):
            assert await server.receive_message() == str(n)
        assert time.monotonic() - start > 0.95

    run(main())


def test_S25_max_lifetime_ends_a_connection_with_1001(run):
    async def main():
        _, client, server = await pair({"max_lifetime": 0.1})
        assert await client.receive_message() is None
        assert client.close_code == 1001
        await until(lambda: server.info().state == "closed")
        assert server.info().closed_by == "us"

    run(main())
