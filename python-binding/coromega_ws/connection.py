"""A WebSocket connection: what happens once in its life. Messages are the native half's."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from . import _native
from .counters import Info, info_of
from .error import Away, ConnectionClosed, InvalidArgument, InvalidClose, Moved, from_status, in_connect
from .fragments import Fragment, Writer, room
from .request import Request, request_of
from .waiting import Once

_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))


def check_callback(name: str, fn: Any) -> None:
    if fn is not None and not callable(fn):
        raise TypeError(f"{name}: a function or None, not {type(fn).__name__}")


def check_close(code: Any, reason: Any) -> None:
    """Refuses what is no close code or reason at all; the library knows which may be sent."""
    if not isinstance(code, int) or isinstance(code, bool):
        raise TypeError(f"close: the code is a number, not {type(code).__name__}")
    if not isinstance(reason, str):
        raise TypeError(f"close: the reason is a str, not {type(reason).__name__}")
    if not 1 <= code <= 65535:
        raise InvalidClose(f"close: {code} is no close code")


def _where(value: Any) -> str:
    """The way to what can't be JSON, as Python writes it: `['a'][3]`. Empty for the value itself."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, (list, tuple)):
        items = list(enumerate(value))
    else:
        return ""
    for key, item in items:
        try:
            # With its key, which may be what is wrong.
            _encode({key: item} if isinstance(value, dict) else item)
        except (TypeError, ValueError, RecursionError):
            return f"[{key!r}]{_where(item)}"
    return ""


def to_json(value: Any) -> str:
    """The JSON of a value; what JSON can't hold is an InvalidArgument that says where it is (S19)."""
    try:
        _native.check_depth(value)
    except ValueError as error:
        raise InvalidArgument(f"send: this value can't be JSON: {error}") from error
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        where = _where(value)
        raise InvalidArgument(f"send: this value can't be JSON: {error}{where and f' (at {where})'}") from error


class Connection(_native.Connection):
    """A connection. Made by `connect_to_websocket`, or handed to a `when_new_conn` callback."""

    _opening: asyncio.Future[None] | None
    _closed_event: Once
    _known_request: Request | None
    _pingers: list[asyncio.Future[float]]
    _writers: list[asyncio.Future[None]]
    _on_lost: Callable[[str, int | None], Any] | None
    _on_back: Callable[[], Any] | None

    @classmethod
    def _make(
        cls, mailbox: _native.Mailbox, handle: int, max_callbacks: int, fragments: bool
    ) -> Connection:
        connection = cls(mailbox, handle, max_callbacks, fragments)
        connection._opening = None
        connection._closed_event = Once()
        connection._known_request = None
        connection._pingers = []
        connection._writers = []
        connection._on_lost = None
        connection._on_back = None
        mailbox.register(connection)
        return connection

    def send(self, value: Any, *, compress: bool = True) -> Coroutine[Any, None, None]:
        """Sends the JSON of a value as one text message."""
        return self.send_message(to_json(value), compress=compress)

    def begin_message(self, *, compress: bool = True) -> Writer:
        """Sends a text message in fragments: `async with conn.begin_message() as writer`, in which
        `await writer.write(text)` sends one. What else is sent meanwhile waits for its end."""
        return Writer(self, False, compress)

    def begin_binary(self, *, compress: bool = True) -> Writer:
        """Sends a binary message in fragments."""
        return Writer(self, True, compress)

    async def receive_fragment(self, timeout: float | None = None) -> Fragment | None:
        """Waits for the next part of a message, or None when the connection has ended.

        With the option `fragments` they are what has come of a message so far, each `str` of whole
        characters; without it, every message is one.
        """
        part: Any = await self._receive_fragment(timeout)
        if part is None:
            return None
        return Fragment(*part) if self._fragments else Fragment(part, True)

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> str | bytes:
        """The next message, for `async for message in conn`, which ends with the connection."""
        message = await self.receive_message()
        if message is None:
            raise StopAsyncIteration
        return message

    def when_new_msg(self, fn: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
        """Sets the callback for messages that no `receive_message` takes; None removes it.

        It gets str or bytes, and None once when the connection has ended. Works as a decorator.
        """
        check_callback("when_new_msg", fn)
        self._set_callback(fn, fn is not None and is_async(fn))
        return fn

    def when_lost(self, fn: Callable[[str, int | None], Any] | None) -> Callable[[str, int | None], Any] | None:
        """With the option `reconnect`: sets the callback for when the connection was lost.

        It gets what happened and the close code, None without one; also for each attempt to make the
        connection again that fails. Works as a decorator.
        """
        check_callback("when_lost", fn)
        self._on_lost = fn
        return fn

    def when_back(self, fn: Callable[[], Any] | None) -> Callable[[], Any] | None:
        """With the option `reconnect`: sets the callback for when the connection is open again."""
        check_callback("when_back", fn)
        self._on_back = fn
        return fn

    def close(self, code: int = 1000, reason: str = "") -> Coroutine[Any, None, None]:
        """Closes the connection after all accepted messages; await it to see the closing done."""
        check_close(code, reason)
        loop = self._mailbox.loop
        if loop is not None and loop.is_closed():
            self._mailbox.close()  # Nobody is left to tell of the end.
        if not self._close(code, reason):
            return _native.Ready()
        self._set_busy(True)
        if self._closed_event.done:  # On the loop's thread, since the line before.
            self._set_busy(False)
        return self._closed_event.wait()

    def request(self) -> Request:
        """The request that opened the connection; header names in lower case."""
        if self._known_request is None:
            self._known_request = request_of(self._handle)
        return self._known_request

    def info(self) -> Info:
        """Its state, addresses, end, and how many messages and bytes it received and sent."""
        return info_of(self._handle)

    @property
    def latency(self) -> tuple[float, float] | None:
        """The last and the smoothed round trip of the library's pings, in seconds; None before."""
        return _native.connection_latency(self._handle)

    async def ping(self) -> float:
        """The round trip of a ping, in seconds. ConnectionClosed if no pong comes any more."""
        loop = asyncio.get_running_loop()
        if loop is not self._mailbox.loop:
            raise RuntimeError("ping: this connection belongs to another event loop")
        _native.connection_ping(self._handle)
        pong: asyncio.Future[float] = loop.create_future()
        self._pingers.append(pong)
        return await pong

    @property
    def close_code(self) -> int | None:
        """The code of the first close frame, whoever sent it; 1006 if there was none; None before."""
        end = self._end
        return None if end is None else end[0]

    @property
    def close_reason(self) -> str | None:
        """The reason that came with `close_code`."""
        end = self._end
        return None if end is None else end[1]

    def __repr__(self) -> str:
        code = self.close_code
        return f"<coromega_ws.Connection {self._handle}{'' if code is None else f' closed {code}'}>"

    def _opened(self) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            self._known_request = None
            if self._on_back is not None:
                fn = self._on_back
                self._mailbox.start(lambda _: fn(), is_async(fn), None)
            return
        if not opening.done():
            opening.set_result(None)
        self._set_busy(False)

    def _lost(self, text: str, code: int) -> None:
        self._end_pings(Away("ping: the connection was lost"))
        if self._on_lost is not None:
            known = None if code in (0, 1006) else code
            self._mailbox.start(partial(self._on_lost, text), is_async(self._on_lost), known)

    def _ponged(self) -> None:
        pingers, self._pingers = self._pingers, []
        for pong in pingers:
            if not pong.done() and self.latency is not None:
                pong.set_result(self.latency[0])

    async def _room(self) -> None:
        await room(self, self._writers)

    def _has_room(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    def _closed(self, status: int, text: str, http_status: int, _code: int) -> None:
        opening, self._opening = self._opening, None
        if opening is not None and not opening.done():
            opening.set_exception(in_connect(from_status(status, text, http_status)))
        self._closed_event.set()
        self._set_busy(False)
        self._end_pings(ConnectionClosed("ping: the connection has ended"))

    def _moved(self) -> None:
        self._end_pings(Moved("ping: the connection has moved"))
        self._closed_event.set()
        self._cut_off()

    def _end_pings(self, error: Exception) -> None:
        pingers, self._pingers = self._pingers, []
        for pong in pingers:
            if not pong.done():
                pong.set_exception(error)


class ForeignConnection:
    """A connection that belongs to another language or loop host of this process."""

    def __init__(self, handle: int) -> None:
        _native.foreign_state(handle)
        self.handle = handle

    def send_message(self, text: str, *, compress: bool = True) -> Coroutine[Any, None, None]:
        """Sends text; raises WouldBlock where it would have to wait."""
        return _native.send_foreign(self.handle, text, False, compress)

    def send_binary(self, buffer: Any, *, compress: bool = True) -> Coroutine[Any, None, None]:
        """Sends bytes; raises WouldBlock where it would have to wait."""
        return _native.send_foreign(self.handle, buffer, True, compress)

    def send(self, value: Any, *, compress: bool = True) -> Coroutine[Any, None, None]:
        """Sends the JSON of a value as one text message."""
        return self.send_message(to_json(value), compress=compress)

    def close(self, code: int = 1000, reason: str = "") -> Coroutine[Any, None, None]:
        """Starts closing it; its owner sees the end."""
        check_close(code, reason)
        _native.close_foreign(self.handle, code, reason)
        return _native.Ready()

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("this connection belongs to another host of the process: it can only be sent to and closed")

    receive_message = receive_fragment = begin_message = begin_binary = _refuse
    when_new_msg = request = ping = _refuse
