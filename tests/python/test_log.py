"""S38: the log, silent unless asked for."""

import asyncio
import logging

import coromega_ws as coromega
import pytest
from support import pair, until, url


@pytest.fixture(autouse=True)
def quiet():
    yield
    coromega.on_log(None)


def test_S38_the_log_is_silent_unless_asked(run, caplog):
    async def main():
        _, client, server = await pair()
        await client.close()
        assert await server.receive_message() is None

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert [record for record in caplog.records if "connection" in record.getMessage()] == []
    with pytest.raises(TypeError, match="a function or None"):
        coromega.on_log("loud")
    with pytest.raises(TypeError, match="a number of logging's"):
        coromega.on_log(print, "loud")


def test_S38_a_log_says_what_happens(run, caplog):
    async def main():
        coromega.on_log(logging.getLogger("ws").log, logging.DEBUG)
        listener, client, server = await pair()
        await client.send_message("sesame")
        assert await server.receive_message() == "sesame"
        await client.close(4000, "sesame")
        listener.when_new_conn(lambda conn: None)
        headers = {"X-Api-Key": "sesame", "Cookie": "sesame"}
        other = await coromega.connect_to_websocket(url(listener, "/100%25?sesame"), headers)
        await other.close()
        with pytest.raises(coromega.ConnectError):
            await coromega.connect_to_websocket("ws://127.0.0.1:1/?sesame")
        await until(lambda: "connect to ws://127.0.0.1:1/?..." in caplog.text)

    with caplog.at_level(logging.DEBUG, "ws"):
        run(main())
    said = {(record.levelno, record.getMessage().partition(": ")[2]) for record in caplog.records}
    for level, text in (
        (logging.INFO, "listens on 127.0.0.1"),
        (logging.INFO, "open, from 127.0.0.1:"),
        (logging.INFO, "closed with 4000, first by the peer"),
        (logging.DEBUG, "connecting over TCP, for ws://127.0.0.1:1/?..."),
        (logging.DEBUG, "GET /100%25; host: 127.0.0.1:"),
        (logging.WARNING, "ended: connect to ws://127.0.0.1:1/?...: "),
    ):
        assert any(found == level and said.lower().startswith(text.lower()) for found, said in said), text
    assert "X-Api-Key: (not shown)" in caplog.text
    assert "sesame" not in caplog.text


def test_S38_an_error_in_the_log_is_reported_like_any_other(run):
    async def main():
        errors = []
        coromega.on_error(errors.append)
        coromega.on_log(lambda level, text: 1 / 0, logging.WARNING)
        with pytest.raises(coromega.ConnectError):
            await coromega.connect_to_websocket("ws://127.0.0.1:1/")
        await until(lambda: errors)
        assert isinstance(errors[0], ZeroDivisionError)
        coromega.on_error(None)

    run(main())


def test_S38_a_log_that_is_turned_on_before_there_is_a_loop():
    records = []
    coromega.on_log(lambda level, text: records.append(text))

    async def main():
        _, client, _ = await pair()
        await until(lambda: any("open, to" in text for text in records))
        await client.close()

    asyncio.run(main())
