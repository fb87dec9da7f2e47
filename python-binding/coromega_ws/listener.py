"""A listening server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from . import _native
from .connection import Connection, check_callback, is_async
from .counters import Counters
from .error import ConnectionClosed
from .mailbox import is_early
from .request import Request, review
from .waiting import Once


class Listener:
    """A server made by `create_websocket_server`. It lives until it is closed."""

    __slots__ = (
        "_accepted_handles",
        "_address",
        "_dead",
        "_draining",
        "_fragments",
        "_handle",
        "_last_counters",
        "_mailbox",
        "_max_callbacks",
        "_on_conn",
        "_on_dead",
        "_reason",
        "_when_request",
        "__weakref__",
    )

    def __init__(
        self,
        mailbox: _native.Mailbox,
        handle: int,
        max_callbacks: int,
        fragments: bool,
        when_request: Callable[[Request], Any] | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._handle = handle
        self._max_callbacks = max_callbacks
        self._fragments = fragments
        self._address = _native.listener_address(handle)
        self._when_request = when_request
        self._on_conn: Callable[[Connection], Any] | None = None
        self._on_dead: Callable[[str], Any] | None = None
        self._accepted_handles: deque[int] = deque()
        self._reason: str | None = None
        self._last_counters: Counters | None = None
        self._dead = Once()
        self._draining = False
        mailbox.add_listener(handle, self)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        return self._address

    def when_new_conn(self, fn: Callable[[Connection], Any] | None) -> Listener:
        """Sets the callback that gets each new connection. Works as a decorator."""
        check_callback("when_new_conn", fn)
        self._here()
        self._on_conn = fn
        self._soon(self._accepted)
        return self

    def when_dead(self, fn: Callable[[str], Any] | None) -> Listener:
        """Sets the callback that gets the reason, once, when the listener stops."""
        check_callback("when_dead", fn)
        self._here()
        self._on_dead = fn
        if self._reason is not None:
            self._soon(self._tell_dead)
        return self

    def reload(self) -> None:
        """Reads the files of `certificate_file`, `key_file` and `ca_files` again, from any thread.

        Clients that come from now on meet what is in them. What is wrong with them is an
        InvalidArgument, and then everything stays as it was; ConnectionClosed after the end.
        """
        if self._dead.done:
            raise ConnectionClosed("reload: the listener is closed")
        _native.listener_reload(self._handle)

    def close(self, reason: str = "", *, drain: float | None = None) -> Coroutine[Any, None, None]:
        """Stops accepting. Connections that were handed over live on, unless it is to drain.

        With `drain`, they are closed with 1001 and the reason, one after the other within so many
        seconds; what has not ended by then is cut off. Await it to see the end of that.
        """
        if not isinstance(reason, str):
            raise TypeError(f"close: the reason is a str, not {type(reason).__name__}")
        if drain is not None and (not isinstance(drain, (int, float)) or isinstance(drain, bool)):
            raise TypeError(f"close: drain is a number of seconds, not {type(drain).__name__}")
        if self._dead.done:
            return _native.Ready()
        if drain is None:
            closing = _native.listener_close(self._handle, reason)
        else:
            closing = _native.listener_drain(self._handle, drain, reason)
            self._draining = self._draining or closing
        return self._dead.wait() if closing or self._draining else _native.Ready()

    def connections(self) -> list[Connection]:
        """The connections that came through it and have not ended, the oldest first."""
        self._here()
        if self._dead.done:
            return []
        found = map(self._mailbox.lookup, _native.listener_connections(self._handle))
        return [connection for connection in found if connection is not None]

    def counters(self) -> Counters:
        """What the connections that came through it have done; after its end, had done by then."""
        return self._last_counters or Counters(*_native.listener_counters(self._handle))

    def __repr__(self) -> str:
        state = "" if self._reason is None else f" dead: {self._reason}"
        return f"<coromega_ws.Listener {self._address[0]}:{self._address[1]}{state}>"

    def _here(self) -> None:
        running = asyncio._get_running_loop()
        if running is None and is_early(self._mailbox):
            return
        if running is None or running is not self._mailbox.loop:
            raise RuntimeError("this listener belongs to another event loop: only close may be called from here")

    def _soon(self, work: Callable[[], None]) -> None:
        # Without a loop yet, the events that come with it tell the same.
        loop = self._mailbox.loop
        if loop is not None and not self._mailbox.closed:
            loop.call_soon(work, context=self._mailbox.context)

    def _accepted(self) -> None:
        """Takes clients that wait, if somebody is there for them (S11)."""
        if self._on_conn is None or self._mailbox.closed:
            return
        handles = self._accepted_handles
        if not handles and self._reason is None:
            handles.extend(_native.listener_accept(self._handle))
        # More may have come than one call takes, and a callback may be ended by Ctrl-C.
        if handles:
            self._soon(self._accepted)
        while handles and self._on_conn is not None:
            connection = Connection._make(self._mailbox, handles.popleft(), self._max_callbacks, self._fragments)
            self._mailbox.start(self._on_conn, is_async(self._on_conn), connection)

    def _requested(self, handle: int) -> None:
        """A client's request waits for an answer."""
        fn = self._when_request
        if fn is not None:
            self._mailbox.start(partial(review, fn), True, handle)

    def _died(self, reason: str) -> None:
        self._reason = reason
        self._last_counters = self.counters()
        self._mailbox.remove_listener(self._handle)
        self._dead.set()
        self._tell_dead()

    def _tell_dead(self) -> None:
        fn, self._on_dead = self._on_dead, None
        if fn is not None and self._reason is not None:
            self._mailbox.start(fn, is_async(fn), self._reason)
