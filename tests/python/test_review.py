"""S13: requests are put to the program before they are answered."""

import asyncio
import base64
import os

import coromega_ws as coromega
import pytest
from support import until, url


def served(when_request, **options):
    listener = coromega.create_websocket_server("127.0.0.1", 0, when_request=when_request, **options)
    conns = []
    listener.when_new_conn(conns.append)
    return listener, conns


async def ask(listener, path="/", headers=""):
    """A client that asks by hand: its reader and writer."""
    reader, writer = await asyncio.open_connection(*listener.address)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
    )
    return reader, writer


async def answer_to(listener, path="/", headers=""):
    """What it is answered: the head, in lower case, and for a refusal the body."""
    reader, writer = await ask(listener, path, headers)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    body = b"" if " 101 " in head else await reader.read()
    writer.close()
    return head, body


@pytest.mark.parametrize("verdict", [None, True, coromega.Accept()])
@pytest.mark.parametrize("waits", [False, True])
def test_S13_what_accepts(run, verdict, waits):
    async def main():
        seen = []

        def plain(request):
            seen.append(request)
            return verdict

        async def waiting(request):
            await asyncio.sleep(0.01)
            return plain(request)

        listener, conns = served(waiting if waits else plain)
        conn = await coromega.connect_to_websocket(url(listener, "/a?b=c"), {"X-Colour": "blue"})
        await until(lambda: conns)
        (request,) = seen
        assert isinstance(request, coromega.Request)
        assert (request.path, request.query, request.subprotocol) == ("/a", "b=c", "")
        assert request.headers["x-colour"] == "blue" and request.peer[0] == "127.0.0.1"
        assert conns[0].request() == request
        await conn.send_message("hello")
        assert await conns[0].receive_message() == "hello"

    run(main())


def test_S13_headers_and_a_subprotocol_of_an_acceptance(run):
    async def main():
        def choose(request):
            assert request.headers["sec-websocket-protocol"] == "a, b"
            return coromega.Accept(headers={"X-Session": 5, "X-Twice": ["a", "b"]}, subprotocol="b")

        listener, conns = served(choose)
        head, _ = await answer_to(listener, headers="Sec-WebSocket-Protocol: a, b\r\n")
        assert head.startswith("http/1.1 101 ") and "\r\nx-session: 5\r\n" in head
        assert "\r\nx-twice: a\r\n" in head and "\r\nx-twice: b\r\n" in head
        assert "\r\nsec-websocket-protocol: b\r\n" in head
        await until(lambda: conns)
        assert conns[0].request().subprotocol == "b"

    run(main())


@pytest.mark.parametrize(
    ("verdict", "status", "header", "body"),
    [
        (False, 403, "", None),
        (404, 404, "", None),
        ((False, None, "not you"), 403, "", b"not you"),
        ((401, {"WWW-Authenticate": "Basic"}), 401, "www-authenticate: basic", None),
        ((302, [("Location", "/x")], b""), 302, "location: /x", None),
        ((429,), 429, "", None),
        ((503, {"Retry-After": 5}, b"slow \xff down"), 503, "retry-after: 5", b"slow \xff down"),
    ],
)
def test_S13_what_refuses(run, verdict, status, header, body):
    async def main():
        listener, conns = served(lambda request: verdict)
        head, found = await answer_to(listener)
        assert head.startswith(f"http/1.1 {status} ") and header in head
        assert body is None or found == body
        with pytest.raises(coromega.HttpError) as caught:
            await coromega.connect_to_websocket(url(listener))
        assert caught.value.http_status == status
        assert not conns

    run(main())


@pytest.mark.parametrize(
    "verdict",
    [
        "a str", 1, 0, 200, 600, 403.5, (), (403, None, None, None), (403, 5), (403, None, 5), (403, {"X\n": "y"}),
        (True, {}), {"status": 403}, coromega.Accept(subprotocol="not offered"), coromega.Accept(subprotocol=5),
        coromega.Accept(headers={"Upgrade": "h2c"}), coromega.Accept(headers=5),
    ],
)  # fmt: skip
def test_S4_a_verdict_that_is_none_refuses_with_500(run, reports, verdict):
    async def main():
        listener, conns = served(lambda request: verdict)
        head, _ = await answer_to(listener)
        assert head.startswith("http/1.1 500 ")
        assert len(reports) == 1 and isinstance(reports[0], (TypeError, ValueError))
        reports.clear()
        assert not conns

    run(main())


def test_S4_an_error_in_when_request_refuses_with_500(run, reports):
    async def main():
        def plain(request):
            raise KeyError(request.path)

        async def waiting(request):
            await asyncio.sleep(0.01)
            raise KeyError(request.path)

        for fn in plain, waiting:
            listener, _ = served(fn)
            with pytest.raises(coromega.HttpError, match="500"):
                await coromega.connect_to_websocket(url(listener))
            await until(lambda: reports)
            assert [type(error) for error in reports] == [KeyError]
            reports.clear()

    run(main())


def test_S13_it_may_wait_and_others_go_on(run):
    async def main():
        answers = {path: asyncio.get_running_loop().create_future() for path in ("/a", "/b")}
        tasks = set()

        async def decide(request):
            tasks.add(asyncio.current_task())
            return await answers[request.path] if request.path in answers else True

        listener, _ = served(decide)
        first, second = (asyncio.create_task(coromega.connect_to_websocket(url(listener, path))) for path in answers)
        await until(lambda: len(tasks) == 2)
        conn = await coromega.connect_to_websocket(url(listener, "/quick"))
        await conn.close()
        assert not first.done() and not second.done()
        answers["/b"].set_result(404)
        with pytest.raises(coromega.HttpError, match="404"):
            await second
        answers["/a"].set_result(True)
        await (await first).close()

    run(main())


def test_S13_no_answer_in_time_is_503(run):
    async def main():
        late = []

        async def slow(request):
            await asyncio.sleep(0.4)
            late.append(request)

        listener, conns = served(slow, open_timeout=0.1)
        with pytest.raises(coromega.HttpError, match="503"):
            await coromega.connect_to_websocket(url(listener))
        await until(lambda: late)
        assert not conns

    run(main())


def test_S13_each_listener_asks_its_own(run):
    async def main():
        seen = []
        one, _ = served(lambda request: seen.append("one"))
        two, _ = served(lambda request: seen.append("two"))
        none = coromega.create_websocket_server("127.0.0.1", 0)
        for listener in two, none, one:
            await (await coromega.connect_to_websocket(url(listener))).close()
        assert seen == ["two", "one"]

    run(main())


def test_S13_clients_and_listeners_that_leave_meanwhile(run):
    async def main():
        paths, ended = [], []

        async def slow(request):
            paths.append(request.path)
            await asyncio.sleep(0.3)
            ended.append(request.path)
            return request.path == "/leaves"

        listener, conns = served(slow)
        _, writer = await ask(listener, "/leaves")
        await until(lambda: paths == ["/leaves"])
        writer.close()
        staying = asyncio.create_task(answer_to(listener, "/stays"))
        await until(lambda: len(paths) == 2)
        await listener.close()
        head, _ = await staying
        assert head.startswith("http/1.1 503 ")
        await until(lambda: len(ended) == 2)
        assert not conns

    run(main())


def test_S13_a_cancelled_callback_refuses(run):
    async def main():
        tasks = []

        async def slow(request):
            tasks.append(asyncio.current_task())
            await asyncio.sleep(60)

        listener, _ = served(slow)
        asking = asyncio.create_task(answer_to(listener))
        await until(lambda: tasks)
        tasks[0].cancel()
        head, _ = await asking
        assert head.startswith("http/1.1 500 ")

    run(main())


def test_S13_wrong_shapes_of_when_request(run):
    async def main():
        with pytest.raises(TypeError, match="when_request"):
            coromega.create_websocket_server("127.0.0.1", 0, when_request="f")
        with pytest.raises(TypeError, match="review is set by when_request"):
            coromega.create_websocket_server("127.0.0.1", 0, review=True)
        with pytest.raises(coromega.InvalidArgument, match="review is a listener's"):
            await coromega.connect_to_websocket("ws://127.0.0.1:1/", review=True)
        with pytest.raises(TypeError, match="when_request"):
            await coromega.connect_to_websocket("ws://127.0.0.1:1/", when_request=print)

    run(main())
